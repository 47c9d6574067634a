"""Run a model on the must-pass examples of its task: with an evaluation, at the gate, and for `classifier examples`.

The gate reads the files when it is applied. An evaluation stores its results with the SHA-256 of all that they depend
on: examples, unreadable rows, thresholds, engine. If it is still the same, the gate takes the stored results; otherwise
it runs the model again. Examples never enter the database: no model is trained or evaluated on them, so an example that
is also a test article leaks nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model, Probabilities, Task, model_input
from classifier.evaluation import examples as example_rules
from classifier.evaluation.examples import ExampleResults
from classifier.exceptions import SourceError
from classifier.inference.engines import EngineName
from classifier.inference.labeller import Labeller
from classifier.pipeline.promotion import example_files
from classifier.pipeline.promotion.example_files import ExampleSet
from classifier.pipeline.promotion.model_files import model_in_use, uses_model
from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.settings import Settings
from classifier.store import category_rows, reviews, task_rows
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

METRIC = "examples"
"""The key of the results in an evaluation's metrics."""


@dataclass(frozen=True, slots=True)
class ExampleReport:
    """A model's results on the must-pass examples of its task, in a folder."""

    model: str
    task: str
    folder: str
    results: ExampleResults


@dataclass(frozen=True, slots=True)
class ExampleOutputs:
    """The examples of a task, and a model's probabilities on them by the engine of that name."""

    example_set: ExampleSet
    probabilities: Probabilities
    engine: EngineName

    def results(self, model: Model) -> ExampleResults:
        """Return the results by the model's thresholds."""
        failures = example_rules.find_failures(model, self.example_set.examples, self.probabilities)
        digest = _sha256(self.example_set, model, self.engine)
        return example_rules.make_results(digest, self.example_set.examples, failures, self.example_set.problems)


@use_case
def check_examples(workspace: Workspace, name: str | None = None, *, engine: EngineName = "auto") -> ExampleReport:
    """Run a model (by default the champion) on the must-pass examples of the task. Nothing is stored.

    Raises:
        SourceError: the folder does not exist.
        ModelNotFoundError: there is no such model.
        NoChampionError: nothing has been promoted yet.
        ArtefactError: its files are not the registered ones.
    """
    folder = workspace.settings.examples_directory
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: folder not found; create it for files of must-pass examples, or name another folder in "
            "CLASSIFIER_EXAMPLES"
        )
    return _check(workspace, name or "champion", folder=folder, engine=engine)


@uses_model
def _check(workspace: Workspace, name: str, *, folder: Path, engine: EngineName) -> ExampleReport:
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        task = task_rows.current(connection)
        example_set = _read(connection, folder, task, model)
    return ExampleReport(model.name, task.name, str(folder), _run(workspace, model, example_set, engine).results(model))


def evaluate_examples(
    workspace: Workspace, model: Model, labeller: Labeller, engine: EngineName
) -> ExampleOutputs | None:
    """Return a model's outputs on the examples of now, to be stored with its evaluation; None without a folder."""
    with workspace.database.connect() as connection:
        example_set = find_examples(connection, workspace.settings, model)
    return None if example_set is None else ExampleOutputs(example_set, _probabilities(labeller, example_set), engine)


def check_for_gate(workspace: Workspace, model: Model, metrics: Mapping[str, Any]) -> ExampleResults | None:
    """Return a candidate's results on the examples of now; None without a folder.

    `metrics` are those of its evaluation. The model runs only if its stored results are outdated.
    """
    with workspace.database.connect() as connection:
        example_set = find_examples(connection, workspace.settings, model)
    if example_set is None:
        return None
    results = stored_results(metrics)
    if results is None or results.sha256 != _sha256(example_set, model, "auto"):
        with model_in_use(workspace, model):
            results = _run(workspace, model, example_set, "auto").results(model)
    log_results(model, results)
    return results


def stored_results(metrics: Mapping[str, Any]) -> ExampleResults | None:
    """Return the results that an evaluation stored, if any."""
    return ExampleResults.from_json(metrics[METRIC]) if metrics.get(METRIC) else None


def log_results(model: Model, results: ExampleResults) -> None:
    """Log every failure and every problem, without the examples' texts."""
    log.info("%s: %s, %d failed", model.name, plural(results.examples, "must-pass example"), results.failed)
    for failure in results.failures:
        log.warning("%s: must-pass example failed: %s: %s", model.name, failure.name, failure.reason)
    for problem in results.problems:
        log.warning("must-pass example cannot be read: %s", problem)


def find_examples(connection: Connection, settings: Settings, model: Model) -> ExampleSet | None:
    """Return the examples of the model's task; None if there is no folder and none is set."""
    folder = settings.examples_directory
    if not folder.is_dir():
        if settings.examples is None:
            return None
        return ExampleSet((), (f"{folder}: folder not found; create it, or change CLASSIFIER_EXAMPLES",))
    return _read(connection, folder, task_rows.current(connection), model)


def _read(connection: Connection, folder: Path, task: Task, model: Model) -> ExampleSet:
    """Return the examples of a task, in the names of today.

    Those that forbid a label which nothing knows are problems, because it is misspelt. So are those of a label that
    was retired or split: no later model knows it.
    """
    example_set = example_files.read_examples(folder, task, task_rows.list_tasks(connection))
    present = category_rows.taxonomy(connection)
    names = {name for example in example_set.examples for name in example.forbidden}
    known_categories = (
        {*model.categories, *model.present_categories, *reviews.known_categories(connection, sorted(names))}
        if names
        else set()
    )
    kept, problems = [], list(example_set.problems)
    for example in example_set.examples:
        where = f"{example.file}, {example.position}"
        reasons = map(present.closed_reason, (*(example.expected or ()), *example.forbidden))
        if closed := next(filter(None, reasons), None):
            problems.append(f"{where}: {closed}")
        elif unknown := [name for name in example.forbidden if name not in known_categories]:
            problems.append(f"{where}: not_label {unknown[0]!r} is no category of the task {task.name}; correct it")
        else:
            expected = None if example.expected is None else present.present_set(example.expected)
            # a forbidden category that was merged with an expected one is no longer told from it
            forbidden = tuple(name for name in present.present_set(example.forbidden) if name not in (expected or ()))
            kept.append(replace(example, expected=expected, forbidden=forbidden))
    return ExampleSet(tuple(kept), tuple(problems))


def _run(workspace: Workspace, model: Model, example_set: ExampleSet, engine: EngineName) -> ExampleOutputs:
    if not example_set.examples:
        return ExampleOutputs(example_set, _no_probabilities(model.categories), engine)
    labeller = registry.open_classifier(model).labeller(engine, home=workspace.settings.home)
    return ExampleOutputs(example_set, _probabilities(labeller, example_set), engine)


def _probabilities(labeller: Labeller, example_set: ExampleSet) -> Probabilities:
    if not example_set.examples:
        return _no_probabilities(labeller.categories)
    texts = [
        model_input(example.text, example.title, read_title=labeller.read_title) for example in example_set.examples
    ]
    return labeller.probabilities(texts)


def _no_probabilities(categories: Sequence[str]) -> Probabilities:
    import numpy as np

    return np.empty((0, len(categories)), dtype=np.float32)


def _sha256(example_set: ExampleSet, model: Model, engine: EngineName) -> str:
    """Return the hash of all that the results depend on, except the model's files, which never change."""
    return example_set.sha256(
        model.kind, model.present_categories, model.threshold, model.thresholds, model.min_labels, engine
    )
