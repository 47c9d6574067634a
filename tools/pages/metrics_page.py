"""`docs/reference/metrics.md`: what the plugin sends to Airflow's metrics system, read from its source.

The module is parsed rather than imported, since importing it needs Airflow.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.pages import ROOT, page, table

PLUGIN = ROOT / "plugins" / "classifier_airflow"
KINDS = {"incr": "counter", "gauge": "gauge"}

INTRODUCTION = """
Metrics go where Airflow's own metrics go: StatsD, Datadog or OpenTelemetry. If they are off, nothing is read.
Every name begins with Airflow's `statsd_prefix`, `airflow.` by default.
A metric that cannot be sent is one line of the task's log; the task does not fail.
See [monitor](../how-to/monitor.md).
"""


def metrics_page() -> str:
    """Return the page."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, kind, meaning in _metrics():
        names.setdefault((kind, meaning), []).append(f"`classifier.{name}`")
    rows = [(", ".join(dict.fromkeys(group)), kind, meaning) for (kind, meaning), group in names.items()]
    return page("Metrics", INTRODUCTION, table(("names", "kind", "what the function that sends them does"), rows))


def _metrics() -> Iterator[tuple[str, str, str]]:
    tree = ast.parse((PLUGIN / "metrics.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    senders = {function.name: kind for function in functions if (kind := _sends(function))}
    constants = _constants()
    for function in functions:
        loops = dict(_loops(function, constants))
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in senders and call.args:
                meaning = (ast.get_docstring(function) or "").split("\n")[0]
                for name in _names(call.args[0], loops):
                    yield name, senders[call.func.id], meaning


def _sends(function: ast.FunctionDef) -> str | None:
    attributes = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    return next((kind for name, kind in KINDS.items() if name in attributes), None)


def _constants() -> dict[str, list[str]]:
    """Return the tuples of texts that the plugin's modules define at their top."""
    return {
        target.id: [element.value for element in node.value.elts if isinstance(element, ast.Constant)]
        for path in sorted(PLUGIN.glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _loops(function: ast.FunctionDef, constants: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(function):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            if isinstance(node.iter, ast.Tuple):
                yield node.target.id, [item.value for item in node.iter.elts if isinstance(item, ast.Constant)]
            elif isinstance(node.iter, ast.Name):
                yield node.target.id, constants.get(node.iter.id, [])


def _names(argument: ast.expr, loops: dict[str, list[str]]) -> list[str]:
    """Return the names that an argument stands for: a text, or an f-string over the values of a loop."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    names = [""]
    for part in getattr(argument, "values", []):
        texts = [str(part.value)] if isinstance(part, ast.Constant) else _values(part, loops)
        names = [name + text for name in names for text in texts]
    return names


def _values(part: ast.expr, loops: dict[str, list[str]]) -> list[str]:
    inner = getattr(part, "value", None)
    name = inner.id if isinstance(inner, ast.Name) else ""
    return loops.get(name) or ["VERDICT" if "verdict" in ast.unparse(part) else "NAME"]
