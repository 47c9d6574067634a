"""Find a pretrained DistilBERT encoder, or convert a BERT into one.

A BERT whose token type is always 0 is a DistilBERT: row 0 of its token type embeddings is added to each position's
embedding, the other tensors only change their names, and the pooler is left out. The hidden states are equal up to
rounding.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from classifier.exceptions import EncoderError
from classifier.model import checkpoint, file_access
from classifier.model.checkpoint import EncoderShape, Weights

_BERT_NAMES = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}

_REQUIRED_CONFIG = {"hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12}
"""Properties that DistilBERT does not configure."""


def locate_encoder(encoder: str, *, cache: Path) -> Path:
    """Return the directory of an encoder: a local one, or that of a hub id, which is downloaded once into `cache`.

    Raises:
        EncoderError: there is no such directory, and the hub does not have the encoder; or it cannot be entered.
    """
    local = Path(encoder).expanduser()
    with file_access.reading(local, EncoderError):
        if local.is_dir():
            return local
    if encoder.startswith((".", "/", "~")) or encoder.count("/") > 1:
        raise EncoderError(f"{encoder}: directory not found")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [checkpoint.CONFIG_FILE, checkpoint.WEIGHTS_FILE, *checkpoint.TOKENIZER_FILES, "added_tokens.json"]
    try:
        return Path(snapshot_download(encoder, cache_dir=cache, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = f"no local directory, and cannot be downloaded from the hub ({reason})"
        raise EncoderError(f"{encoder}: {problem}; name a directory with --encoder or CLASSIFIER_ENCODER") from error


def import_bert(source: Path, target: Path, *, sha256: str | None = None) -> EncoderShape:
    """Write the DistilBERT that equals a BERT at token type 0, into a temporary folder that is then renamed.

    `sha256` is the expected hash of the source's `model.safetensors`, in hexadecimal.

    Raises:
        EncoderError: the source is not a BERT, its weights have another hash, or the target exists.
    """
    if target.exists():
        raise EncoderError(f"{target}: already exists; choose another directory or remove it")
    weights_file = source / checkpoint.WEIGHTS_FILE
    if sha256 is not None:
        _check_hash(weights_file, sha256)
    shape = _bert_shape(source)
    weights = _convert(checkpoint.read_tensors(weights_file), shape, weights_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        staging = Path(folder) / "encoder"
        staging.mkdir()
        checkpoint.copy_tokenizer(source, staging)
        checkpoint.write_checkpoint(staging, shape, weights, extra={"source_architecture": "BertModel"})
        staging.rename(target)
    return shape


def _check_hash(path: Path, expected: str) -> None:
    try:
        with file_access.reading(path, EncoderError, besides=(FileNotFoundError,)), path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise EncoderError(f"{path}: not found") from error
    if actual != expected.lower():
        raise EncoderError(f"{path}: sha256 is {actual}, expected {expected}; download the file again")


def _bert_shape(source: Path) -> EncoderShape:
    config = checkpoint.read_config(source)
    if config.get("model_type") != "bert":
        raise EncoderError(f"{source}: model_type is {config.get('model_type')!r}; it must be 'bert'")
    for name, value in _REQUIRED_CONFIG.items():
        if config.get(name, value) != value:
            raise EncoderError(f"{source}: {name} is {config[name]!r}; it must be {value!r} for a DistilBERT")
    try:
        return EncoderShape(
            vocab_size=config["vocab_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=config["num_attention_heads"],
            dim=config["hidden_size"],
            hidden_dim=config["intermediate_size"],
            max_position_embeddings=config["max_position_embeddings"],
        )
    except KeyError as error:
        raise EncoderError(f"{source}: {error.args[0]!r} not found in config.json") from error


def _convert(bert: Weights, shape: EncoderShape, path: Path) -> Weights:
    bert = {name.removeprefix("bert."): tensor for name, tensor in bert.items()}
    try:
        converted = {name: bert[_bert_name(name)] for name, _ in shape.tensors()}
        first_type = bert["embeddings.token_type_embeddings.weight"][0]
    except KeyError as error:
        raise EncoderError(f"{path}: tensor {error.args[0]!r} not found") from error
    positions = "distilbert.embeddings.position_embeddings.weight"
    converted[positions] = converted[positions].astype(np.float32) + first_type  # may be stored in 16 bits
    return checkpoint.select(converted, list(shape.tensors()), path)


def _bert_name(name: str) -> str:
    name = name.removeprefix("distilbert.").replace("transformer.layer.", "encoder.layer.")
    stem, _, kind = name.rpartition(".")
    for ours, theirs in _BERT_NAMES.items():
        if stem.startswith("encoder.layer.") and stem.endswith(f".{ours}"):
            return f"{stem.removesuffix(ours)}{theirs}.{kind}"
    return name
