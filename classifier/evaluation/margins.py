"""What the gate demands, each figure with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from classifier.exceptions import SettingsError

Policy = Literal["non-inferior", "superior"]


@dataclass(frozen=True, slots=True)
class Margins:
    """Differences that the gate bears, as shares: 0.01 is one point.

    `non-inferior` asks for proof that a candidate is not worse by more than the margin, since it has seen
    fresher articles than the champion; `superior` asks for proof that it is better.
    """

    policy: Policy = "non-inferior"
    alpha: float = 0.05
    """How often a model that is worse by the margin may get through by luck."""
    macro_f1: float = 0.01
    """A point: readers hardly notice it, and some thousand test articles can tell it (benchmarks/accuracy/gate.py)."""
    accuracy: float = 0.01
    """As above. A candidate fails where it is less accurate by more, and McNemar's test says not by chance."""
    category_f1: float = 0.05
    """Categories are smaller than the whole, so they vary more."""
    slice_accuracy: float = 0.03
    """Slices by source, length and month likewise."""
    enough_rows: int = 50
    """Test articles that a category or a slice needs to be judged: at 50, the margins are about two articles."""
    calibration: float = 0.02
    """Expected calibration error. Readers filter by confidence; two points do not move a threshold of theirs."""
    speed: float = 0.5
    """Loss of speed, told from what is computed: twice the work for an article makes a night's backfill two."""
    baseline: float = 0.02
    """TF-IDF with a linear model is hard to beat; a model clearly behind it is not worth its electricity."""
    floor_macro_f1: float = 0.5
    """A first model has nobody to be compared with: it has at least to be right about most categories."""
    power: float = 0.8
    """How sure the estimate of further annotations makes that they will decide, the usual figure."""
    most_annotations: int = 20_000
    """More than this is not asked for: the candidate is held."""
    resamples: int = 10_000
    """Of the bootstrap: the bound then varies by a hundredth of its distance."""

    def with_changes(self, changes: Mapping[str, Any]) -> Margins:
        """Return these margins with some of another value.

        Raises:
            SettingsError: there is no such margin, or its value is not of its kind.
        """
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise SettingsError(f"gate: no margin {name!r}; they are {', '.join(known)}")
            _check(name, value, known[name])
        return replace(self, **changes)


def _check(name: str, value: Any, present: Any) -> None:
    if name == "policy":
        if value not in get_args(Policy):
            raise SettingsError(f"gate: policy {value!r}: one of {', '.join(get_args(Policy))}")
    elif isinstance(present, int):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SettingsError(f"gate: {name} {value!r}: has to be a whole number from 1")
    elif not isinstance(value, int | float) or isinstance(value, bool) or not -1 <= value <= 1:
        raise SettingsError(f"gate: {name} {value!r}: has to be a number from -1 to 1, 0.01 for one point")
    elif name in {"alpha", "power"} and not 0 < value < 1:
        raise SettingsError(f"gate: {name} {value!r}: has to be between 0 and 1")
