"""Declare which hyper-parameters a search varies, how far, and why.

They are few, because a search of some twenty trials cannot tell more apart. The recipe's own values are the first
trial, so the result is never worse on the validation split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from classifier.training.recipes import Recipe, hyper_parameters

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True, slots=True)
class SearchRange:
    """The values of a hyper-parameter that are tried, both ends included, and the reason for them.

    If `log` is true, values are drawn evenly on a logarithmic scale.
    """

    low: float
    high: float
    reason: str = ""
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Return a value for the trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high))
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def search_ranges(recipe: Recipe, *, layers: int, has_mask: bool) -> dict[str, SearchRange]:
    """Return the range of each hyper-parameter that is searched, around the recipe's own value.

    Args:
        recipe: The recipe to improve.
        layers: Number of layers of the encoder.
        has_mask: Whether the encoder's vocabulary has [MASK]; if not, masking is not searched.
    """
    rate, epochs = recipe.learning_rate, recipe.epochs
    ranges = {
        "learning_rate": SearchRange(
            rate / 4, min(4 * rate, 0.5), "matters most: a quarter to four times the recipe's", log=True
        ),
        "epochs": SearchRange(
            -(-epochs // 2), max(epochs + 1, epochs * 3 // 2), "more help small categories, fewer overfit less"
        ),
        "warmup": SearchRange(0.0, max(0.2, recipe.warmup), "only has to keep Adam's first steps short"),
        "weight_decay": SearchRange(0.0, max(0.1, recipe.weight_decay), "0.1 is ten times DistilBERT's own"),
        "label_smoothing": SearchRange(
            0.0, max(0.15, recipe.label_smoothing), "helps if annotations have errors; more blurs correct ones"
        ),
        "frozen_layers": SearchRange(
            0, max(layers // 2, recipe.frozen_layers), "the upper half has to adapt to the categories"
        ),
        "layer_decay": SearchRange(
            min(0.7, recipe.layer_decay), 1.0, "below 0.7 the lowest layers hardly change; 1: equal rates"
        ),
    }
    if has_mask:
        ranges["masking"] = SearchRange(0.0, max(0.2, recipe.masking), "0.1 helped in some trainings, 0.2 in none")
    return ranges


def values_of(recipe: Recipe, ranges: Mapping[str, SearchRange]) -> dict[str, Any]:
    """Return the recipe's values of the hyper-parameters that are searched."""
    return {name: getattr(recipe, name) for name in ranges}


def trial_recipe(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a trial with these values, rounded to four digits so that its file reads well."""
    rounded: dict[str, Any] = {
        name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()
    }
    return replace(recipe, name=f"{recipe.name}, tuned", **rounded)


def reasons(ranges: Mapping[str, SearchRange], name: str) -> dict[str, str]:
    """Return a reason for the value of every hyper-parameter; `name` is the recipe that the search started from."""
    unchanged = dict.fromkeys(hyper_parameters.KEYS, f"as in {name}")
    return unchanged | {
        key: f"searched from {searched.low:g} to {searched.high:g}: {searched.reason}"
        for key, searched in ranges.items()
    }
