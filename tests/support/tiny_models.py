"""Models of two layers and width 8 with random weights and a few words.

Nothing is downloaded or trained: they are for tests that hold for any weights.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from classifier.articles import TaskKind
from classifier.model import artefact, checkpoint
from classifier.model.artefact import Artefact
from classifier.model.checkpoint import EncoderShape, Weights
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = ("the", "team", "goal", "match", "bank", "shares", "market", "chip", "soft", "##ware", "phone", "s")
CATEGORIES = ("business", "sport", "tech")


def make_encoder(
    directory: Path,
    *,
    layers: int = 2,
    dim: int = 8,
    heads: int = 2,
    hidden_dim: int = 16,
    positions: int = 64,
    words: Sequence[str] = WORDS,
    seed: int = 0,
) -> Path:
    """Write a DistilBERT encoder without a head, as `transformers` would; return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory, words)
    shape = EncoderShape(len(SPECIALS) + len(words), layers, heads, dim, hidden_dim, positions)
    checkpoint.write_checkpoint(directory, shape, _random(dict(shape.tensors()), seed), extra={})
    return directory


def make_artefact(
    directory: Path,
    categories: tuple[str, ...] = CATEGORIES,
    *,
    layers: int = 2,
    dim: int = 8,
    heads: int = 2,
    hidden_dim: int = 16,
    positions: int = 64,
    max_length: int | None = None,
    words: Sequence[str] = WORDS,
    details: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    chunking: Chunking | None = None,
    kind: TaskKind = "single",
    seed: int = 0,
) -> Artefact:
    """Write a model whose head has large weights, so that texts get different probabilities."""
    with tempfile.TemporaryDirectory() as aside:
        sizes = {"layers": layers, "dim": dim, "heads": heads, "hidden_dim": hidden_dim, "positions": positions}
        encoder = checkpoint.read_checkpoint(make_encoder(Path(aside), words=words, seed=seed, **sizes))
        head = _random(dict(checkpoint.head_tensors(encoder.shape, len(categories))), seed + 1, scale=2.0)
        tokenization = Tokenization.read(encoder.directory, max_length or positions, chunking)
        network = replace(encoder, weights={**encoder.weights, **head})
        return artefact.write_artefact(
            directory,
            FineTunedModel(network, tokenization, categories, kind=kind),
            tokenizer=encoder.directory,
            details=details or {},
            extra_files=extra_files,
        )


def make_lexicon_artefact(
    directory: Path,
    lexicon: Mapping[str, Sequence[str]],
    *,
    neutral: Sequence[str] = WORDS,
    positions: int = 64,
    chunking: Chunking | None = None,
    kind: TaskKind = "single",
    strength: float = 40.0,
    ensemble: Ensemble | None = None,
    calibration: Mapping[str, Any] | None = None,
    read_title: bool = False,
) -> Artefact:
    """Write a network whose categories each have words of their own: it counts them, as a trained one might.

    Attention is uniform, each word's embedding points to its category, and the head reads the sums. `neutral` words
    belong to no category.
    """
    categories = tuple(lexicon)
    of_category = {word: index for index, words in enumerate(lexicon.values()) for word in words}
    words = tuple(dict.fromkeys((*of_category, *neutral)))
    dim = len(categories) + 1
    with tempfile.TemporaryDirectory() as aside:
        sizes = {"layers": 1, "dim": dim, "heads": 1, "hidden_dim": dim, "positions": positions}
        encoder = checkpoint.read_checkpoint(make_encoder(Path(aside), words=words, **sizes))
        tensors = {**dict(encoder.shape.tensors()), **dict(checkpoint.head_tensors(encoder.shape, len(categories)))}
        weights = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
        for name in weights:
            if name.lower().endswith(("layernorm.weight", "layer_norm.weight")):
                weights[name] += 1
            elif name.endswith(("v_lin.weight", "out_lin.weight", "pre_classifier.weight")):
                weights[name] += np.eye(dim, dtype=np.float32)
        pieces = (*SPECIALS, *words)
        rows = [of_category.get(piece, len(categories)) for piece in pieces]
        weights["distilbert.embeddings.word_embeddings.weight"] += np.eye(dim, dtype=np.float32)[rows]
        weights["classifier.weight"][:, : len(categories)] = strength * np.eye(len(categories))
        weights["pre_classifier.bias"] += 1  # a layer norm's values may be negative, and ReLU cuts them off
        # a text of neutral words has logits of -2; their layer norm is -1 / sqrt(categories) in each category's place
        weights["classifier.bias"] -= strength * (1 - len(categories) ** -0.5) + 2
        tokenization = Tokenization.read(encoder.directory, positions, chunking, read_title=read_title)
        model = FineTunedModel(
            replace(encoder, weights=weights), tokenization, categories, calibration or {}, ensemble, kind
        )
        return artefact.write_artefact(directory, model, tokenizer=encoder.directory, details={})


def make_bert(
    directory: Path,
    *,
    layers: int = 2,
    dim: int = 8,
    heads: int = 2,
    hidden_dim: int = 16,
    positions: int = 64,
    words: Sequence[str] = WORDS,
    config: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a BERT encoder with token types and a pooler; `config` overrides its `config.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_tokenizer(directory, words)
    sizes = {
        "vocab_size": len(SPECIALS) + len(words),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": dim,
        "intermediate_size": hidden_dim,
        "max_position_embeddings": positions,
    }
    entries = {"architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "type_vocab_size": 2}
    (directory / "config.json").write_text(json.dumps({**entries, **sizes, **(config or {})}), encoding="utf-8")
    save_file(_random(_bert_tensors(sizes), seed), directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def write_tokenizer(directory: Path, words: Sequence[str] = WORDS) -> None:
    """Write the files of a lower-casing word-piece tokenizer that knows `words`."""
    vocabulary = {piece: index for index, piece in enumerate((*SPECIALS, *words))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.save(str(directory / "tokenizer.json"))
    names = zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True)
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        **{f"{key}_token": name for key, name in names},
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def _bert_tensors(sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    dim, hidden_dim = sizes["hidden_size"], sizes["intermediate_size"]
    tensors: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (sizes["vocab_size"], dim),
        "embeddings.position_embeddings.weight": (sizes["max_position_embeddings"], dim),
        "embeddings.token_type_embeddings.weight": (2, dim),
        "embeddings.LayerNorm.weight": (dim,),
        "embeddings.LayerNorm.bias": (dim,),
        "pooler.dense.weight": (dim, dim),
        "pooler.dense.bias": (dim,),
    }
    kernels = {
        **{f"attention.self.{part}": (dim, dim) for part in ("query", "key", "value")},
        "attention.output.dense": (dim, dim),
        "attention.output.LayerNorm": (dim,),
        "intermediate.dense": (hidden_dim, dim),
        "output.dense": (dim, hidden_dim),
        "output.LayerNorm": (dim,),
    }
    for layer in range(sizes["num_hidden_layers"]):
        for name, shape in kernels.items():
            tensors[f"encoder.layer.{layer}.{name}.weight"] = shape
            tensors[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    return tensors


def _random(tensors: Mapping[str, tuple[int, ...]], seed: int, *, scale: float = 1.0) -> Weights:
    """Draw matrices that keep the size of their input, times `scale`; the scales of layer norms are around 1."""
    generator = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in tensors.items():
        centre = 1.0 if name.lower().endswith(("layernorm.weight", "layer_norm.weight")) else 0.0
        deviation = scale / shape[-1] ** 0.5 if len(shape) == 2 else 0.2
        weights[name] = (centre + generator.normal(0.0, deviation, shape)).astype(np.float32)
    return weights
