"""The number of rows in a batch: measured once per machine, and then kept in the home folder.

A larger batch costs less per word piece, because the weights are read once for all its rows, until the data between two
layers no longer fits into the cache. But the last batch of a bucket has padding rows. The best size depends on the
processor and the model, so a few batches are timed. The result is kept, because the same text must get the same bits
the next time too.

The number of rows may change the bits of each row: the engine decides in which order it adds up. This is tested for
every bucket. If the bits do not change, the last batch of a bucket may have fewer rows than the others.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from classifier import atomic_files
from classifier.exceptions import SettingsError
from classifier.inference.engines import InferenceEngine

log = logging.getLogger(__name__)

FILE = "batch_sizes.json"

WIDTHS = (64, 128, 256, 512)
"""Widths that are timed. A bucket between two of them uses the size of the wider one."""

CANDIDATES = (512, 1024, 2048, 4096)
"""Word pieces per batch, padding included, that are tried first. While the largest is the best, it is doubled."""

MAX_TOKENS = 65_536
"""Largest number of word pieces in a batch; on a GPU, memory is the limit."""

TEXTS_PER_BUCKET = 64
"""Assumed number of texts of a bucket in a page, for the cost of padding rows."""

STEPS = 4
"""Numbers of rows that the last batch of a bucket may have. Each is another shape, with kernels of its own."""

_REPEATS = 5
_TOLERANCE = 1.03  # relative cost up to which timing cannot tell two sizes apart


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Word pieces per batch.

    Attributes:
        tokens: Pairs of a width and the size for buckets up to that width, by width.
        allows_fewer_rows: Whether a row's bits do not depend on the number of rows. If so, the last batch of a bucket
            may have fewer rows.
    """

    tokens: tuple[tuple[int, int], ...]
    allows_fewer_rows: bool = False

    @classmethod
    def fixed(cls, tokens: int) -> BatchSizes:
        """Return the same size for every width."""
        return cls(((0, tokens),))

    def rows(self, width: int) -> int:
        """Return the rows of a bucket's batches, at least 1."""
        tokens = next((tokens for up_to, tokens in self.tokens if width <= up_to), self.tokens[-1][1])
        return max(1, tokens // width)

    def rows_for(self, width: int, texts: int) -> int:
        """Return the rows of a batch that holds `texts`, at most `rows(width)`."""
        if not self.allows_fewer_rows:
            return self.rows(width)
        return next(rows for rows in self.steps(width) if rows >= texts)

    def steps(self, width: int) -> list[int]:
        """Return the allowed numbers of rows in ascending order; the last is that of a full batch."""
        full = self.rows(width)
        return sorted({-(-full * step // STEPS) for step in range(1, STEPS + 1)})


DEFAULT_SIZES = BatchSizes.fixed(1024)
"""Sizes where none are kept; within some percent of the best on the machines that were measured."""


def read_or_measure(home: Path, engine: InferenceEngine, widths: Sequence[int]) -> BatchSizes:
    """Return the sizes that were measured for such a model on this machine; measure them the first time.

    `widths` are those of the model's buckets, in ascending order. If several workers start at once, the first measures
    while the others wait, and all get the same sizes.

    Raises:
        SettingsError: the home folder cannot be written, or the file in it is damaged.
    """
    path, key = home / FILE, _key(engine, widths[-1])
    try:
        with _locked(path):
            kept = _read(path)
            if key not in kept:
                kept[key] = asdict(measure(engine, widths))
                atomic_files.write(path, json.dumps(kept, indent=2).encode())
            entry = kept[key]
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error}); measured batch sizes are kept there") from error
    return _parse(entry)


def read_kept(home: Path, engine: InferenceEngine, widths: Sequence[int]) -> BatchSizes | None:
    """Return the sizes that were measured for such a model on this machine; None if nothing was measured yet.

    Nothing is measured or written. `widths` are those of the model's buckets, in ascending order.

    Raises:
        SettingsError: the file in the home folder is damaged or cannot be read.
    """
    path = home / FILE
    try:
        entry = _read(path).get(_key(engine, widths[-1]))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error}); measured batch sizes are kept there") from error
    return None if entry is None else _parse(entry)


