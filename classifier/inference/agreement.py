"""Does the engine that will label give the answers of the network that was trained?

Asked when a model is registered: a fixed set of texts goes through the engine and through Keras in
float32. A label may differ where two categories are all but equally probable, so a few may; a broken
graph, or a number format that the model does not bear, is far beyond the bounds.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import Probabilities
from classifier.exceptions import EngineDisagreesError
from classifier.inference import engines
from classifier.inference.engines import InferenceEngine
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import text_chunking
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.foreign_tokenizer import PROBES, Tokenize
from classifier.model.tokenization import Pieces, Tokenization, pad

log = logging.getLogger(__name__)

TEXTS = 64
"""Texts that are compared: seconds, also for a DistilBERT of full size on two cores."""

MAX_DIFFERING = 0.05
"""Share of the texts, but at least one text, that may get another label than the reference gives."""

MAX_DIFFERENCE = 0.2
"""How far a probability may be from the reference's."""

SENTENCES = (
    "Shares rose after the company raised its forecast for the year.",
    "The champions won the final by two goals, both in extra time, before a record crowd at home.",
    "Parliament votes tonight.",
    "Wheat exports fell by a tenth in the first quarter; traders blame a late harvest and a strong currency.",
    "A new phone, thinner and dearer than the last one, goes on sale in thirty countries next week.",
    "Critics praised the film's music, its photography and the two young actors, less so its length. " * 8,
)
"""What is compared where there are no articles yet."""

_ROWS = 8


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an engine compares with Keras in float32: the share of same labels, and probabilities' differences."""

    engine: str
    dtype: str
    texts: int
    same_labels: float
    largest_difference: float
    mean_difference: float

    @property
    def is_within_bounds(self) -> bool:
        """Whether such a model may label."""
        differing = round((1 - self.same_labels) * self.texts)
        # written so that a difference that is not a number is out of bounds
        return differing <= max(1, MAX_DIFFERING * self.texts) and self.largest_difference <= MAX_DIFFERENCE

    def __str__(self) -> str:
        """Say it in a line."""
        same = round(self.same_labels * self.texts)
        return (
            f"{self.engine} in {self.dtype}: {same} of {self.texts} labels are those of float32, "
            f"probabilities differ by {self.largest_difference:.4f} at most"
        )


def check_agreement(
    classifier: FineTunedClassifier, texts: Iterable[str], *, reference: Tokenize | None = None
) -> dict[str, Any]:
    """Compare the engine that labels on this machine with Keras in float32, on a fixed choice of the texts.

    `reference` is the tokenizer of an imported model's own library. Its word pieces must equal ours.

    Returns:
        The fields of `Agreement`, for the model's manifest and row.

    Raises:
        EngineDisagreesError: the differences are out of bounds, or a text has other word pieces.
    """
    chosen = choose_texts(texts)
    if reference is not None:
        check_pieces(classifier.model.tokenization, reference, [*chosen, *PROBES])
    agreement = measure(classifier.engine(), classifier.model, chosen)
    if not agreement.is_within_bounds:
        raise EngineDisagreesError(
            f"{agreement}; only {MAX_DIFFERING:.0%} of the labels and probabilities by {MAX_DIFFERENCE} may, so the "
            "model is not registered: train it again with a lower learning rate; if it stays so, report this line"
        )
    log.info("%s", agreement)
    return asdict(agreement)


def check_pieces(tokenization: Tokenization, reference: Tokenize, texts: Sequence[str]) -> None:
    """Compare our word pieces with those of another tokenizer.

    Raises:
        EngineDisagreesError: a text has others.
    """
    pairs = zip(tokenization.pieces(texts), reference(texts), strict=True)
    if differing := sum(list(ours) != theirs for ours, theirs in pairs):
        raise EngineDisagreesError(
            f"tokenizer: {differing} of {len(texts)} texts have other word pieces than transformers gives, so the "
            "model is not registered; report this line with the model's tokenizer files"
        )


def choose_texts(texts: Iterable[str], count: int = TEXTS) -> list[str]:
    """Return `count` of the distinct texts by their hash: the same ones whatever the order."""
    chosen: dict[bytes, str] = {}  # no more than twice as many as are wanted
    for text in texts:
        chosen[hashlib.sha256(text.encode()).digest()] = text
        if len(chosen) >= 2 * count:
            chosen = dict(sorted(chosen.items())[:count])
    return [text for _, text in sorted(chosen.items())[:count]]


def measure(engine: InferenceEngine, model: FineTunedModel, texts: Sequence[str]) -> Agreement:
    """Compare an engine that holds a model's weights with Keras in float32."""
    # built outside the classifier's cache: the reference is needed once
    reference = engines.choose_engine(model, engine="keras", dtype="f32")
    chunks = model.tokenization.chunks(texts)
    outputs = in_order(reference, chunks.pieces, len(model.categories))
    expected = text_chunking.pool(outputs, chunks.owners, chunks.weights)
    try:
        actual = Labeller(model.tokenization, engine, model.categories).probabilities(texts)
    except FloatingPointError:
        actual = np.full_like(expected, np.nan)
    return compare(engine, actual, expected)


def compare(engine: InferenceEngine, found: Probabilities, expected: Probabilities) -> Agreement:
    """Compare an engine's probabilities with the reference's, (texts, categories)."""
    same = (found.argmax(axis=1) == expected.argmax(axis=1)) & np.isfinite(found).all(axis=1)
    differences = np.abs(found - expected)
    return Agreement(
        engine.name,
        engine.dtype,
        len(found),
        float(same.mean()),
        float(differences.max()),
        float(differences.mean()),
    )


def in_order(engine: InferenceEngine, pieces: Pieces, categories: int) -> Probabilities:
    """Return the probabilities of a few texts, in small batches of similar length: (texts, categories)."""
    found = np.empty((len(pieces), categories), dtype=np.float32)
    for rows in _batches(pieces):
        width = -(-max(len(pieces[row]) for row in rows) // 16) * 16
        batch = pad([pieces[row] for row in rows], min(width, max(map(len, pieces))))
        found[rows] = engine.probabilities(*batch)
    return found


def _batches(pieces: Pieces) -> Iterator[list[int]]:
    order = sorted(range(len(pieces)), key=lambda row: len(pieces[row]))
    for start in range(0, len(order), _ROWS):
        yield order[start : start + _ROWS]
