"""What the gate requires, each figure with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from classifier.exceptions import SettingsError

Policy = Literal["non-inferior", "superior"]

Metric = Literal["macro_f1", "micro_f1"]

METRIC_NAMES: Mapping[Metric, str] = {"macro_f1": "macro-F1", "micro_f1": "micro-F1"}


@dataclass(frozen=True, slots=True)
class Margins:
    """Differences that the gate tolerates, as shares: 0.01 is one percentage point.

    `non-inferior` requires proof that a candidate is not worse by more than the margin, since it was trained on newer
    articles than the champion. `superior` requires proof that it is better.
    """

    policy: Policy = "non-inferior"
    alpha: float = 0.05
    """Largest probability that a model that is worse by the margin passes by chance."""
    macro_f1: float = 0.01
    """One point: users hardly notice it, and a few thousand test articles show it (benchmarks/accuracy/gate.py)."""
    accuracy: float = 0.01
    """As above. A candidate fails if it is less accurate by more, and McNemar's test rules out chance."""
    category_f1: float = 0.05
    """A category has fewer articles than the test split, so its F1 varies more."""
    slice_accuracy: float = 0.03
    """The same holds for slices by source, length and month."""
    min_articles: int = 50
    """Test articles that a category or a slice needs to be judged: at 50, the margins are about two articles."""
    calibration: float = 0.02
    """Expected calibration error. Users filter by confidence; two points do not change which threshold they choose."""
    speed: float = 0.5
    """Loss of speed, by computations: with twice the work for an article, a backfill takes two nights, not one."""
    baseline: float = 0.02
    """A linear model on TF-IDF is hard to beat; a model clearly behind it is not worth its electricity."""
    floor_macro_f1: float = 0.5
    """A first model has no champion to be compared with; it must at least be correct on most categories."""
    failed_examples: int = 0
    """Must-pass examples that may fail. None by default: each was written because its label must never be wrong."""
    power: float = 0.8
    """Probability that the estimated number of further annotations decides; 0.8 is the usual figure."""
    max_annotations: int = 20_000
    """If more annotations than this would be needed, the candidate is held."""
    resamples: int = 10_000
    """Bootstrap resamples: the bound then varies by a hundredth of its distance."""
    metric: Metric = "macro_f1"
    """What decides on a model of a multi-label task, by the same margin and floor: `macro_f1` counts each category the
    same, `micro_f1` each label. For a single-label task macro-F1 decides."""

    @property
    def metric_name(self) -> str:
        """The metric as reports write it."""
        return METRIC_NAMES[self.metric]

    def with_changes(self, changes: Mapping[str, Any]) -> Margins:
        """Return these margins with some values replaced.

        Raises:
            SettingsError: a margin is unknown, or its value is not valid.
        """
        defaults = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in changes.items():
            if name not in defaults:
                raise SettingsError(f"gate: unknown margin {name!r}; choose from {', '.join(defaults)}")
            _check(name, value, defaults[name])
        return replace(self, **changes)


_CHOICES: Mapping[str, tuple[str, ...]] = {"policy": get_args(Policy), "metric": get_args(Metric)}


def _check(name: str, value: Any, default: Any) -> None:
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise SettingsError(f"gate: {name} {value!r}: unknown; choose from {', '.join(_CHOICES[name])}")
    elif isinstance(default, int):
        least = min(1, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise SettingsError(f"gate: {name} {value!r}: must be a whole number from {least}")
    elif not isinstance(value, int | float) or isinstance(value, bool) or not -1 <= value <= 1:
        raise SettingsError(f"gate: {name} {value!r}: must be a number from -1 to 1; one point is 0.01")
    elif name in {"alpha", "power"} and not 0 < value < 1:
        raise SettingsError(f"gate: {name} {value!r}: must be between 0 and 1")
