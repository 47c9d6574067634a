"""How many rows a batch has: measured once on a machine, and kept.

A larger batch costs less a word piece, since the weights are read once for all its rows, up to where what
lies between two layers leaves the cache; and the last batch of a bucket holds padding where no text is
left. Where they balance depends on the processor and the model, so a few batches are timed. What was found
is kept in the home, because the same text has to get the same bits the next time too.

How many rows a batch has may change the bits of each: it is the engine that decides in which order it adds
up. Whether it does is tried, for every bucket, and where it does not, what a bucket leaves takes a smaller
batch than a full one: on R8 in pages of 2,048, a tenth of what is computed.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Sequence
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
"""Widths that are timed; a bucket between two takes the size of the wider one."""

CANDIDATES = (512, 1024, 2048, 4096)
"""Word pieces a batch, padding included, that are tried first; while the most of them are best, twice as many."""

LARGEST = 65_536
"""Word pieces a batch at most: on a GPU it is memory that ends it."""

TEXTS_A_BUCKET = 64
"""Texts of one bucket that a page is taken to hold: what padding rows are weighed against."""

STEPS = 4
"""Sizes that the last batch of a bucket may have: each is a shape of its own, with its own kernels."""

_RUNS = 5
_AS_GOOD = 1.03  # times the best one's cost: what timing cannot tell apart


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Word pieces a batch: pairs of a width and the size for buckets up to it, by width.

    `short` says that a row's bits do not depend on how many there are: then the last batch may have fewer.
    """

    tokens: tuple[tuple[int, int], ...]
    short: bool = False

    @classmethod
    def fixed(cls, tokens: int) -> BatchSizes:
        """Return the same size for every width."""
        return cls(((0, tokens),))

    def rows(self, width: int) -> int:
        """Return the rows of a bucket's batches, at least one."""
        tokens = next((tokens for up_to, tokens in self.tokens if width <= up_to), self.tokens[-1][1])
        return max(1, tokens // width)

    def rows_for(self, width: int, texts: int) -> int:
        """Return the rows of a batch of so many texts, at most the bucket's."""
        if not self.short:
            return self.rows(width)
        return next(rows for rows in self.steps(width) if rows >= texts)

    def steps(self, width: int) -> list[int]:
        """Return the rows that a bucket's batches may have where they may have fewer, full ones last."""
        full = self.rows(width)
        return sorted({-(-full * step // STEPS) for step in range(1, STEPS + 1)})


COMMON = BatchSizes.fixed(1024)
"""What is taken where nothing is kept: within some percent of the best on the machines that were measured."""


def of_machine(home: Path, engine: InferenceEngine, widths: Sequence[int]) -> BatchSizes:
    """Return the sizes that were measured for such a model on this machine; measure them if none were.

    `widths` are those of its buckets, in order. Of several workers that start at once, the first measures while the
    others wait, and all get the same.

    Raises:
        SettingsError: the home cannot be written, or the file in it is damaged.
    """
    path, key = home / FILE, _key(engine, widths[-1])
    try:
        with _locked(path):
            known = _read(path)
            if key not in known:
                known[key] = asdict(measure(engine, widths))
                atomic_files.write(path, json.dumps(known, indent=2).encode())
            found = known[key]
            return BatchSizes(tuple((int(width), int(tokens)) for width, tokens in found["tokens"]), found["short"])
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error}); measured batch sizes are kept there") from error


def measure(engine: InferenceEngine, widths: Sequence[int]) -> BatchSizes:
    """Time batches, and try whether smaller ones give the same bits: some seconds."""
    started = time.perf_counter()
    sizes = calibrate(engine, widths[-1])
    sizes = replace(sizes, short=_same_bits(engine, sizes, widths))
    seconds = round(time.perf_counter() - started, 1)
    log.info("measured batch sizes in %s s: %s, short ones too: %s", seconds, dict(sizes.tokens), sizes.short)
    return sizes


def calibrate(engine: InferenceEngine, longest: int, *, candidates: Sequence[int] = CANDIDATES) -> BatchSizes:
    """Time batches of up to `longest` word pieces a row."""
    widths = [width for width in WIDTHS if width <= longest] or [longest]
    return BatchSizes(tuple((width, _cheapest(engine, width, candidates)) for width in widths))


def _cheapest(engine: InferenceEngine, width: int, candidates: Sequence[int]) -> int:
    """Return the smallest of the sizes that are as cheap as any."""
    rows = {tokens: max(1, tokens // width) for tokens in candidates}
    seconds = _seconds(engine, sorted(set(rows.values())), width)
    costs = {tokens: seconds[count] / count * (1 + count / (2 * TEXTS_A_BUCKET)) for tokens, count in rows.items()}
    found = min(tokens for tokens, cost in costs.items() if cost <= _AS_GOOD * min(costs.values()))
    return _cheapest(engine, width, (found, 2 * found)) if max(candidates) == found < LARGEST else found


def _seconds(engine: InferenceEngine, counts: Sequence[int], width: int) -> dict[int, float]:
    """Time batches of so many rows, in turn; the least of a few, since whatever else runs only adds to it."""
    taken: dict[int, list[float]] = {count: [] for count in counts}
    for run in range(1 + _RUNS):
        for count in counts:
            batch = np.ones((count, width), dtype=np.int32)
            start = time.perf_counter()
            engine.probabilities(batch, batch)
            if run:  # a shape's first batch also makes its kernels
                taken[count].append(time.perf_counter() - start)
    return {count: min(several) for count, several in taken.items()}


def _same_bits(engine: InferenceEngine, sizes: BatchSizes, widths: Sequence[int]) -> bool:
    """Say whether rows get the same bits in every smaller batch that labelling could put them in.

    Seen on random rows of random lengths, it is no proof: but which kernels run, and in which order they add
    up, depends on the shape alone.
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


def _key(engine: InferenceEngine, longest: int) -> str:
    sizes = " ".join(f"{name}={size}" for name, size in asdict(engine.shape).items() if name != "vocab_size")
    return f"{engine.device}; {engine.name} {engine.dtype}; {sizes}; up to {longest}"


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """Hold the file's lock, which goes with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path}: not JSON ({error}); delete it, and the sizes are measured again") from error
    if not isinstance(known, dict):
        raise SettingsError(f"{path}: not a JSON object; delete it, and the sizes are measured again")
    return known
