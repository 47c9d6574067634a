"""What a search for better hyper-parameters may change, and how far.

Few and each with a reason: a search of some twenty trials cannot tell more apart. Ranges lie around the recipe's
own values, which are the first trial, so that what is found is never worse on the validation split.

    learning rate    decides most; a quarter to four times the recipe's
    epochs           few forget less, many learn more of small categories; half to one and a half times the recipe's
    warm-up          a small share of the steps at most: the rate rises only to keep Adam's first steps short
    weight decay     0.1 is ten times DistilBERT's own
    label smoothing  helps where annotations err; more than 0.15 blurs what is right
    frozen layers    the lower half at most: the upper ones carry what the categories need
    layer decay      1 for all alike; below 0.7 the lowest layers hardly learn
    masking          helped in some trainings at a tenth, and in none at a fifth; none where there is no [MASK]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from classifier.training.recipes import Recipe

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


@dataclass(frozen=True, slots=True)
class Range:
    """The values of a field that are tried, both ends included; `log` draws them evenly by their orders."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> float:
        """Draw a value."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high))
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def space(recipe: Recipe, *, layers: int, has_mask: bool) -> dict[str, Range]:
    """Return the ranges by the recipe's fields; `layers` are the encoder's, and `has_mask` is of its vocabulary."""
    rate, epochs = recipe.learning_rate, recipe.epochs
    found = {
        "learning_rate": Range(rate / 4, min(4 * rate, 0.5), log=True),
        "epochs": Range(-(-epochs // 2), max(epochs + 1, epochs * 3 // 2)),
        "warmup": Range(0.0, max(0.2, recipe.warmup)),
        "weight_decay": Range(0.0, max(0.1, recipe.weight_decay)),
        "label_smoothing": Range(0.0, max(0.15, recipe.label_smoothing)),
        "frozen_layers": Range(0, max(layers // 2, recipe.frozen_layers)),
        "layer_decay": Range(min(0.7, recipe.layer_decay), 1.0),
    }
    return {**found, "masking": Range(0.0, max(0.2, recipe.masking))} if has_mask else found


def own_values(recipe: Recipe, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """Return the recipe's values of what is searched."""
    return {name: getattr(recipe, name) for name in ranges}


def tried(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a trial with these values, to four digits: a file should be pleasant to read."""
    short: dict[str, Any] = {
        name: float(f"{one:.4g}") if isinstance(one, float) else one for name, one in values.items()
    }
    return replace(recipe, name=f"{recipe.name}, tuned", **short)


def reasons(recipe: Recipe, ranges: Mapping[str, Range], name: str) -> dict[str, str]:
    """Say of every field of a found recipe why it has its value; `name` is the recipe that was begun with."""
    found = {field: f"as in {name}" for field in recipe.__dataclass_fields__ if field != "name"}
    return found | {field: f"found between {one.low:g} and {one.high:g}" for field, one in ranges.items()}
