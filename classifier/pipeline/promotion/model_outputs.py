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
from collections.abc import Container, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from classifier.articles import AnnotatedArticle, Model, Probabilities
from classifier.inference import compute_cost
from classifier.inference.labeller import PAGE_CHARACTERS, TEXT_OVERHEAD, Labeller
from classifier.model.text_slices import slice_texts
from classifier.store import evaluations
from classifier.store.evaluations import ArticlePrediction
from classifier.training.spooled_articles import facts

log = logging.getLogger(__name__)

CHUNK = 512
"""Articles: some minutes where they are long and the machine is slow, and enough for full batches."""

_PACKAGES = ("article-classifier", "openvino", "keras", "tokenizers")


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Probabilities, (articles, categories), the seconds that they took in all attempts, and each article's GFLOP.

    `engine` names what computed them, and `reused` counts the articles that had been answered before.
    """

    probabilities: Probabilities
    seconds: float
    gflops: NDArray[np.float64]
    engine: str
    reused: int


def compute_outputs(
    database: Engine, model: Model, labeller: Labeller, articles: Sequence[AnnotatedArticle]
) -> ModelOutputs:
    """Answer the articles, but for those that the model has answered before with the same engine."""
    engine = _described(labeller)
    probabilities = np.empty((len(articles), len(labeller.categories)), dtype=np.float32)
    gflops, seconds = np.empty(len(articles)), np.empty(len(articles))
    new: set[bytes] = set()
    for start in range(0, len(articles), CHUNK):
        chunk = articles[start : start + CHUNK]
        hashes = {article_id: text_hash for article_id, text_hash, _ in facts(chunk)}
        with database.connect() as connection:
            answers = evaluations.stored_outputs(connection, model.id, engine, hashes)
        computed = _compute(labeller, chunk, answers.keys())
        if computed:
            with database.begin() as connection:
                evaluations.add_partial_outputs(connection, model.id, engine, computed)
        answers |= computed
        new |= computed.keys()
        rows = slice(start, start + len(chunk))
        found = [answers[text_hash] for text_hash in hashes.values()]
        probabilities[rows] = [answer.probabilities for answer in found]
        gflops[rows] = [answer.gflops for answer in found]
        seconds[rows] = [answer.seconds for answer in found]
    reused = sum(text_hash not in new for _, text_hash, _ in facts(articles))
    log.info("%s: %d of %d articles had been answered before", model.name, reused, len(articles))
    return ModelOutputs(probabilities, float(seconds.sum()), gflops, engine, reused)


def _compute(
    labeller: Labeller, articles: Sequence[AnnotatedArticle], known: Container[bytes]
) -> dict[bytes, ArticlePrediction]:
    """Answer the articles whose texts are not known, each distinct text once; few texts are in memory at a time."""
    places = {text_hash: place for place, (_, text_hash, _) in enumerate(facts(articles)) if text_hash not in known}
    texts = (articles[place].text for place in places.values())
    hashes, answers = iter(places), dict[bytes, ArticlePrediction]()
    for some in slice_texts(texts, PAGE_CHARACTERS, overhead=TEXT_OVERHEAD):
        started = time.perf_counter()
        prepared = labeller.prepare(some)
        probabilities = labeller.run(prepared)
        seconds = (time.perf_counter() - started) / len(some)
        gflops = compute_cost.gflops(prepared, labeller.engine.shape, len(labeller.categories)).tolist()
        answers |= {
            next(hashes): ArticlePrediction(row, each, seconds) for row, each in zip(probabilities, gflops, strict=True)
        }
    return answers


def _described(labeller: Labeller) -> str:
    """Name all that decides the bits of an answer, beside the model's own files."""
    versions = " ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return f"{labeller.engine_name}; {labeller.engine.device}; {labeller.sizes}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
