"""Label churn: which labels a promotion would change, measured on a sample that the candidate labels as a trial.

The sample is drawn by random ids, since ORDER BY random() would read every article of the database.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import AnnotatedArticle, Model, join_labels
from classifier.evaluation.metrics import share_interval
from classifier.inference import engines
from classifier.model.decisions import decide_present, names_of
from classifier.pipeline.promotion.model_files import uses_model
from classifier.pipeline.use_case import use_case
from classifier.store import churn_samples, model_rows
from classifier.store.churn_samples import ChurnCandidate
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

SAMPLE = 500
EXAMPLES = 5
OVERSAMPLING = 8
"""Ids drawn for each article of the sample: some are missing, annotated, or not labelled yet."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Labels of the sample that would change from one category to another, with the ids of some articles."""

    before: str
    after: str
    articles: int
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Churn:
    """The labels that would change: `changed` of `sample`, with a 95 % interval of the share.

    `backlog` articles would be labelled again, which takes one worker about `backfill_seconds`. If there is no
    champion, no label would change, and the sample only measures the rate.
    """

    model: str
    champion: str | None
    sample: int
    changed: int
    share: float
    share_interval: tuple[float, float]
    flows: tuple[Flow, ...]
    backlog: int
    articles_per_second: float
    backfill_seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@use_case
@uses_model
def measure_churn(
    workspace: Workspace, name: str | None = None, *, size: int = SAMPLE, engine: engines.EngineName = "auto"
) -> Churn:
    """Label a sample with a model (the newest by default), and compare it with the champion's labels. Store nothing.

    Raises:
        ModelNotFoundError: there is no such model.
        ArtefactError: its files differ from the registered ones.
    """
    with workspace.database.connect() as connection:
        model, champion = registry.find(connection, name), model_rows.champion(connection)
        population = churn_samples.count_to_label(connection)
        drawn = _draw(population, size, seed=model.id)
        rows = _sample(workspace, connection, drawn, champion)
    if len(rows) > size:
        rows = rows.take(_choose(len(rows), size, seed=model.id))
    categories, seconds = _label(model, rows, engine)
    rate = len(rows) / seconds if seconds else 0.0
    before = rows.categories if champion else categories
    changed = sum(old != new for old, new in zip(before, categories, strict=True))
    return Churn(
        model=model.name,
        champion=champion.name if champion else None,
        sample=len(rows),
        changed=changed,
        share=changed / len(rows) if rows else 0.0,
        share_interval=share_interval(changed, len(rows)),
        flows=_flows(rows.ids, before, categories),
        backlog=population.articles,
        articles_per_second=rate,
        backfill_seconds=population.articles / rate if rate else 0.0,
    )


def _draw(population: ChurnCandidate, size: int, *, seed: int) -> list[int]:
    """Return random ids; all ids if there are few."""
    span = population.last - population.first + 1
    if span <= OVERSAMPLING * size:
        return list(range(population.first, population.last + 1))
    drawn = np.random.default_rng(seed).integers(population.first, population.last + 1, size=OVERSAMPLING * size)
    return [int(id_) for id_ in np.unique(drawn)]


def _sample(
    workspace: Workspace, connection: Connection, ids: Sequence[int], champion: Model | None
) -> SpooledArticles:
    """Return the drawn articles that count, with the champion's categories; their texts are in a file."""
    rows = churn_samples.stream_articles(connection, ids, champion.id if champion else None)
    articles = (
        AnnotatedArticle(
            row.id,
            row.text,
            b"",
            (join_labels(sorted(row.labels)) if champion else "",),
            row.title,
        )
        for row in rows
    )
    return spool(articles, workspace.settings.home)


def _choose(count: int, size: int, *, seed: int) -> list[int]:
    chosen = np.random.default_rng(seed).choice(count, size=size, replace=False)
    return [int(index) for index in sorted(chosen)]


def _label(model: Model, articles: SpooledArticles, engine: engines.EngineName) -> tuple[list[str], float]:
    """Return the model's labels of each article, and the seconds that they took without loading it."""
    if not len(articles):
        registry.open_artefact(model)
        return [], 0.0
    labeller = registry.open_classifier(model).labeller(engine)
    started = time.perf_counter()
    decided = decide_present(model, labeller.probabilities(labeller.tokenization.texts(articles)))
    seconds = time.perf_counter() - started
    return [join_labels(sorted(names)) for names in names_of(decided.labels, decided.categories)], seconds


def _flows(ids: Sequence[int], before: Sequence[str], after: Sequence[str]) -> tuple[Flow, ...]:
    """Return the changes, the most frequent first."""
    changes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for article, old, new in zip(ids, before, after, strict=True):
        if old != new:
            changes[old, new].append(article)
    flows = [Flow(old, new, len(articles), tuple(articles[:EXAMPLES])) for (old, new), articles in changes.items()]
    return tuple(sorted(flows, key=lambda flow: (-flow.articles, flow.before, flow.after)))
