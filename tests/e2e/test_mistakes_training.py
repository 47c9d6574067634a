"""A mistake in a training, a search or an encoder is reported in one line, and nothing is written."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support.mistakes import Case, check_mistake, register
from tests.support.synthetic import articles, ingest_file, unlabelled
from tests.support.tiny_models import make_bert

CASES: dict[str, Case] = {}
case = partial(register, CASES)


@case("train: no annotated article", r"the train split has no annotated article; run: classifier ingest")
def _(env):
    ingest_file(env.workspace, env.folder / "before.csv", unlabelled(20))
    return "train", "--encoder", env.encoder()


@case("train: one category only", r"all annotated articles are of one category, 'sport'; at least two are needed")
def _(env):
    env.annotated([{**row, "category": "sport"} for row in articles(30)])
    return "train", "--encoder", env.encoder()


@case("train: two articles", r"too few annotated articles")
def _(env):
    env.annotated(articles(2))
    return "train", "--encoder", env.encoder()


@case("train: a BERT", r"model_type is 'bert'; it must be 'distilbert'\. .*classifier encoder import")
def _(env):
    env.annotated()
    return "train", "--encoder", make_bert(env.folder / "bert")


@case("train: weights that were cut short", r"model\.safetensors: cannot read safetensors")
def _(env):
    env.annotated()
    weights = env.encoder() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return "train", "--encoder", weights.parent


@case("train: an encoder without weights", r"model\.safetensors: not found")
def _(env):
    env.annotated()
    (env.encoder() / "model.safetensors").unlink()
    return "train", "--encoder", "encoder"


@case("train: an encoder without a tokenizer", r"tokenizer\.json not found")
def _(env):
    env.annotated()
    folder = env.encoder()
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    return "train", "--encoder", "encoder"


@case("train: a configuration that is not JSON", r"config\.json: not JSON")
def _(env):
    env.annotated()
    (env.encoder() / "config.json").write_text('{"model_type":')
    return "train", "--encoder", "encoder"


@case("train: no such directory", r"\./nowhere: directory not found")
def _(env):
    env.annotated()
    return "train", "--encoder", "./nowhere"


@case("train: a hub that cannot be reached", r"some-body/some-model: no local directory, and cannot be downloaded")
def _(env):
    env.annotated()
    env.environment["HF_HUB_OFFLINE"] = "1"
    return "train", "--encoder", "some-body/some-model"


@case("train: no epochs", r"epochs 0: must be a whole number, at least 1")
def _(env):
    return "train", "--set", "epochs=0"


@case("train: a learning rate of 5", r"learning_rate 5: must be a number, above 0 and below 1")
def _(env):
    return "train", "--set", "learning_rate=5"


@case("train: a dtype of another name", r"dtype 'int4': must be auto, float32, mixed_bfloat16 or mixed_float16")
def _(env):
    return "train", "--set", "dtype=int4"


@case("train: an unknown hyper-parameter", r"unknown key 'epoch'; the keys are epochs, ")
def _(_env):
    return "train", "--set", "epoch=3"


@case("train: a hyper-parameter without a value", r"'epochs': must be KEY=VALUE, such as epochs=3")
def _(_env):
    return "train", "--set", "epochs"


@case("train: no such recipe", r"recipe 'bcb': not found; give a file, or one of bbc, c50, default, few, r8")
def _(_env):
    return "train", "--recipe", "bcb"


@case("train: a recipe with an unknown key", r"my\.toml: unknown key 'epoch'; the keys are epochs, ")
def _(env):
    return "train", "--recipe", env.bytes(b"epoch = 3", "my.toml")


@case("train: a recipe with a text for a number", r"my\.toml: epochs '3': must be a whole number, at least 1")
def _(env):
    return "train", "--recipe", env.bytes(b"epochs = '3'", "my.toml")


@case("train: a recipe that is not TOML", r"my\.toml: not TOML")
def _(env):
    return "train", "--recipe", env.bytes(b"epochs: 3", "my.toml")


@case("train: a stride beyond a chunk's end", r"stride 192: must be 1 to 98, the max length without 2 special")
def _(_env):
    return "train", "--set", "long_texts=chunk", "--set", "max_length=100"


@case("tune: no trials", r"trials 0: must be at least 1")
def _(_env):
    return "tune", "--trials", 0


@case("tune: nothing to learn from", r"the train split has no annotated article; run: classifier ingest")
def _(env):
    return "tune", "--trials", 3, "--encoder", env.encoder()


@case("tune: a place where no recipe can be written", r"best\.toml: cannot write \(.+\); name another file")
def _(env):
    env.annotated()
    env.bytes(b"", "file")
    return "tune", "--trials", 3, "--encoder", env.encoder(), "--out", "file/best.toml"


@case("train: class weights of another name", r"class_weights 'some': must be none or balanced")
def _(_env):
    return "train", "--set", "class_weights=some"


@case("train: from a model that is not there", r"m9: no such model; see: classifier models")
def _(env):
    env.annotated()
    return "train", "--from", "m9"


@case("train: an encoder and a model to start from", r"both set; choose one of them")
def _(env):
    env.annotated()
    return "train", "--from", "m1", "--encoder", env.encoder()


@case("train: certainty is wanted", r"--target-precision 1: must be at least 0 and less than 1")
def _(env):
    return "train", "--target-precision", "1"


@case("encoder import: a target that is there", r"encoder: already exists; choose another directory")
def _(env):
    return "encoder", "import", make_bert(env.folder / "bert"), env.encoder()


@case("encoder import: a source that is not there", r"nowhere/config\.json: not found")
def _(env):
    return "encoder", "import", "nowhere", "target"


@case("encoder import: another hash", r"model\.safetensors: sha256 is .*, expected 00; download the file again")
def _(env):
    return "encoder", "import", make_bert(env.folder / "bert"), "target", "--sha256", "00"


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_prints_one_line_and_changes_nothing(classifier, env, name):
    check_mistake(classifier, env, CASES[name])
