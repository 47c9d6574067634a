"""An invalid file, column or option of an ingest is reported in one line, and nothing is written."""

from __future__ import annotations

import gzip
import os
from functools import partial

import pytest

from classifier.pipeline.database import tasks
from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import articles

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("ingest: a column that is not there", r"x\.csv: no column 'body'; its columns are 'id', 'text', 'category'")
def _(env):
    return "ingest", env.csv(*articles(3)), "--text", "body"


@case("ingest: a title that is not there", r"x\.csv: no column 'headline'; its columns are 'id', 'text', 'category'")
def _(env):
    return "ingest", env.csv(*articles(3)), "--title", "headline"


@case("ingest: an address that is not there", r"x\.csv: no column 'link'; its columns are 'id', 'text', 'category'")
def _(env):
    return "ingest", env.csv(*articles(3)), "--url", "link"


@case("ingest: no such file", r"x\.csv: no such file")
def _(env):
    return "ingest", "x.csv"


@case("ingest: a name of two lines, with what Rich takes for markup", r"no \[/red\] :key: such\.csv: no such file")
def _(_env):
    return "ingest", "no\n[/red] :key: such.csv"


@case("ingest: a glob without a match", r"in\*/\*\.csv: no such file")
def _(env):
    return "ingest", "in*/*.csv"


@case("ingest: an empty directory", r"is a directory without text files; name its files")
def _(env):
    return "ingest", str(env.folder)


@case("ingest: a directory of tables", r"in: is a directory; name its files, for example .*in/\*\.csv \(x\.csv is")
def _(env):
    (env.folder / "in").mkdir()
    return "ingest", str((env.folder / env.csv(*articles(3), name="in/x.csv")).parent)


@case(
    "ingest: folders of splits without the option", r"its folders 'C50test', 'C50train' look like splits; add --split"
)
def _(env):
    for name in ("C50train", "C50test"):
        (env.folder / name / "author").mkdir(parents=True)
        (env.folder / name / "author" / "1.txt").write_text(f"the {name}")
    return "ingest", str(env.folder)


@case("ingest: a preamble", r"x\.csv: no column 'text' in line 1; line 3 looks like the header: add --skip-lines 2")
def _(env):
    return "ingest", env.bytes(b"Export\nCMS 4\nid,text\n1,a team\n")


@case("ingest: two delimiters that fit", r"x\.csv: its delimiter may be ',' or ';'; name it with --delimiter")
def _(env):
    return "ingest", env.bytes(b"text,a;text\nb,c;d\n")


@case("ingest: a delimiter of two characters", r"delimiter '::': must be one character, such as ; or \|, or tab")
def _(env):
    return "ingest", env.csv(*articles(3)), "--delimiter", "::"


@case("ingest: two columns of one name", r"columns 'text,text': each column must have a name of its own")
def _(env):
    return "ingest", env.csv(*articles(3)), "--columns", "text,text"


@case(
    "ingest: JSON that was cut off", r"x\.json: not JSON at character 16: ',' or '\]' expected, but the file ends; fix"
)
def _(env):
    return "ingest", env.bytes(b'[{"text": "a"} ', "x.json")


@case("ingest: JSON with two arrays", r"x\.json: has several arrays: 'a', 'b'; name one with --records")
def _(env):
    return "ingest", env.bytes(b'{"a": [{"text": "x"}], "b": [{"text": "y"}]}', "x.json")


@case("ingest: another kind of file", r"x\.docx: unknown kind of file; supported are \.csv")
def _(env):
    return "ingest", env.bytes(b"PK", "x.docx")


@case("ingest: no workbook", r"x\.xlsx: cannot be read as Excel \(no \.xlsx file, or damaged\); save it as CSV")
def _(env):
    return "ingest", env.bytes(b"PK", "x.xlsx")


@case("ingest: a date format without a year", r"date format '%d/%m': must give a day, a month and a year")
def _(env):
    return "ingest", env.csv(*articles(3)), "--date-format", "%d/%m"


@case("ingest: an empty file", r"x\.csv: the file is empty")
def _(env):
    return "ingest", env.bytes(b"")


@case("ingest: a header without rows", r"x\.csv: no rows")
def _(env):
    return "ingest", env.bytes(b"text\n")


@case("ingest: UTF-16", r"x\.csv: the file is UTF-16; save it as UTF-8")
def _(env):
    return "ingest", env.bytes("text\nthe team\n".encode("utf-16"))


@case("ingest: bytes that are not UTF-8", r"x\.csv: 5 of 5 rows are invalid, more than 5%")
def _(env):
    return "ingest", env.bytes(b"text\n" + b"caf\xe9 au lait\n" * 5)


@case("ingest: NUL characters", r"x\.csv: 3 of 3 rows are invalid")
def _(env):
    return "ingest", env.bytes(b"text\n" + b"the\0team\n" * 3)


