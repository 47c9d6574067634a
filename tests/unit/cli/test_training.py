"""The commands `train` and `recipes` read the hyper-parameters' declaration, so that each is written once."""

from __future__ import annotations

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from classifier.cli import training
from classifier.cli.app import app
from classifier.exceptions import SettingsError
from classifier.pipeline.training import candidate
from classifier.training.recipes import hyper_parameters


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_keys_are_listed_with_default_allowed_values_and_meaning():
    shown = invoke("recipes", "--keys").stdout
    assert all(key in shown for key in hyper_parameters.KEYS)
    rows = {row["key"]: row for row in json.loads(invoke("recipes", "--keys", "--json").stdout)}
    assert rows["patience"] == {
        "key": "patience",
        "default": 2,
        "allowed": "a whole number, at least 1",
        "help": "Epochs without a better macro-F1 on the validation split before training stops.",
    }


def test_recipes_are_listed_with_their_values():
    recipes = {recipe["name"]: recipe for recipe in json.loads(invoke("recipes", "--json").stdout)}
    assert recipes["bbc"]["long_texts"] == "chunk"
    assert recipes["default"]["learning_rate"] == 5e-5


def test_set_overrides_the_recipe(monkeypatch):
    recipes = []

    def train(_workspace, recipe, **_options):
        recipes.append(recipe)
        return candidate.SkippedTraining("nothing new", 0, "m1")

    monkeypatch.setattr(candidate, "train", train)
    monkeypatch.setattr(training, "_workspace", lambda: None)
    result = invoke("train", "--recipe", "r8", "--set", "epochs=3", "--set", "max_length=256", "--json")
    assert result.exit_code == 0
    (recipe,) = recipes
    assert (recipe.name, recipe.epochs, recipe.max_length) == ("r8 (epochs, max_length)", 3, 256)
    assert (recipe.learning_rate, recipe.ensemble) == (1e-4, "linear")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [("epoch=3", "unknown key 'epoch'; the keys are epochs"), ("epochs=many", "epochs 'many': must be a whole number")],
)
def test_a_wrong_assignment_is_refused_before_the_database_is_opened(assignment, message):
    with pytest.raises(SettingsError, match=message):
        invoke("train", "--set", assignment)


def test_train_has_at_most_ten_options():
    assert len(get_command(app).commands["train"].params) <= 10
