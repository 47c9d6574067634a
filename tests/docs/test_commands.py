"""The commands of the README and of the how-to pages run, one after the other, as a user types them.

The articles are synthetic, the encoder has two layers, and the gate tolerates any difference. The test shows that each
command works and prints what its page shows. Pages whose commands need Docker or Kubernetes are not run.
"""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from tests.docs import pages
from tests.support.synthetic import articles, write_csv
from tests.support.tiny_models import make_encoder

LENIENT = json.dumps(
    {
        "alpha": 0.999, "macro_f1": 1, "accuracy": 1, "category_f1": 1, "slice_accuracy": 1, "calibration": 1,
        "baseline": 1, "floor_macro_f1": -1,
    }
)  # fmt: skip
RUN = (
    "README.md",
    "docs/how-to/sources.md",
    "docs/how-to/ingest-files.md",
    "docs/how-to/promote-and-roll-back.md",
    "docs/how-to/label.md",
    "docs/how-to/use-labels.md",
    "docs/how-to/label-an-external-table.md",
    "docs/how-to/review.md",
    "docs/how-to/monitor.md",
    "docs/how-to/train.md",
    "docs/how-to/undo.md",
    "docs/how-to/erase.md",
    "docs/how-to/categories.md",
    "docs/how-to/several-tasks.md",
)
"""In this order: each builds on what is there."""


@pytest.fixture(scope="module")
def workspace(shell):
    """A folder with the files that the pages name."""
    folder = shell.folder
    rows = [
        {"body": row["text"], "section": row["category"], "url": row["id"], "published": "2026-05-01"}
        for row in articles(240)
    ]
    (folder / "news").mkdir()
    write_csv(folder / "news" / "annotated.csv", rows[:180])
    write_csv(folder / "news" / "new.csv", [{**row, "section": ""} for row in rows[180:]])
    (folder / "inbox").mkdir()
    wire = [{**row, "body": f"{row['body']} wire", "url": f"w{row['url']}"} for row in rows[:20]]
    write_csv(folder / "inbox" / "wire.csv", wire)
    with sqlite3.connect(folder / "cms.db") as connection:
        connection.execute("CREATE TABLE news (id INTEGER PRIMARY KEY, body TEXT)")
        stories = [(number, row["text"]) for number, row in enumerate(articles(30, prefix="c"))]
        connection.executemany("INSERT INTO news VALUES (?, ?)", stories)
    write_downloads(folder)
    declaration = pages.blocks(pages.read("docs/how-to/sources.md"), "toml")[0]
    (folder / "sources.toml").write_text(declaration.text, encoding="utf-8")
    make_encoder(folder / "encoder", dim=32, heads=4, hidden_dim=64)
    shutil.copytree(folder / "encoder", folder / "var" / "demo" / "encoder")  # as the demo leaves it
    return shell


def write_downloads(folder):
    """Write the files of ingest-files.md as their downloads lie on the disk."""
    (folder / "ag_news").mkdir()
    (folder / "ag_news" / "train.csv").write_text('"3","Rates","The bank, again."\n"2","Final","The team won."\n')
    (folder / "stories.json").write_text(json.dumps({"items": [{"body": "one"}, {"body": "two"}], "tags": [{"a": 1}]}))
    lists = (["uk", "france"], [], None)
    lines = [json.dumps({"text": f"article {number}", "places": names}) for number, names in enumerate(lists)]
    (folder / "places.jsonl").write_text("\n".join(lines))
    (folder / "places.csv").write_text("text,places\none,uk; france\ntwo,NONE\nthree,\n")
    for split in ("C50train", "C50test"):
        (folder / split / "AaronPressman").mkdir(parents=True)
        (folder / split / "AaronPressman" / "106247newsML.txt").write_text(f"The company said in {split}.")


@pytest.mark.slow
def test_the_commands_of_the_pages_work_and_print_what_the_pages_show(workspace, run_page):
    for name in RUN:
        run_page(workspace, name, CLASSIFIER_GATE=LENIENT)
        run_queries(workspace, name)
    (labels,) = workspace.query("SELECT count(*) FROM article_labels WHERE label IS NOT NULL")
    (articles,) = workspace.query("SELECT count(*) FROM articles")
    assert labels == articles
    with sqlite3.connect(workspace.folder / "cms.db") as connection:
        assert connection.execute("SELECT count(*) FROM news_labels WHERE category IS NOT NULL").fetchone() == (30,)


def run_queries(shell, name):
    """Run a page's SQL: on the database of the home, or on the external one where it says so."""
    for block in pages.blocks(pages.read(name), "sql"):
        for statement in filter(str.strip, block.text.split(";")):
            if block.text.startswith("-- in the external database"):
                with sqlite3.connect(shell.folder / "cms.db") as connection:
                    assert connection.execute(statement).fetchall()
            else:
                shell.query(statement)


def test_every_page_with_console_blocks_is_run_by_a_test():
    tutorials = {name for name in pages.NAMES if name.startswith("docs/tutorials/")}
    with_commands = {
        name
        for name in pages.NAMES
        if any("$ classifier " in block.text for block in pages.blocks(pages.read(name), "console"))
    }
    assert with_commands - tutorials - {"docs/explanation/confidence.md"} == set(RUN)
