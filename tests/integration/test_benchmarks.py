"""The benchmarks still run; what they measure is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not DATA.exists(), reason="the real articles of ../shared/data are not here")
def test_the_ingest_benchmark_ends_in_a_line_of_json(tmp_path):
    out = tmp_path / "ingest.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "ingest.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
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


@pytest.mark.parametrize("name", ["gate", "rollback"])
def test_the_benchmarks_of_promotion_end_in_a_line_of_json(tmp_path, name):
    out = tmp_path / "found.json"
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    line = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    assert {"machine", "commit", "runs"} <= set(line)
    assert all("dataset" in run for run in line["runs"])
