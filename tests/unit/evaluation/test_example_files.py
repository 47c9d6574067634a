"""Must-pass examples are read from CSV and JSON Lines; a bad row is a problem of its own."""

from __future__ import annotations

import json
import os

import pytest

from classifier.articles import Task
from classifier.pipeline.promotion.example_files import read_examples

DESK = Task(1, "desk")
TOPICS = Task(2, "topics", "multi", 0)


def read(folder, task=DESK, tasks=None):
    return read_examples(folder, task, tasks or [task])


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def lines(*items):
    return "\n".join(item if isinstance(item, str) else json.dumps(item) for item in items)


def shown(example_set):
    return [(example.name, example.expected, example.forbidden) for example in example_set.examples]


def test_a_csv_has_a_row_for_each_example(tmp_path):
    write(
        tmp_path,
        "sport/derby.csv",
        "name,title,text,label,not_label\n"
        'derby," The\n derby ","the team, the goal",sport,business\n,,the bank,,tech\n',
    )
    example_set = read(tmp_path)
    assert example_set.problems == ()
    first, second = example_set.examples
    assert (first.name, first.title, first.text) == ("derby", "The derby", "the team, the goal")
    assert (first.expected, first.forbidden) == (("sport",), ("business",))
    assert (second.shown_name, second.expected, second.forbidden) == ("sport/derby.csv, line 4", None, ("tech",))


def test_the_lines_of_a_jsonl_take_lists(tmp_path):
    rows = (
        {"text": "gold fell", "label": ["ship", "gold"], "name": 7},
        {"text": "nothing", "label": []},
        {"text": "grain", "label": "grain; ship", "not_label": ["gold"]},
        {"text": "x", "label": "(none)"},
    )
    write(tmp_path, "a.jsonl", lines(*rows))
    example_set = read(tmp_path, TOPICS)
    assert example_set.problems == ()
    assert shown(example_set) == [
        ("7", ("gold", "ship"), ()),
        ("", (), ()),
        ("", ("grain", "ship"), ("gold",)),
        ("", (), ()),
    ]


def test_a_list_in_a_cell_is_written_as_in_review_sheets(tmp_path):
    write(tmp_path, "a.csv", 'text;label\nx;"""oil; gas""; gold"\n')
    assert shown(read(tmp_path, TOPICS)) == [("", ("gold", "oil; gas"), ())]


