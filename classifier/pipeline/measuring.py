"""What a model answers on the test articles, chunk by chunk, so that an attempt that is killed costs one chunk.

Each chunk's answers are committed by the text's hash as soon as they are there, beside what computed them. The next
attempt takes what it finds, and computes the rest: a text that has changed has another hash, and another engine,
version or number format has answers of its own. Annotations are not looked at: those at the end count. Two evaluations
of one model at once share what either has finished. The rows go in the transaction that stores the evaluation.

The answers of the model's newest evaluation are taken, too. So measuring again, because some annotations came, costs
what is new, and candidate and champion can be measured on the same articles although others come every hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.labelling import cost
from classifier.labelling.pages import Labeller
from classifier.model.checkpoint import EncoderShape
from classifier.store import evaluations
from classifier.store.evaluations import Answer

log = logging.getLogger(__name__)

CHUNK = 512
"""Articles: some minutes where they are long and the machine is slow, and enough for full batches."""

_PACKAGES = ("article-classifier", "openvino", "keras", "tokenizers")


@dataclass(frozen=True, slots=True)
class Measured:
    """Probabilities, (articles, categories), the seconds that they took in all attempts, and each article's GFLOP.

    `engine` names what computed them, and `reused` counts the articles that had been answered before.
    """

    probabilities: Probabilities
    seconds: float
    gflops: NDArray[np.float64]
    engine: str
    reused: int


def measure(
    database: Engine, model: Model, labeller: Labeller, shape: EncoderShape, articles: Sequence[AnnotatedArticle]
) -> Measured:
    """Answer the articles, but for those that the model has answered before with the same engine."""
    engine = _described(labeller)
    probabilities = np.empty((len(articles), len(labeller.categories)), dtype=np.float32)
    gflops, seconds = np.empty(len(articles)), np.empty(len(articles))
    new: set[bytes] = set()
    for start in range(0, len(articles), CHUNK):
        chunk = articles[start : start + CHUNK]
        with database.connect() as connection:
            hashes = {article.id: article.text_hash for article in chunk}
            answers = evaluations.known_answers(connection, model.id, engine, hashes)
        computed = _compute(labeller, shape, [one for one in chunk if one.text_hash not in answers])
        if computed:
            with database.begin() as connection:
                evaluations.add_unfinished_answers(connection, model.id, engine, computed)
        answers |= computed
        new |= computed.keys()
        rows = slice(start, start + len(chunk))
        probabilities[rows] = [answers[one.text_hash].probabilities for one in chunk]
        gflops[rows] = [answers[one.text_hash].gflops for one in chunk]
        seconds[rows] = [answers[one.text_hash].seconds for one in chunk]
    reused = sum(article.text_hash not in new for article in articles)
    log.info("%s: %d of %d articles had been answered before", model.name, reused, len(articles))
    return Measured(probabilities, float(seconds.sum()), gflops, engine, reused)


def _compute(labeller: Labeller, shape: EncoderShape, articles: Sequence[AnnotatedArticle]) -> dict[bytes, Answer]:
    """Answer the articles, each distinct text once."""
    texts = {article.text_hash: article.text for article in articles}
    if not texts:
        return {}
    started = time.perf_counter()
    prepared = labeller.prepare(list(texts.values()))
    probabilities = labeller.run(prepared)
    seconds = (time.perf_counter() - started) / len(texts)
    gflops = cost.gflops(prepared, shape, len(labeller.categories)).tolist()
    rows = zip(texts, probabilities, gflops, strict=True)
    return {text_hash: Answer(row, each, seconds) for text_hash, row, each in rows}


def _described(labeller: Labeller) -> str:
    """Name all that decides the bits of an answer, beside the model's own files."""
    engine = labeller.engine
    versions = " ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return f"{engine.name} {engine.precision}; {engine.device}; {labeller.sizes}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
