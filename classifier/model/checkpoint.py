"""Read and write DistilBERT checkpoints in Hugging Face's format.

A checkpoint is a directory with `config.json`, `model.safetensors` and the tokenizer's files. Its tensors have the
names and shapes of `transformers`. So `DistilBertForSequenceClassification.from_pretrained` opens the directories
written here, and this module opens those written by `transformers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from classifier.articles import TaskKind
from classifier.exceptions import EncoderError
from classifier.model import file_access

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")

PROBLEM_TYPES: Mapping[TaskKind, str] = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
}
"""The `problem_type` in `config.json` by the kind of a model: `transformers` then applies a softmax or a sigmoid."""

Weights = dict[str, NDArray[np.float32]]
"""Tensors by their names in `transformers`; a linear layer is (outputs, inputs)."""

_LAYER_TENSORS = (
    *((f"attention.{part}", "square") for part in ("q_lin", "k_lin", "v_lin", "out_lin")),
    ("sa_layer_norm", "norm"),
    ("ffn.lin1", "widen"),
    ("ffn.lin2", "narrow"),
    ("output_layer_norm", "norm"),
)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """The sizes that define a DistilBERT, with the names of `config.json`."""

    vocab_size: int
    n_layers: int
    n_heads: int
    dim: int
    hidden_dim: int
    max_position_embeddings: int

    def __post_init__(self) -> None:
        for name, size in asdict(self).items():
            if not isinstance(size, int) or size < 1:
                raise EncoderError(f"{CONFIG_FILE}: {name} is {size!r}; it must be a positive integer")
        if self.dim % self.n_heads:
            raise EncoderError(f"{CONFIG_FILE}: dim {self.dim} must be divisible by n_heads {self.n_heads}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EncoderShape:
        """Return the sizes of a `config.json`.

        Raises:
            EncoderError: a size is missing or invalid.
        """
        try:
            return cls(**{name: config[name] for name in cls.__dataclass_fields__})
        except KeyError as error:
            raise EncoderError(f"{CONFIG_FILE}: {error.args[0]!r} not found; not a DistilBERT configuration") from error

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the name and shape of every tensor of the encoder."""
        embeddings = "distilbert.embeddings"
        yield f"{embeddings}.word_embeddings.weight", (self.vocab_size, self.dim)
        yield f"{embeddings}.position_embeddings.weight", (self.max_position_embeddings, self.dim)
        yield f"{embeddings}.LayerNorm.weight", (self.dim,)
        yield f"{embeddings}.LayerNorm.bias", (self.dim,)
        kernels = {
            "square": (self.dim, self.dim),
            "norm": (self.dim,),
            "widen": (self.hidden_dim, self.dim),
            "narrow": (self.dim, self.hidden_dim),
        }
        for layer in range(self.n_layers):
            for part, kind in _LAYER_TENSORS:
                prefix = f"distilbert.transformer.layer.{layer}.{part}"
                yield f"{prefix}.weight", kernels[kind]
                yield f"{prefix}.bias", kernels[kind][:1]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A DistilBERT encoder, with or without a classification head."""

    shape: EncoderShape
    config: Mapping[str, Any]
    weights: Weights
    directory: Path


def head_tensors(shape: EncoderShape, categories: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of every tensor of the classification head."""
    yield "pre_classifier.weight", (shape.dim, shape.dim)
    yield "pre_classifier.bias", (shape.dim,)
    yield "classifier.weight", (categories, shape.dim)
    yield "classifier.bias", (categories,)


def read_checkpoint(directory: Path, *, categories: int | None = None) -> Checkpoint:
    """Read a DistilBERT's directory and check each tensor's name and shape.

    With `categories`, the classification head is required; if None, it is left out. Tensors are returned as float32.

    Raises:
        EncoderError: a file is missing or truncated, the architecture is another, or a tensor is missing or does not
            have the shape of `config.json`.
    """
    config = read_config(directory)
    if config.get("model_type") != "distilbert":
        raise EncoderError(
            f"{directory}: model_type is {config.get('model_type')!r}; it must be 'distilbert'. To convert a BERT that "
            "does not use token types, run: classifier encoder import"
        )
    if config.get("activation", "gelu") != "gelu":
        raise EncoderError(f"{directory}: activation is {config['activation']!r}; only the exact 'gelu' is supported")
    shape = EncoderShape.from_config(config)
    tensors = list(shape.tensors())
    if categories is not None:
        tensors += head_tensors(shape, categories)
    stored = read_tensors(directory / WEIGHTS_FILE)
    return Checkpoint(shape, config, select(stored, tensors, directory / WEIGHTS_FILE), directory)


