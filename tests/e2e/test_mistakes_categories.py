"""A mistake in a change of categories is reported in one line, and nothing is written."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import articles, ingest_file

CASES: dict[str, Case] = {}
case = partial(register, CASES)


def annotated(env):
    ingest_file(env.workspace, env.folder / "before.csv", articles(9))


@case("rename: no such category", r"sports: no such category; did you mean sport\?")
def _(env):
    annotated(env)
    return "categories", "rename", "sports", "games"


@case(
    "rename: to another category", r"tech: is another category; to make one of both, run: classifier categories merge"
)
def _(env):
    annotated(env)
    return "categories", "rename", "sport", "tech"


@case("merge: into a category that does not exist", r"games: no such category to merge into; to rename one, run")
def _(env):
    annotated(env)
    return "categories", "merge", "sport", "--into", "games"


@case("split: into one", r"sport: a split needs two or more other categories: --into ONE --into ANOTHER")
def _(env):
    annotated(env)
    return "categories", "split", "sport", "--into", "football"


@case("restore: not retired", r"sport: was not retired; see: classifier categories list")
def _(env):
    annotated(env)
    return "categories", "restore", "sport"


@case("undo: nothing to take back", r"default: no change of its categories to take back")
def _(_env):
    return "categories", "undo"


@case("move: below itself", r"sport: cannot be moved below sport, which is sport itself or one of its descendants")
def _(env):
    annotated(env)
    return "categories", "move", "sport", "--below", "sport"


@case("import: no such file", r"none\.csv: no such file")
def _(_env):
    return "categories", "import", "none.csv"


@case("import: other columns", r"tree\.csv: needs the columns category and parent; description is optional")
def _(env):
    (env.folder / "tree.csv").write_text("a,b\n1,2\n")
    return "categories", "import", "tree.csv"


@case("show: no such category", r"games: no such category; see: classifier categories list")
def _(env):
    annotated(env)
    return "categories", "show", "games"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])
