"""Why a model gives a text a category: what each of its words adds to the log-odds of the category.

The network's part is measured by hiding words (`classifier.inference.occlusion`), on the engine that labels. The part
of an ensemble's linear classifier is exact (`classifier.model.linear_contributions`).

An ensemble's logits are a * log(p) + b * s, divided by the temperature t, so a score s counts b / t times. The log-odds
of a category of a single-label model depend on the other scores too: they count as much as their categories' share in
the probability that remains. So the linear part explains b / t * (s - mean of the other scores, weighted by that
share). With two categories, this is all of its part in the log-odds; with more, the share itself would change a little
with the words.

Nothing is stored, and no text is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.inference import occlusion
from classifier.inference.labeller import Labeller
from classifier.inference.occlusion import Occluder
from classifier.model import words as words_of_texts
from classifier.model.linear_contributions import Contributions, contributions
from classifier.model.words import Spans

MAX_RUNS = 256
"""Texts with hidden words that are computed for an explanation, however long the text is."""


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
    """What the words of a text add to the log-odds of a category; `log_odds` are those of `probability`.

    Attributes:
        spans: The words, shape (words, 2).
        network: By how much the log-odds fall if the network cannot read the word.
        linear: What the word adds by the linear classifier of an ensemble; None if the network predicts alone.
        constant: What the linear classifier adds for every text: its intercepts.
        is_shared: Whether the network's figure is an equal share of that of a block of words.
        is_read: Whether the network reads the word; it does not if the text is longer than its input.
        runs: Number of texts with hidden words that were computed.
    """

    category: str
    probability: float
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
    labeller: Labeller,
    text: str,
    categories: Sequence[str] | None = None,
    *,
    max_runs: int = MAX_RUNS,
    max_seconds: float | None = None,
) -> list[Explanation]:
    """Return an explanation for each of the categories; by default, for the most probable one.

    Further categories cost no further runs. With `max_seconds`, a slow machine examines a text more coarsely: the
    figures of blocks then depend on its speed, those of single words do not.

    Raises:
        ValueError: a category is not one of the model's.
    """
    spans = words_of_texts.find_words(text)
    occluder = Occluder.of(labeller, text, spans)
    probabilities = occluder.probabilities
    names = labeller.categories
    columns = [int(probabilities.argmax())] if categories is None else [names.index(name) for name in categories]
    if max_seconds is not None:
        max_runs = occluder.runs_within(max_seconds, max_runs)
    hidden = occluder.occlude(len(spans), columns, max_runs=max_runs)
    linear = _linear_part(labeller, text, spans, probabilities, columns)
    log_odds = occlusion.log_odds(probabilities[None], columns, labeller.kind)[0]
    return [
        Explanation(
            names[column],
            float(probabilities[column]),
            float(log_odds[number]),
            spans,
            hidden.falls[:, number],
            None if linear is None else linear.words[:, number],
            0.0 if linear is None else float(linear.constants[number]),
            hidden.is_shared,
            hidden.is_read,
            hidden.runs,
        )
        for number, column in enumerate(columns)
    ]


def _linear_part(
    labeller: Labeller, text: str, spans: Spans, probabilities: Probabilities, columns: Sequence[int]
) -> Contributions | None:
    if labeller.ensemble is None:
        return None
    factor = labeller.ensemble.weights.linear / labeller.temperature
    return contributions(
        labeller.ensemble.linear, text, spans, factor * score_weights(labeller, probabilities, columns)
    )


def score_weights(labeller: Labeller, probabilities: Probabilities, columns: Sequence[int]) -> NDArray[np.float64]:
    """Return how much each category's score counts for the log-odds in each column: (categories, columns)."""
    weights = np.zeros((len(probabilities), len(columns)))
    for number, column in enumerate(columns):
        if labeller.kind == "single":
            others = probabilities.astype(np.float64)
            others[column] = 0
            weights[:, number] = -others / max(others.sum(), np.finfo(np.float64).tiny)
        weights[column, number] = 1
    return weights
