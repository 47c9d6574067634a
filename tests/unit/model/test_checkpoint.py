"""A checkpoint is read as it was written, and an invalid file is reported in one line."""

from __future__ import annotations

import json
import stat

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from classifier.exceptions import EncoderError
from classifier.model import checkpoint
from tests.support.tiny_models import make_artefact, make_bert, make_encoder

QUERY = "distilbert.transformer.layer.1.attention.q_lin.weight"


@pytest.fixture
def encoder(tmp_path):
    return make_encoder(tmp_path / "encoder")


def change_config(directory, **entries):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def change_weights(directory, change):
    weights = checkpoint.read_tensors(directory / "model.safetensors")
    change(weights)
    save_file(weights, directory / "model.safetensors")


def refusal(directory, **arguments):
    with pytest.raises(EncoderError) as caught:
        checkpoint.read_checkpoint(directory, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message or "config.json" in message
    return message


def test_weights_read_back_as_written(tmp_path, encoder):
    result = checkpoint.read_checkpoint(encoder)
    (tmp_path / "copy").mkdir()
    checkpoint.write_checkpoint(tmp_path / "copy", result.shape, result.weights, extra={})
    again = checkpoint.read_checkpoint(tmp_path / "copy")
    assert again.shape == result.shape
    assert again.weights.keys() == result.weights.keys()
    for name, tensor in result.weights.items():
        np.testing.assert_array_equal(again.weights[name], tensor)


def test_other_users_may_read_the_weights(encoder):
    assert stat.S_IMODE((encoder / "model.safetensors").stat().st_mode) & 0o044 == 0o044


def test_the_head_is_read_only_when_asked_for(tmp_path):
    directory = make_artefact(tmp_path / "model").directory
    assert "classifier.weight" not in checkpoint.read_checkpoint(directory).weights
    assert checkpoint.read_checkpoint(directory, categories=3).weights["classifier.weight"].shape == (3, 8)


def test_a_bare_encoders_names_lack_the_prefix(encoder):
    expected = checkpoint.read_checkpoint(encoder).weights

    def strip(weights):
        for name in list(weights):
            weights[name.removeprefix("distilbert.")] = weights.pop(name)

    change_weights(encoder, strip)
    result = checkpoint.read_checkpoint(encoder).weights
    assert result.keys() == expected.keys()
    np.testing.assert_array_equal(result[QUERY], expected[QUERY])


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_sixteen_bit_weights_become_float32(encoder, kind):
    change_weights(encoder, lambda weights: weights.update({QUERY: np.full((8, 8), 0.5, kind)}))
    result = checkpoint.read_checkpoint(encoder).weights[QUERY]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, 0.5)


def test_a_missing_configuration_is_named(tmp_path):
    assert "config.json: not found" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_the_system_does_not_give_is_named(encoder, name):
    (encoder / name).unlink()
    (encoder / name).mkdir()
    assert f"{name}: cannot read (Is a directory); check the path and the disk" in refusal(encoder)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_a_configuration_that_is_no_json_is_named(encoder, content):
    (encoder / "config.json").write_bytes(content)
    assert "config.json: not JSON" in refusal(encoder)


def test_a_configuration_that_is_no_object_is_named(encoder):
    (encoder / "config.json").write_text("[]")
    assert "not a JSON object" in refusal(encoder)


def test_a_bert_is_refused_with_the_way_out(tmp_path):
    message = refusal(make_bert(tmp_path / "bert"))
    assert "model_type is 'bert'; it must be 'distilbert'" in message
    assert "classifier encoder import" in message


def test_a_missing_size_is_named(encoder):
    config = json.loads((encoder / "config.json").read_text())
    del config["n_heads"]
    (encoder / "config.json").write_text(json.dumps(config))
    assert "config.json: 'n_heads' not found" in refusal(encoder)


def test_another_activation_is_refused(encoder):
    change_config(encoder, activation="relu")
    assert "activation is 'relu'" in refusal(encoder)


@pytest.mark.parametrize("size", ["many", None, 0])
def test_a_size_that_is_no_positive_number_is_refused(encoder, size):
    change_config(encoder, n_layers=size)
    assert f"n_layers is {size!r}" in refusal(encoder)


def test_heads_that_do_not_divide_the_width_are_refused(encoder):
    change_config(encoder, n_heads=3)
    assert "dim 8 must be divisible by n_heads 3" in refusal(encoder)


def test_missing_weights_are_named(encoder):
    (encoder / "model.safetensors").unlink()
    assert "model.safetensors: not found" in refusal(encoder)


def test_a_missing_tensor_is_named(encoder):
    change_weights(encoder, lambda weights: weights.pop(QUERY))
    assert f"tensor {QUERY!r} not found" in refusal(encoder)


def test_a_missing_head_is_named(encoder):
    assert "tensor 'pre_classifier.weight' not found" in refusal(encoder, categories=3)


def test_a_tensor_of_another_shape_is_named(encoder):
    change_config(encoder, dim=4)
    message = refusal(encoder)
    assert "word_embeddings.weight' has shape (17, 8); by config.json it must be (17, 4)" in message


def test_a_head_for_another_number_of_categories_is_named(tmp_path):
    directory = make_artefact(tmp_path / "model").directory
    assert "'classifier.weight' has shape (3, 8); by config.json it must be (4, 8)" in refusal(directory, categories=4)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_weights_are_refused(encoder, kept):
    path = encoder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "cannot read safetensors" in refusal(encoder)


def test_a_tokenizer_is_needed_to_copy_one(tmp_path):
    with pytest.raises(EncoderError, match=r"tokenizer\.json not found"):
        checkpoint.copy_tokenizer(tmp_path, tmp_path)
