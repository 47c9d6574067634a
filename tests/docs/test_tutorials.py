"""The tutorials run without any change, from the raw data to the model in PyTorch.

So that this takes a minute rather than an hour, the data is a part (600 of BBC's articles, ten of C50's authors, 420 of
Reuters' articles) and the encoder has two layers. The commands, scripts and recipes are the pages' own.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import subprocess
import sys
from collections import Counter
from datetime import datetime

import pytest

from tests.docs import pages
from tests.docs.shell import Shell
from tests.support.tiny_models import make_encoder

DATA = pages.ROOT.parent / "shared" / "data"
REUTERS = "docs/tutorials/reuters-topics-and-places.md"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here"),
]
LENIENT = json.dumps({
    "alpha": 0.999, "floor_macro_f1": -1, "baseline": 1, "macro_f1": 1, "accuracy": 1, "category_f1": 1,
    "slice_accuracy": 1, "calibration": 1,
})  # fmt: skip
"""Not of BBC: a network of random weights has learned nothing of the others, and the gate would hold the model."""


@pytest.fixture
def shell(tmp_path):
    opened = Shell(tmp_path / "work")
    yield opened
    opened.close()


def prepare(shell, name, words):
    """Write the page's scripts, and an encoder that knows the most frequent words."""
    write_scripts(shell.folder, name)
    make_encoder(shell.folder / "encoder", dim=32, heads=4, hidden_dim=64, positions=512, words=words)


def write_scripts(folder, name):
    for block in pages.blocks(pages.read(name), "python"):
        file = block.text.splitlines()[0].removeprefix("# ")
        (folder / file).write_text(block.text, encoding="utf-8")


