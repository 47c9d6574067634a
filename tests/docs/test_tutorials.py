"""The tutorials run without any change, from the raw data to the model in PyTorch.

So that this takes a minute rather than an hour, the data is a part (600 of BBC's articles, ten of C50's authors) and
the encoder has two layers. The commands, scripts and recipes are the pages' own.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json

import pytest

from tests.docs import pages
from tests.docs.shell import Shell
from tests.support.tiny_models import make_encoder

DATA = pages.ROOT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here"),
]
LENIENT = json.dumps({"alpha": 0.999, "floor_macro_f1": -1, "baseline": 1})
"""Of C50 only: a network of random weights has learned nothing of it, and the gate would hold the model."""


@pytest.fixture
def shell(tmp_path):
    opened = Shell(tmp_path / "work")
    yield opened
    opened.close()


def prepare(shell, name, words):
    """Write the page's scripts, and an encoder that knows the most frequent words."""
    for block in pages.blocks(pages.read(name), "python"):
        file = block.text.splitlines()[0].removeprefix("# ")
        (shell.folder / file).write_text(block.text, encoding="utf-8")
    make_encoder(shell.folder / "encoder", dim=32, heads=4, hidden_dim=64, positions=512, words=words)


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
