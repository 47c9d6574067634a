"""Classify single texts with a model, without writing anything.

A person waits for the answer, so this module imports neither the database's libraries nor a deep-learning framework
unless they are needed: most of the time of a short command is spent on imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from classifier.articles import Model, Probabilities, join_labels
from classifier.inference import batch_sizes
from classifier.inference.engines import EngineName
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import artefact, category_tree, decisions, multi_label
from classifier.model.artefact import Artefact

if TYPE_CHECKING:
    from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Classification:
    """The result for one text.

    Attributes:
        label: The label; of a multi-label model, all labels as one text.
        confidence: The probability of the label; of a multi-label model, that its labels are exactly right.
        abstained: Whether the confidence is below the model's threshold; a multi-label model never abstains.
        candidates: The probabilities of all categories, the most probable first.
        labels: The labels of a multi-label model, the most probable first; None of a single-label model.
    """

    label: str
    confidence: float
    abstained: bool
    candidates: dict[str, float]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class TextClassifier:
    """A model that is loaded, with the confidence below which it abstains; None if it never abstains.

    A multi-label model has a threshold for each category instead, and gives each text at least `min_labels` labels.
    `present_names` has the name of today of each category; empty if all are as recorded. Where a parent of a category
    reaches the threshold and the category does not, it is the label; `parents` is empty if the model does not back off.
    """

    model: str
    threshold: float | None
    labeller: Labeller
    thresholds: tuple[float, ...] | None = None
    min_labels: int = 0
    present_names: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of today of each of the model's categories; merged ones have the same name."""
        return self.present_names or self.labeller.categories

    def classify(self, texts: Sequence[str]) -> Iterator[Classification]:
        """Yield the result of each text, in their order."""
        return map(self._describe, self.labeller.probabilities(texts))

    def _describe(self, probabilities: Probabilities) -> Classification:
        categories = tuple(dict.fromkeys(self.names))
        merged = decisions.merge_probabilities(probabilities[None], self.names, self.labeller.kind)[0]
        order = np.argsort(-merged, kind="stable")  # of equal ones the first, as in labelling
        candidates = {categories[index]: float(merged[index]) for index in order}
        if self.thresholds is not None:
            return self._describe_set(probabilities, candidates)
        paths = category_tree.find_paths(probabilities[None], self.names, self.parents)
        (label,), confidence = paths.answer(self.threshold or 0.0)
        abstained = bool(confidence[0] < np.float32(self.threshold or 0.0))
        return Classification(label, float(confidence[0]), abstained, candidates)

    def _describe_set(self, probabilities: Probabilities, candidates: dict[str, float]) -> Classification:
        thresholds = self.thresholds or ()
        assigned = multi_label.assign_labels(probabilities[None], thresholds, min_labels=self.min_labels)
        names = {*decisions.names_of(assigned, self.names)[0]}
        labels = tuple(name for name in candidates if name in names)
        confidence = float(decisions.confidence_of_sets(probabilities[None], assigned)[0])
        return Classification(join_labels(labels), confidence, False, candidates, labels)


def open_directory(directory: Path, *, engine: EngineName, home: Path) -> TextClassifier:
    """Load the model of a directory, with the thresholds of its manifest. No database is needed.

    Raises:
        ArtefactError: the files are missing, or differ from the ones that were written.
        EncoderError: the weights do not fit the model's `config.json`.
    """
    files = artefact.read_artefact(directory)
    threshold = files.calibration.get("threshold", {}).get("value")
    name = str(files.manifest.get("name") or directory.resolve().name)
    opened = _load(name, threshold, files, engine, home)
    if files.kind != "multi":
        return opened
    thresholds = multi_label.from_calibration(files.calibration, len(files.categories))
    least = int(files.calibration.get("thresholds", {}).get("min_labels", 0))
    return replace(opened, thresholds=tuple(round(float(value), 6) for value in thresholds), min_labels=least)


def open_registered(workspace: Workspace, name: str | None, *, engine: EngineName) -> TextClassifier:
    """Load the model of a name; by default the champion. The thresholds are the database's, which may be re-tuned.

    Raises:
        ModelNotFoundError: there is no such model, or it was pruned.
        NoChampionError: nothing has been promoted yet.
        ArtefactError: its files are not the registered ones.
    """
    from classifier import registry
    from classifier.pipeline.use_case import use_case

    @use_case
    def find(workspace: Workspace) -> tuple[Model, Artefact]:
        with workspace.database.connect() as connection:
            model = registry.find(connection, name or "champion")
        return model, registry.open_artefact(model)

    return open_model(*find(workspace), engine=engine, home=workspace.settings.home)


def open_model(model: Model, files: Artefact, *, engine: EngineName, home: Path) -> TextClassifier:
    """Load a registered model from its files, with the thresholds of its row."""
    opened = _load(model.name, model.threshold, files, engine, home)
    return replace(
        opened,
        thresholds=decisions.thresholds_of(model),
        min_labels=model.min_labels,
        present_names=model.present_names,
        parents=model.parents,
    )


def _load(name: str, threshold: float | None, files: Artefact, engine: EngineName, home: Path) -> TextClassifier:
    labeller = FineTunedClassifier(files.load()).labeller(engine)
    kept = batch_sizes.read_kept(home, labeller.engine, labeller.widths)  # then the bits are those of labelling
    return TextClassifier(name, threshold, replace(labeller, sizes=kept) if kept else labeller)
