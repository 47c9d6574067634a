"""Must-pass examples: texts of a user's own with the labels that a model must give them, or must not give them.

A model fails an example of a single-label task if its label is not the expected one, if it abstains from that label, or
if it gives a forbidden label, which is shown even if it abstains. In a multi-label task it must give every expected
label and no forbidden one; it may give others. A label that the model cannot predict fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import Model, Probabilities, join_labels
from classifier.model.decisions import decide_present, names_of

MAX_FAILURES = 200
"""Failed examples that are stored with an evaluation or a decision; all are counted."""

MAX_PROBLEMS = 20
"""Problems of files that are stored; all are counted."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text with the labels that it must get and the labels that it must not get.

    `file` is relative to the folder of the examples, and `position` is where the row is in it. `expected` is None if
    only forbidden labels are named, and empty if a multi-label model must give no label.
    """

    file: str
    position: str
    name: str
    text: str
    title: str | None
    expected: tuple[str, ...] | None
    forbidden: tuple[str, ...] = ()

    @property
    def shown_name(self) -> str:
        """The example's name or, if it has none, its file and position."""
        return self.name or f"{self.file}, {self.position}"


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example that a model fails; never its text.

    `assigned` are the model's labels; it may have `abstained` from its only one. `probabilities` has those of the
    assigned and expected labels that the model knows.
    """

    name: str
    file: str
    position: str
    expected: tuple[str, ...] | None
    forbidden: tuple[str, ...]
    assigned: tuple[str, ...]
    abstained: bool
    probabilities: Mapping[str, float]
    reason: str


@dataclass(frozen=True, slots=True)
class ExampleResults:
    """How a model did on the examples of its task.

    `sha256` identifies everything that the results depend on except the model's files. `problems` are rows and files
    that could not be read. `failed` and `invalid` count failures and problems; the most that are kept is limited.
    """

    sha256: str
    examples: int
    failed: int
    failures: tuple[ExampleFailure, ...]
    invalid: int = 0
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ExampleResults:
        """Return the results that `as_json` wrote."""
        failures = tuple(_failure_from_json(failure) for failure in values["failures"])
        return cls(**{**values, "failures": failures, "problems": tuple(values["problems"])})


def _failure_from_json(values: Mapping[str, Any]) -> ExampleFailure:
    expected = None if values["expected"] is None else tuple(values["expected"])
    lists = {"expected": expected, "forbidden": tuple(values["forbidden"]), "assigned": tuple(values["assigned"])}
    return ExampleFailure(**{**values, **lists})


def find_failures(model: Model, examples: Sequence[Example], probabilities: Probabilities) -> list[ExampleFailure]:
    """Return the examples that a model fails; `probabilities` are its own, shape (examples, categories).

    The examples have the names of today.
    """
    if not examples:
        return []
    decided = decide_present(model, probabilities)
    labels = names_of(decided.labels, decided.categories)
    by_name = [dict(zip(decided.categories, map(float, row), strict=True)) for row in decided.probabilities]
    failures = (
        _check(model, example, assigned, outputs, float(confidence))
        for example, assigned, outputs, confidence in zip(examples, labels, by_name, decided.confidence, strict=True)
    )
    return [failure for failure in failures if failure is not None]


def _check(
    model: Model, example: Example, labels: tuple[str, ...], outputs: Mapping[str, float], confidence: float
) -> ExampleFailure | None:
    threshold = model.threshold if model.kind == "single" else None
    abstains = threshold is not None and confidence < float(np.float32(threshold))  # as the database compares them
    expected = example.expected or ()
    missing = [name for name in expected if abstains or name not in labels]
    wrong = [name for name in labels if name in example.forbidden or example.expected == ()]
    if not missing and not wrong:
        return None
    concerned = dict.fromkeys([*labels, *expected])
    shown = {name: outputs[name] for name in concerned if name in outputs}
    unknown = [name for name in missing if name not in outputs]
    reason = _describe(example, labels, shown, abstains=abstains, unknown=unknown)
    asked = (example.shown_name, example.file, example.position, example.expected, example.forbidden)
    return ExampleFailure(*asked, labels, abstains, shown, reason)


def _describe(
    example: Example, labels: Sequence[str], shown: Mapping[str, float], *, abstains: bool, unknown: Sequence[str]
) -> str:
    """Return what was expected and what was given, with the probabilities."""

    def named(names: Sequence[str]) -> str:
        return join_labels([f"{name} {shown[name]:.4f}" if name in shown else name for name in names])

    parts = []
    if example.expected is not None:
        parts.append(f"expected {named(example.expected)}")
    if example.forbidden:
        parts.append(f"not {named(example.forbidden)}")
    parts.append(f"given {named(labels)}, but abstains" if abstains else f"given {named(labels)}")
    if unknown:
        parts.append(f"the model does not know {', '.join(unknown)}, because it was not trained on it")
    return "; ".join(parts)


def make_results(
    sha256: str, examples: Sequence[Example], failures: Sequence[ExampleFailure], problems: Sequence[str]
) -> ExampleResults:
    """Return results with as many failures and problems as are kept."""
    return ExampleResults(
        sha256,
        len(examples),
        len(failures),
        tuple(failures[:MAX_FAILURES]),
        len(problems),
        tuple(problems[:MAX_PROBLEMS]),
    )
