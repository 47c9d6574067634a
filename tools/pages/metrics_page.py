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
Every name begins with `classifier.` after Airflow's `statsd_prefix`, `airflow.` by default.
A metric that cannot be sent is one line of the task's log; the task does not fail.
The counters of `ingest` have the tag `source`: a declared source's name, `files`, `inbox`, or `again` for rejected rows
that are read again. Every other metric except `rejected_rows` has the tag `task`, the name of the classifier's task. If
there are several tasks and the system drops tags, as plain StatsD does, names end with the task's: `gate.hold.topic`.
Of [several instances], metrics have the tag `instance` too. If tags are dropped, `classifier` in the names is preceded
by the instance's name: `news_classifier.gate.hold`. See [monitor](../how-to/monitor.md).

[several instances]: ../how-to/adopt-in-an-existing-airflow.md#several-instances
"""

_EACH_SOURCE = "`ingest_articles`, each source"
_STATUS = "after each ingest, labelling and decision"
_LIVE = f"{_STATUS}; every 30 s of a labelling"

MEANINGS = {
    "ingest.files": ("files, feeds and queries read", _EACH_SOURCE),
    "ingest.read": ("rows read", _EACH_SOURCE),
    "ingest.new": ("rows that inserted an article", _EACH_SOURCE),
    "ingest.changed": ("rows that changed an article's text", _EACH_SOURCE),
    "ingest.unchanged": ("rows that changed nothing", _EACH_SOURCE),
    "ingest.rejected": ("rejected rows", _EACH_SOURCE),
    "ingest.duplicates": ("rows whose id came again in the same unit", _EACH_SOURCE),
    "labelling.articles": ("articles that left the queue: labels and dead letters", "`label_articles`, each batch"),
    "labelling.dead_letters": ("articles that could not be labelled", "`label_articles`, each worker"),
    "training.seconds": ("duration of the last training, in seconds", "`retrain_classifier`"),
    "training.articles": ("train articles of the last training", "`retrain_classifier`"),
    "training.validation_macro_f1": ("macro-F1 on the validation split, from 0 to 1", "`retrain_classifier`"),
    "candidate.accuracy": ("accuracy of the last candidate on the test split, from 0 to 1", "`retrain_classifier`"),
    "candidate.macro_f1": ("its macro-F1, from 0 to 1", "`retrain_classifier`"),
    "candidate.baseline_accuracy": ("accuracy of its TF-IDF baseline, from 0 to 1", "`retrain_classifier`"),
    "candidate.baseline_macro_f1": ("macro-F1 of its baseline, from 0 to 1", "`retrain_classifier`"),
    "gate.VERDICT": (
        "verdicts: `gate.promote`, `gate.hold` or `gate.need_more_annotations`",
        "`retrain_classifier`",
    ),
    "drift.alarms": ("checks that raise an alarm", "`watch_classifier`"),
    "drift.category_drift": ("distance of the category mix, from 0 to 1, chance subtracted", "`watch_classifier`"),
    "drift.length_drift": ("the same distance of text lengths", "`watch_classifier`"),
    "drift.confidence_drift": ("the same distance of confidence", "`watch_classifier`"),
    "drift.mean_confidence": ("mean confidence of the newest articles, from 0 to 1", "`watch_classifier`"),
    "drift.abstained": ("share of them that the champion abstains from, from 0 to 1", "`watch_classifier`"),
    "drift.estimated_accuracy": ("estimated accuracy, from 0 to 1", "`watch_classifier`"),
    "drift.audited_accuracy": ("accuracy of the audited labels, from 0 to 1", "`watch_classifier`"),
    "dead_letters": ("dead letters at present", _STATUS),
    "rejected_rows": ("rejected rows at present", _STATUS),
    "champion.accuracy": (
        "accuracy of the champion on the test split, from 0 to 1",
        _STATUS,
    ),
    "champion.macro_f1": ("its macro-F1, from 0 to 1", _STATUS),
    "labelling.rate": (
        "labels a second in the last 15 minutes, of all workers",
        _LIVE,
    ),
    "backlog.new": ("new and changed articles that wait", _LIVE),
    "backlog.backfill": (
        "articles that a new champion must label again",
        _LIVE,
    ),
    "backlog.unseen": (
        "articles that the backfill has not examined yet, estimated",
        _LIVE,
    ),
}
"""Each metric's meaning with its unit, and what sends it. The names must be those of the source."""


def metrics_page() -> str:
    """Return the page."""
    kinds = dict(_metrics())
    rows = [(f"`{name}`", kinds[name], *MEANINGS[name]) for name in MEANINGS]
    return page("Metrics", INTRODUCTION, table(("name", "kind", "meaning", "sent by"), rows))


def _metrics() -> Iterator[tuple[str, str]]:
    """Yield the name and kind of each metric that the source sends."""
    tree = ast.parse((PLUGIN / "metrics.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    senders = {function.name: kind for function in functions if (kind := _sends(function))}
    constants = _constants()
    for function in functions:
        loops = dict(_loops(function, constants))
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in senders and call.args:
                for name in _names(call.args[0], loops):
                    yield name, senders[call.func.id]


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
