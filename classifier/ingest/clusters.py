"""Put new texts into clusters of near-duplicates, one after the other, and decide their splits.

A text that shares no band with an earlier one founds a cluster, whose split is decided once. A text that
touches one cluster joins it. A text that touches several is a *bridge*: it belongs to all of them, so
that whoever reads a split can leave it out, and takes the least guarded of their splits, so that it is it,
and no other article, that is left out.

What comes first decides, so the order of the texts matters where there are near-duplicates; how they are
cut into batches does not, because a batch is worked through text by text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from classifier.articles import SPLITS, Split


@dataclass(frozen=True, slots=True)
class NewText:
    """A text that has no split yet; `wish` is the split that its source or its article has, if any."""

    fingerprint: bytes
    bands: tuple[int, ...]
    wish: Split | None


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """A text with the cluster that gave it its split."""

    fingerprint: bytes
    split: Split
    cluster_id: int


@dataclass(frozen=True, slots=True)
class ClusterAssignments:
    """What is to be written: `bridges` are the texts' further clusters, `bands` are new ones."""

    members: list[ClusterMember] = field(default_factory=list)
    clusters: dict[int, Split] = field(default_factory=dict)
    bridges: list[tuple[bytes, int]] = field(default_factory=list)
    bands: dict[int, int] = field(default_factory=dict)


def assign_clusters(
    texts: Iterable[NewText], known: Mapping[int, int], splits: Mapping[int, Split], deal: Callable[[bytes], Split]
) -> ClusterAssignments:
    """Return where the texts belong, in their order.

    `known` has the cluster of every band that was there before, `splits` the split of those clusters;
    `deal` decides the split of a cluster that is founded, by its first text's fingerprint.
    """
    placed, homes, split_of = ClusterAssignments(), dict(known), dict(splits)
    for text in texts:
        touched = {homes[band] for band in text.bands if band in homes}
        if not touched:
            cluster_id = founder_cluster_id(text.fingerprint)
            split_of[cluster_id] = placed.clusters[cluster_id] = text.wish or deal(text.fingerprint)
            touched = {cluster_id}
        # the id is there so that the set's own order makes no difference
        first, *bridged = sorted(touched, key=lambda one: (SPLITS.index(split_of[one]), one))
        placed.members.append(ClusterMember(text.fingerprint, split_of[first], first))
        placed.bridges.extend((text.fingerprint, other) for other in bridged)
        for band in text.bands:
            if band not in homes:
                homes[band] = placed.bands[band] = first
    return placed


def founder_cluster_id(fingerprint: bytes) -> int:
    """Return the id of the cluster that a text founds: the fingerprint's first 8 bytes.

    So the same texts in the same order make the same database. Two founders in a hundred million share
    an id with probability 3e-4; their clusters would be one, which harms nothing.
    """
    return int.from_bytes(fingerprint[:8], "big", signed=True)