def test_in_a_single_label_task_a_label_may_have_a_semicolon(tmp_path):
    write(tmp_path, "a.csv", 'text,label\nx,"oil; gas"\n')
    assert shown(read(tmp_path)) == [("", ("oil; gas",), ())]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("text,label\n,sport\n", "a.csv, line 2: text is empty"),
        ("text,label\nx,\n", "a.csv, line 2: neither label nor not_label has a value"),
        (
            "text,label,not_label\nx,a,b; a\n",
            "a.csv, line 2: 'a' is in label and in not_label; leave it in one of them",
        ),
        ("text,not_label\nx,(none)\n", "a.csv, line 2: not_label is (none); name the labels that must not be given"),
        ("text,label\nx,sport,more\n", "a.csv, line 2: 3 columns, but the header has 2"),
        ('text,label\n"x,sport\n', "a.csv, line 2: a quote that opens in this row is never closed"),
        ("text,label\nx\0y,sport\n", "a.csv, line 2: text has a NUL character"),
        (b"text,label\nx\xff,sport\n", "a.csv, line 2: text has byte 0xff, which is not UTF-8"),
        ("body,label\nx,sport\n", "a.csv: no column 'text'; examples have the columns text, label, not_label, "),
        ("text,name\nx,derby\n", "a.csv: no column 'label'; examples have the columns"),
        ("text,label,label\nx,a,b\n", "a.csv: more than one column 'label'; name each once"),
        ("report\n\ntext,label\nx,sport\n", "a.csv: the first line must name the columns, separated by commas"),
        ("text,label,task\nx,sport,desks\n", "a.csv, line 2: task 'desks': no such task; there are: desk"),
        ("", "a.csv: the file is empty"),
        (b"\xff\xfet\0e\0x\0t\0", "a.csv: the file is UTF-16"),
    ],
)
def test_a_bad_csv_row_or_file_is_named_without_its_text(tmp_path, content, problem):
    write(tmp_path, "a.csv", content)
    example_set = read(tmp_path)
    assert len(example_set.problems) == 1
    assert example_set.problems[0].startswith(problem)
    assert str(tmp_path) not in example_set.problems[0]
    assert example_set.examples == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "a.jsonl, line 2: not a JSON object"),
        ('{"text": "x"', "a.jsonl, line 2: not JSON"),
        ({"text": ["x"], "label": "a"}, "a.jsonl, line 2: text is a list, but must be a string"),
        ({"text": 5, "label": "a"}, "a.jsonl, line 2: text is a number, but must be a string"),
        ({"text": "x", "label": ["a", "b"]}, "a.jsonl, line 2: label has 2 values; the task desk takes one"),
        ({"text": "x", "label": []}, "a.jsonl, line 2: label has 0 values; the task desk takes one"),
        ({"text": "x", "label": {"a": 1}}, "a.jsonl, line 2: label is an object with keys, but must"),
        ({"text": "x", "label": "a" * 201}, "a.jsonl, line 2: label has a value that is empty or longer than 200"),
        ({"text": "x", "not_label": ["a", "a"]}, "a.jsonl, line 2: not_label: category 'a' is named twice"),
        ({"text": "x", "label": "a", "name": "n" * 201}, "a.jsonl, line 2: name is longer than 200 characters"),
        ({"text": "x", "label": "a", "name": "a\x01b"}, "a.jsonl, line 2: name has the control character U+0001"),
        ({"text": "\ud800", "label": "a"}, "a.jsonl, line 2: text has a lone surrogate"),
        ({"text": "x" * 1_000_001, "label": "a"}, "a.jsonl, line 2: text has more than the maximum of 1,000,000"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(tmp_path, line, problem):
    write(tmp_path, "a.jsonl", lines({"text": "x", "label": "sport"}, line, {"text": "y", "label": "tech"}))
    example_set = read(tmp_path)
    assert len(example_set.problems) == 1, example_set.problems
    assert example_set.problems[0].startswith(problem)
    assert [labels for _, labels, _ in shown(example_set)] == [("sport",), ("tech",)]


def test_a_misspelt_column_is_a_problem_and_the_rows_are_read(tmp_path):
    write(tmp_path, "a.csv", "text,label,not_lable\nx,sport,tech\n")
    example_set = read(tmp_path)
    assert len(example_set.examples) == 1
    assert example_set.problems[0].startswith("a.csv: unknown column 'not_lable'; examples have the columns")


def test_other_tables_are_named_and_other_files_are_no_examples(tmp_path):
    write(tmp_path, "b.xlsx", b"PK")
    for name in ("README.md", ".hidden.csv", ".git/a.csv", "~$a.csv"):
        write(tmp_path, name, "words")
    example_set = read(tmp_path)
    assert example_set.problems == ("b.xlsx: unknown kind of file; save it as .csv or .jsonl",)


def test_a_name_that_is_not_utf_8_is_a_problem_that_can_be_stored(tmp_path):
    write(tmp_path, os.fsdecode(b"caf\xe9.csv"), "text,label\nx,sport\n")
    write(tmp_path, os.fsdecode(b"caf\xe9/a.jsonl"), lines({"text": "x", "label": "sport"}))
    write(tmp_path, os.fsdecode(b"caf\xe9.txt"), "words")
    write(tmp_path, "caf\xe9.csv", "text,label\nx,sport\n")
    example_set = read(tmp_path)
    assert [example.file for example in example_set.examples] == ["caf\xe9.csv"]
    assert example_set.problems == (
        r"caf\xe9/a.jsonl: the name is not UTF-8; rename the file or its folder",
        r"caf\xe9.csv: the name is not UTF-8; rename the file or its folder",
    )


class TestSeveralTasks:
    OLD = Task(3, "old", archived_at="2026-01-01")
    TASKS = (DESK, TOPICS, OLD)

    def test_a_row_names_its_task_or_its_folder_does(self, tmp_path):
        write(tmp_path, "a.csv", "text,label,task\nx,sport,desk\ny,gold; ship,topics\nz,a,old\n")
        write(tmp_path, "topics/more/b.csv", "text,label\nx,gold\n")
        assert shown(read(tmp_path, DESK, self.TASKS)) == [("", ("sport",), ())]
        assert shown(read(tmp_path, TOPICS, self.TASKS)) == [("", ("gold", "ship"), ()), ("", ("gold",), ())]

    def test_a_row_of_no_task_is_a_problem_of_each(self, tmp_path):
        write(tmp_path, "sport/a.csv", "text,label\nx,sport\n")
        for task in (DESK, TOPICS):
            assert read(tmp_path, task, self.TASKS).problems[0].startswith("sport/a.csv, line 2: names no task")
        assert len(read(tmp_path, DESK, (DESK, self.OLD)).examples) == 1, "of the only active task"


def test_the_hash_changes_with_everything_that_is_judged(tmp_path):
    write(tmp_path, "a.csv", "text,label\nx,sport\n")
    first = read(tmp_path)
    assert read(tmp_path).sha256(0.5) == first.sha256(0.5) != first.sha256(0.6)
    for content in ("text,label\ny,sport\n", "text,label\nx,tech\n", "text,label\nx,sport\n,a\n"):
        write(tmp_path, "a.csv", content)
        assert read(tmp_path).sha256(0.5) != first.sha256(0.5)
