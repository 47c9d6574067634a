"""The report says whether the model or the baseline scores higher, after a first and after a second demo."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from classifier.demo import report, story
from classifier.demo.display import Display, duration
from classifier.demo.report import DemoScores, HoldOut, Incoming, Report, Speed
from classifier.pipeline.monitoring.status import Backlog, Status

NOTHING = Backlog(new=0, backfill=0, unseen=0, rate=None)


def hold_out(accuracy, macro_f1, *, base=(0.9767, 0.93), name="m1"):
    return HoldOut(name, 2189, DemoScores(accuracy, macro_f1), DemoScores(*base))


def report_text(**changed):
    status = Status({"train": (4981, 4481), "test": (2189, 2189)}, {}, 1.0, NOTHING, 2, 0, None, [])
    values = {
        "status": status,
        "champion": hold_out(0.98, 0.94),
        "candidate": None,
        "incoming": Incoming(500, 500, 485),
        "speed": Speed(500, 2.5),
    }
    return "\n".join(report.lines(Report(**{**values, **changed})))


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        ((0.98, 0.94), "The model is ahead of the baseline by 0.33 points of accuracy and 1.00 points of macro-F1."),
        ((0.9767, 0.94), "The model is ahead of the baseline by 1.00 points of macro-F1."),
        (
            (0.97, 0.92),
            "The baseline is ahead of the model by 0.67 points of accuracy and 1.00 points of macro-F1",
        ),
        ((0.9767, 0.93), "The model and the baseline score the same, and the baseline is much cheaper."),
        (
            (0.98, 0.92),
            "The model is ahead by 0.33 points of accuracy, the baseline by 1.00 points of macro-F1.",
        ),
        (
            (0.97, 0.94),
            "The model is ahead by 1.00 points of macro-F1, the baseline by 0.67 points of accuracy.",
        ),
    ],
)
def test_the_report_says_which_of_model_and_baseline_scores_higher(scores, sentence):
    assert report.compare_with_baseline(hold_out(*scores)).startswith(sentence)


@pytest.mark.parametrize(("p", "is_called_chance"), [(0.31, True), (0.01, False), (None, False)])
def test_a_difference_that_may_be_chance_is_marked(p, is_called_chance):
    text = report_text(champion=replace(hold_out(0.98, 0.94), baseline_p=p))
    sentence = "The difference in accuracy may be chance (McNemar's exact test: p = 0.31)."
    assert (sentence in text) is is_called_chance
    assert ("chance" in text) is is_called_chance


def test_a_first_demo_reports_its_figures():
    text = report_text()
    assert "train                   4,981      4,481" in text
    assert "validation                  0          0" in text
    assert "rejected rows               2" in text
    assert "0.9800     0.9400" in text
    assert "500 of 500 rows have a label, 485 labels are correct (97.0%)" in text
    assert "500 were labelled in this demo, in 2.5 s: 200 articles a second" in text
    assert "candidate" not in text


def test_a_candidate_that_was_not_promoted_is_reported():
    text = report_text(candidate=hold_out(0.97, 0.92, name="m2"), speed=Speed(0, 0))
    assert "Today's candidate, m2, was not promoted; see: classifier promotions" in text
    assert "The champion is m1." in text
    assert "the champion had labelled all of them before" in text
    assert "were labelled in this demo" not in text


def test_rows_without_a_label_make_the_report_incomplete():
    text = report_text(incoming=Incoming(500, 0, 0), speed=Speed(0, 0))
    assert "0 of 500 rows have a label, 0 labels are correct" in text
    incomplete = Report(
        Status({}, {}, 1.0, NOTHING, 0, 0, None, []), hold_out(1, 1), None, Incoming(500, 499, 1), Speed(499, 1)
    )
    assert not incomplete.complete


def test_queries_follow_a_psql_command_with_a_url_that_psql_reads():
    url = "postgresql+psycopg2://postgres:@/articles?host=%2Ftmp%2Fhome"
    assert story._psql_url(url) == "postgresql://postgres@/articles?host=%2Ftmp%2Fhome"
    assert story._psql().endswith("psql")
    text = list(report.queries("psql", "URL"))
    assert text[1] == '  psql "URL"'
    assert len(text) == 5
    assert all(line.endswith(";") for line in text[2:])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s")]
)
def test_durations_are_in_seconds_or_minutes(seconds, text):
    assert duration(seconds) == text


def test_without_a_terminal_a_step_prints_two_plain_lines():
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=False))
    with display.step("Fetch [it]") as step:
        step.progress("half")
        step.result("both")
    assert re.fullmatch(r"Fetch \[it\] \.\.\.\nFetch \[it\]: \d+\.\d s  \(both\)\n", out.getvalue())
    assert [title for title, _ in display.took] == ["Fetch [it]"]


def test_on_a_terminal_a_step_shows_its_progress():
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=True, width=100))
    with display.step("Train") as step:
        step.progress("step 1 of 9")
        assert "step 1 of 9" in str(step.render().text)
    assert re.search(r"Train: \d+\.\d s", out.getvalue())


def test_timings_list_every_step_and_the_total():
    text = list(report.timings([("Fetch", 1.5)], 61))
    assert "Fetch" in text[1]
    assert text[1].endswith("1.5 s")
    assert text[-1].endswith("1 min 01 s")