@pytest.mark.long
def test_bbc_topics_from_the_csv_to_pytorch(shell, run_page):
    with (DATA / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        rows = list(itertools.islice(csv.reader(file), 601))
    rows.append(rows[-1])  # the page shows duplicates
    with (shell.folder / "bbc-text.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    name = "docs/tutorials/bbc-topics.md"
    prepare(shell, name, ("goal", "cup", "film", "minister", "market", "software", "the"))
    outcomes = run_page(shell, name)
    torch = outcomes[-1].output
    assert torch.count("'score'") == 2
    (model,) = shell.query("SELECT name FROM models")[0]
    assert model in torch
    assert (shell.folder / "var" / "models" / model / "learning-curves.svg").exists()


@pytest.mark.long
def test_c50_authors_from_folders_to_a_label(shell, run_page):
    for part in ("train", "test"):
        with gzip.open(DATA / f"c50_{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        authors = sorted({row["author"] for row in rows})[:10]
        for row in (row for row in rows if row["author"] in authors):
            folder = shell.folder / f"C50{part}" / row["author"]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row['document_id']}.txt").write_text(row["text"], encoding="utf-8")
    name = "docs/tutorials/c50-authorship.md"
    prepare(shell, name, ("said", "company", "bank", "the", "market"))
    outcomes = run_page(shell, name, CLASSIFIER_GATE=LENIENT)
    assert shell.query("SELECT split, count(*) FROM articles WHERE source = 'c50' GROUP BY split ORDER BY split") == [
        ("test", 500),
        ("train", 450),
        ("validation", 50),
    ]
    assert any(author in outcomes[-1].output for author in authors)


def reuters():
    with gzip.open(DATA / "reuters21578.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_sgml(folder, rows):
    """Write articles as Reuters-21578 is distributed: files of a thousand articles."""
    (folder / "reuters21578").mkdir()
    for number in range(-(-len(rows) // 1000)):
        articles = "".join(map(sgml, rows[1000 * number : 1000 * (number + 1)]))
        path = folder / "reuters21578" / f"reut2-{number:03}.sgm"
        path.write_text(f'<!DOCTYPE lewis SYSTEM "lewis.dtd">\n{articles}', encoding="latin-1")


def sgml(row):
    """Return an article in the form of the collection; some of its articles have no element for the body."""

    def escaped(text):
        return text.replace("&", "&amp;").replace("<", "&lt;")

    split = {"train": "TRAIN", "test": "TEST", None: "NOT-USED"}[row["modapte"]]
    at = row["published_at"] and datetime.fromisoformat(row["published_at"])
    elements = "".join(
        f"<{name.upper()}>{''.join(f'<D>{category}</D>' for category in row[name])}</{name.upper()}>\n"
        for name in ("topics", "places", "people", "orgs", "exchanges")
    )
    title = f"<TITLE>{escaped(row['title'])}</TITLE>\n" if row["title"] else ""
    text = f"{escaped(row['text'])}\n Reuter\n&#3;"
    if row["id"] % 9:
        text = f"<DATELINE>    LONDON, Feb 26 - </DATELINE><BODY>{text}</BODY>"
    return (
        f'<REUTERS TOPICS="YES" LEWISSPLIT="{split}" CGISPLIT="TRAINING-SET" OLDID="0" NEWID="{row["id"]}">\n'
        f"<DATE>{at.strftime('%d-%b-%Y %H:%M:%S.00').upper() if at else 'unknown'}</DATE>\n"
        f"{elements}<COMPANIES></COMPANIES>\n<UNKNOWN> \n&#5;&#5;&#5;C T\n&#22;reute</UNKNOWN>\n"
        f"<TEXT>&#2;\n{title}{text}</TEXT>\n</REUTERS>\n"
    )


def test_the_script_of_reuters_prepares_the_articles_that_the_page_describes(tmp_path):
    rows = reuters()
    write_sgml(tmp_path, rows)
    write_scripts(tmp_path, REUTERS)
    done = subprocess.run([sys.executable, "prepare.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "90 topics\n101 places\n"
    with (tmp_path / "reuters.jsonl").open(encoding="utf-8") as file:
        prepared = [json.loads(line) for line in file]
    originals = {str(row["id"]): row for row in rows}
    for article in prepared:
        original = originals[article["id"]]
        assert (article["title"], article["text"]) == (original["title"], original["text"])
        assert article["split"] == "test" if original["modapte"] == "test" else article["split"] != "test"
    text = pages.read(REUTERS)
    for number in (len(prepared), *(sum(bool(row[task]) for row in prepared) for task in ("topics", "places"))):
        assert f"{number:,}" in text
    splits = Counter(row["split"] for row in prepared)
    assert 0.08 < splits["validation"] / (splits["train"] + splits["validation"]) < 0.12


@pytest.mark.long
def test_reuters_topics_and_places_from_sgml_to_a_rollback(shell, run_page):
    frequent = {"topics": {"earn", "acq", "crude", "grain"}, "places": {"usa", "uk", "japan", "canada"}}
    rows = [row for row in reuters() if row["text"] and all({*row[task]} <= names for task, names in frequent.items())]
    splits = {split: [row for row in rows if row["modapte"] == split] for split in ("train", "test")}
    write_sgml(shell.folder, splits["train"][:300] + splits["test"][:120])
    prepare(shell, REUTERS, ("oil", "wheat", "bank", "company", "the"))
    run_page(shell, REUTERS, CLASSIFIER_GATE=LENIENT)
    champions = shell.query("SELECT tasks.name, models.id FROM models JOIN tasks ON tasks.id = task_id "
                            "WHERE status = 'champion' ORDER BY 1")  # fmt: skip
    assert champions == [("places", 2), ("topics", 1)], "the rollback of places brought back its first model"
    waiting = "SELECT count(*) FROM article_label_sets WHERE origin IS NULL"
    assert shell.query(waiting) == [(0,)]
    assert shell.query("SELECT DISTINCT task FROM article_labels WHERE origin = 'prediction' ORDER BY 1") == [
        ("places",), ("topics",),
    ]  # fmt: skip
