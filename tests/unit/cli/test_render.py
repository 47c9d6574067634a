"""Reports are tables for users and one line of JSON for programs, whatever names they contain."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.table import Table

from classifier.cli import render, render_models, render_status, splits
from classifier.evaluation.metrics import compute_metrics
from classifier.pipeline.ingest.splits_report import SplitSizes, SplitsReport
from classifier.pipeline.monitoring.status import Backlog, DriftStatus, ModelStatus, Status, TrainingStatus
from classifier.pipeline.promotion.evaluation_figures import EvaluationReport
from classifier.pipeline.promotion.model_details import ModelDetails

NAMES = ("[/news]", "[red]", ":key:", "日本", 'a "b"', "[bold]x[/bold]")
MOMENT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Report:
    model: str = "m1"
    articles: int = 12345
    score: float = 0.98765
    seconds: float = 1234.5
    nothing: None = None
    yes: bool = True
    categories: tuple[str, ...] = NAMES


@pytest.fixture
def evaluated():
    mine, base = compute_metrics(NAMES, NAMES), compute_metrics(NAMES, NAMES[::-1])
    return EvaluationReport("m1", mine, base, "openvino f32", 612.5, 0.25)


def test_an_evaluation_shows_what_both_trainings_took(capsys, evaluated):
    render_models.print_evaluation(evaluated, as_json=False)
    assert re.search(r"seconds to train .* 612\.5 .* 0\.2500", capsys.readouterr().out)


def test_a_report_is_a_line_a_field(capsys):
    render.show(Report(), as_json=False, title="Title", rate=3.5)
    output = capsys.readouterr().out
    for part in ("Title", "m1", "12,345", "0.9877", "1,234.5", "-", "yes", "rate", "3.5000"):
        assert part in output


def test_json_is_one_line_with_every_value_unchanged(capsys):
    render.show(Report(), as_json=True, rate=3.5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0]) == {
        "model": "m1", "articles": 12345, "score": 0.98765, "seconds": 1234.5, "nothing": None, "yes": True,
        "categories": list(NAMES), "rate": 3.5,
    }  # fmt: skip


def test_a_category_with_markup_is_shown_unchanged(capsys, evaluated):
    """Square brackets and colons are Rich's markup: "[/news]" alone would be an error."""
    render_models.print_evaluation(evaluated, as_json=False)
    output = capsys.readouterr().out
    assert all(name in output for name in NAMES)
    render.show({"categories": NAMES}, as_json=False)
    output = capsys.readouterr().out
    assert all(name in output for name in NAMES)


@pytest.mark.parametrize("name", [*NAMES, "\\[x]"])
def test_a_list_shows_names_unchanged(capsys, name):
    render.models([ModelStatus(name, "candidate", MOMENT, None, None, None, None)], as_json=False)
    assert f" {name} " in capsys.readouterr().out


def test_a_table_never_cuts_a_name(capsys):
    names = [f"2026{digit * 120}" for digit in "123"]
    table = Table("model", "previous champion", "by", "reason")
    table.add_row(*names, "a reason of many words " * 20)
    render.STDOUT.print(table)
    output = capsys.readouterr().out
    assert all(name in output for name in names)
    assert "…" not in output


def test_times_are_marked_as_utc(capsys):
    cairo = MOMENT.astimezone(timezone(timedelta(hours=2)))
    render.models([ModelStatus("m1", "champion", MOMENT, cairo, None, None, None)], as_json=False)
    assert "2026-03-01 12:30 UTC" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "line"), [(1, "1 row was rejected"), (2000, "2,000 rows were rejected"), (0, "")])
def test_the_command_that_lists_rejected_rows_is_named_if_there_are_any(capsys, count, line):
    render.show({"read": 5000, "rejected": count}, as_json=False)
    output = capsys.readouterr().out
    assert ("; for the reasons, run: classifier rejected" in output) == bool(line)
    assert line in output


def test_an_evaluation_says_whether_the_model_beats_the_baseline(capsys, evaluated):
    render_models.print_evaluation(evaluated, as_json=False)
    assert "The model is ahead of the baseline by 100.00 points" in capsys.readouterr().out
    behind = EvaluationReport("m1", evaluated.baseline, evaluated.metrics, "")
    render_models.print_evaluation(behind, as_json=False)
    output = capsys.readouterr().out
    assert "WARNING: The model does not beat the baseline, which is ahead by 100.00 points" in output
    assert "equally accurate" in EvaluationReport("m1", evaluated.metrics, evaluated.metrics, "").verdict
    render_models.print_evaluation(evaluated, as_json=True)
    assert json.loads(capsys.readouterr().out)["beats_baseline"] is True


def test_the_verdict_says_if_a_lead_may_be_chance(evaluated):
    ahead, behind = (
        EvaluationReport("m1", *pair, "", baseline_p=p).verdict
        for pair, p in (
            ((evaluated.metrics, evaluated.baseline), 0.34),
            ((evaluated.baseline, evaluated.metrics), 0.34),
        )
    )
    assert ahead.endswith("points of accuracy, which may be chance (McNemar's exact test: p = 0.34).")
    assert "points of accuracy, which may be chance (McNemar's exact test: p = 0.34); the baseline trains" in behind
    assert "chance" not in EvaluationReport("m1", evaluated.metrics, evaluated.baseline, "", baseline_p=0.01).verdict


