"""Read a fine-tuned DistilBERT classifier that `transformers` saved, and check that it can be imported."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.articles import TaskKind
from classifier.exceptions import EncoderError
from classifier.model import checkpoint, foreign_tokenizer
from classifier.model.checkpoint import PROBLEM_TYPES, Checkpoint
from classifier.model.foreign_tokenizer import MAX_LENGTH
from classifier.model.tokenization import Tokenization
from classifier.names import MAX_CATEGORY_LENGTH, control_character, look_alikes, normalize_category
from classifier.plurals import plural

log = logging.getLogger(__name__)

ARCHITECTURE = "DistilBertForSequenceClassification"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_DEFAULT_NAME = re.compile(r"LABEL_\d+")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A classifier's weights with its head, its categories in the order of its outputs, and its maximum length.

    `tokenizer` is the folder of its tokenizer, built by `foreign_tokenizer`.
    """

    checkpoint: Checkpoint
    categories: tuple[str, ...]
    max_length: int
    tokenizer: Path


def read_hub_model(
    directory: Path,
    *,
    cache: Path,
    categories: Sequence[str] | None = None,
    max_length: int | None = None,
    kind: TaskKind = "single",
) -> HubModel:
    """Read and check a directory; `categories` replace the names of its configuration, which must be of the kind.

    `cache` is the folder of built tokenizers. Texts are truncated at `max_length`, by default at the tokenizer's own
    length, and never beyond the model's last position.

    Raises:
        EncoderError: the architecture is another, or there are no safetensors, no names of categories, or no
            tokenizer that fits the model's vocabulary.
    """
    config = checkpoint.read_config(directory)
    _check_architecture(directory, config)
    _check_kind(directory, config.get("problem_type"), kind)
    _check_weights(directory)
    outputs = checkpoint.count_outputs(directory)
    if outputs is not None and outputs < 2:
        raise EncoderError(
            f"{directory}: the model has one output; a classifier must have an output for each of its categories"
        )
    names = tuple(map(normalize_category, categories or _labels(directory, config)))
    _check_names(directory, names)
    if outputs is not None and outputs != len(names):
        origin = "--categories" if categories else f"{directory}: id2label of config.json"
        raise EncoderError(
            f"{origin}: {len(names)} names, but the model has {plural(outputs, 'output')}; "
            "name each output once, with --categories A,B,…, in the order of the outputs"
        )
    network = checkpoint.read_checkpoint(directory, categories=len(names))
    positions = network.shape.max_position_embeddings
    tokenizer = foreign_tokenizer.resolve_tokenizer(directory, cache)
    length = min(max_length or foreign_tokenizer.model_max_length(tokenizer) or MAX_LENGTH, MAX_LENGTH, positions)
    pieces = Tokenization.read(tokenizer, length).tokenizer.get_vocab_size()
    if pieces > network.shape.vocab_size:
        raise EncoderError(
            f"{directory}: the tokenizer has {pieces} word pieces, the model {network.shape.vocab_size}; "
            "one of them belongs to another model"
        )
    return HubModel(network, names, length, tokenizer)


def _check_architecture(directory: Path, config: Mapping[str, Any]) -> None:
    if config.get("model_type") != "distilbert":
        raise EncoderError(
            f"{directory}: model_type is {config.get('model_type')!r}; it must be 'distilbert' to be imported"
        )
    architectures = config.get("architectures")
    architectures = architectures if isinstance(architectures, list) else []
    if architectures and ARCHITECTURE not in architectures:
        raise EncoderError(
            f"{directory}: architecture is {architectures[0]!r}; it must be {ARCHITECTURE!r}; "
            "to train an encoder without a head, run: classifier train --encoder"
        )


def _check_kind(directory: Path, problem: object, kind: TaskKind) -> None:
    """Raise an error if the `problem_type` of a configuration is not that of the kind; its default is a single label.

    Raises:
        EncoderError: it is another.
    """
    expected = PROBLEM_TYPES[kind]
    if problem == expected or (problem is None and kind == "single"):
        return
    if kind == "multi":
        present = "not set" if problem is None else repr(problem)
        raise EncoderError(
            f"{directory}: problem_type of config.json is {present}; in a multi-label task it must be {expected!r}; "
            "set it if the model was trained so, or import another model"
        )
    remedy = "; import it into a multi-label task" if problem == PROBLEM_TYPES["multi"] else ""
    raise EncoderError(f"{directory}: problem_type is {problem!r}; a text must have one category{remedy}")


def _check_weights(directory: Path) -> None:
    if (directory / checkpoint.WEIGHTS_FILE).is_file():
        return
    if pickled := [name for name in _PICKLES if (directory / name).exists()]:
        raise EncoderError(
            f"{directory}: its weights are pickled ({pickled[0]}), and unpickling runs code in the file; if you trust "
            "it, load it with transformers and save it as safetensors"
        )


def _labels(directory: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of `id2label`, in the order of the outputs."""
    labels = config.get("id2label")
    keys = {str(index) for index in range(len(labels))} if isinstance(labels, dict) else set()
    if not isinstance(labels, dict) or {str(key) for key in labels} != keys or len(labels) < 2:
        raise EncoderError(
            f"{directory}: id2label of config.json must name the outputs 0, 1 and so on; "
            "name them with --categories A,B,…, in the order of its outputs"
        )
    names = tuple(labels[key] for key in sorted(labels, key=int))
    if not all(isinstance(name, str) for name in names):
        raise EncoderError(
            f"{directory}: id2label of config.json has a name that is not a string; "
            "name the outputs with --categories A,B,…, in their order"
        )
    if all(_DEFAULT_NAME.fullmatch(name) for name in names):
        raise EncoderError(
            f"{directory}: its {len(names)} categories have only the default names {names[0]} and so on; "
            "name them with --categories A,B,…, in that order"
        )
    return names


def _check_names(directory: Path, names: tuple[str, ...]) -> None:
    if not all(names) or len(set(names)) != len(names) or len(names) < 2:
        raise EncoderError(f"{directory}: categories {', '.join(names)!r}; there must be two or more different names")
    for name in names:
        if len(name) > MAX_CATEGORY_LENGTH:
            raise EncoderError(
                f"{directory}: category {name[:40]!r}… is longer than {MAX_CATEGORY_LENGTH} characters; "
                "name the categories with --categories A,B,…"
            )
        if control := control_character(name):
            raise EncoderError(
                f"{directory}: category {name[:40]!r} has the control character {control}; "
                "name the categories with --categories A,B,…"
            )
    for group in look_alikes(names):
        log.warning("%s: categories %s look alike but are different", directory, " and ".join(map(repr, group)))
