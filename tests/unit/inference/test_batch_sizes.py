"""Batch sizes are measured once a machine and model, and then kept."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from classifier.exceptions import SettingsError
from classifier.inference import batch_sizes
from classifier.inference.batch_sizes import BatchSizes
from classifier.model.checkpoint import EncoderShape

SHAPE = EncoderShape(100, 2, 2, 8, 16, 128)
WIDTHS = (64, 128)


class Clock:
    """A clock for each thread that advances only when an engine computes."""

    def __init__(self):
        self._local = threading.local()

    def perf_counter(self):
        return getattr(self._local, "now", 0.0)

    def pass_by(self, seconds):
        self._local.now = self.perf_counter() + seconds


class TimedEngine:
    """An engine that takes `fixed` seconds a batch and `each` a word piece."""

    name, device = "timed", "a processor"
    dtype, shape = "f32", SHAPE

    def __init__(self, fixed=0.0, each=1e-5):
        self.fixed, self.each, self.shapes = fixed, each, []

    def probabilities(self, tokens, mask):
        self.shapes.append(mask.shape)
        time.sleep(0.002)  # lets other workers run meanwhile
        batch_sizes.time.pass_by(self.fixed + self.each * tokens.size)
        return np.full((len(tokens), 2), 0.5, dtype=np.float32)


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(batch_sizes, "time", Clock())


def test_a_bucket_takes_the_size_of_the_next_measured_width():
    sizes = BatchSizes(((64, 512), (128, 1024)))
    assert [sizes.rows(width) for width in (16, 64, 80, 128, 256, 2048)] == [32, 8, 12, 8, 4, 1]
    assert BatchSizes.fixed(1024).rows(100) == 10


def test_the_last_batch_of_a_bucket_has_fewer_rows_if_that_changes_no_bits():
    assert [BatchSizes.fixed(1024).rows_for(100, texts) for texts in (1, 9, 10)] == [10, 10, 10]
    fewer = BatchSizes(((0, 1024),), allows_fewer_rows=True)
    assert [fewer.rows_for(100, texts) for texts in (1, 3, 4, 6, 9, 10)] == [3, 3, 5, 8, 10, 10]
    assert [fewer.rows_for(512, texts) for texts in (1, 2)] == [1, 2]


class UnsteadyEngine(TimedEngine):
    """An engine whose rows' bits depend on the number of rows, in batches of one width."""

    def probabilities(self, tokens, mask):
        result = super().probabilities(tokens, mask)
        return result + np.float32(1e-7) * len(tokens) if tokens.shape[1] == 48 else result


def test_fewer_rows_are_allowed_only_if_they_gave_the_same_bits():
    assert batch_sizes.measure(TimedEngine(), (16, 48, 64)).allows_fewer_rows
    assert not batch_sizes.measure(UnsteadyEngine(), (16, 48, 64)).allows_fewer_rows
    assert batch_sizes.measure(UnsteadyEngine(), (16, 64)).allows_fewer_rows, "no text is that long"


def test_sizes_that_differ_by_less_than_the_tolerance_count_as_equal():
    """Four articles a batch cost 1 % less than two."""
    assert batch_sizes.calibrate(TimedEngine(fixed=5.2e-4), 512).rows(512) == 2


def test_large_batches_are_chosen_if_each_batch_has_a_fixed_cost_else_small_ones():
    assert batch_sizes.calibrate(TimedEngine(fixed=0.005), 512).rows(512) == 8
    assert batch_sizes.calibrate(TimedEngine(), 64).rows(64) == 8


def test_if_the_largest_batch_is_the_cheapest_larger_ones_are_tried_up_to_a_maximum():
    """As on a GPU, where a thousand word pieces cost no more than one."""
    assert batch_sizes.calibrate(TimedEngine(fixed=0.02), 512).rows(512) == 16
    gpu = TimedEngine(fixed=1.0, each=1e-9)
    assert batch_sizes.calibrate(gpu, 512).rows(512) == batch_sizes.MAX_TOKENS // 512
    assert max(rows * width for rows, width in gpu.shapes) == batch_sizes.MAX_TOKENS


def test_no_batch_is_wider_than_the_model():
    engine = TimedEngine()
    batch_sizes.calibrate(engine, 100)
    assert {width for _, width in engine.shapes} == {64}
    batch_sizes.calibrate(engine := TimedEngine(), 40)
    assert {width for _, width in engine.shapes} == {40}


def test_measured_sizes_are_kept(tmp_path):
    first = batch_sizes.read_or_measure(tmp_path / "home", TimedEngine(fixed=0.005), WIDTHS)
    again = TimedEngine()
    assert batch_sizes.read_or_measure(tmp_path / "home", again, WIDTHS) == first
    assert again.shapes == []


def test_each_model_shape_dtype_and_processor_is_measured(tmp_path):
    engine = TimedEngine()

    def measures(shape=SHAPE):
        engine.shapes.clear()
        engine.shape = shape
        batch_sizes.read_or_measure(tmp_path, engine, WIDTHS)
        return bool(engine.shapes)

    assert measures()
    assert not measures(EncoderShape(999, 2, 2, 8, 16, 128)), "the vocabulary costs nothing"
    assert measures(EncoderShape(100, 3, 2, 8, 16, 128))
    engine.dtype = "bf16"
    assert measures()
    engine.device = "another"
    assert measures()
    assert len(json.loads((tmp_path / batch_sizes.FILE).read_text())) == 4


def test_workers_that_start_at_once_end_with_the_same_sizes(tmp_path):
    """Each engine would measure other sizes; a file lock works between threads as between processes."""
    engines = [TimedEngine(fixed=fixed) for fixed in (0.0, 0.01, 0.5, 9.0)]
    assert len({batch_sizes.calibrate(engine, 128) for engine in engines}) > 1
    start = Barrier(len(engines))

    def work(engine):
        engine.shapes.clear()
        start.wait()
        return batch_sizes.read_or_measure(tmp_path, engine, WIDTHS)

    with ThreadPoolExecutor(len(engines)) as pool:
        assert len(set(pool.map(work, engines))) == 1
    assert sum(bool(engine.shapes) for engine in engines) == 1


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / batch_sizes.FILE).write_text(content)
    with pytest.raises(SettingsError, match=rf"{batch_sizes.FILE}: not .*delete it"):
        batch_sizes.read_or_measure(tmp_path, TimedEngine(), WIDTHS)


def test_a_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(SettingsError, match=f"{batch_sizes.FILE}: cannot be written"):
        batch_sizes.read_or_measure(tmp_path / "home", TimedEngine(), WIDTHS)
