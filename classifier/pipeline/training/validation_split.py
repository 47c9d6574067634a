"""Split validation articles off a train split, so that none of them has a near-duplicate that is trained on.

A network memorises its training articles. On their near-duplicates, the epoch, the temperature and the threshold would
be chosen by memory, and would not generalise to new articles.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from classifier.training.spooled_articles import SpooledArticles

SHARE = 0.1
"""Share of the articles that is used for validation."""

Membership = tuple[int, bytes, int | None]
"""An article's id, its fingerprint, and the cluster of near-duplicates that it belongs to, if any."""


def duplicate_groups(ids: Sequence[int], memberships: Iterable[Membership]) -> NDArray[np.int64]:
    """Return the number of each article's group, shape (articles,).

    Articles that share a text or a cluster, directly or through others, are one group: so no cluster is in two groups.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows = {article: row for row, article in enumerate(ids)}
    keys: dict[bytes | int, int] = {}
    edges = [
        (rows[article], len(rows) + keys.setdefault(key, len(keys)))
        for article, fingerprint, cluster in memberships
        for key in ((fingerprint,) if cluster is None else (fingerprint, cluster))
    ]
    size = len(rows) + len(keys)
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1], dtype=np.int8), (pairs[0], pairs[1])), shape=(size, size))
    labels: NDArray[np.int64] = connected_components(graph, directed=False)[1][: len(rows)]
    return labels


def choose_validation(articles: SpooledArticles, group_of: Sequence[int]) -> tuple[SpooledArticles, SpooledArticles]:
    """Return the articles to train on and those to validate on, without splitting a group.

    Groups are chosen in the order of their texts' hashes, so the same articles give the same parts. The last article of
    a category is trained on. So is a group that would exceed the share, unless there is no smaller group.
    """
    size = max(1, round(len(articles) * SHARE))
    remaining = Counter(chain.from_iterable(articles.label_sets))
    members: dict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(articles)), key=lambda row: (articles.text_hashes[row], articles.ids[row])):
        members[group_of[row]].append(row)

    def is_dispensable(rows: list[int]) -> bool:
        """Return whether every category keeps an article if these are removed."""
        return all(remaining[name] > count for name, count in count_categories(rows).items())

    def count_categories(rows: list[int]) -> Counter[str]:
        """Return how many of these articles have each category."""
        return Counter(chain.from_iterable(articles.label_sets[row] for row in rows))

    validation: list[int] = []
    for rows in members.values():
        if len(validation) + len(rows) <= size and is_dispensable(rows):
            remaining.subtract(count_categories(rows))
            validation += rows
    if not validation:
        validation = next((rows for rows in sorted(members.values(), key=len) if is_dispensable(rows)), [])
    chosen = set(validation)
    return (
        articles.take(row for row in range(len(articles)) if row not in chosen),
        articles.take(sorted(chosen)),
    )
