"""Compute a model's outputs on the test articles in chunks, so that a killed attempt loses at most one chunk.

The outputs of each chunk are committed by text hash as soon as the chunk is computed, with the engine that computed
them. The next attempt reuses them and computes the rest: a changed text has a new hash, and each engine, version or
dtype has outputs of its own. Annotations do not matter here; those at the end of the evaluation count. Two simultaneous
evaluations of one model share their outputs. The transaction that stores the evaluation deletes these rows.

The outputs of the model's newest evaluation are reused too. So an evaluation after a few new annotations computes only
the new articles, and candidate and champion can be evaluated on the same articles although others arrive every hour.
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
"""Articles in a chunk: enough for full batches, and at most a few minutes of long articles on a slow machine."""

_PACKAGES = ("article-classifier", "openvino", "keras", "tokenizers")


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Probabilities, shape (articles, categories), their seconds over all attempts, and each article's GFLOP.

    `engine` describes the engine that computed them; `reused` is the number of articles computed before.
    """

    probabilities: Probabilities
    seconds: float
    gflops: NDArray[np.float64]
    engine: str
    reused: int


def compute_outputs(
    database: Engine, model: Model, labeller: Labeller, articles: Sequence[AnnotatedArticle]
) -> ModelOutputs:
    """Return the outputs on the articles; reuse those that the model has computed before with the same engine."""
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
        outputs = [answers[text_hash] for text_hash in hashes.values()]
        probabilities[rows] = [output.probabilities for output in outputs]
        gflops[rows] = [output.gflops for output in outputs]
        seconds[rows] = [output.seconds for output in outputs]
    reused = sum(text_hash not in new for _, text_hash, _ in facts(articles))
    log.info("%s: outputs of %d of %d articles were reused", model.name, reused, len(articles))
    return ModelOutputs(probabilities, float(seconds.sum()), gflops, engine, reused)


def _compute(
    labeller: Labeller, articles: Sequence[AnnotatedArticle], stored_hashes: Container[bytes]
) -> dict[bytes, ArticlePrediction]:
    """Return the outputs on the texts that have none stored, each distinct text once; few are in memory at a time."""
    rows = {text_hash: row for row, (_, text_hash, _) in enumerate(facts(articles)) if text_hash not in stored_hashes}
    texts = (text for row in rows.values() for text in labeller.tokenization.texts([articles[row]]))
    hashes, answers = iter(rows), dict[bytes, ArticlePrediction]()
    for text_slice in slice_texts(texts, PAGE_CHARACTERS, overhead=TEXT_OVERHEAD):
        started = time.perf_counter()
        prepared = labeller.prepare(text_slice)
        probabilities = labeller.run(prepared)
        seconds = (time.perf_counter() - started) / len(text_slice)
        gflops = compute_cost.gflops(prepared, labeller.engine.shape, len(labeller.categories)).tolist()
        answers |= {
            next(hashes): ArticlePrediction(row, cost, seconds) for row, cost in zip(probabilities, gflops, strict=True)
        }
    return answers


def _described(labeller: Labeller) -> str:
    """Return everything that determines the bits of an output, except the model's own files."""
    versions = " ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return f"{labeller.engine_name}; {labeller.engine.device}; {labeller.sizes}; {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
