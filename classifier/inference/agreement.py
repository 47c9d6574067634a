"""Compare the engine that labels with the network that was trained.

The comparison runs when a model is registered: a fixed set of texts goes through the engine and through Keras in
float32. Labels may differ where two categories are almost equally probable, so a few differences are allowed. A broken
graph, or a dtype that is too coarse for the model, is far out of bounds.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import Probabilities, TaskKind
from classifier.exceptions import EngineDisagreesError
from classifier.inference import engines
from classifier.inference.engines import InferenceEngine
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import multi_label, text_chunking
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.foreign_tokenizer import PROBES, Tokenize
from classifier.model.tokenization import Pieces, Tokenization, pad

log = logging.getLogger(__name__)

MAX_TEXTS = 64
"""Texts that are compared. They take seconds, even for DistilBERT-base on two cores."""

MAX_DIFFERING = 0.05
"""Largest share of texts whose label may differ from the reference's; one text always may."""

MAX_DIFFERENCE = 0.2
"""Largest difference of a probability from the reference's."""

SENTENCES = (
    "Shares rose after the company raised its forecast for the year.",
    "The champions won the final by two goals, both in extra time, before a record crowd at home.",
    "Parliament votes tonight.",
    "Wheat exports fell by a tenth in the first quarter; traders blame a late harvest and a strong currency.",
    "A new phone, thinner and dearer than the last one, goes on sale in thirty countries next week.",
    "Critics praised the film's music, its photography and the two young actors, less so its length. " * 8,
)
"""Texts to compare while the database has no articles."""

_BATCH_SIZE = 8
_WIDTH_STEP = 16


@dataclass(frozen=True, slots=True)
class Agreement:
    """How an engine compares with Keras in float32.

    `same_labels` is a share of the texts, and the differences are those of probabilities.
    """

    engine: str
    dtype: str
    texts: int
    same_labels: float
    largest_difference: float
    mean_difference: float

    @property
    def is_within_bounds(self) -> bool:
        """Whether a model with these differences may label."""
        differing = round((1 - self.same_labels) * self.texts)
        # written so that NaN is out of bounds
        return differing <= max(1, MAX_DIFFERING * self.texts) and self.largest_difference <= MAX_DIFFERENCE

    def __str__(self) -> str:
        """Return the comparison as one line."""
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
    agreement = measure_agreement(classifier.engine(), classifier.model, chosen)
    if not agreement.is_within_bounds:
        raise EngineDisagreesError(
            f"{agreement}; at most {MAX_DIFFERING:.0%} of the labels may differ, and probabilities by at most "
            f"{MAX_DIFFERENCE}, so the model is not registered: train it again with a lower learning rate; if that "
            "does not help, report this line"
        )
    log.info("%s", agreement)
    return asdict(agreement)


def check_pieces(tokenization: Tokenization, reference: Tokenize, texts: Sequence[str]) -> None:
    """Raise an error if a text's word pieces differ from those of another tokenizer.

    Raises:
        EngineDisagreesError: they differ.
    """
    pairs = zip(tokenization.pieces(texts), reference(texts), strict=True)
    if differing := sum(list(ours) != theirs for ours, theirs in pairs):
        raise EngineDisagreesError(
            f"tokenizer: {differing} of {len(texts)} texts have other word pieces than in transformers, so the "
            "model is not registered; report this line with the model's tokenizer files"
        )


def choose_texts(texts: Iterable[str], count: int = MAX_TEXTS) -> list[str]:
    """Return `count` of the distinct texts, chosen by their hashes: the choice does not depend on the order."""
    chosen: dict[bytes, str] = {}  # at most 2 * count texts are in memory
    for text in texts:
        chosen[hashlib.sha256(text.encode()).digest()] = text
        if len(chosen) >= 2 * count:
            chosen = dict(sorted(chosen.items())[:count])
    return [text for _, text in sorted(chosen.items())[:count]]


def measure_agreement(engine: InferenceEngine, model: FineTunedModel, texts: Sequence[str]) -> Agreement:
    """Compare an engine that holds a model's weights with Keras in float32."""
    # not an engine of the classifier, which would keep it: the reference is used once
    reference = engines.choose_engine(model, engine="keras", dtype="f32")
    chunks = model.tokenization.chunks(texts)
    outputs = predict_in_order(reference, chunks.pieces, len(model.categories))
    expected = text_chunking.pool(outputs, chunks.owners, chunks.weights, kind=model.kind)
    try:
        actual = Labeller(model.tokenization, engine, model.categories, kind=model.kind).probabilities(texts)
    except FloatingPointError:
        actual = np.full_like(expected, np.nan)
    return compare(engine, actual, expected, kind=model.kind)


def compare(
    engine: InferenceEngine, actual: Probabilities, expected: Probabilities, *, kind: TaskKind = "single"
) -> Agreement:
    """Compare an engine's probabilities with the reference's, both (texts, categories).

    The labels of a multi-label model are those whose probability reaches 0.5: its thresholds are not yet chosen.
    """
    if kind == "multi":
        of_actual, of_expected = (outputs >= multi_label.DEFAULT_THRESHOLD for outputs in (actual, expected))
        same = (of_actual == of_expected).all(axis=1)
    else:
        same = actual.argmax(axis=1) == expected.argmax(axis=1)
    same &= np.isfinite(actual).all(axis=1)
    differences = np.abs(actual - expected)
    return Agreement(
        engine.name,
        engine.dtype,
        len(actual),
        float(same.mean()),
        float(differences.max()),
        float(differences.mean()),
    )


def predict_in_order(engine: InferenceEngine, pieces: Pieces, categories: int) -> Probabilities:
    """Return the probabilities of a few texts, computed in small batches of similar length: (texts, categories)."""
    probabilities = np.empty((len(pieces), categories), dtype=np.float32)
    for rows in _rows_by_length(pieces):
        width = -(-max(len(pieces[row]) for row in rows) // _WIDTH_STEP) * _WIDTH_STEP
        batch = pad([pieces[row] for row in rows], min(width, max(map(len, pieces))))
        probabilities[rows] = engine.probabilities(*batch)
    return probabilities


def _rows_by_length(pieces: Pieces) -> Iterator[list[int]]:
    order = sorted(range(len(pieces)), key=lambda row: len(pieces[row]))
    for start in range(0, len(order), _BATCH_SIZE):
        yield order[start : start + _BATCH_SIZE]
