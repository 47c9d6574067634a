"""An artefact is complete or absent, is never overwritten, and a changed file is detected."""

from __future__ import annotations

import json
import resource
import stat
from pathlib import Path

import pytest

from classifier.exceptions import ArtefactError
from classifier.model import artefact, checkpoint
from classifier.model.text_chunking import Chunking
from tests.support.tiny_models import CATEGORIES, make_artefact

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


@pytest.fixture
def model(tmp_path):
    return make_artefact(tmp_path / "models" / "model", max_length=48, details={"name": "tuesday"})


def refusal(directory, **arguments):
    with pytest.raises(ArtefactError) as caught:
        artefact.read_artefact(directory, **arguments)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_artefact_reads_back_as_written(model):
    actual = artefact.read_artefact(model.directory, manifest_sha256=model.manifest_sha256)
    assert actual == model
    assert actual.categories == CATEGORIES
    assert actual.manifest["name"] == "tuesday"
    assert sorted(actual.manifest["sha256"]) == sorted(FILES)
    assert actual.checkpoint().weights["classifier.weight"].shape == (3, 8)
    assert actual.tokenization().max_length == 48


def test_texts_are_cut_at_the_models_length(model):
    (pieces,) = model.tokenization().pieces(["bank " * 100])
    assert len(pieces) == 48


def test_no_temporary_files_remain_next_to_the_artefact(model):
    assert list(model.directory.parent.iterdir()) == [model.directory]
    assert sorted(path.name for path in model.directory.iterdir()) == sorted((*FILES, "classifier.json"))


def test_other_users_may_read_all_of_it(model):
    assert stat.S_IMODE(model.directory.stat().st_mode) == 0o755
    for path in model.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044, path


def test_the_artefact_appears_complete(tmp_path, monkeypatch):
    """When the manifest is hashed and written, the place is still empty and the files are all aside."""
    target, seen = tmp_path / "model", []
    write = checkpoint.write_checkpoint

    def look(directory, *arguments, **named):
        seen.append((directory, target.exists()))
        write(directory, *arguments, **named)

    monkeypatch.setattr(checkpoint, "write_checkpoint", look)
    make_artefact(target)
    assert seen[-1][0].parent == target.parent
    assert seen[-1][0] != target
    assert seen[-1][1] is False


def test_an_artefact_is_never_overwritten(model):
    before = {path: path.read_bytes() for path in model.directory.iterdir()}
    with pytest.raises(ArtefactError, match="already exists"):
        make_artefact(model.directory, seed=5)
    assert {path: path.read_bytes() for path in model.directory.iterdir()} == before


@pytest.mark.parametrize("step", ["save_file", "copy_tokenizer"])
@pytest.mark.parametrize("fault", [OSError("no space left"), KeyboardInterrupt()])
def test_a_crash_leaves_nothing(model, tmp_path, monkeypatch, step, fault):
    loaded = model.load()

    def crash(*_, **__):
        raise fault

    monkeypatch.setattr(checkpoint, step, crash)
    with pytest.raises((ArtefactError, KeyboardInterrupt)):
        artefact.write_artefact(tmp_path / "other" / "model", loaded, tokenizer=model.directory, details={})
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(model, name):
    path = model.directory / name
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    message = refusal(model.directory)
    assert f"{path}: sha256 is" in message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(model, name):
    (model.directory / name).unlink()
    assert f"{name}: not found" in refusal(model.directory)


def test_a_missing_manifest_means_not_complete(model):
    (model.directory / "classifier.json").unlink()
    assert "was never completed" in refusal(model.directory)


def test_a_missing_directory_is_named(tmp_path):
    assert "the model's directory is missing" in refusal(tmp_path / "nowhere")


def test_a_manifest_other_than_the_registered_one_is_refused(model):
    assert f"sha256 is {model.manifest_sha256}, registered as {'0' * 64}" in refusal(
        model.directory, manifest_sha256="0" * 64
    )


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_a_manifest_that_is_no_json_is_named(model, content):
    (model.directory / "classifier.json").write_bytes(content)
    assert "not JSON" in refusal(model.directory)


