"""Decide the ids of a feed's entries, and which of several entries with one id counts.

An entry's id is its guid, else its link. Both may fail to tell entries apart: some feeds give all entries the same
guid, or link them all to the same page. Such a guid or link is not an id: the link takes the guid's place, and the
title, after the guid or the link, takes the link's place.

Entries of one id are revisions of one article, and the newest counts. In Atom that is what equal ids mean; so there, an
id that several entries share is in doubt only if all entries of the feed share it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from classifier.ingest.feed_entries import Entry
from classifier.ingest.validation import MAX_LENGTHS
from classifier.names import shorten_name

MAX_SHARED = 10_000
"""Guids of a feed that are remembered because several entries shared them."""


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """What decides which guids and links are ids, besides the entries.

    `site` is the link of the feed itself, "" if it has none. `shared` are the guids that entries shared earlier.
    """

    is_atom: bool
    site: str = ""
    shared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Identified:
    """The entries, each with its id; "" if it has neither guid nor link. Of equal ids, the last one counts.

    `shared` are the guids that several of the entries share.
    """

    entries: Sequence[tuple[str, Entry]]
    shared: frozenset[str]


def identify(entries: Sequence[Entry], facts: FeedFacts) -> Identified:
    """Return the entries with their ids, and with older revisions of an entry before newer ones."""
    guids = {entry.guid for entry in entries}
    useless_links = {facts.site} - {""}
    if not (facts.is_atom and len(guids - {""}) == 1):
        useless_links |= _link_of_all(entries)
    marks: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        has_own_link = entry.link and entry.link not in useless_links
        marks[shorten_id(entry.guid)].add(entry.link if has_own_link else _heading(entry).casefold())
    shared = {guid for guid, different in marks.items() if guid and len(different) > 1}
    if facts.is_atom and len(guids) > 1:
        shared = set()
    ids = [_id(entry, shared | facts.shared, useless_links) for entry in entries]
    order = _oldest_first(ids, entries)
    return Identified([(ids[index], entries[index]) for index in order], frozenset(shared))


def shorten_id(identity: str) -> str:
    """Return an id that the database can store: a long one becomes its beginning, a hash and its end."""
    limit = MAX_LENGTHS["id"]
    return identity if len(identity) <= limit else shorten_name(identity, limit)


def _id(entry: Entry, shared: Collection[str], useless_links: Collection[str]) -> str:
    guid = shorten_id(entry.guid)
    if guid and guid not in shared:
        return guid
    if entry.link and entry.link not in useless_links:
        return shorten_id(entry.link)
    return shorten_id(f"{entry.link or guid} {_heading(entry)}") if entry.link or guid else ""


def _heading(entry: Entry) -> str:
    """Return what tells an entry apart that has neither a guid nor a link of its own."""
    return entry.title or entry.body[:100]


def _link_of_all(entries: Sequence[Entry]) -> set[str]:
    """Return the link that all entries share although they differ."""
    links = {entry.link for entry in entries}
    return links if len(links) == 1 and len({_heading(entry).casefold() for entry in entries}) > 1 else set()


def _oldest_first(ids: Sequence[str], entries: Sequence[Entry]) -> list[int]:
    """Return the positions of the entries in their order, but within each id from the oldest to the newest.

    Feeds list the newest first, so of entries without a time the first is the newest.
    """
    positions: defaultdict[str, list[int]] = defaultdict(list)
    for index, identity in enumerate(ids):
        positions[identity].append(index)
    order = list(range(len(ids)))
    for identity, members in positions.items():
        if identity:
            by_age = sorted(members, key=lambda index: (_age(entries[index]), -index))
            for position, index in zip(members, by_age, strict=True):
                order[position] = index
    return order


def _age(entry: Entry) -> datetime:
    value = entry.dates.updated or entry.dates.published
    moment = datetime.fromisoformat(value) if value else datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