@case("ingest: empty texts", r"x\.csv: 1 of 10 rows are invalid")
def _(env):
    return "ingest", env.csv(*articles(9), {"id": "e", "text": "  ", "category": "c"})


@case("ingest: a text of 10 MB", r"x\.csv: 1 of 1 rows are invalid")
def _(env):
    return "ingest", env.csv({"text": "ten bytes " * 1_000_000})


@case("ingest: a quote that is never closed", r"x\.csv, line 2: a quote that opens in this row is never closed")
def _(env):
    return "ingest", env.bytes(b'text\n"the team\n' + b"the bank\n" * 200)


@case("ingest: a split of another name", r"x\.csv: 2 of 2 rows are invalid")
def _(env):
    rows = [{"text": "the team", "split": "dev"}, {"text": "the bank", "split": "holdout"}]
    return "ingest", env.csv(*rows), "--split", "split"


@case("ingest: gzip that was cut off", r"x\.csv\.gz: damaged or cut off gzip data")
def _(env):
    packed = gzip.compress(b"text\n" + os.urandom(3000).hex().encode())
    return "ingest", env.bytes(packed[:-500], "x.csv.gz")


@case("ingest: two shares", r"split proportions '0\.8,0\.2': must be three numbers")
def _(env):
    return "ingest", env.csv(*articles(3)), "--proportions", "0.8,0.2"


@case("ingest: shares that do not add up", r"split proportions 0\.8, 0\.1, 0\.2: .* must add up to 1")
def _(env):
    return "ingest", env.csv(*articles(3)), "--proportions", "0.8,0.1,0.2"


def newsroom(env):
    """Add a single-label task topic and a multi-label task place; return a file with a column for each."""
    tasks.add(env.workspace, "topic")
    tasks.add(env.workspace, "place", kind="multi")
    rows = (b'{"text": "a team", "topics": ["sport", "news"], "places": ["uk"]}', b'{"text": "a bank", "topics": "x"}')
    return env.bytes(b"\n".join(rows), "x.jsonl")


@case("ingest: a column of a category without its task", r"there are several tasks: topic, place; name one with --task")
def _(env):
    return "ingest", newsroom(env), "--category", "topics"


@case("ingest: a category of a task that is not there", r"author: no such task; there are: topic, place")
def _(env):
    return "ingest", newsroom(env), "--category", "author=topics"


@case("ingest: a category of a task that is not there, tried first", r"author: no such task; there are: topic, place")
def _(env):
    return "ingest", newsroom(env), "--category", "author=topics", "--dry-run"


@case("ingest: a task that is not there", r"author: no such task; there are: topic, place")
def _(env):
    return "ingest", newsroom(env), "--task", "author"


@case("ingest: an archived task", r"place: is archived; run: classifier tasks restore place")
def _(env):
    file = newsroom(env)
    tasks.archive(env.workspace, "place")
    return "ingest", file, "--category", "topic=topics", "--category", "place=places"


@case("ingest: two columns of one task", r"category: the task topic has several columns; name one")
def _(env):
    return "ingest", newsroom(env), "--category", "topic=topics", "--category", "topic=places"


@case("ingest: a task without a column", r"category 'topic=': names no column; write TASK=COLUMN for each task")
def _(env):
    return "ingest", newsroom(env), "--category", "topic="


@case("ingest: a column of a task that is not there", r"x\.jsonl: none of the first rows has 'tags'; their keys are")
def _(env):
    return "ingest", newsroom(env), "--category", "place=tags"


@case("ingest: a list in a single-label task", r"x\.jsonl: 1 of 2 rows are invalid, more than 5%: nothing was ingested")
def _(env):
    return "ingest", newsroom(env), "--category", "topic=topics"


@case("ingest: a thousand and one categories", r"x\.jsonl: 1 of 1 rows are invalid")
def _(env):
    newsroom(env)
    names = ", ".join(f'"p{number}"' for number in range(1001))
    return (
        "ingest",
        env.bytes(f'{{"text": "a", "places": [{names}]}}'.encode(), "x.jsonl"),
        "--category",
        "place=places",
    )


@case("ingest: a separator without categories", r"--separator: is for categories; name their column with --category")
def _(env):
    return "ingest", env.csv(*articles(3)), "--separator", ";"


@case("ingest: a letter as separator", r"separator 'x': must be characters such as ; or \|, without letters and digits")
def _(env):
    return "ingest", env.csv(*articles(3)), "--category", "category", "--separator", "x"


@case("ingest: a column of a folder", r"in: a folder has no columns; leave --category topic=a out, and name its --task")
def _(env):
    newsroom(env)
    (env.folder / "in" / "sport").mkdir(parents=True)
    (env.folder / "in" / "sport" / "1.txt").write_text("a team")
    return "ingest", "in", "--category", "topic=a"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])
