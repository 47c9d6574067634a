"""A state is there whole or not at all, and what nobody needs any more goes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from classifier import atomic_files
from classifier.exceptions import TrainingUnderWayError
from classifier.training.checkpoints import RETENTION_DAYS, Checkpoints, open_checkpoints
from classifier.training.training_state import EpochResult, TrainingPosition, TrainingState
from tests.support.waiting import HANG_S


def state(step, *, best=0):
    shuffle = np.random.default_rng(step).bit_generator.state
    history = tuple(EpochResult(number, 0.5, 0.25, 0.75, 1.5) for number in range(1, best + 1))
    at = TrainingPosition(
        epoch=best + 1, step=step, shuffle=shuffle, best_epoch=best, history=history, losses=((1, 0.5),)
    )
    return TrainingState(
        at, {"a": np.full(3, step), "b": np.array(step, dtype=np.float32)}, [np.full(2, best)] if best else []
    )


def same(one, other):
    assert one.position == other.position
    assert {name: array.tolist() for name, array in one.network.items()} == {
        name: np.asarray(array).tolist() for name, array in other.network.items()
    }
    assert [array.tolist() for array in one.best] == [array.tolist() for array in other.best]


def test_the_newest_state_comes_back_as_it_was(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        for step in (3, 12, 100):
            saved.save(state(step, best=1))
        same(saved.newest(), state(100, best=1))
    with open_checkpoints(tmp_path, "key") as again:
        same(again.newest(), state(100, best=1))


def test_the_last_two_states_and_their_best_weights_are_kept(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        for step, best in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3)):
            saved.save(state(step, best=best))
        names = sorted(path.name for path in (tmp_path / "key").iterdir())
        assert names == ["best-0002.safetensors", "best-0003.safetensors", "lock",
                         "step-00000004.0003", "step-00000005.0004"]  # fmt: skip


def test_what_a_kill_left_half_written_is_not_read_and_goes(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        saved.save(state(1))
        half = tmp_path / "key" / ".part-x"
        half.mkdir()
        (half / "state.safetensors").write_bytes(b"half")
        same(saved.newest(), state(1))
        saved.save(state(2))
        assert not half.exists()


@pytest.mark.parametrize("damage", ["state.safetensors", "state.json", "best"])
def test_damaged_files_are_told_from_whole_ones(tmp_path, damage, caplog):
    with open_checkpoints(tmp_path, "key") as saved:
        saved.save(state(1, best=1))
        saved.save(state(2, best=2))
        folder = tmp_path / "key"
        path = folder / "best-0002.safetensors" if damage == "best" else folder / "step-00000002.0003" / damage
        path.write_bytes(path.read_bytes()[:-1])
        same(saved.newest(), state(1, best=1))
    assert "step-00000002.0003: damaged" in caplog.text


def test_a_disk_that_is_full_stops_no_training(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    with open_checkpoints(tmp_path, "key") as saved:
        monkeypatch.setattr(atomic_files, "publish", full)
        saved.save(state(1))
        assert saved.newest() is None
    assert "No space left on device" in caplog.text
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["lock"]


def test_a_state_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls = []
    rename, fsync = type(tmp_path).rename, os.fsync

    def watched_fsync(descriptor):
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def watched_rename(path, target):
        calls.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(type(tmp_path), "rename", watched_rename)
    aside = tmp_path / "aside"
    aside.mkdir()
    (aside / "file").write_text("x")
    atomic_files.publish(aside, tmp_path / "published")
    assert calls == ["file", "aside", "rename", tmp_path.name]


def test_a_state_is_due_after_steps_or_time(tmp_path):
    by_steps = Checkpoints(tmp_path, every_steps=5)
    assert [step for step in range(1, 12) if by_steps.due(step)] == [5, 10]
    assert Checkpoints(tmp_path, every_s=0.0).due(1)


def test_only_one_holds_a_training(tmp_path):
    with (
        open_checkpoints(tmp_path, "key"),
        pytest.raises(TrainingUnderWayError, match=f"process {os.getpid()} is training"),
    ):
        open_checkpoints(tmp_path, "key").__enter__()
    with open_checkpoints(tmp_path, "key") as saved:
        saved.discard()
        with open_checkpoints(tmp_path, "key"), open_checkpoints(tmp_path, "other"):
            pass


def test_who_waits_for_a_training_goes_on_from_what_it_left(tmp_path, caplog):
    found = []

    def wait():
        with open_checkpoints(tmp_path, "key", wait=True) as saved:
            found.append((saved.directory / "name").read_text())

    waiting = threading.Thread(target=wait, daemon=True)
    with open_checkpoints(tmp_path, "key") as saved:
        waiting.start()
        deadline = time.monotonic() + HANG_S
        while (
            f"process {os.getpid()} is training with the same articles and recipe; waiting for it to end"
            not in caplog.text
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        saved.model_name("m")
        assert not found
    waiting.join(timeout=HANG_S)
    assert found == ["m"]


def test_a_training_that_nobody_went_on_with_is_swept_unless_it_is_held(tmp_path):
    long_ago = time.time() - (RETENTION_DAYS + 1) * 86_400
    with open_checkpoints(tmp_path, "held"):
        for name in ("held", "old", "fresh"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "lock").touch()
            if name != "fresh":
                os.utime(tmp_path / name, (long_ago, long_ago))
        with open_checkpoints(tmp_path, "key"):
            assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "held", "key"]


def test_a_folder_that_another_process_removes_during_the_sweep_is_skipped(tmp_path, monkeypatch):
    is_dir = Path.is_dir

    def remove_afterwards(path):
        result = is_dir(path)
        if path.name.startswith(".tokens-"):
            path.rmdir()
        return result

    (tmp_path / ".tokens-1").mkdir()
    monkeypatch.setattr(Path, "is_dir", remove_afterwards)
    with open_checkpoints(tmp_path, "key"):
        assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_models_name_stays_that_of_the_first_attempt(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        assert saved.model_name("first") == "first"
        assert saved.model_name("second") == "first"
