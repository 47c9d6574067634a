"""A mistake in what takes articles, ingests or annotations back is reported in one line, and nothing is changed."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import articles

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("erase: no article is named", "no article is named; use --id, --source or --query")
def _(_env):
    return "erase", "--yes"


@case("erase: an unknown id", "id 'nothing': no such article; nothing was erased")
def _(env):
    env.annotated()
    return "erase", "--id", "nothing", "--yes"


@case("erase: an unknown source", "source 'nothing': no such article; nothing was erased")
def _(env):
    env.annotated()
    return "erase", "--source", "nothing", "--yes"


@case("erase: two ways to name articles", "--query: cannot be combined with --id or --source")
def _(env):
    return "erase", "--id", "a1", "--query", env.bytes(b"SELECT 1", "ids.sql")


@case("erase: a query that writes", r"ids\.sql: the query failed: cannot execute DELETE in a read-only transaction")
def _(env):
    env.annotated()
    return "erase", "--yes", "--query", env.bytes(b"DELETE FROM articles RETURNING id", "ids.sql")


@case("erase: a query of another column", r"ids\.sql: must return one column, with ids of articles")
def _(env):
    env.annotated()
    return "erase", "--yes", "--query", env.bytes(b"SELECT external_id FROM articles", "ids.sql")


@case("erase: no such query file", r"ids\.sql: cannot read: No such file")
def _(_env):
    return "erase", "--query", "ids.sql"


@case("erase: nothing to export", "nothing was erased yet, so there is nothing to export")
def _(_env):
    return "erase", "--export", "erasures.txt"


@case("erase: another file to replay", r"x\.txt: not a list of erasures; write one with: classifier erase --export")
def _(env):
    return "erase", "--yes", "--replay", env.bytes(b"{}\n", "x.txt")


@case("erase: replay and ids", "--export and --replay: cannot be combined")
def _(env):
    return "erase", "--id", "a1", "--replay", env.bytes(b"{}\n", "x.txt")


@case("runs undo: an unknown run", "run 77: unknown; see: classifier runs")
def _(_env):
    return "runs", "undo", "77", "--yes"


@case("annotations retract: nothing named", "no annotation is named; give numbers, --annotator or --id")
def _(_env):
    return "annotations", "retract", "--yes"


@case("annotations retract: an unknown number", "annotation 999: unknown; see: classifier annotations")
def _(env):
    env.annotated()
    return "annotations", "retract", "999", "--yes"


@case("annotations retract: an annotator without annotations", "no annotation is left to retract")
def _(env):
    env.annotated()
    return "annotations", "retract", "--annotator", "cleo", "--yes"


@case("ingest: a file without its id column", r"before\.csv: its source already has 60 of its texts, ingested")
def _(env):
    env.annotated()
    return "ingest", "before.csv", "--category", "category"


@case("ingest: two files that would be one source", r"x\.tsv: its source would be 'x', as that of .*x\.csv")
def _(env):
    env.csv(*articles(3), name="x.csv")
    env.bytes(b"id\ttext\nb\tthe bank\n", "x.tsv")
    return "ingest", "x.[ct]sv", "--id", "id"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_changes_nothing(name, classifier, env):
    check_mistake(classifier, env, CASES[name])
