"""Every hyper-parameter is declared once; recipes that cannot train are refused before anything is read."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import asdict

import pytest

from classifier.exceptions import SettingsError
from classifier.model import linear
from classifier.training.recipes import Recipe, files, hyper_parameters


@pytest.mark.parametrize("dtype", ["auto", "float32", "mixed_bfloat16", "mixed_float16"])
def test_the_smallest_values_are_accepted(dtype):
    values = {"dtype": dtype, "epochs": 1, "batch_size": 1, "patience": 1, "max_length": 8}
    assert asdict(hyper_parameters.recipe_of("x", values)).items() >= values.items()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs 0: must be a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size 0: must be a whole number, at least 1"),
        ({"patience": -1}, "patience -1: must be a whole number, at least 1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0: must be a number, above 0 and below 1"),
        ({"learning_rate": 1.0}, "learning_rate 1.0: must be a number, above 0 and below 1"),
        ({"learning_rate": float("nan")}, "learning_rate nan: must be a number, above 0 and below 1"),
        ({"weight_decay": float("inf")}, "weight_decay inf: must be a number, at least 0"),
        ({"max_length": 7}, "max_length 7: must be a whole number, at least 8 and at most 512"),
        ({"max_length": 513}, "max_length 513: must be a whole number, at least 8 and at most 512"),
        ({"dtype": "bf16"}, "dtype 'bf16': must be auto, float32, mixed_bfloat16 or mixed_float16"),
        ({"class_weights": "some"}, "class_weights 'some': must be none or balanced"),
        ({"frozen_layers": -1}, "frozen_layers -1: must be a whole number, at least 0"),
        ({"layer_decay": 0.0}, "layer_decay 0.0: must be a number, above 0 and at most 1"),
        ({"layer_decay": 1.1}, "layer_decay 1.1: must be a number, above 0 and at most 1"),
        ({"label_smoothing": 1.0}, "label_smoothing 1.0: must be a number, at least 0 and below 1"),
        ({"ema_decay": -0.1}, "ema_decay -0.1: must be a number, at least 0 and below 1"),
        ({"dropout": float("nan")}, "dropout nan: must be a number, at least 0 and below 1"),
        ({"warmup": 1.0}, "warmup 1.0: must be a number, at least 0 and below 1"),
        ({"masking": 1.0}, "masking 1.0: must be a number, at least 0 and below 1"),
        ({"clip_norm": 0.0}, "clip_norm 0.0: must be a number, above 0"),
        ({"ensemble": "trees"}, "ensemble 'trees': must be none, linear or style"),
        ({"long_texts": "split"}, "long_texts 'split': must be truncate or chunk"),
        ({"stride": 0}, "stride 0: must be a whole number, at least 1"),
        ({"max_chunks": 65}, "max_chunks 65: must be a whole number, at least 1 and at most 64"),
        ({"epochs": "3"}, "epochs '3': must be a whole number, at least 1"),
        ({"epochs": 3.0}, "epochs 3.0: must be a whole number, at least 1"),
        ({"epochs": True}, "epochs True: must be a whole number, at least 1"),
        ({"seed": None}, "seed None: must be a whole number, at least 0"),
        ({"dropout": "0.1"}, "dropout '0.1': must be a number, at least 0 and below 1"),
        ({"dtype": 32}, "dtype 32: must be auto, float32, mixed_bfloat16 or mixed_float16"),
        ({"epoch": 3}, "unknown key 'epoch'; the keys are epochs, batch_size, batch_tokens,"),
        ({"name": "x"}, "unknown key 'name'; the keys are epochs,"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_what_it_must_be(values, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        hyper_parameters.recipe_of("x", values)
    with pytest.raises(SettingsError, match=re.escape(message)):
        files.load_recipe("r8", **values)


def test_a_stride_that_would_leave_text_unread_is_refused():
    with pytest.raises(SettingsError, match="stride 192: must be 1 to 126, the max length without 2 special"):
        hyper_parameters.recipe_of("x", {"long_texts": "chunk", "max_length": 128})


def test_the_ensembles_are_the_kinds_of_linear_classifiers():
    """The declaration names them itself, since a DAG file must not import NumPy."""
    allowed = hyper_parameters.json_schema()["properties"]["ensemble"]["enum"]
    assert allowed == ["none", *linear.KINDS]


def test_every_hyper_parameter_is_documented():
    rows = {row.key: row for row in hyper_parameters.describe_keys()}
    assert tuple(rows) == hyper_parameters.KEYS == tuple(key for key in asdict(Recipe()) if key != "name")
    assert {"name": "default", **{key: row.default for key, row in rows.items()}} == asdict(Recipe())
    assert rows["epochs"].help == "Passes over the train split; early stopping may end the training sooner."
    assert all(row.help and f"`{row.key}`" in hyper_parameters.markdown_table() for row in rows.values())


def test_the_json_schema_allows_the_declared_keys_and_values_only():
    schema = hyper_parameters.json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["max_length"] == {
        "type": "integer", "minimum": 8, "maximum": 512, "default": 256,
        "description": "Word pieces of a text that are read, or of each chunk; two of them are special.",
    }  # fmt: skip


def test_the_declaration_imports_nothing_heavy():
    """A DAG file imports it, and the scheduler parses DAG files all the time."""
    code = (
        "import sys; from classifier.training.recipes import hyper_parameters; "
        "print([name for name in ('numpy', 'safetensors', 'pyarrow', 'keras', 'tensorflow') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "[]"


def test_assignments_are_parsed_by_type():
    assignments = ["epochs=3", " learning_rate = 1e-4", "dtype=float32", "dropout=.2", "seed=1", "seed=2"]
    assert hyper_parameters.parse_assignments(assignments) == {
        "epochs": 3, "learning_rate": 1e-4, "dtype": "float32", "dropout": 0.2, "seed": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "'epochs': must be KEY=VALUE, such as epochs=3"),
        ("epoch=3", "unknown key 'epoch'; the keys are epochs, batch_size"),
        ("=3", "unknown key ''"),
        ("name=x", "unknown key 'name'"),
    ],
)
def test_an_assignment_without_a_known_key_is_refused(assignment, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        hyper_parameters.parse_assignments([assignment])


@pytest.mark.parametrize("name", ["bbc", "c50", "default", "few", "r8"])
def test_the_projects_recipes_give_every_value_its_reason(name):
    assert name in {described.name for described in files.available()}
    assert files.load_recipe(name).name == name
    lines = (files.DIRECTORY / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    reasons = dict(re.match(r"(\w+) = [^#]+(# .+)?$", line).groups() for line in lines if line)
    assert reasons.keys() <= {*hyper_parameters.KEYS, "description"}
    assert all(reasons[key] for key in reasons if key != "description")


def test_the_default_recipe_has_the_declared_defaults():
    assert files.load_recipe() == Recipe()


def test_single_values_override_the_recipe_and_its_name_lists_their_keys():
    recipe = files.load_recipe("bbc", seed=1, epochs=7)
    assert (recipe.name, recipe.epochs, recipe.learning_rate) == ("bbc (epochs, seed)", 7, 2e-4)


def test_a_users_file_is_read(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("description = 'mine'\nepochs = 2\nlearning_rate = 1e-3\nlayer_decay = 1\n")
    assert files.load_recipe(str(path)) == Recipe(name=str(path), epochs=2, learning_rate=1e-3, layer_decay=1.0)


def test_a_written_recipe_reads_back_the_same(tmp_path):
    path, recipe = tmp_path / "recipes" / "mine.toml", files.load_recipe("bbc", learning_rate=0.000123)
    files.write_recipe(path, recipe, "mine", dict.fromkeys(hyper_parameters.KEYS, "why"))
    assert asdict(files.load_recipe(str(path))) == asdict(recipe) | {"name": str(path)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epoch = 3", "unknown key 'epoch'; the keys are epochs, batch_size"),
        (b"name = 'x'", "unknown key 'name'"),
        (b"[train]\nepochs = 3", "unknown key 'train'"),
        (b"epochs = '3'", "epochs '3': must be a whole number, at least 1"),
        (b"epochs = [3]", "epochs [3]: must be a whole number, at least 1"),
        (b"dropout = nan", "dropout nan: must be a number, at least 0 and below 1"),
        (b"epochs = ", "not TOML"),
        (b"epochs = 3 # \xe9", "not TOML"),
        (b"long_texts = 'chunk'\nmax_length = 128", "stride 192: must be 1 to 126"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(tmp_path, content, message):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(message)) as raised:
        files.load_recipe(str(path))
    assert str(raised.value).startswith(f"{path}: ")


def test_a_recipe_that_is_not_found_or_a_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="'bcb': not found; give a file, or one of bbc, c50, default, few, r8"):
        files.load_recipe("bcb")
    with pytest.raises(SettingsError, match=r"cannot read \(Is a directory\)"):
        files.load_recipe(str(tmp_path))
