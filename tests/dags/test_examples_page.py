"""The must-pass examples that stopped a candidate are on its page and in the approver's question."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from classifier import registry
from classifier.pipeline.promotion import decisions, evaluation
from tests.support.synthetic import COLUMNS, LENIENT, articles, ingest_file
from tests.support.tiny_models import make_artefact

pytestmark = pytest.mark.filterwarnings("default")

EVIL = '"><script>alert(1)</script>&'


@pytest.fixture
def held(workspace, tmp_path):
    """A candidate that the gate would promote, if it did not fail an example of a hostile name."""
    rows = [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(articles(60))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    folder = workspace.settings.examples_directory
    folder.mkdir(parents=True)
    example = {"text": "the secret goal", "label": "weather", "name": EVIL}
    (folder / "a.jsonl").write_text(json.dumps(example))
    files = make_artefact(workspace.models / "m1")
    with workspace.database.begin() as connection:
        registry.register(connection, "m1", files, {})
    evaluation.evaluate(workspace, "m1")


@pytest.mark.usefixtures("held")
class TestExamples:
    @pytest.mark.parametrize("decided", [False, True])
    def test_the_page_of_a_candidate_lists_them_before_and_after_the_decision(self, ask, workspace, decided):
        if decided:
            decisions.promote_if_better(workspace, margins=LENIENT)
        page = ask("/models/m1").text
        assert ("Gate: hold" in page) == decided
        section = page[page.index("Must-pass examples that failed") :]
        assert re.search(r"alert\(1\)&lt;/script&gt;&amp;</td>\s*<td>weather</td>\s*<td>\w+ \(0\.\d{4}\)", section)
        assert "<script>alert" not in page
        assert "secret" not in page

    def test_the_approvers_question_names_them(self, workspace):
        from classifier_airflow import promotion_tasks

        params = {"gate": {}, "churn_sample": 1}
        result = promotion_tasks.apply_gate(workspace, "m1", params)
        assert result["verdict"] == "hold"
        assert any("must-pass example" in reason for reason in result["reasons"])
        assert "- fail: 1 of 1 must-pass example fails: " in result["question"]
        assert "secret" not in result["question"]
