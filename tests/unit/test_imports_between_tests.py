"""Tests share code through tests/support: a test that imports another one breaks when that one is renamed."""

from __future__ import annotations

import ast

import pytest

from tests.support.paths import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))


def imported_tests(source: str) -> list[str]:
    """Return the test modules and conftests that a module imports. Modules of the package may have the same names."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return [name for name in names if not name.startswith("classifier.") and any(map(is_test, name.split(".")))]


def is_test(module: str) -> bool:
    return module == "conftest" or (module.startswith("test_") and any(path.stem == module for path in FILES))


@pytest.mark.parametrize(
    "line",
    [
        "from tests.integration.test_review import rows_of",
        "from tests.integration import test_review",
        "import tests.dags.conftest",
        "from .conftest import ROOT",
    ],
)
def test_an_import_of_a_test_is_recognised(line):
    assert imported_tests(line)


def test_no_test_imports_a_test_or_a_conftest():
    importing = {
        str(path.relative_to(ROOT)): names for path in FILES if (names := imported_tests(path.read_text("utf-8")))
    }
    assert importing == {}
