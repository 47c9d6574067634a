"""How many rows a batch has: measured once on a machine, and kept.

A larger batch costs less a word piece, since the weights are read once for all its rows, but the last
batch of a bucket holds padding where no text is left: half a batch, on average. Where the two balance
depends on the processor and the model, so a few batches are timed. What was found is kept in the home,
because the same text has to get the same bits the next time too.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from classifier import durable
from classifier.exceptions import SettingsError
from classifier.labelling.engine import Engine
from classifier.model import hardware
from classifier.model.checkpoint import EncoderShape

log = logging.getLogger(__name__)

FILE = "batch_sizes.json"

WIDTHS = (64, 128, 256, 512)
"""Widths that are timed; a bucket between two takes the size of the wider one."""

CANDIDATES = (512, 1024, 2048, 4096)
"""Word pieces a batch, padding included, that are tried."""

TEXTS_A_BUCKET = 64
"""Texts of one bucket that a page is taken to hold: what padding rows are weighed against."""

_RUNS = 3


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """Word pieces a batch: pairs of a width and the size for buckets up to it, by width."""

    tokens: tuple[tuple[int, int], ...]

    @classmethod
    def fixed(cls, tokens: int) -> BatchSizes:
        """Return the same size for every width."""
        return cls(((0, tokens),))

    def rows(self, width: int) -> int:
        """Return the rows of a bucket's batches, at least one."""
        tokens = next((tokens for up_to, tokens in self.tokens if width <= up_to), self.tokens[-1][1])
        return max(1, tokens // width)


COMMON = BatchSizes.fixed(1024)
"""What is taken where nothing is kept: within some percent of the best on the machines that were measured."""


def of_machine(home: Path, engine: Engine, shape: EncoderShape) -> BatchSizes:
    """Return the sizes that were measured for such a model on this machine; measure them if none were.

    Of several workers that start at once, the first measures while the others wait, and all get the same.

    Raises:
        SettingsError: the home cannot be written, or the file in it is damaged.
    """
    path, key = home / FILE, _key(engine, shape)
    try:
        with _locked(path):
            known = _read(path)
            if key not in known:
                known[key] = calibrate(engine, shape.max_position_embeddings).tokens
                durable.write(path, json.dumps(known, indent=2).encode())
            return BatchSizes(tuple((int(width), int(tokens)) for width, tokens in known[key]))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error}); measured batch sizes are kept there") from error


def calibrate(engine: Engine, longest: int, *, candidates: Sequence[int] = CANDIDATES) -> BatchSizes:
    """Time batches of up to `longest` word pieces a row: some seconds."""
    started = time.perf_counter()
    widths = [width for width in WIDTHS if width <= longest] or [longest]
    sizes = BatchSizes(tuple((width, _best(engine, width, candidates)) for width in widths))
    seconds = round(time.perf_counter() - started, 1)
    log.info("measured batch sizes in %s s: %s", seconds, dict(sizes.tokens))
    return sizes


def _best(engine: Engine, width: int, candidates: Sequence[int]) -> int:
    """Return the cheapest size, trying larger ones for as long as that helps."""
    costs: dict[int, float] = {}
    for tokens in candidates:
        rows = max(1, tokens // width)
        costs[tokens] = _seconds(engine, rows, width) / rows * (1 + rows / (2 * TEXTS_A_BUCKET))
        if costs[tokens] > 1.05 * min(costs.values()):
            break
    return min(costs, key=lambda tokens: costs[tokens])


def _seconds(engine: Engine, rows: int, width: int) -> float:
    """Time a batch; the least of a few, since whatever else runs only adds to it."""
    batch = np.ones((rows, width), dtype=np.int32)
    engine.probabilities(batch, batch)  # a shape's first batch also makes its kernels
    taken = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        engine.probabilities(batch, batch)
        taken.append(time.perf_counter() - start)
    return min(taken)


def _key(engine: Engine, shape: EncoderShape) -> str:
    sizes = " ".join(f"{name}={size}" for name, size in asdict(shape).items() if name != "vocab_size")
    return f"{hardware.cpu_name()}; {engine.name} {engine.precision}; {sizes}"


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
