"""A BERT at token type 0 becomes a DistilBERT with the same hidden states, atomically."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from classifier.exceptions import EncoderError
from classifier.model import checkpoint, encoders
from tests.support.tiny_models import make_bert, make_encoder


@pytest.fixture
def bert(tmp_path):
    return make_bert(tmp_path / "bert")


def refusal(source, target, **arguments):
    """The message of a refused import that left nothing behind."""
    before = sorted(target.parent.iterdir())
    with pytest.raises(EncoderError) as caught:
        encoders.import_bert(source, target, **arguments)
    assert sorted(target.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_hidden_states_are_the_berts(tmp_path, bert):
    torch = pytest.importorskip("torch", reason="compares with PyTorch: install the extra 'torch'")
    from transformers import BertModel, DistilBertModel

    encoders.import_bert(bert, tmp_path / "encoder")
    theirs = BertModel.from_pretrained(bert).eval()
    ours, report = DistilBertModel.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokens = torch.arange(4 * 32).reshape(4, 32) % 17
    mask = (torch.arange(32)[None] < torch.tensor([[2], [9], [31], [32]])).long()
    with torch.no_grad():
        expected = theirs(tokens, attention_mask=mask).last_hidden_state
        result = ours.eval()(tokens, attention_mask=mask).last_hidden_state
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_an_import_can_be_read_with_its_tokenizer(tmp_path, bert):
    shape = encoders.import_bert(bert, tmp_path / "new" / "encoder", sha256=sha256(bert / "model.safetensors").upper())
    assert checkpoint.read_checkpoint(tmp_path / "new" / "encoder").shape == shape
    assert (tmp_path / "new" / "encoder" / "tokenizer.json").read_bytes() == (bert / "tokenizer.json").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["encoder"]


def test_names_may_have_the_bert_prefix(tmp_path, bert):
    encoders.import_bert(bert, tmp_path / "one")
    weights = load_file(bert / "model.safetensors")
    save_file({f"bert.{name}": tensor for name, tensor in weights.items()}, bert / "model.safetensors")
    encoders.import_bert(bert, tmp_path / "other")
    assert sha256(tmp_path / "one" / "model.safetensors") == sha256(tmp_path / "other" / "model.safetensors")


def test_sixteen_bit_weights_are_added_up_in_float32(tmp_path, bert):
    weights = {name: tensor.astype(np.float16) for name, tensor in load_file(bert / "model.safetensors").items()}
    save_file(weights, bert / "model.safetensors")
    encoders.import_bert(bert, tmp_path / "encoder")
    name = "embeddings.position_embeddings.weight"
    types = weights["embeddings.token_type_embeddings.weight"].astype(np.float32)
    result = checkpoint.read_checkpoint(tmp_path / "encoder").weights[f"distilbert.{name}"]
    np.testing.assert_array_equal(result, weights[name].astype(np.float32) + types[0])


def test_another_hash_is_refused(tmp_path, bert):
    message = refusal(bert, tmp_path / "encoder", sha256="0" * 64)
    assert f"sha256 is {sha256(bert / 'model.safetensors')}, expected {'0' * 64}" in message


def test_an_existing_target_is_left_alone(tmp_path, bert):
    (tmp_path / "encoder").mkdir()
    assert "already exists" in refusal(bert, tmp_path / "encoder")
    assert not list((tmp_path / "encoder").iterdir())


def test_a_source_that_is_no_bert_is_refused(tmp_path):
    source = make_encoder(tmp_path / "source")
    assert "model_type is 'distilbert'; it must be 'bert'" in refusal(source, tmp_path / "encoder")


@pytest.mark.parametrize(
    "config", [{"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"}, {"layer_norm_eps": 1e-5}]
)
def test_a_bert_that_computes_something_else_is_refused(tmp_path, config):
    source = make_bert(tmp_path / "bert", config=config)
    assert "for a DistilBERT" in refusal(source, tmp_path / "encoder")


def test_a_missing_size_is_named(tmp_path, bert):
    (bert / "config.json").write_text('{"model_type": "bert"}')
    assert "'vocab_size' not found in config.json" in refusal(bert, tmp_path / "encoder")


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_truncated_weights_are_refused(tmp_path, bert, kept):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert "cannot read safetensors" in refusal(bert, tmp_path / "encoder")


@pytest.mark.parametrize(
    "name", ["encoder.layer.1.attention.self.query.bias", "embeddings.token_type_embeddings.weight"]
)
def test_a_missing_tensor_is_named(tmp_path, bert, name):
    weights = load_file(bert / "model.safetensors")
    del weights[name]
    save_file(weights, bert / "model.safetensors")
    assert f"tensor {name!r} not found" in refusal(bert, tmp_path / "encoder")


def test_a_missing_tokenizer_leaves_nothing_half_written(tmp_path, bert):
    (bert / "tokenizer.json").unlink()
    assert "tokenizer.json not found" in refusal(bert, tmp_path / "encoder")


def test_a_crash_leaves_nothing_half_written(tmp_path, bert, monkeypatch):
    def crash(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", crash)
    with pytest.raises(KeyboardInterrupt):
        encoders.import_bert(bert, tmp_path / "encoder")
    assert list(tmp_path.iterdir()) == [bert]


def test_a_local_directory_is_the_encoder(tmp_path, bert):
    assert encoders.locate_encoder(str(bert), cache=tmp_path / "cache") == bert


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/encoder", "~/nowhere-at-all", "a/b/c"])
def test_a_missing_directory_is_not_looked_for_on_the_hub(tmp_path, name):
    with pytest.raises(EncoderError, match="directory not found"):
        encoders.locate_encoder(name, cache=tmp_path)


def test_an_unknown_encoder_is_reported_in_one_line(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network\nfor several reasons")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(
        EncoderError, match=r"^acme/encoder: no local directory, .* \(no network\); name a directory with --encoder"
    ):
        encoders.locate_encoder("acme/encoder", cache=tmp_path)
