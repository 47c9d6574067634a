"""How the rows of a unit are validated and judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo

from classifier.ingest.category_values import CategoryRules
from classifier.ingest.columns import RawChunk
from classifier.ingest.splits import Proportions
from classifier.ingest.timestamps import DateRules
from classifier.ingest.validation import DEFAULT_CATEGORIES, DEFAULT_DATES, ValidatedChunk, validate_chunk


@dataclass(frozen=True, slots=True)
class UnitRules:
    """How a unit's rows are judged.

    A unit is refused if more than `max_rejected` of its rows are invalid, unless these are at most `min_rejected_rows`.
    `proportions` are the splits' shares, `zone` is the time zone of times that name no time zone, `dates` says which
    times are read, and `categories` says which categories of which tasks a row has.
    """

    max_rejected: float
    proportions: Proportions
    min_rejected_rows: int = 0
    zone: tzinfo = UTC
    dates: DateRules = DEFAULT_DATES
    categories: CategoryRules = DEFAULT_CATEGORIES

    def refuses(self, read: int, rejected: int) -> bool:
        """Return whether a unit with this many invalid rows is refused."""
        if rejected <= self.max_rejected * read:
            return False
        return rejected > self.min_rejected_rows or rejected == read


def validate_chunks(raw: Iterable[RawChunk], source: str, rules: UnitRules) -> Iterator[ValidatedChunk]:
    """Yield the chunks of a unit, validated by its rules."""
    for chunk in raw:
        yield validate_chunk(
            chunk, default_source=source, zone=rules.zone, dates=rules.dates, categories=rules.categories
        )


@dataclass(frozen=True, slots=True)
class StagedCounts:
    """The rows that were staged: `rows` valid ones, `undated` of them without their time, and `rejected` ones.

    `erased` rows were left out.
    """

    rows: int
    rejected: int
    undated: int
    erased: int

    @property
    def read(self) -> int:
        """The rows that were read."""
        return self.rows + self.rejected + self.erased
