"""Every named statement can be loaded, is used, and has no comment left in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import classifier
from classifier.store import queries

STATEMENTS = queries._statements()
SOURCE = "\n\n".join(file.read_text(encoding="utf-8").strip() for file in queries.FOLDER.glob("*.sql"))


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_has_a_name_and_no_comment_left_in_it(name):
    assert re.fullmatch(r"[a-z_]+", name)
    statement = queries.sql(name)
    assert re.match(
        r"(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|COPY|ANALYZE|VACUUM|CHECKPOINT|ALTER|GRANT|REVOKE|LOCK)\b", statement
    )
    assert "--" not in statement
    assert queries.query(name).text == statement


def test_no_statement_is_lost_when_the_files_are_split_into_statements():
    assert len(STATEMENTS) == len(re.findall(r"^-- [a-z_]+$", SOURCE, re.MULTILINE))
    assert "\n\n\n" not in SOURCE


def test_every_statement_is_used_and_every_used_statement_exists():
    code = "\n".join(path.read_text(encoding="utf-8") for path in Path(classifier.__file__).parent.rglob("*.py"))
    used = set(re.findall(r'(?:\b(?:query|sql)\(|copy\.copy\(connection, )"([a-z_]+)"', code))
    named = set(re.findall(r'"([a-z_]+)"', code))
    assert used <= set(STATEMENTS) <= named


def test_an_unknown_statement_raises_an_error():
    with pytest.raises(KeyError):
        queries.query("nothing")
