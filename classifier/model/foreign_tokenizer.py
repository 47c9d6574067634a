"""Convert an imported model's tokenizer into a `tokenizer.json` that gives the word pieces of `transformers`.

`transformers` does not use `tokenizer.json` unchanged. For a BERT-like model it uses the vocabulary, and builds the
rest from `tokenizer_config.json`: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, the special tokens and
`truncation_side`. Older models have only a `vocab.txt`. So `transformers` builds the tokenizer once, and the result is
stored. Labelling reads only that `tokenizer.json`, without `transformers`.

`tokenizer.json` cannot express everything. The truncation side is written as a truncation. If special tokens are plain
text in articles (`split_special_tokens`), they are left out of the added tokens.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from classifier import atomic_files
from classifier.exceptions import EncoderError
from classifier.model import checkpoint, file_access

MAX_LENGTH = 512
"""Word pieces of a text in DistilBERT's pretraining, and the widest bucket."""

PROBES = (
    "[CLS] Strasse, Stra\u00dfe, STRASSE [SEP] [sep] [MASK] [mask] [UNK] ##s",
    "cafe\u0301 caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0130stanbul \u0131 \ufb01n \u1e9e",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u0439\u043e\u0433\u0430; \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\u6c49\u5b57\u548c\u4eee\u540d\u3072\u3089 \ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u064e\u0629 \u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \U0001f469\u200d\U0001f4bb a\u200bb\u00a0c\u0000d\ufffde",
)
"""Short texts with accents, mixed case, several scripts and special tokens."""

Tokenize = Callable[[Sequence[str]], list[list[int]]]
"""A function that returns the word-piece ids of each text, with special tokens, truncated and not padded."""


def resolve_tokenizer(directory: Path, cache: Path) -> Path:
    """Return a folder in `cache` with the tokenizer that `transformers` makes of a directory; it is built once.

    Raises:
        EncoderError: there is no tokenizer, or `transformers` cannot read it without running code of the model.
    """
    target = cache / _key(directory)
    if target.is_dir():
        return target
    tokenizer = _open(directory)
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache, prefix=".part-"))
    try:
        tokenizer.save_pretrained(folder)
        _complete(folder / "tokenizer.json", tokenizer)
        if (directory / "vocab.txt").is_file():  # for libraries that read nothing else
            shutil.copyfile(directory / "vocab.txt", folder / "vocab.txt")
        atomic_files.publish(folder, target)
    except OSError as error:
        if not target.is_dir():  # if it is, another process has built it
            raise EncoderError(f"{target}: cannot be written ({error}); make room, or set CLASSIFIER_HOME") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def model_max_length(directory: Path) -> int | None:
    """Return the maximum length of a resolved tokenizer, or None if it has none."""
    length = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8")).get("model_max_length")
    return length if isinstance(length, int) and 0 < length <= MAX_LENGTH else None


def transformers_tokenizer(directory: Path, max_length: int) -> Tokenize:
    """Return a function that tokenizes with `transformers` and the files of a directory.

    Raises:
        EncoderError: as in `resolve_tokenizer`.
    """
    tokenizer = _open(directory)

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
        return ids

    return tokenize


def _open(directory: Path) -> Any:
    """Return the tokenizer that `transformers` makes of a directory."""
    with file_access.reading(directory, EncoderError):
        exists = any((directory / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    if not exists:
        raise EncoderError(f"{directory}: tokenizer.json not found, nor vocab.txt")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises bare Exception
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise EncoderError(f"{directory}: transformers cannot read its tokenizer ({line})") from error
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncoderError(
            f"{directory}: {type(tokenizer).__name__} is not a fast tokenizer; save it as tokenizer.json"
        )
    for name in ("is_local", "local_files_only"):  # options of this call, not properties of the tokenizer
        tokenizer.init_kwargs.pop(name, None)
    return tokenizer


def _complete(path: Path, tokenizer: Any) -> None:
    """Add to `tokenizer.json` the settings that `transformers` keeps in other files."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if tokenizer.truncation_side == "left":
        content["truncation"] = {"direction": "Left", "max_length": MAX_LENGTH, "strategy": "LongestFirst", "stride": 0}
    if tokenizer.split_special_tokens:
        content["added_tokens"] = [token for token in content["added_tokens"] if not token["special"]]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _key(directory: Path) -> str:
    """Return a hash of the files and the version of `transformers` that the built tokenizer depends on."""
    from transformers import __version__

    digest = hashlib.sha256(__version__.encode())
    for name in (checkpoint.CONFIG_FILE, "added_tokens.json", *checkpoint.TOKENIZER_FILES):
        path = directory / name
        with file_access.reading(path, EncoderError):
            content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:32]
