"""The gate vetoes a candidate that fails a must-pass example, judged by the files and the engine of now."""

from __future__ import annotations

import csv
import json
import logging
import os
from dataclasses import replace

import pytest

from classifier import registry
from classifier.evaluation.margins import Margins
from classifier.exceptions import NoChampionError, OutdatedQuestionError, SourceError
from classifier.pipeline.categories import changes
from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import classification
from classifier.pipeline.promotion import decisions, evaluation, example_checks, gate_result, html_report
from classifier.pipeline.promotion.decisions import PromotionQuestion
from classifier.store import model_rows, task_rows
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, LENIENT, articles, ingest_file, query, run, value
from tests.support.tiny_models import CATEGORIES, make_artefact

TEXTS = ("the team goal", "bank shares market", "chip phone", "match match the", "soft phone chip bank")
LOGGER = "classifier.pipeline.promotion.example_checks"


@pytest.fixture
def ready(workspace, tmp_path):
    """Annotated articles, half of them in the test split."""
    rows = [{**row, "split": ("train", "test")[number % 2]} for number, row in enumerate(articles(60))]
    ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, split="split"))
    return workspace


def register(workspace, name, *, seed=0, evaluated=True, **options):
    files = make_artefact(workspace.models / name, seed=seed, **options)
    with workspace.database.begin() as connection:
        model = registry.register(connection, name, files, {})
    if evaluated:
        evaluation.evaluate(workspace, name)
    return model


def answers(workspace, name):
    """Return the labels that a model gives to the texts."""
    opened = classification.open_registered(workspace, name, engine="auto")
    return [result.label for result in opened.classify(TEXTS)]


def other(label):
    return next(name for name in CATEGORIES if name != label)


def write(workspace, rows, name="a.csv"):
    path = workspace.settings.examples_directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows_for(labels):
    return [{"text": text, "label": label, "name": ""} for text, label in zip(TEXTS, labels, strict=True)]


def example_rule(result):
    (rule,) = [rule for rule in result.gate.rule_results if rule.rule == "must-pass examples"]
    return rule


def apply(workspace, name=None):
    return gate_result.apply_gate(workspace, name, margins=LENIENT)


def stored_examples(workspace):
    return value(workspace.database, "SELECT metrics->'examples' FROM evaluations ORDER BY id DESC LIMIT 1")


