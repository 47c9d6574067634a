"""Assign new texts to clusters of near-duplicates, one after the other, and choose the splits of new clusters.

A text that shares no band with an earlier text starts a cluster, whose split is chosen once. A text that shares a band
with one cluster joins it. A text that shares bands with several clusters is a *bridge*: it belongs to all of them and
takes the least guarded of their splits. So a reader of a split can leave out the bridge, and no other article.

The order of the texts matters if there are near-duplicates, because the first text decides. The division into batches
does not matter, because the texts of a batch are assigned one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from classifier.articles import SPLITS, Split


@dataclass(frozen=True, slots=True)
class NewText:
    """A text that has no split yet. `requested_split` is the split of its source or its article, if any."""

    fingerprint: bytes
    bands: tuple[int, ...]
    requested_split: Split | None


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """A text with the cluster that gave it its split."""

    fingerprint: bytes
    split: Split
    cluster_id: int


@dataclass(frozen=True, slots=True)
class ClusterAssignments:
    """The rows to write. `clusters` and `bands` are new ones; `bridges` are further clusters of texts."""

    members: list[ClusterMember] = field(default_factory=list)
    clusters: dict[int, Split] = field(default_factory=dict)
    bridges: list[tuple[bytes, int]] = field(default_factory=list)
    bands: dict[int, int] = field(default_factory=dict)


def assign_clusters(
    texts: Iterable[NewText],
    stored_bands: Mapping[int, int],
    stored_splits: Mapping[int, Split],
    choose_split: Callable[[bytes], Split],
) -> ClusterAssignments:
    """Return the clusters and splits of the texts, in their order.

    `stored_bands` maps each stored band to its cluster, and `stored_splits` maps these clusters to their splits.
    `choose_split` returns the split of a new cluster for its first text's fingerprint.
    """
    assignments, cluster_of, split_of = ClusterAssignments(), dict(stored_bands), dict(stored_splits)
    for text in texts:
        touched = {cluster_of[band] for band in text.bands if band in cluster_of}
        if not touched:
            cluster_id = founder_cluster_id(text.fingerprint)
            split = text.requested_split or choose_split(text.fingerprint)
            split_of[cluster_id] = assignments.clusters[cluster_id] = split
            touched = {cluster_id}
        # the id breaks ties, so that the set's own order makes no difference
        first, *bridged = sorted(touched, key=lambda cluster: (SPLITS.index(split_of[cluster]), cluster))
        assignments.members.append(ClusterMember(text.fingerprint, split_of[first], first))
        assignments.bridges.extend((text.fingerprint, other) for other in bridged)
        for band in text.bands:
            if band not in cluster_of:
                cluster_of[band] = assignments.bands[band] = first
    return assignments


def founder_cluster_id(fingerprint: bytes) -> int:
    """Return the id of the cluster that a text starts: the first 8 bytes of its fingerprint.

    So the same texts in the same order give the same database. Among a hundred million clusters, two share an id with
    probability 3e-4; they would be one cluster, which is harmless.
    """
    return int.from_bytes(fingerprint[:8], "big", signed=True)
