"""Report how the articles divide into splits, and whether any article is both trained on and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.articles import SPLITS, Split
from classifier.ingest import minhash_bands
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.splits import Proportions
from classifier.pipeline.training import training_data
from classifier.pipeline.use_case import use_case
from classifier.store import annotated_articles, task_rows
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

_BATCH_SIZE = 64
"""Texts in memory at a time."""


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """A category's articles by split; `category` is None for articles without an annotation.

    It is "" for articles that were annotated with none of a multi-label task's categories.
    `deviation` is each split's share minus its target share: 0.02 is two percentage points too many.
    """

    category: str | None
    articles: dict[Split, int]
    deviation: dict[Split, float]


@dataclass(frozen=True, slots=True)
class SplitsReport:
    """The sizes of all articles and of each category of a task, and the near-duplicates across splits.

    An article of a multi-label task counts for each of its categories, and once in `total`.

    `left_out` counts the annotated articles that are not read with their split, because they repeat or nearly repeat an
    article of a more guarded split. `near_duplicates_across` counts those that are read all the same; it must be 0. It
    is computed from the texts that training and evaluation read, not from the clusters in the database.
    """

    task: str
    total: SplitSizes
    categories: tuple[SplitSizes, ...]
    target: dict[Split, float]
    left_out: dict[Split, int]
    near_duplicates_across: int


@use_case
def report_splits(workspace: Workspace, proportions: Proportions | None = None) -> SplitsReport:
    """Return the sizes of the splits, compared with the target proportions.

    It reads every annotated text, and takes about as long as their ingest.
    """
    target = dict(zip(SPLITS, (proportions or Proportions()).shares, strict=True))
    with workspace.database.connect() as connection:
        counts = annotated_articles.count_by_category_and_split(connection)
        totals = {**dict.fromkeys(SPLITS, (0, 0)), **annotated_articles.count_by_split(connection)}
    left_out, across = _count_near_duplicates(workspace, {split: totals[split][1] for split in SPLITS})
    names = sorted({category for category, _ in counts}, key=lambda name: (name is None, name or ""))
    by_category = {name: {split: counts.get((name, split), 0) for split in SPLITS} for name in names}
    return SplitsReport(
        task=workspace.task.name,
        total=_sizes(None, {split: totals[split][0] for split in SPLITS}, target),
        categories=tuple(_sizes(category, sizes, target) for category, sizes in by_category.items()),
        target=target,
        left_out=left_out,
        near_duplicates_across=across,
    )


@use_case
def report_splits_of_tasks(workspace: Workspace, proportions: Proportions | None = None) -> Iterator[SplitsReport]:
    """Return the report of the task that was named, else one of each task that is not archived.

    Articles and splits are shared, but each task reads the articles that are annotated for it.
    """
    if workspace.choice.name is not None:
        return iter([report_splits(workspace, proportions)])
    with workspace.database.connect() as connection:
        tasks = task_rows.active(connection)
    return (report_splits(workspace.with_task(task.id), proportions) for task in tasks)


def _sizes(category: str | None, articles: dict[Split, int], target: Mapping[Split, float]) -> SplitSizes:
    total = sum(articles.values())
    deviation = {split: round(articles[split] / total - target[split], 4) if total else 0.0 for split in SPLITS}
    return SplitSizes(category, articles, deviation)


def _count_near_duplicates(workspace: Workspace, annotated: dict[Split, int]) -> tuple[dict[Split, int], int]:
    """Return how many annotated articles are left out of each split, and how many should be left out but are not."""
    left_out = {**annotated}
    across, guarded_bands, guarded_texts = 0, np.zeros(0, np.int64), set[bytes]()
    for articles in _read_splits(workspace, left_out):
        bands, fingerprints = _compute_identities(articles)
        is_repeated = np.array([digest in guarded_texts for digest in fingerprints], np.bool_)
        across += int((is_repeated | np.isin(bands, guarded_bands).any(axis=1)).sum())
        guarded_bands = np.union1d(guarded_bands, bands)
        guarded_texts.update(fingerprints)
    return left_out, across


def _read_splits(workspace: Workspace, left_out: dict[Split, int]) -> list[SpooledArticles]:
    """Return the test, validation and training articles, and subtract them from the counts of their splits."""
    with workspace.database.connect() as connection:
        test = spool(annotated_articles.stream_split(connection, "test"), workspace.settings.home)
    parts = training_data.split_training_data(workspace)
    left_out["test"] -= len(test)
    left_out["train"] -= len(parts.train)
    left_out["train" if parts.cut else "validation"] -= len(parts.validation)
    return [test, parts.validation, parts.train]


def _compute_identities(articles: SpooledArticles) -> tuple[minhash_bands.Bands, list[bytes]]:
    """Return the articles' bands and fingerprints. A text too short for bands has its fingerprint as its bands."""
    batches = [
        _compute_batch([article.text for article in articles[start : start + _BATCH_SIZE]])
        for start in range(0, len(articles), _BATCH_SIZE)
    ]
    bands = [np.zeros((0, minhash_bands.BANDS), np.int64), *(bands for bands, _ in batches)]
    return np.concatenate(bands), [digest for _, fingerprints in batches for digest in fingerprints]


def _compute_batch(texts: Sequence[str]) -> tuple[minhash_bands.Bands, list[bytes]]:
    bands, has_bands = minhash_bands.compute_bands(texts)
    fingerprints = [fingerprint(text) for text in texts]
    own = np.array([int.from_bytes(digest[:8], "big", signed=True) for digest in fingerprints], np.int64)
    bands[~has_bands] = own[~has_bands, np.newaxis]
    return bands, fingerprints