class TestGate:
    def test_without_a_folder_nothing_is_judged(self, ready):
        register(ready, "m1")
        result = apply(ready)
        assert result.gate.verdict == "promote"
        assert not [rule for rule in result.gate.rule_results if "example" in rule.rule]
        assert stored_examples(ready) is None

    def test_a_candidate_that_passes_all_is_promoted(self, ready):
        register(ready, "m1", evaluated=False)
        write(ready, rows_for(answers(ready, "m1")))
        evaluation.evaluate(ready, "m1")
        assert stored_examples(ready)["failed"] == 0
        assert decisions.promote_if_better(ready, margins=LENIENT).verdict == "promoted"
        kept = value(ready.database, "SELECT statistics->'rule_results' FROM promotions")
        assert [rule["reason"] for rule in kept if rule["rule"] == "must-pass examples"] == [
            "5 must-pass examples: none fails"
        ]

    def test_a_candidate_that_fails_one_is_held_and_the_decision_says_which(self, ready, caplog):
        register(ready, "m1", evaluated=False)
        labels = answers(ready, "m1")
        rows = rows_for(labels)
        rows[1] |= {"label": other(labels[1]), "name": "the bank"}
        rows[3]["label"] = other(labels[3])
        write(ready, rows)
        with caplog.at_level(logging.INFO, LOGGER):
            evaluation.evaluate(ready, "m1")
        assert "m1: must-pass example failed: the bank: expected" in caplog.text
        decision = decisions.promote_if_better(ready, margins=LENIENT)
        assert decision.verdict == "held"
        assert decision.reason.startswith("2 of 5 must-pass examples fail: the bank (expected")
        assert "; a.csv, line 5 (expected " in decision.reason
        report = html_report.read_report(ready, "m1")
        (rule,) = [rule for rule in report.rule_results if rule["rule"] == "must-pass examples"]
        assert [(row["name"], row["assigned"]) for row in rule["statistics"]["failures"]] == [
            ("the bank", [labels[1]]),
            ("a.csv, line 5", [labels[3]]),
        ]
        assert 0 < rule["statistics"]["failures"][0]["probabilities"][labels[1]] < 1
        kept = json.dumps(query(ready.database, "SELECT statistics, reason FROM promotions")[0])
        assert not [text for text in TEXTS if text in kept + caplog.text]

    def test_a_margin_of_one_run_overrules_the_veto(self, ready):
        register(ready, "m1", evaluated=False)
        write(ready, rows_for(map(other, answers(ready, "m1"))))
        evaluation.evaluate(ready, "m1")
        assert apply(ready).gate.verdict == "hold"
        decision = decisions.promote_if_better(ready, margins=replace(LENIENT, failed_examples=5))
        assert decision.verdict == "promoted"

    def test_the_champions_own_gate_has_the_rule_too(self, ready):
        register(ready, "m1", evaluated=False)
        write(ready, rows_for(map(other, answers(ready, "m1"))))
        evaluation.evaluate(ready, "m1")
        with ready.database.begin() as connection:
            model_rows.make_champion(connection, model_rows.by_name(connection, "m1").id)
        assert example_rule(apply(ready, "m1")).outcome == "fail"

    def test_a_category_that_the_model_does_not_know_fails_and_says_so(self, ready):
        register(ready, "m1", evaluated=False)
        write(ready, [{"text": TEXTS[0], "label": "weather"}])
        evaluation.evaluate(ready, "m1")
        rule = example_rule(apply(ready))
        assert rule.outcome == "fail"
        assert "the model does not know weather, because it was not trained on it" in rule.reason

    def test_the_written_report_shows_what_the_evaluation_stored(self, ready, tmp_path):
        register(ready, "m1", evaluated=False)
        write(ready, rows_for(map(other, answers(ready, "m1"))))
        evaluation.evaluate(ready, "m1")
        html_report.write_report(ready, "m1", out=tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert "Must-pass examples that failed" in page
        assert "a.csv, line 6" in page


class TestSeams:
    """What happens between the evaluation and the gate's judgement."""

    @pytest.fixture
    def runs(self, monkeypatch):
        """Count how often the gate runs a model on the examples."""
        calls = []
        original = example_checks._run
        monkeypatch.setattr(example_checks, "_run", lambda *args: calls.append(1) or original(*args))
        return calls

    def test_unchanged_examples_are_not_run_again(self, ready, runs):
        write(ready, rows_for(["sport"] * 5))
        register(ready, "m1")
        evaluated = stored_examples(ready)
        rule = example_rule(apply(ready))
        assert runs == []
        assert (rule.statistics["sha256"], rule.statistics["failed"]) == (evaluated["sha256"], evaluated["failed"])

    def test_changed_examples_are_run_again(self, ready, runs):
        register(ready, "m1", evaluated=False)
        labels = answers(ready, "m1")
        write(ready, rows_for(labels))
        evaluation.evaluate(ready, "m1")
        write(ready, rows_for([other(labels[0]), *labels[1:]]))
        result = apply(ready)
        assert runs == [1]
        assert (result.gate.verdict, example_rule(result).statistics["failed"]) == ("hold", 1)

    def test_examples_that_came_after_the_evaluation_are_judged(self, ready, runs):
        register(ready, "m1")
        write(ready, rows_for(map(other, answers(ready, "m1"))))
        assert apply(ready).gate.verdict == "hold"
        assert runs == [1]

    def test_another_threshold_is_judged_again(self, ready, runs):
        model = register(ready, "m1", evaluated=False)
        write(ready, rows_for(answers(ready, "m1")))
        evaluation.evaluate(ready, "m1")
        assert apply(ready).gate.verdict == "promote"
        with ready.database.begin() as connection:
            model_rows.set_threshold(connection, model.id, 0.999999, {})
        rule = example_rule(apply(ready))
        assert (rule.outcome, rule.statistics["failed"], runs) == ("fail", 5, [1])
        assert ", but abstains" in rule.reason

    def test_results_of_another_engine_are_not_taken(self, ready, runs):
        write(ready, rows_for(["sport"] * 5))
        register(ready, "m1", evaluated=False)
        evaluation.evaluate(ready, "m1", engine="keras")
        apply(ready)
        assert runs == [1]

    def test_an_approvers_question_is_outdated_if_an_example_fails_now(self, ready):
        register(ready, "m1", evaluated=False)
        labels = answers(ready, "m1")
        write(ready, rows_for(labels))
        evaluation.evaluate(ready, "m1")
        asked = apply(ready)
        question = PromotionQuestion(asked.evaluation_ids, asked.champion, asked.gate.verdict)
        write(ready, rows_for(map(other, labels)))
        with pytest.raises(OutdatedQuestionError, match="the verdict has changed"):
            decisions.promote_if_better(ready, margins=LENIENT, question=question)
        write(ready, rows_for(labels))
        assert decisions.promote_if_better(ready, margins=LENIENT, question=question).verdict == "promoted"


class TestBrokenFiles:
    def test_a_broken_file_warns_in_the_decision_and_stops_nothing(self, ready, caplog):
        register(ready, "m1", evaluated=False)
        write(ready, rows_for(answers(ready, "m1")))
        (ready.settings.examples_directory / "b.csv").write_bytes(b"\x00\xff")
        evaluation.evaluate(ready, "m1")
        with caplog.at_level(logging.WARNING, LOGGER):
            decision = decisions.promote_if_better(ready, margins=LENIENT)
        assert decision.verdict == "promoted"
        assert "WARNING: must-pass examples that cannot be read were not judged: b.csv: no column 'text'" in (
            decision.reason
        )
        assert "must-pass example cannot be read: b.csv: no column 'text'" in caplog.text

    def test_the_readable_rows_of_a_broken_file_still_veto(self, ready):
        register(ready, "m1", evaluated=False)
        wrong = rows_for(map(other, answers(ready, "m1")))
        path = write(ready, wrong)
        path.write_text(path.read_text() + "a,b,c,d\n")
        evaluation.evaluate(ready, "m1")
        result = apply(ready)
        assert result.gate.verdict == "hold"
        assert result.gate.warnings

    def test_a_folder_that_is_set_but_missing_is_a_warning(self, ready, tmp_path):
        register(ready, "m1")
        settings = ready.settings.model_copy(update={"examples": tmp_path / "nowhere"})
        result = apply(Workspace(ready.database, settings))
        assert result.gate.verdict == "promote"
        assert "nowhere: folder not found; create it, or change CLASSIFIER_EXAMPLES" in result.gate.warnings[0]

    def test_a_forbidden_label_that_nothing_knows_is_a_problem(self, ready):
        write(ready, [{"text": TEXTS[0], "not_label": "sprot"}])
        register(ready, "m1")
        assert "a.csv, line 2: not_label 'sprot' is no category of the task" in apply(ready).gate.warnings[0]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
    def test_a_folder_without_the_right_to_read_it_is_a_warning(self, ready):
        path = write(ready, rows_for(["sport"] * 5), "closed/a.csv")
        register(ready, "m1")
        path.parent.chmod(0)
        try:
            assert "closed: cannot be read" in apply(ready).gate.warnings[0]
        finally:
            path.parent.chmod(0o755)


class TestCheck:
    def test_it_lists_the_champions_failures_and_stores_nothing(self, ready):
        with pytest.raises(SourceError, match="examples: folder not found; create it"):
            example_checks.check_examples(ready)
        write(ready, rows_for(["sport"] * 5))
        with pytest.raises(NoChampionError):
            example_checks.check_examples(ready)
        model = register(ready, "m1")
        with ready.database.begin() as connection:
            model_rows.make_champion(connection, model.id)
        before = query(ready.database, "SELECT count(*), max(id) FROM evaluations")
        report = example_checks.check_examples(ready)
        wrong = [label for label in answers(ready, "m1") if label != "sport"]
        assert (report.model, report.results.examples, report.results.failed) == ("m1", 5, len(wrong))
        assert query(ready.database, "SELECT count(*), max(id) FROM evaluations") == before
        assert query(ready.database, "SELECT count(*) FROM promotions") == [(0,)]

    def test_the_command_ends_with_1_if_one_fails_and_2_if_a_row_cannot_be_read(self, ready, classifier):
        home = ready.settings.home
        url = ready.database.url.render_as_string(hide_password=False)
        environment = {"CLASSIFIER_DATABASE_URL": url, "CLASSIFIER_HOME": str(home)}
        register(ready, "m1", evaluated=False)
        labels = answers(ready, "m1")
        path = write(ready, rows_for(labels))
        done = classifier("examples", "check", "m1", **environment)
        assert (done.returncode, done.stdout) == (0, "m1: 0 of 5 must-pass examples failed\n"), done.stderr
        write(ready, rows_for([other(labels[0]), *labels[1:]]))
        done = classifier("examples", "check", "m1", **environment)
        assert done.returncode == 1, done.stderr
        assert "m1: 1 of 5 must-pass examples failed" in done.stdout
        assert f"expected {other(labels[0])} 0." in done.stdout
        assert TEXTS[0] not in done.stdout
        done = classifier("examples", "check", "m1", "--json", **environment)
        assert json.loads(done.stdout)["results"]["failures"][0]["assigned"] == [labels[0]]
        path.write_text(path.read_text() + ",sport,\n")
        done = classifier("examples", "check", "m1", **environment)
        assert done.returncode == 2
        assert "a.csv, line 7: text is empty" in done.stdout
        (line,) = done.stderr.splitlines()
        assert line.endswith("examples: 1 problem: a.csv, line 7: text is empty; correct the files and run it again")


class TestTasks:
    def test_a_multi_label_model_must_give_each_expected_label(self, ready):
        with ready.database.begin() as connection:
            task_rows.change(connection, task_rows.current_id(connection), kind="multi", min_labels=0)
        multi = ready.with_task(None)
        register(multi, "m1", kind="multi", evaluated=False)
        opened = classification.open_registered(multi, "m1", engine="auto")
        assigned = [result.labels for result in opened.classify(TEXTS)]
        rows = [
            {"text": text, "label": "; ".join(labels) or "(none)", "not_label": ""}
            for text, labels in zip(TEXTS, assigned, strict=True)
        ]
        write(multi, rows)
        evaluation.evaluate(multi, "m1")
        assert example_rule(apply(multi)).outcome == "pass"
        missing = next(index for index, labels in enumerate(assigned) if len(labels) < len(CATEGORIES))
        present = next(index for index, labels in enumerate(assigned) if labels)
        rows[missing]["label"] = "; ".join(CATEGORIES)
        write(multi, [*rows, {"text": TEXTS[present], "label": "", "not_label": assigned[present][0]}])
        rule = example_rule(apply(multi))
        assert (rule.outcome, rule.statistics["failed"]) == ("fail", 2)
        assert rule.statistics["failures"][0]["expected"] == tuple(sorted(CATEGORIES))

    def test_each_task_is_judged_by_its_own_examples(self, ready):
        tasks.add(ready, "desk")
        name = query(ready.database, "SELECT name FROM tasks ORDER BY id LIMIT 1")[0][0]
        first, second = ready.with_task(name), ready.with_task("desk")
        run(
            ready.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT article_id, :task, revision, categories, annotator FROM annotations",
            task=second.task.id,
        )
        register(first, "m1", evaluated=False)
        register(second, "d1", evaluated=False)
        labels = answers(first, "m1")  # both models have the same weights
        write(first, rows_for(labels), f"{name}/a.csv")
        write(second, rows_for(map(other, labels)), "desk/a.csv")
        for workspace, model in ((first, "m1"), (second, "d1")):
            evaluation.evaluate(workspace, model)
        assert apply(first).gate.verdict == "promote"
        assert apply(second).gate.verdict == "hold"
        write(second, [{"text": "x", "label": "sport"}])
        for workspace in (first, second):
            assert "a.csv, line 2: names no task" in apply(workspace).gate.warnings[0]


class TestChangedCategories:
    """The files may have the names of any time."""

    @pytest.fixture
    def labels(self, ready):
        register(ready, "m1")
        return answers(ready, "m1")

    def check(self, workspace):
        return example_checks.check_examples(workspace, "m1").results

    def test_a_renamed_category_passes_under_both_names(self, ready, labels):
        changes.change_categories(ready, "rename", [labels[0]], ["renamed"], changed_by="ann")
        present = ["renamed" if label == labels[0] else label for label in labels]
        write(ready, [*rows_for(labels), *rows_for(present)])
        assert (self.check(ready).examples, self.check(ready).failed) == (10, 0)

    def test_a_merged_category_passes_for_each_of_its_parts(self, ready, labels):
        merged = other(labels[0])
        write(ready, [{"text": TEXTS[0], "label": merged, "not_label": labels[0]}])
        assert self.check(ready).failed == 1
        changes.change_categories(ready, "merge", [labels[0], merged], ["merged"], changed_by="ann")
        assert self.check(ready).failed == 0

    @pytest.mark.parametrize(("kind", "into"), [("retire", []), ("split", ["x", "y"])])
    def test_a_category_that_no_later_model_knows_is_a_problem_and_no_veto(self, ready, labels, kind, into):
        write(ready, rows_for(labels)[:1])
        changes.change_categories(ready, kind, [labels[0]], into, changed_by="ann")
        results = self.check(ready)
        assert (results.examples, results.failed, results.invalid) == (0, 0, 1)
        assert "a.csv, line 2: category" in results.problems[0]


def test_an_example_may_be_a_test_article(ready):
    """Examples never enter the database, so a model cannot learn them from there."""
    content = query(ready.database, "SELECT text FROM articles WHERE split = 'test' ORDER BY id LIMIT 1")[0][0]
    before = query(ready.database, "SELECT count(*) FROM articles")
    write(ready, [{"text": content, "label": "sport"}])
    register(ready, "m1")
    assert example_rule(gate_result.apply_gate(ready, margins=Margins(resamples=200))).statistics["examples"] == 1
    assert query(ready.database, "SELECT count(*) FROM articles") == before
