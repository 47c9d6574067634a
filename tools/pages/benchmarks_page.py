"""`docs/benchmarks/*.md`: the committed results of the benchmarks as tables, with machine and commit.

A section begins with the first sentence of its program's docstring. `benchmark_columns` chooses and names the figures.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.pages import ROOT, page, table
from tools.pages.benchmark_columns import COLUMNS, RENAMED

RESULTS = ROOT / "benchmarks" / "results"
PROGRAMS = ROOT / "benchmarks"

TITLES = {
    "accuracy": (
        "Accuracy",
        "Figures on test articles, and the error rates of the gate, of thresholds and of drift alarms.",
    ),
    "speed": ("Speed", "Articles a second, next to other programs on the same rows in the same run; and cost by size."),
    "robustness": ("Robustness", "What is lost when processes are killed."),
}


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
    programs = {program.stem: program for program in PROGRAMS.glob("*/*.py")}
    programs["recipe"] = programs["recipes"]
    names = [name for name in programs if path.stem == name or path.stem.startswith(f"{name}-")]
    return programs[max(names, key=len)] if names else None


def _section(path: Path, program: Path) -> str:
    result = json.loads(path.read_text(encoding="utf-8"))
    runs, settings = result["runs"], result.get("settings")
    tables = [_by_command(run) for run in runs if "commands" in run] or [
        _rows(program.stem, group) for group in _groups(runs)
    ]
    facts = [
        f"`python -m benchmarks.{program.parent.name}.{program.stem}`",
        _machine(result),
        f"commit `{result.get('commit', 'not recorded')}`",
        *([", ".join(f"{name} {value}" for name, value in settings.items())] if settings else []),
    ]
    note = result.get("note", "").rstrip(".")
    return "\n\n".join([
        f"## {path.stem}",
        (ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or "").split("\n\n")[0],
        "; ".join(facts) + ".",
        *([f"Note: {note}."] if note else []),
        *tables,
    ])


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


def _rows(program: str, runs: Sequence[Mapping[str, Any]]) -> str:
    columns = [(key, name) for key, name in COLUMNS[program] if any(_value(run, key) is not None for run in runs)]
    rows = [[_text(_value(run, key), percent=name.endswith(", %")) for key, name in columns] for run in runs]
    return table([name for _, name in columns], rows)


def _by_command(run: Mapping[str, Any]) -> str:
    """Return one row a command, section or reading, and one column a size of the database."""
    costs = {**run["readings"], **run["sections"], **run["commands"]}
    sizes = list(dict.fromkeys(size for by_size in costs.values() for size in by_size))
    headings = ["reading, section or command", *(f"{int(size):,} articles" for size in sizes)]
    rows = [[_text(name), *(_cost(by_size.get(size)) for size in sizes)] for name, by_size in costs.items()]
    return table(headings, rows)


def _cost(cost: Mapping[str, Any] | None) -> str:
    if cost is None or "error" in cost:
        return str(cost["error"]) if cost else ""
    return f"{cost['s']:,} s, {cost['mb']:,} MB"


def _value(run: Mapping[str, Any], key: str) -> Any:
    value: Any = run
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _text(value: Any, *, percent: bool = False) -> str:
    """Return a cell: numbers with separators, a share in percent if that is asked for, and today's names."""
    if isinstance(value, str):
        return re.sub(r"\d{5,}", lambda digits: f"{int(digits[0]):,}", _today(value))
    if isinstance(value, Mapping):
        return ", ".join(f"`{_today(name)}={_today(part)}`" for name, part in value.items())
    if isinstance(value, list):
        return " to ".join(map(_text, value))
    if value is None:
        return ""
    if percent:
        return f"{100 * value:.3g}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:,.10g}"


def _today(text: str) -> str:
    for old, new in RENAMED.items():
        text = text.replace(old, new)
    return text