@pytest.mark.parametrize("champion", [None, ModelStatus("m1", "champion", MOMENT, MOMENT, 0.9, 0.8, 50)])
def test_a_status_is_a_table_or_json(capsys, champion):
    backlog = Backlog(new=40, backfill=1500, unseen=9000, rate=2.0)
    report = Status({"train": (1000, 900)}, {"none": 7, "prediction": 3}, 1.0, backlog, 2, 1, champion, [])
    render_status.print_status(report, as_json=False)
    output = capsys.readouterr().out
    for part in (
        "1,000",
        "no label yet",
        "by prediction",
        "dead letters",
        "0:00:20",
        "≤ 9,000",
        "Recent rate: 2.0 articles a second",
        "2026-03-01 12:30" if champion else "none yet",
    ):
        assert part in output
    render_status.print_status(report, as_json=True)
    result = json.loads(capsys.readouterr().out)
    assert result["splits"] == {"train": [1000, 900]}
    assert (result["waiting"], result["backlog"]["new_seconds"]) == (1540, 20.0)
    assert (result["champion"] or {}).get("created_at") == (MOMENT.isoformat() if champion else None)


def test_models_are_listed_or_the_output_says_that_there_are_none(capsys):
    render.models([], as_json=False)
    assert "none yet; run: classifier train" in capsys.readouterr().out
    render.models([ModelStatus("m1", "candidate", MOMENT, None, None, None, None)], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["name"] == "m1"


@pytest.mark.parametrize(
    ("loss", "score", "silent", "ending"),
    [
        (0.51234, None, 3.0, "loss 0.5123, 90 s left"),
        (0.5, 0.91, 3.0, "loss 0.5000, validation macro-F1 0.9100, 90 s left"),
        (None, None, 7200.0, "90 s left (last heartbeat 120 min ago; run the same command to resume)"),
    ],
)
def test_a_running_training_is_a_line_of_the_status(capsys, loss, score, silent, ending):
    training = TrainingStatus("k", 1, MOMENT, 2, 4, 1200, 2000, loss, score, 60.0, 90.0, silent)
    nothing = Backlog(new=0, backfill=0, unseen=0, rate=None)
    render_status.print_status(Status({}, {}, 1.0, nothing, 0, 0, None, [], [training]), as_json=False)
    expected = f"Training: epoch 2 of 4, step 1,200 of 2,000, {ending}"
    assert expected in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("alarms", "outcome"), [([], "no alarm"), (["length", "audit"], "alarm: length, audit; see: classifier drift")]
)
def test_the_status_shows_the_alarms_of_the_last_drift_check(capsys, alarms, outcome):
    nothing = Backlog(new=0, backfill=0, unseen=0, rate=None)
    drift_status = DriftStatus(MOMENT, alarms)
    render_status.print_status(Status({}, {}, 1.0, nothing, 0, 0, None, [], [], drift_status), as_json=False)
    assert f"Drift check 2026-03-01 12:30 UTC: {outcome}" in capsys.readouterr().out.splitlines()


class TestManyCategories:
    """Of a thousand categories, a table shows some and counts the others; JSON has all."""

    NAMES = tuple(f"c{number:04d}" for number in range(1_000))

    @pytest.fixture
    def many(self):
        mine = compute_metrics(self.NAMES * 2, (*self.NAMES[1:], self.NAMES[0], *self.NAMES))
        return EvaluationReport("m1", mine, mine, "openvino f32", 612.5, 0.25)

    def test_an_evaluation_shows_those_with_the_lowest_f1(self, capsys, many):
        render_models.print_evaluation(many, as_json=False)
        output = capsys.readouterr().out
        assert output.count("F1 c") == render.MAX_ROWS
        assert "and 950 more categories" in output

    def test_a_model_is_described_in_a_screen_or_two(self, capsys):
        of_training = {"data": {"by_category": dict.fromkeys(self.NAMES, 7)}}
        result = ModelDetails(
            "m1", "candidate", "/m1", "0", self.NAMES, 1.0, None, None, of_training, None, ()
        )  # fmt: skip
        render_models.print_model(result, as_json=False)
        output = capsys.readouterr().out
        assert len(output.splitlines()) < 100
        assert "and 980 more" in output
        assert "and 950 more; --json has all" in output
        render_models.print_model(result, as_json=True)
        assert len(json.loads(capsys.readouterr().out)["categories"]) == 1_000

    def test_the_splits_report_shows_the_largest(self, capsys):
        drift = dict.fromkeys(("train", "validation", "test"), 0.0)
        sizes = [
            SplitSizes(name, {"train": number, "validation": 1, "test": 1}, drift)
            for number, name in enumerate(self.NAMES)
        ]
        splits._show(SplitsReport("topic", sizes[0], tuple(sizes), drift, {}, 0))
        output = capsys.readouterr().out
        assert "And 950 smaller categories" in output
        assert "c0999" in output
        assert "c0001" not in output
