"""A user other than root, with a home that has a space and an umlaut, runs the steps of the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.second_user import USER_ID, only_root, run_as_second_user
from tests.support.synthetic import articles, unlabelled, write_csv
from tests.support.tiny_models import make_bert, make_encoder

STEPS = (
    ("db", "upgrade"),
    ("ingest", "train.csv", "--id", "id", "--category", "category"),
    ("ingest", "incoming.csv", "--id", "id", "--proportions", "1,0,0"),
    ("train", "--encoder", "encoder", "--set", "epochs=1", "--set", "ensemble=linear"),
    ("evaluate",),
    ("report", "--out", "report.html"),
    ("promote",),
    ("label",),
    ("status",),
)


@pytest.fixture
def folder():
    """Return a folder of the other user; pytest's folders are private."""
    folder = Path(tempfile.mkdtemp(prefix="Häuser und Gärten "))
    write_csv(folder / "train.csv", articles(600))
    write_csv(folder / "incoming.csv", unlabelled(20))
    make_encoder(folder / "encoder")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER_ID, USER_ID)
    yield folder
    shutil.rmtree(folder)


@only_root
@pytest.mark.parametrize("private", ["..", "config.json", "model.safetensors", "tokenizer.json"])
def test_an_encoder_that_only_another_user_may_read_is_reported_in_one_line(folder, private):
    source = make_bert(folder / "inside" / "bert")
    (source / private).resolve().chmod(0o700 if private == ".." else 0o600)
    done = run_as_second_user(folder / "home", "encoder", "import", source, folder / "imported", folder=folder)
    assert done.returncode == 2
    assert re.fullmatch(r"error: .*bert\S*: cannot read \(Permission denied\); give the user .*\n", done.stderr)
    assert not (folder / "imported").exists()


@only_root
@pytest.mark.slow
def test_another_user_runs_the_steps_of_the_demo(folder):
    printed = {}
    for step in STEPS:
        done = run_as_second_user(folder / "vär 1", *step, "--json", folder=folder)
        assert done.returncode == 0, (step, done.stderr)
        assert not any(word in done.stderr for word in ("cuInit", "oneDNN", "absl", "Traceback")), done.stderr
        printed[step[0]] = json.loads(done.stdout)
    assert printed["label"]["labelled"] == 20
    assert {path.stat().st_uid for path in (folder / "vär 1").rglob("*")} == {USER_ID}
