"""Models are found by name below CLASSIFIER_MODELS, wherever the folder is now."""

from __future__ import annotations

import shutil

import pytest

from classifier import registry
from classifier.exceptions import ArtefactError
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import pruning
from classifier.store import model_rows
from classifier.workspace import Workspace
from tests.support.synthetic import ingest_file, make_champion, unlabelled, value
from tests.support.tiny_models import make_artefact


def elsewhere(workspace, models):
    settings = workspace.settings.model_copy(update={"models": models})
    return Workspace(workspace.database, settings)


def test_models_are_found_after_their_folder_moved(workspace, tmp_path):
    make_champion(workspace, "m1", 0)
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(5))
    workspace.models.rename(tmp_path / "mövéd models")
    with pytest.raises(ArtefactError):
        queue.label_queue(workspace)
    assert queue.label_queue(elsewhere(workspace, tmp_path / "mövéd models")).labelled == 5


def test_the_database_stores_the_name_and_not_the_path(workspace):
    make_champion(workspace, "m1", 0)
    assert value(workspace.database, "SELECT artefact FROM models") == "m1"


def test_pruning_a_copy_leaves_the_files_of_the_original(workspace, tmp_path):
    for number, name in enumerate(("m1", "m2", "m3")):
        make_champion(workspace, name, number)
    copy = tmp_path / "copy"
    shutil.copytree(workspace.models, copy)
    pruned = pruning.prune(elsewhere(workspace, copy), keep=0, yes=True)
    assert [model.model for model in pruned] == ["m1", "m2"]
    assert not (copy / "m1").exists()
    assert (workspace.models / "m1" / "classifier.json").exists()


def test_a_model_outside_the_folder_keeps_its_path_until_it_is_gone(workspace, tmp_path):
    files = make_artefact(tmp_path / "outside" / "m1")
    with workspace.database.begin() as connection:
        registry.register(connection, "m1", files, {})
        assert model_rows.by_name(connection, "m1").artefact == str(files.directory)
        workspace.models.mkdir(parents=True)
        files.directory.rename(workspace.models / "m1")
        assert registry.open_artefact(registry.find(connection, "m1")).directory == workspace.models / "m1"
