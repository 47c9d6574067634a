"""The memory of a command does not grow with the number of its articles, even if they are long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.synthetic import make_champion, run, value
from tests.support.tiny_models import make_encoder

FEW, MANY = 100, 300
SLACK_MB = 120
"""Allowance for buffers of bounded size. Two hundred texts of 1 MB are 200 MB, and as much again in transit."""

PEAK = """
from pathlib import Path
status = Path("/proc/self/status").read_text()
print([int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM")][0])
"""
OPEN = """
import sys
from pathlib import Path
from classifier.settings import Settings
from classifier.workspace import open_workspace
home, url, encoder = sys.argv[1:]
workspace = open_workspace(Settings(home=Path(home), database_url=url, checkpoint_minutes=1000, _env_file=None))
"""
LABEL = """
from classifier.pipeline.labelling import queue
print(queue.label_queue(workspace).labelled)
"""
LABEL_TABLE = """
from classifier.pipeline.labelling import external_table
from classifier.external_table.definition import ExternalTable
print(external_table.label_external_table(workspace, url, ExternalTable("id", "text", table="theirs")).labelled)
"""
EVALUATE = """
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier import registry
from classifier.articles import Texts
from classifier.store import annotated_articles
from classifier.training.spooled_articles import spool
with workspace.database.connect() as connection:
    test = spool(annotated_articles.stream_split(connection, "train"), Path(home))
    files = registry.open_artefact(registry.champion(connection))
print(len(FineTunedClassifier(files.load()).labeller().probabilities(Texts(test, read_title=True))))
"""
TRAIN = """
from classifier.pipeline.training import candidate
from classifier.training.recipes import Recipe
recipe = Recipe(epochs=1, max_length=16, batch_size=16, dtype="float32")
found = candidate.train(workspace, recipe, encoder_name=encoder)
print(found.train_articles + found.validation_articles)
"""


@pytest.fixture
def peak(workspace, tmp_path):
    """Return a function that adds articles of 1 MB, runs a program on them and returns its peak memory in MB."""
    make_champion(workspace, "m", seed=0)
    encoder = make_encoder(tmp_path / "encoder")
    url = workspace.database.url.render_as_string(hide_password=False)
    run(workspace.database, "CREATE TABLE theirs (id bigint PRIMARY KEY, text text)")

    def measure(program: str, articles: int, *, annotated: bool = False) -> int:
        existing = value(workspace.database, "SELECT count(*) FROM articles")
        fill(workspace, existing, articles, annotated=annotated)
        arguments = [str(workspace.settings.home), url, str(encoder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TF_CPP_MIN_LOG_LEVEL": "3"}
        code = OPEN + program + PEAK
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr[-2000:]
        number, megabytes = result.stdout.split()
        assert int(number) == (articles if annotated else articles - existing)
        return int(megabytes)

    return measure


def fill(workspace, first, last, *, annotated):
    numbers = {"first": first + 1, "last": last}
    texts = "SELECT n, 'team goal ' || n || repeat(' the match', 100000) AS text"
    texts = f"{texts} FROM generate_series(CAST(:first AS int), :last) AS n"
    run(workspace.database, f"INSERT INTO theirs {texts}", **numbers)
    run(workspace.database, "INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split) "
        "SELECT 's', id, text, sha256(convert_to(text, 'UTF8')), sha256(convert_to(text, 'UTF8')), 'train' FROM theirs "
        "WHERE id BETWEEN :first AND :last", **numbers)  # fmt: skip
    if annotated:
        run(workspace.database, "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, (SELECT id FROM tasks), 1, ARRAY[(ARRAY['business', 'sport', 'tech'])[1 + id % 3]], 'ann' "
            "FROM articles "
            "WHERE external_id::int BETWEEN :first AND :last", **numbers)  # fmt: skip
    else:
        run(workspace.database, "INSERT INTO labelling_queue (article_id, task_id, priority) "
            "SELECT id, (SELECT id FROM tasks), 0 "
            "FROM articles WHERE external_id::int BETWEEN :first AND :last", **numbers)  # fmt: skip


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("program", [LABEL, LABEL_TABLE], ids=["label", "label-table"])
def test_labelling_needs_no_more_memory_for_more_articles(peak, program):
    few, many = peak(program, FEW), peak(program, FEW + MANY)
    assert many - few < SLACK_MB


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("program", [EVALUATE, TRAIN], ids=["predict", "train"])
def test_training_and_evaluation_need_no_more_memory_for_more_articles(peak, program):
    few, many = peak(program, FEW, annotated=True), peak(program, MANY, annotated=True)
    assert many - few < SLACK_MB