def read_tensors(path: Path) -> Weights:
    """Read all tensors of a safetensors file.

    Raises:
        EncoderError: the file is missing, truncated, or not a safetensors file.
    """
    import ml_dtypes  # noqa: F401  # gives NumPy the bfloat16 that checkpoints may be stored in

    try:
        with file_access.reading(path, EncoderError, besides=(FileNotFoundError,)):
            path.open("rb").close()  # the library's own message would not say what the system refused
        tensors: Weights = load_file(path)
    except FileNotFoundError as error:
        raise EncoderError(f"{path}: not found; a checkpoint must have its weights as safetensors") from error
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path}: cannot read safetensors ({error}); download the file again") from error
    return tensors


def count_outputs(directory: Path) -> int | None:
    """Return the number of outputs of a checkpoint's classification head, or None if it has no readable head."""
    try:
        with safe_open(directory / WEIGHTS_FILE, framework="numpy") as tensors:
            return int(tensors.get_slice("classifier.bias").get_shape()[0])
    except (SafetensorError, OSError, IndexError):
        return None


def write_checkpoint(
    directory: Path,
    shape: EncoderShape,
    weights: Weights,
    *,
    categories: tuple[str, ...] = (),
    kind: TaskKind = "single",
    extra: Mapping[str, Any],
) -> None:
    """Write `config.json` and `model.safetensors` in the format of `transformers`.

    `extra` are further entries of `config.json`, and `categories` become its `id2label`. `kind` becomes its
    `problem_type`, by which `transformers` chooses the loss and turns logits into scores.
    """
    config: dict[str, Any] = {
        "architectures": ["DistilBertForSequenceClassification" if categories else "DistilBertModel"],
        "model_type": "distilbert",
        **asdict(shape),
        "activation": "gelu",
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "pad_token_id": 0,
        "sinusoidal_pos_embds": False,
        "tie_weights_": True,
        **extra,
    }
    if categories:
        config["id2label"] = {str(index): name for index, name in enumerate(categories)}
        config["label2id"] = {name: index for index, name in enumerate(categories)}
        config["problem_type"] = PROBLEM_TYPES[kind]
    (directory / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    save_file(weights, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    (directory / WEIGHTS_FILE).chmod(0o644)  # safetensors makes the file private; workers may be other users


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy the tokenizer's files that exist; `tokenizer.json` is required.

    Raises:
        EncoderError: there is no `tokenizer.json`, or a file cannot be read.
    """
    with file_access.reading(source, EncoderError):
        contents = {name: (source / name).read_bytes() for name in TOKENIZER_FILES if (source / name).is_file()}
    if "tokenizer.json" not in contents:
        raise EncoderError(f"{source}: tokenizer.json not found; a fast tokenizer is required")
    for name, content in contents.items():
        (target / name).write_bytes(content)


def read_config(directory: Path) -> dict[str, Any]:
    """Read a directory's `config.json`.

    Raises:
        EncoderError: the file is missing, cannot be read, or is not a JSON object.
    """
    path = directory / CONFIG_FILE
    try:
        with file_access.reading(path, EncoderError, besides=(FileNotFoundError,)):
            config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EncoderError(f"{path}: not found; an encoder must be a Hugging Face directory or hub id") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EncoderError(f"{path}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise EncoderError(f"{path}: not a JSON object")
    return config


def select(stored: Weights, tensors: list[tuple[str, tuple[int, ...]]], path: Path) -> Weights:
    """Return the tensors of those names as float32; a bare encoder's names may lack the prefix `distilbert.`.

    Raises:
        EncoderError: a tensor is missing or has another shape.
    """
    selected: Weights = {}
    for name, shape in tensors:
        tensor = stored.get(name, stored.get(name.removeprefix("distilbert.")))
        if tensor is None:
            raise EncoderError(f"{path}: tensor {name!r} not found")
        if tensor.shape != shape:
            raise EncoderError(f"{path}: tensor {name!r} has shape {tensor.shape}; by config.json it must be {shape}")
        selected[name] = np.ascontiguousarray(tensor, dtype=np.float32)
    return selected
