"""A recipe that cannot train is refused before anything is read."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from classifier.exceptions import SettingsError
from classifier.training.recipes import Recipe, files


@pytest.mark.parametrize("precision", ["auto", "float32", "mixed_bfloat16", "mixed_float16"])
def test_usual_values_are_taken(precision):
    assert Recipe(precision=precision, epochs=1, batch_size=1, patience=1, max_length=8).precision == precision


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"patience": -1}, "at least 1"),
        ({"learning_rate": 0.0}, "between 0 and 1"),
        ({"learning_rate": 1.0}, "between 0 and 1"),
        ({"learning_rate": float("nan")}, "between 0 and 1"),
        ({"max_length": 7}, "at least 8 word pieces"),
        ({"precision": "bf16"}, "'bf16': one of auto"),
        ({"class_weights": "some"}, "'some': one of none, balanced"),
        ({"frozen_layers": -1}, "at least 0"),
        ({"layer_decay": 0.0}, "above 0 and at most 1"),
        ({"layer_decay": 1.1}, "above 0 and at most 1"),
        ({"label_smoothing": 1.0}, "label smoothing 1.0: has to be at least 0 and below 1"),
        ({"ema_decay": -0.1}, "ema decay"),
        ({"dropout": float("nan")}, "dropout nan"),
        ({"warmup": 1.0}, "warmup"),
        ({"masking": 1.0}, "masking 1.0: has to be at least 0 and below 1"),
        ({"clip_norm": 0.0}, "clip norm"),
        ({"ensemble": "trees"}, "ensemble 'trees': one of none, linear, style"),
        ({"long_articles": "split"}, "long articles 'split': one of truncate, chunk"),
        ({"long_articles": "chunk", "max_length": 128}, "stride 192: must be 1 to 126"),
        ({"long_articles": "chunk", "stride": 0}, "stride 0: must be 1 to 254"),
        ({"long_articles": "chunk", "max_chunks": 65}, "max chunks 65: must be 1 to 64"),
    ],
)
def test_impossible_values_are_refused(values, reason):
    with pytest.raises(SettingsError, match=reason):
        Recipe(**values)


@pytest.mark.parametrize("name", ["bbc", "c50", "default", "few", "r8"])
def test_the_projects_recipes_give_every_value_its_reason(name):
    assert name in {one.name for one in files.available()}
    assert files.load_recipe(name).name == name
    lines = (files.FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    given = dict(re.match(r"(\w+) = [^#]+(# .+)?$", line).groups() for line in lines if line)
    assert given.keys() <= {field.name for field in fields(Recipe)} | {"description"}
    assert all(given[key] for key in given if key != "description")


def test_without_a_name_the_default_recipe_is_taken_and_it_is_the_classs_own():
    assert files.load_recipe() == Recipe()


def test_single_values_override_the_recipe_and_show_in_its_name():
    found = files.load_recipe("bbc", epochs=7, seed=None)
    assert (found.name, found.epochs, found.learning_rate) == ("bbc (epochs)", 7, 2e-4)


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("description = 'mine'\nepochs = 2\nlearning_rate = 1e-3\nlayer_decay = 1\n")
    assert files.load_recipe(str(path)) == Recipe(name=str(path), epochs=2, learning_rate=1e-3, layer_decay=1.0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"epoch = 3", "unknown key 'epoch'; a recipe's keys are epochs, batch_size"),
        (b"name = 'x'", "unknown key 'name'"),
        (b"[train]\nepochs = 3", "unknown key 'train'"),
        (b"epochs = '3'", "epochs is '3', not a whole number"),
        (b"epochs = 3.0", "epochs is 3.0, not a whole number"),
        (b"epochs = true", "epochs is True, not a whole number"),
        (b"dropout = '0.1'", "dropout is '0.1', not a number"),
        (b"precision = 32", "precision is 32, not a text"),
        (b"epochs = ", "not TOML"),
        (b"epochs = 3 # \xe9", "not TOML"),
        (b"dropout = nan", "dropout nan: has to be"),
        (b"epochs = 0", "recipe.toml: epochs, batch size and patience have to be at least 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, content, reason):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(reason)) as raised:
        files.load_recipe(str(path))
    assert str(path) in str(raised.value)


def test_what_is_not_there_or_a_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="'bcb': neither a file nor one of bbc, c50, default, few, r8"):
        files.load_recipe("bcb")
    with pytest.raises(SettingsError, match="cannot be read"):
        files.load_recipe(str(tmp_path))
