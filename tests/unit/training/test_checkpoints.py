"""A state is written completely or not at all, and states that are no longer needed are deleted."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from classifier import atomic_files
from classifier.exceptions import TrainingInProgressError
from classifier.training.checkpoints import RETENTION_DAYS, Checkpoints, open_checkpoints
from classifier.training.training_state import EpochResult, TrainingPosition, TrainingState
from tests.support.waiting import HANG_S


def state(step, *, best=0):
    shuffle = np.random.default_rng(step).bit_generator.state
    history = tuple(EpochResult(number, 0.5, 0.25, 0.75, 1.5) for number in range(1, best + 1))
    position = TrainingPosition(
        epoch=best + 1, step=step, shuffle=shuffle, best_epoch=best, history=history, losses=((1, 0.5),)
    )
    return TrainingState(
        position, {"a": np.full(3, step), "b": np.array(step, dtype=np.float32)}, [np.full(2, best)] if best else []
    )


def assert_same(first, second):
    assert first.position == second.position
    assert {name: array.tolist() for name, array in first.network.items()} == {
        name: np.asarray(array).tolist() for name, array in second.network.items()
    }
    assert [array.tolist() for array in first.best] == [array.tolist() for array in second.best]


def test_the_newest_state_reads_back(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        for step in (3, 12, 100):
            saved.save(state(step, best=1))
        assert_same(saved.newest(), state(100, best=1))
    with open_checkpoints(tmp_path, "key") as again:
        assert_same(again.newest(), state(100, best=1))


def test_the_last_two_states_and_their_best_weights_are_kept(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        for step, best in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3)):
            saved.save(state(step, best=best))
        names = sorted(path.name for path in (tmp_path / "key").iterdir())
        assert names == ["best-0002.safetensors", "best-0003.safetensors", "lock",
                         "step-00000004.0003", "step-00000005.0004"]  # fmt: skip


def test_an_incomplete_state_is_not_read_and_is_deleted(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        saved.save(state(1))
        incomplete = tmp_path / "key" / ".part-x"
        incomplete.mkdir()
        (incomplete / "state.safetensors").write_bytes(b"half")
        assert_same(saved.newest(), state(1))
        saved.save(state(2))
        assert not incomplete.exists()


@pytest.mark.parametrize("damage", ["state.safetensors", "state.json", "best"])
def test_a_damaged_state_is_skipped(tmp_path, damage, caplog):
    with open_checkpoints(tmp_path, "key") as saved:
        saved.save(state(1, best=1))
        saved.save(state(2, best=2))
        folder = tmp_path / "key"
        path = folder / "best-0002.safetensors" if damage == "best" else folder / "step-00000002.0003" / damage
        path.write_bytes(path.read_bytes()[:-1])
        assert_same(saved.newest(), state(1, best=1))
    assert "step-00000002.0003: damaged" in caplog.text


def test_a_full_disk_does_not_stop_the_training(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    with open_checkpoints(tmp_path, "key") as saved:
        monkeypatch.setattr(atomic_files, "publish", full)
        saved.save(state(1))
        assert saved.newest() is None
    assert "No space left on device" in caplog.text
    assert [path.name for path in (tmp_path / "key").iterdir()] == ["lock"]


def test_a_state_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    calls = []
    rename, fsync = type(tmp_path).rename, os.fsync

    def recording_fsync(descriptor):
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def recording_rename(path, target):
        calls.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(type(tmp_path), "rename", recording_rename)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("x")
    atomic_files.publish(folder, tmp_path / "published")
    assert calls == ["file", "folder", "rename", tmp_path.name]


def test_a_state_is_due_after_steps_or_time(tmp_path):
    by_steps = Checkpoints(tmp_path, every_steps=5)
    assert [step for step in range(1, 12) if by_steps.due(step)] == [5, 10]
    assert Checkpoints(tmp_path, every_s=0.0).due(1)


def test_one_process_at_a_time_holds_a_training(tmp_path):
    with (
        open_checkpoints(tmp_path, "key"),
        pytest.raises(TrainingInProgressError, match=f"process {os.getpid()} is training"),
    ):
        open_checkpoints(tmp_path, "key").__enter__()
    with open_checkpoints(tmp_path, "key") as saved:
        saved.discard()
        with open_checkpoints(tmp_path, "key"), open_checkpoints(tmp_path, "other"):
            pass


def test_a_process_that_waits_for_a_training_finds_its_files(tmp_path, caplog):
    names = []

    def wait():
        with open_checkpoints(tmp_path, "key", wait=True) as saved:
            names.append((saved.directory / "name").read_text())

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
        assert not names
    waiting.join(timeout=HANG_S)
    assert names == ["m"]


def test_an_abandoned_training_is_deleted_unless_it_is_held(tmp_path):
    long_ago = time.time() - (RETENTION_DAYS + 1) * 86_400
    with open_checkpoints(tmp_path, "held"):
        for name in ("held", "old", "fresh"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "lock").touch()
            if name != "fresh":
                os.utime(tmp_path / name, (long_ago, long_ago))
        with open_checkpoints(tmp_path, "key"):
            assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "held", "key"]


def test_a_folder_that_another_process_deletes_meanwhile_is_skipped(tmp_path, monkeypatch):
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


def test_a_model_keeps_the_name_of_the_first_attempt(tmp_path):
    with open_checkpoints(tmp_path, "key") as saved:
        assert saved.model_name("first") == "first"
        assert saved.model_name("second") == "first"
