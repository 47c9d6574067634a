"""`docs/benchmarks/*.md`: the committed results of the benchmarks as tables, with machine and commit.

`COLUMNS` chooses what is shown of a result; a key that a result does not have is left out. A result that no entry
names is shown with all its plain values.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.pages import ROOT, page, table

RESULTS = ROOT / "benchmarks" / "results"
PROGRAMS = ROOT / "benchmarks"
MAX_COLUMNS = 12

TITLES = {
    "accuracy": (
        "Accuracy",
        "Figures on test articles, and the error rates of the gate, of thresholds and of drift alarms.",
    ),
    "speed": ("Speed", "Articles a second, next to other programs on the same rows in the same run; and cost by size."),
    "robustness": ("Robustness", "What is lost when processes are killed."),
}

COLUMNS: Mapping[str, Sequence[tuple[str, str]]] = {
    "recipe": (
        ("recipe", "recipe"), ("set", "overrides"), ("seeds", "seeds"), ("accuracy", "accuracy"),
        ("accuracy_spread", "lowest, highest"), ("macro_f1", "macro-F1"),
        ("network_accuracy", "network, accuracy"),
        ("baseline_accuracy", "TF-IDF baseline, accuracy"), ("baseline_macro_f1", "baseline, macro-F1"),
    ),
    "training": (
        ("dataset", "data"), ("train_articles", "train articles"), ("epochs", "epochs"),
        ("ours_docs_per_s", "articles/s"), ("tutorial_docs_per_s", "tutorial's loop, articles/s"),
        ("hf_trainer_docs_per_s", "`Trainer`, articles/s"), ("ratio_tutorial", "ratio to loop"),
        ("ratio_hf_trainer", "ratio to `Trainer`"), ("ours_accuracy", "accuracy"),
        ("tutorial_accuracy", "loop, accuracy"), ("hf_trainer_accuracy", "`Trainer`, accuracy"),
    ),
    "labelling": (
        ("dataset", "data"), ("model", "model"), ("docs_per_s", "articles/s"), ("spread.ours", "lowest, highest"),
        ("engine_limit_docs_per_s", "engine, articles/s"), ("hf_pipeline_docs_per_s", "`pipeline` f32, articles/s"),
        ("hf_pipeline_bf16_docs_per_s", "`pipeline` bf16, articles/s"), ("ratio_hf_pipeline", "ratio float32"),
        ("ratio_hf_pipeline_bf16", "ratio bfloat16"), ("ratio_tutorial", "ratio to tutorial's loop"),
    ),
    "gate": (
        ("dataset", "categories"), ("test_articles", "test articles"), ("true_difference_points", "difference, points"),
        ("promoted.non-inferior", "promoted, non-inferior"), ("promoted.superior", "promoted, superior"),
        ("naive_promoted", "promoted by `new >= old`"), ("more_annotations", "more annotations asked"),
    ),
    "calibration-r8": (
        ("dataset", "data"), ("validation_articles", "validation articles"), ("temperature", "temperature"),
        ("test_ece_before", "ECE before"), ("test_ece_after", "ECE after"), ("test_log_loss_before", "log loss before"),
        ("test_log_loss_after", "log loss after"),
        ("test_brier_before", "Brier before"), ("test_brier_after", "Brier after"),
    ),
    "faults": (
        ("dataset", "data"), ("workers", "workers"), ("kills", "`kill -9`"), ("postgres_restarts", "Postgres crashes"),
        ("promotions", "promotions"), ("labelled", "labels"), ("missing", "missing"), ("doubled", "doubled"),
        ("mixed", "mixed"),
    ),
    "page": (
        ("dataset", "data"), ("requests_per_s", "requests/s"), ("p50_ms", "median, ms"), ("p95_ms", "95 %, ms"),
        ("p99_ms", "99 %, ms"), ("max_ms", "highest, ms"), ("first_ms", "first, ms"),
    ),
}  # fmt: skip


def benchmark_pages() -> dict[str, str]:
    """Return a page for each folder of benchmark programs, by file name."""
    return {f"{folder}.md": page(title, text, *_sections(folder)) for folder, (title, text) in TITLES.items()}


def _sections(folder: str) -> Iterator[str]:
    for path in sorted(RESULTS.glob("*.json")):
        program = _program(path)
        if program is not None and program.parent.name == folder:
            yield _section(path, program)


def _program(path: Path) -> Path | None:
    """Return the program that wrote a result: the one whose name the result's begins with, the longest."""
    programs = {program.stem: program for program in PROGRAMS.glob("*/*.py")} | {
        "recipe": PROGRAMS / "accuracy" / "recipes.py",
        "scale-commands": PROGRAMS / "speed" / "scale.py",
    }
    names = [name for name in programs if path.stem == name or path.stem.startswith(f"{name}-")]
    return programs[max(names, key=len)] if names else None