@pytest.mark.parametrize("content", [[], {}, {"format": 4}])
def test_a_manifest_of_another_format_is_refused(model, content):
    (model.directory / "classifier.json").write_text(json.dumps(content))
    assert "not a manifest of format 1;" in refusal(model.directory)


def test_a_model_that_reads_in_chunks_reads_in_the_same_chunks_once_it_is_opened_again(tmp_path):
    files = make_artefact(tmp_path / "model", max_length=16, chunking=Chunking(stride=10, max_chunks=3))
    assert files.manifest["chunking"] == {"stride": 10, "max_chunks": 3}
    assert artefact.read_artefact(files.directory).tokenization().chunking == Chunking(10, 3)


@pytest.mark.parametrize("entry", [{"mode": "summarise"}, {"stride": 10}, "truncate"])
def test_an_unknown_chunking_is_refused(model, entry):
    (model.directory / "classifier.json").write_text(json.dumps({**model.manifest, "chunking": entry}))
    with pytest.raises(ArtefactError, match=r"chunking .*: unknown; another version"):
        artefact.read_artefact(model.directory).tokenization()


def test_what_was_written_is_what_is_read(model):
    again = artefact.read_artefact(model.directory)
    assert again == model


@pytest.mark.parametrize("room", ["none", "all but a byte"])
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(model, tmp_path, room):
    """A limit on files' sizes stands for the disk's end."""
    size = (model.directory / "model.safetensors").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0 if room == "none" else size - 1, before[1]))
    try:
        with pytest.raises(ArtefactError, match=r"other: cannot be written \(.*\); make room, or name") as caught:
            make_artefact_in(tmp_path / "models" / "other", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model"]


def test_a_folder_that_cannot_be_made_is_one_line(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtefactError, match=r"file/models/other: cannot be written \(.*Not a directory"):
        make_artefact_in(tmp_path / "file" / "models" / "other", model)


@pytest.mark.parametrize("leave", [Path.rmdir, lambda path: path.rename(path.with_name("published"))])
def test_a_folder_that_another_process_publishes_or_removes_during_the_sweep_is_skipped(tmp_path, monkeypatch, leave):
    is_dir = Path.is_dir

    def leave_afterwards(path):
        result = is_dir(path)
        if path.name.endswith(".part"):
            leave(path)
        return result

    (tmp_path / ".20260101-020000-abcd.part").mkdir()
    monkeypatch.setattr(Path, "is_dir", leave_afterwards)
    assert artefact.delete_unfinished(tmp_path, days=0) == []


def make_artefact_in(directory, like):
    """Write a model again."""
    return artefact.write_artefact(directory, like.load(), tokenizer=like.directory, details={})


class TestMultiLabel:
    def test_the_kind_is_in_the_manifest_and_in_transformers_configuration(self, tmp_path):
        written = make_artefact(tmp_path / "model", kind="multi")
        read = artefact.read_artefact(written.directory)
        assert read.manifest["kind"] == read.kind == read.load().kind == "multi"
        config = json.loads((written.directory / "config.json").read_text(encoding="utf-8"))
        assert config["problem_type"] == "multi_label_classification"

    def test_a_single_label_models_files_do_not_name_a_kind(self, model):
        assert "kind" not in model.manifest
        assert model.kind == model.load().kind == "single"
        config = json.loads((model.directory / "config.json").read_text(encoding="utf-8"))
        assert config["problem_type"] == "single_label_classification"

    def test_thresholds_are_those_of_the_calibration(self, tmp_path):
        details = {"calibration": {"thresholds": {"values": [0.25, 0.5, 0.75]}}}
        assert make_artefact(tmp_path / "a", kind="multi", details=details).load().thresholds.tolist() == [
            0.25,
            0.5,
            0.75,
        ]
        assert make_artefact(tmp_path / "b", kind="multi").load().thresholds.tolist() == [0.5, 0.5, 0.5]

    def test_an_unknown_kind_is_an_error(self, tmp_path):
        written = make_artefact(tmp_path / "model", details={"kind": "ranked"})
        with pytest.raises(ArtefactError, match="kind 'ranked': unknown; another version"):
            written.load()
