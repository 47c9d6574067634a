"""Say how the articles lie in the splits, and whether anything is tested on that is also trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.articles import SPLITS, Split
from classifier.ingest import minhash_bands
from classifier.ingest.fingerprints import fingerprint
from classifier.ingest.splits import Proportions
from classifier.pipeline.training import training_data
from classifier.pipeline.use_case import use_case
from classifier.store import reads
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

_TEXTS = 64  # in memory at a time


@dataclass(frozen=True, slots=True)
class SplitSizes:
    """A category's articles by split; `category` is None for those without an annotation.

    `drift` is each split's share less the share that is aimed at: 0.02 is two points too many.
    """

    category: str | None
    articles: dict[Split, int]
    drift: dict[Split, float]


@dataclass(frozen=True, slots=True)
class SplitsReport:
    """Sizes of all articles and of each category, and what near-duplicates do.

    `left_out` counts annotated articles that are not read with their split, as they repeat or nearly
    repeat an article of a more guarded one. `near_duplicates_across` counts those that are read although
    they do: it is found from the texts that training and evaluation read, of which some of the train split validate
    where the validation split has none, and not from what the database says of them. It must be 0.
    """

    total: SplitSizes
    categories: tuple[SplitSizes, ...]
    aim: dict[Split, float]
    left_out: dict[Split, int]
    near_duplicates_across: int


@use_case
def report_splits(workspace: Workspace, proportions: Proportions | None = None) -> SplitsReport:
    """Report on the splits, against the proportions that are aimed at.

    It reads every annotated text, and takes about as long as their ingest did.
    """
    aim = dict(zip(SPLITS, (proportions or Proportions()).shares, strict=True))
    with workspace.database.connect() as connection:
        counts = reads.sizes_by_category(connection)
    left_out, across = _near_duplicates(workspace, counts)
    categories = sorted({category for category, _ in counts}, key=lambda one: (one is None, one or ""))
    by_category = {one: {split: counts.get((one, split), 0) for split in SPLITS} for one in categories}
    total = {split: sum(sizes[split] for sizes in by_category.values()) for split in SPLITS}
    return SplitsReport(
        total=_sizes(None, total, aim),
        categories=tuple(_sizes(category, sizes, aim) for category, sizes in by_category.items()),
        aim=aim,
        left_out=left_out,
        near_duplicates_across=across,
    )


def _sizes(category: str | None, articles: dict[Split, int], aim: Mapping[Split, float]) -> SplitSizes:
    total = sum(articles.values())
    drift = {split: round(articles[split] / total - aim[split], 4) if total else 0.0 for split in SPLITS}
    return SplitSizes(category, articles, drift)


def _near_duplicates(
    workspace: Workspace, counts: Mapping[tuple[str | None, Split], int]
) -> tuple[dict[Split, int], int]:
    """Return how many annotated articles are left out of each split, and how many should be and are not."""
    left_out: dict[Split, int] = dict.fromkeys(SPLITS, 0)
    for (category, split), count in counts.items():
        left_out[split] += count if category is not None else 0
    across, guarded_bands, guarded_texts = 0, np.zeros(0, np.int64), set[bytes]()
    for articles in _read(workspace, left_out):
        bands, prints = _identity(articles)
        repeated = np.array([one in guarded_texts for one in prints], np.bool_)
        across += int((repeated | np.isin(bands, guarded_bands).any(axis=1)).sum())
        guarded_bands = np.union1d(guarded_bands, bands)
        guarded_texts.update(prints)
    return left_out, across


def _read(workspace: Workspace, left_out: dict[Split, int]) -> list[SpooledArticles]:
    """Return what is tested on, validated on and trained on; take what is read off its split's count."""
    with workspace.database.connect() as connection:
        test = spool(reads.stream_annotated_articles(connection, "test"), workspace.settings.home)
    parts = training_data.split_training_data(workspace)
    left_out["test"] -= len(test)
    left_out["train"] -= len(parts.train)
    left_out["train" if parts.cut else "validation"] -= len(parts.validation)
    return [test, parts.validation, parts.train]


def _identity(articles: SpooledArticles) -> tuple[minhash_bands.Bands, list[bytes]]:
    """Return the articles' bands and fingerprints; a text too short for bands has its fingerprint alone."""
    found = [_identity_of([article.text for article in articles[start : start + _TEXTS]])
             for start in range(0, len(articles), _TEXTS)]  # fmt: skip
    bands = [np.zeros((0, minhash_bands.BANDS), np.int64), *(bands for bands, _ in found)]
    return np.concatenate(bands), [one for _, prints in found for one in prints]


def _identity_of(texts: Sequence[str]) -> tuple[minhash_bands.Bands, list[bytes]]:
    bands, found = minhash_bands.compute_bands(texts)
    prints = [fingerprint(text) for text in texts]
    own = np.array([int.from_bytes(one[:8], "big", signed=True) for one in prints], np.int64)
    bands[~found] = own[~found, np.newaxis]
    return bands, prints
