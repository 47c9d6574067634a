"""The pages that come from the code are current."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_page_is_current(generate):
    assert generate.outdated() == [], "run: make docs"


def test_a_page_that_differs_is_named_and_the_check_fails(generate, monkeypatch, capsys):
    path = generate.DOCS / "reference" / "cli.md"
    monkeypatch.setattr(generate, "pages", lambda: {path: "another text"})
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/reference/cli.md: outdated; run: make docs\n"


def test_every_command_setting_table_and_view_stands_in_its_page(generate):
    from classifier.store import tables
    from tools.pages import command_line, settings_page, tables_page

    texts = {path.name: text for path, text in generate.pages().items()}
    for path, command in command_line.commands():
        if path != "classifier" and not getattr(command, "commands", {}):
            assert f"## `{path}`" in texts["cli.md"]
    assert all(f"`{name}`" in texts["settings.md"] for name in settings_page.variables())
    assert all(f"## Table `{name}`" in texts["tables-and-views.md"] for name in tables.metadata.tables)
    assert all(f"## View `{name}`" in texts["tables-and-views.md"] for name in tables_page.view_definitions())


def test_the_metrics_page_lists_exactly_the_metrics_that_the_source_sends(generate):
    from tools.pages import metrics_page

    names = {name for name, _ in metrics_page._metrics()}
    assert {"drift.category_drift", "ingest.new", "gate.VERDICT"} <= names
    assert names == set(metrics_page.MEANINGS)


def test_every_heading_of_a_benchmark_stands_above_a_figure(generate):
    from tools.pages import benchmark_columns

    texts = "".join(text for path, text in generate.pages().items() if path.parent.name == "benchmarks")
    for program, columns in benchmark_columns.COLUMNS.items():
        assert all(f"| {heading} |" in texts for _, heading in columns), program


def test_a_share_is_shown_in_percent_and_a_time_is_not(generate):
    from tools.pages import benchmarks_page

    run = {"dataset": "data", "agreement": 0.975, "accuracy_f32": 0.975}
    assert "| data | 97.5 | 0.975 |" in benchmarks_page._rows("agreement", [run])
    assert "| 30.3 |" in benchmarks_page._rows("page", [{"p95_ms": 30.3}])