def _section(path: Path, program: Path) -> str:
    result = json.loads(path.read_text(encoding="utf-8"))
    runs = result.get("runs", [])
    if any("commands" in run for run in runs):
        rows = "\n\n".join(_by_command(run) for run in runs)
    else:
        rows = "\n\n".join(_rows(path.stem, group) for group in _groups(runs))
    facts = [
        f"`python -m benchmarks.{program.parent.name}.{program.stem}`",
        _machine(result),
        f"commit `{result.get('commit', 'not recorded')}`",
    ]
    note = f"Note: {result['note'].rstrip('.')}." if result.get("note") else ""
    return "\n\n".join(part for part in (f"## {path.stem}", "; ".join(facts) + ".", note, rows) if part)


def _machine(result: Mapping[str, Any]) -> str:
    machine = dict(result.get("machine", {}))
    parts = [str(machine.get("cpu", "")), f"{machine.get('cores', '?')} cores", str(result.get("gpu", ""))]
    if "bf16" in machine:
        parts.append("with bfloat16" if machine["bf16"] else "without bfloat16")
    if "load_1m" in machine:
        parts.append(f"load {machine['load_1m']}")
    return ", ".join(part for part in parts if part)


def _groups(runs: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return runs that follow each other and have the same keys together: each group is a table."""
    return [list(group) for _, group in itertools.groupby(runs, key=lambda run: tuple(sorted(run)))]


def _rows(stem: str, runs: Sequence[Mapping[str, Any]]) -> str:
    columns = _columns(stem, runs)
    rows = [[_text(_value(run, key)) for key, _ in columns] for run in runs]
    return table([heading for _, heading in columns], rows)


def _columns(stem: str, runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    names = [name for name in COLUMNS if stem == name or stem.startswith(f"{name}-")]
    if names:
        chosen = COLUMNS[max(names, key=len)]
        return [(key, heading) for key, heading in chosen if any(_value(run, key) is not None for run in runs)]
    keys = dict.fromkeys(
        key for run in runs for key, value in run.items() if isinstance(value, str | int | float) and value != ""
    )
    return [(key, key.replace("_", " ")) for key in list(keys)[:MAX_COLUMNS]]


def _by_command(run: Mapping[str, Any]) -> str:
    """Return one row a command, section or reading, and one column a size of the database."""
    costs = {**run["readings"], **run["sections"], **run["commands"]}
    sizes = list(dict.fromkeys(size for by_size in costs.values() for size in by_size))
    headings = ["reading, section or command", *(f"{int(size):,} articles" for size in sizes)]
    return table(headings, [[name, *(_cost(by_size.get(size)) for size in sizes)] for name, by_size in costs.items()])


def _cost(cost: Mapping[str, float] | None) -> str:
    return f"{cost['s']} s, {cost['mb']} MB" if cost else ""


def _value(run: Mapping[str, Any], key: str) -> Any:
    value: Any = run
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"`{name}={part}`" for name, part in value.items())
    if isinstance(value, list):
        return " to ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.10g}"
    return (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else str(value)
    )
