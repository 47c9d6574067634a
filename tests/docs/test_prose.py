"""The check of words finds what it is for, and nothing else."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from tools import prose


def words(text):
    return [problem.word for problem in prose.check_text("page.md", text)]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("A few bad rows are borne.", "borne"),
        ("def bear_rows(): ...", "bear"),
        ("# Whoever runs it", "Whoever"),
        ("report = take_in(path)", "take_in"),
        ("Files are taken in whole.", "taken in"),
        ("def test_a_training_that_goes_on(): ...", "goes_on"),
        ("0.985 right over three seeds", "5 right"),
    ],
)
def test_an_old_word_is_found_in_prose_and_in_identifiers(line, word):
    assert word in words(line)


@pytest.mark.parametrize("line", ["the bearer token", "a borneo fish", "copyright notice", "the right margin", "ideal"])
def test_part_of_another_word_is_not_found(line):
    assert not words(line)


def test_a_name_that_says_nothing_is_found_only_as_a_name():
    code = 'def read(place):\n    """Return the rows."""\n    found = list(place)  # one was found\n    return found\n'
    names = [(problem.line, problem.word) for problem in prose.check_names("x.py", code)]
    assert names == [(1, "place"), (3, "found")]


def test_a_docstring_that_says_is_found():
    code = 'def f():\n    """Say whether it is there."""\n'
    (problem,) = prose.check_names("classifier/x.py", code)
    assert "Return" in problem.say


def test_a_long_sentence_is_found_with_its_line_and_code_and_tables_are_not():
    sentence = " ".join(["word"] * 26) + "."
    page = f"# Title\n\nShort.\n\n- {sentence}\n\n```sh\n{sentence}\n```\n\n| {sentence} |\n"
    (problem,) = prose.check_sentences("page.md", page)
    assert problem.line == 5


def test_two_short_sentences_of_one_paragraph_are_not_one_long_one():
    half = " ".join(["word"] * 15)
    assert not list(prose.check_sentences("page.md", f"{half}.\n{half}.\n"))


def test_an_allowed_use_is_not_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text("It is borne.\n", encoding="utf-8")
    assert len(prose.check_file(tmp_path / "page.md")) == 1
    monkeypatch.setattr(prose, "EXCEPTIONS", (("page.md", "borne", "a quotation"),))
    assert prose.check_file(tmp_path / "page.md") == []


def test_every_exception_has_a_reason_and_is_needed(monkeypatch):
    allowed = prose.EXCEPTIONS
    monkeypatch.setattr(prose, "EXCEPTIONS", ())
    problems = [problem for path in prose.listed_files() for problem in prose.check_file(path)]
    for path, word, reason in allowed:
        assert len(reason) > 10
        assert any(fnmatch(problem.path, path) and fnmatch(problem.word.lower(), word) for problem in problems), path


def test_the_program_names_file_line_and_word(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    path = tmp_path / "q.sql"
    path.write_text("-- first\n-- whoever comes\n", encoding="utf-8")
    assert prose.main([str(path)]) == 1
    assert capsys.readouterr().out.startswith("q.sql:2: whoever → ")
