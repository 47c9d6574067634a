"""Why a model gives a text a category: what each of its words adds to the log-odds of the category.

The network's part is measured by hiding words (`classifier.inference.occlusion`), on the engine that labels. The part
of an ensemble's linear classifier is exact (`classifier.model.linear_contributions`).

An ensemble's logits are a * log(p) + b * s, divided by the temperature t, so a score s counts b / t times. The log-odds
of a category of a single-label model depend on the other scores too: they count as much as their categories' share in
the probability that remains. So the linear part explains b / t * (s - mean of the other scores, weighted by that
share). With two categories, this is all of its part in the log-odds; with more, the share itself would change a little
with the words.

If categories of a single-label model were merged, p is the sum of their probabilities, and s the mean of their scores,
weighted by their share in p: none of them is an opponent of another.

Nothing is stored, and no text is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities, TaskKind
from classifier.inference import occlusion
from classifier.inference.occlusion import Group, Occluder
from classifier.model.linear_contributions import Contributions, contributions
from classifier.model.words import Spans

MAX_RUNS = 256
"""Most masked copies of a text that are computed for one explanation."""

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the text, from character `start` to before `end`, and what it adds to the log-odds of a category.

    `is_shared` says that the network's part is an equal share of that of a block of words.
    """

    start: int
    end: int
    contribution: float
    network: float
    linear: float
    is_shared: bool


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What the words of a text add to the log-odds of a category, which are `log_odds` for the complete text.

    Attributes:
        spans: The words, shape (words, 2).
        network: By how much the log-odds fall if the network cannot read the word.
        linear: What the word adds by the linear classifier of an ensemble; None if the network predicts alone.
        constant: What the linear classifier adds for every text: its intercepts.
        is_shared: Whether the network's figure is an equal share of that of a block of words.
        is_read: Whether the network reads the word; it does not if the text is longer than its input.
        runs: Number of texts with hidden words that were computed.
    """

    log_odds: float
    spans: Spans
    network: NDArray[np.float64]
    linear: NDArray[np.float64] | None
    constant: float
    is_shared: NDArray[np.bool_]
    is_read: NDArray[np.bool_]
    runs: int

    @property
    def contributions(self) -> NDArray[np.float64]:
        """What each word adds by both members."""
        return self.network if self.linear is None else self.network + self.linear

    def words(self) -> list[Word]:
        """Return the words that add something, in the text's order."""
        added = self.contributions
        linear = np.zeros(len(added)) if self.linear is None else self.linear
        return [
            Word(
                int(self.spans[index, 0]),
                int(self.spans[index, 1]),
                float(added[index]),
                float(self.network[index]),
                float(linear[index]),
                bool(self.is_shared[index]),
            )
            for index in np.flatnonzero(added)
        ]


def explain(
    occluder: Occluder, groups: Sequence[Group], *, max_runs: int = MAX_RUNS, max_seconds: float | None = None
) -> list[Explanation]:
    """Return an explanation for each of the categories, given as the model's columns.

    Further categories cost no further runs. With `max_seconds`, a slow machine examines a text more coarsely: the
    figures of blocks then depend on its speed, those of single words do not.
    """
    if max_seconds is not None:
        max_runs = occluder.runs_within(max_seconds, max_runs)
    hidden = occluder.occlude(groups, max_runs=max_runs)
    linear = _linear_part(occluder, groups)
    log_odds = occlusion.log_odds(occluder.probabilities[None], groups, occluder.labeller.kind)[0]
    return [
        Explanation(
            float(log_odds[number]),
            occluder.spans,
            hidden.falls[:, number],
            None if linear is None else linear.words[:, number],
            0.0 if linear is None else float(linear.constants[number]),
            hidden.is_shared,
            hidden.is_read,
            hidden.runs,
        )
        for number in range(len(groups))
    ]


def _linear_part(occluder: Occluder, groups: Sequence[Group]) -> Contributions | None:
    labeller = occluder.labeller
    if labeller.ensemble is None:
        return None
    factor = labeller.ensemble.weights.linear / labeller.temperature
    weights = factor * score_weights(labeller.kind, occluder.probabilities, groups)
    return contributions(labeller.ensemble.linear, occluder.text, occluder.spans, weights)


def score_weights(kind: TaskKind, probabilities: Probabilities, groups: Sequence[Group]) -> NDArray[np.float64]:
    """Return how much each category's score counts for the log-odds of each group: (categories, groups).

    If a single-label model has no category outside a group, the group's log-odds depend on no score.
    """
    weights = np.zeros((len(probabilities), len(groups)))
    for number, group in enumerate(groups):
        columns = list(group)
        if kind == "multi":
            weights[columns, number] = 1
            continue
        others = probabilities.astype(np.float64)
        own, others[columns] = others[columns], 0
        if len(columns) < len(others):
            weights[:, number] = -others / max(others.sum(), _TINY)
            weights[columns, number] = own / own.sum() if own.any() else 1 / len(columns)
    return weights