def measure(engine: InferenceEngine, widths: Sequence[int]) -> BatchSizes:
    """Time batches, and test whether batches with fewer rows give the same bits; this takes some seconds."""
    started = time.perf_counter()
    sizes = calibrate(engine, widths[-1])
    sizes = replace(sizes, allows_fewer_rows=_gives_same_bits(engine, sizes, widths))
    seconds = round(time.perf_counter() - started, 1)
    log.info(
        "measured batch sizes in %s s: %s; fewer rows allowed: %s", seconds, dict(sizes.tokens), sizes.allows_fewer_rows
    )
    return sizes


def calibrate(engine: InferenceEngine, max_width: int, *, candidates: Sequence[int] = CANDIDATES) -> BatchSizes:
    """Return the cheapest size for each timed width up to `max_width` word pieces."""
    widths = [width for width in WIDTHS if width <= max_width] or [max_width]
    return BatchSizes(tuple((width, _cheapest(engine, width, candidates)) for width in widths))


def _cheapest(engine: InferenceEngine, width: int, candidates: Sequence[int]) -> int:
    """Return the smallest of the sizes that cost no more than the cheapest, within the tolerance."""
    rows = {tokens: max(1, tokens // width) for tokens in candidates}
    seconds = _seconds(engine, sorted(set(rows.values())), width)
    costs = {tokens: seconds[count] / count * (1 + count / (2 * TEXTS_PER_BUCKET)) for tokens, count in rows.items()}
    best = min(tokens for tokens, cost in costs.items() if cost <= _TOLERANCE * min(costs.values()))
    return _cheapest(engine, width, (best, 2 * best)) if max(candidates) == best < MAX_TOKENS else best


def _seconds(engine: InferenceEngine, counts: Sequence[int], width: int) -> dict[int, float]:
    """Return the seconds of a batch for each number of rows: the minimum of a few, since other load only adds."""
    timings: dict[int, list[float]] = {count: [] for count in counts}
    for repeat in range(1 + _REPEATS):
        for count in counts:
            batch = np.ones((count, width), dtype=np.int32)
            start = time.perf_counter()
            engine.probabilities(batch, batch)
            if repeat:  # the first batch of a shape also compiles its kernels
                timings[count].append(time.perf_counter() - start)
    return {count: min(seconds) for count, seconds in timings.items()}


def _gives_same_bits(engine: InferenceEngine, sizes: BatchSizes, widths: Sequence[int]) -> bool:
    """Return whether rows get the same bits in every smaller batch that labelling could put them in.

    Random rows of random lengths are no proof. But the shape alone decides which kernels run, and in which order they
    add up.
    """
    generator = np.random.default_rng(1)
    for width in widths:
        *fewer, full = sizes.steps(width)
        tokens = generator.integers(engine.shape.vocab_size, size=(full, width), dtype=np.int32)
        mask = (np.arange(width) < generator.integers(1, width + 1, size=(full, 1))).astype(np.int32)
        expected = engine.probabilities(tokens, mask)
        for rows in fewer:
            if not np.array_equal(engine.probabilities(tokens[-rows:], mask[-rows:]), expected[-rows:]):
                return False
    return True


def _key(engine: InferenceEngine, max_width: int) -> str:
    sizes = " ".join(f"{name}={size}" for name, size in asdict(engine.shape).items() if name != "vocab_size")
    return f"{engine.device}; {engine.name} {engine.dtype}; {sizes}; up to {max_width}"


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Hold a lock for the file; the operating system releases it if the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _parse(entry: Mapping[str, Any]) -> BatchSizes:
    return BatchSizes(tuple((int(width), int(tokens)) for width, tokens in entry["tokens"]), entry["allows_fewer_rows"])


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON ({error}); delete it, and the sizes are measured again") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: not a JSON object; delete it, and the sizes are measured again")
    return content
