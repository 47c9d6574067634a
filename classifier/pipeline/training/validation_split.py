"""Cut validation articles out of a train split, so that none of them has a near-duplicate that is trained on.

A network remembers what it is trained on. On a near-duplicate of it, the epoch, the temperature and the threshold
would be chosen by memory and not by what holds for new articles.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.training.spooled_articles import SpooledArticles

SHARE = 0.1
"""Of the articles, that validate."""

Membership = tuple[int, bytes, int | None]
"""An article's id, its fingerprint, and a cluster of near-duplicates that it belongs to, if there is one."""


def groups(ids: Sequence[int], memberships: Iterable[Membership]) -> NDArray[np.int64]:
    """Return a number for each article, the same for those that share a text or a cluster, at whatever remove.

    A text in two clusters joins them: so no two groups have a cluster in common.
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
    """Divide the articles by whole groups, in the order of their texts' hashes: the same articles give the same parts.

    The last article of a category stays with the train split. A group that would exceed the share stays, too, unless
    there is no smaller one.
    """
    size = max(1, round(len(articles) * SHARE))
    left = Counter(articles.categories)
    members: dict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(articles)), key=lambda row: (articles.text_hashes[row], articles.ids[row])):
        members[group_of[row]].append(row)

    def may_go(rows: list[int]) -> bool:
        return all(left[name] > count for name, count in Counter(articles.categories[row] for row in rows).items())

    aside: list[int] = []
    for rows in members.values():
        if len(aside) + len(rows) <= size and may_go(rows):
            left.subtract(articles.categories[row] for row in rows)
            aside += rows
    if not aside:
        aside = next((rows for rows in sorted(members.values(), key=len) if may_go(rows)), [])
    chosen = set(aside)
    return (
        articles.take(row for row in range(len(articles)) if row not in chosen),
        articles.take(sorted(chosen)),
    )
