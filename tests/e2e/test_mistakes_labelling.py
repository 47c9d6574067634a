"""A mistake in labelling, drift checks or the review is reported in one line, and nothing is written."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.multi_label import add_champion, add_task
from tests.support.synthetic import add_articles, annotate, articles, ingest_file, unlabelled

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("drift: no champion", r"no model has been promoted yet")
def _(env):
    return ("drift",)


@case("drift: a champion that was not evaluated", r"m1: not evaluated yet; run: classifier evaluate m1")
def _(env):
    env.champion()
    return ("drift",)


@case("drift: a limit that is none", r"CLASSIFIER_DRIFT_MAX_DISTANCE: Input should be less than or equal to 1")
def _(env):
    env.environment["CLASSIFIER_DRIFT_MAX_DISTANCE"] = "2"
    return ("drift",)


@case("label: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(env):
    ingest_file(env.workspace, env.folder / "before.csv", unlabelled(9))
    return ("label",)


@case("label: a byte of the manifest changed", r"classifier\.json: sha256 is .*, registered as")
def _(env):
    manifest = env.champion() / "classifier.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    return ("label",)


@case("label: the model is gone", r"classifier\.json: not found; the model's directory is missing")
def _(env):
    shutil.rmtree(env.champion())
    return ("label",)


@case("label: a file of the model is gone", r"tokenizer\.json: not found; restore it from a backup")
def _(env):
    (env.champion() / "tokenizer.json").unlink()
    return ("label",)


@case("explain: an article that is not there", r"article feed a77: not found; name its source and its id there")
def _(env):
    env.champion()
    return ("explain", "--article", "feed", "a77")


@case("explain: a text and an article", r"--article: cannot be combined with a text or --file; leave one of them out")
def _(env):
    return ("explain", "the bank", "--article", "feed", "a77")


@case("explain: an unknown category", r"--category 'art': unknown; choose from business, sport, tech")
def _(env):
    env.champion()
    return ("explain", "the bank", "--category", "art")


@case("explain: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(env):
    return ("explain", "the bank")


@case("explain: a text without a word", r"the text: empty; a text must have at least one word")
def _(env):
    env.champion()
    return ("explain", " ")


@case("label: an engine of another name", r"engine 'x': unknown; choose from auto, openvino, keras")
def _(env):
    return "label", "--engine", "x"


@case("classify: no champion", r"no model has been promoted yet; run: classifier train, evaluate, promote")
def _(_env):
    return "classify", "the bank"


@case("classify: no such model", r"m2: no such model; see: classifier models")
def _(env):
    env.champion()
    return "classify", "the bank", "--model", "m2"


@case("classify: a directory without a model", r"empty/classifier\.json: not found; the model's directory is missing")
def _(_env):
    return "classify", "the bank", "--model", "./empty"


@case("classify: no text in the pipe", r"standard input: empty; a text must have at least one word")
def _(env):
    env.champion()
    return ("classify",)


@case("classify: no such file", r"x\.txt: cannot read \(No such file or directory\); check the path")
def _(_env):
    return "classify", "--file", "x.txt"


@case("classify: an unknown encoding", r"encoding 'x': unknown; write, for example, cp1252")
def _(env):
    return "classify", "--encoding", "x", "--file", env.bytes(b"the bank")


@case("classify: a text of another encoding", r"x\.csv: not utf-8; name its encoding, or use --encoding auto")
def _(env):
    env.champion()
    return "classify", "--file", env.bytes("Le café".encode("cp1252"))


@case("export: a file that is there", r"x\.csv: exists already; name another file, or add --overwrite")
def _(env):
    return "export", env.csv(*articles(1))


@case(
    "export: a suffix of no format",
    r"labels\.txt: must end with \.csv, \.jsonl or \.parquet; rename it, or add --format",
)
def _(_env):
    return "export", "labels.txt"


@case("export: no such folder", r"none/labels\.csv: cannot be written \(No such file or directory\)")
def _(_env):
    return "export", "none/labels.csv"


@case("export: Parquet to a pipe", r"parquet: cannot be written to a pipe; name a file, such as labels\.parquet")
def _(_env):
    return "export", "--format", "parquet"


@case("review fill: no champion", r"no model has been promoted yet")
def _(_env):
    return "review", "fill"


@case("review doubtful: an unknown split", r"split 'dev': unknown; choose from train, validation, test, all")
def _(_env):
    return "review", "doubtful", "--split", "dev"


@case("review doubtful: no annotation", r"there is no annotated article; run: classifier ingest FILE --category COLUMN")
def _(_env):
    return "review", "doubtful", "--split", "all"


@case("review doubtful: queue without a champion", r"no model has been promoted yet")
def _(_env):
    return "review", "doubtful", "--queue"


@case("review export: nothing waits", r"nothing waits for review; run: classifier review fill")
def _(env):
    env.champion()
    return "review", "export", "x.csv"


@case("review export: a file that is there", r"x\.csv: exists already, and may hold answers")
def _(env):
    return "review", "export", env.csv(*articles(1))


@case("review import: no such file", r"x\.csv: .*[Nn]o such file")
def _(_env):
    return "review", "import", "x.csv"


@case(
    "review import: another kind of CSV",
    r"x\.csv: the column 'revision' must be there exactly once; its columns are 'id'",
)
def _(env):
    return "review", "import", env.csv(*articles(3))


@case(
    "review decide: an article that no person has annotated",
    r"article 7: no person has annotated it; see: classifier review",
)
def _(_env):
    return "review", "decide", "7", "sport", "--annotator", "ann"


def annotated_article(env) -> str:
    """Return the id of an article that a person has annotated in a single-label task, next to a multi-label one."""
    with env.workspace.database.begin() as connection:
        (article_id,) = add_articles(connection, [("1", "the bank", "train")])
        annotate(connection, article_id, "sport")
    topics = add_task(env.workspace)
    add_champion(topics, [])
    return str(article_id)


@case("review decide: neither a category nor none", r"article 1: needs its category, or --none$")
def _(env):
    article = annotated_article(env)
    return "review", "decide", article, "--annotator", "ann", "--task", "default"


@case(
    "review decide: two categories in a single-label task",
    r"2 categories given, but the task 'default' has one category an article$",
)
def _(env):
    several = ("sport", "gold")
    return "review", "decide", annotated_article(env), *several, "--annotator", "ann", "--task", "default"


@case("review decide: none in a single-label task", r"0 categories given, but the task 'default' has one category")
def _(env):
    return "review", "decide", annotated_article(env), "--none", "--annotator", "ann", "--task", "default"


@case("review decide: a category of another task", r"category 'gold' is a category of the task 'topics'$")
def _(env):
    return "review", "decide", annotated_article(env), "gold", "--annotator", "ann", "--task", "default"


@case("review decide: a list in a single-label task", r"2 categories given, but the task 'default' has one category")
def _(env):
    return "review", "decide", annotated_article(env), "sport; gold", "--annotator", "ann", "--task", "default"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])
