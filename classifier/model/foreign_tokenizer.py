"""Turn the tokenizer of a model from elsewhere into a `tokenizer.json` that gives the word pieces of `transformers`.

`transformers` does not take a `tokenizer.json` as it is. For a BERT-like model it takes the vocabulary and builds the
rest from `tokenizer_config.json`: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, the special tokens and
`truncation_side`. Older models have only a `vocab.txt`. So `transformers` itself builds the tokenizer, once, and what
it built is stored. Labelling reads only that `tokenizer.json` and needs no `transformers`.

What `tokenizer.json` cannot say is written in another way: the truncation side as a truncation, and special tokens
that are plain text in articles (`split_special_tokens`) are left out of the added tokens.
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
from classifier.model import checkpoint

LONGEST = 512
"""Word pieces of DistilBERT's own pretraining; our widest bucket."""

PROBES = (
    "[CLS] Strasse, Stra\u00dfe, STRASSE [SEP] [sep] [MASK] [mask] [UNK] ##s",
    "cafe\u0301 caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u0130stanbul \u0131 \ufb01n \u1e9e",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u0439\u043e\u0433\u0430; \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "\u6c49\u5b57\u548c\u4eee\u540d\u3072\u3089 \ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u064e\u0629 \u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \U0001f469\u200d\U0001f4bb a\u200bb\u00a0c\u0000d\ufffde",
)
"""Short texts in which accents, case, scripts and special tokens matter."""

Tokenize = Callable[[Sequence[str]], list[list[int]]]
"""Returns the word-piece ids of each text, special tokens included, truncated and not padded."""


def resolve(directory: Path, cache: Path) -> Path:
    """Return a folder in `cache` with the tokenizer's files as `transformers` understands them; built once.

    Raises:
        EncoderError: there is no tokenizer, `transformers` cannot read it, or it would run code of the model's own.
    """
    target = cache / _key(directory)
    if target.is_dir():
        return target
    tokenizer = _open(directory)
    cache.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=cache, prefix=".part-"))
    try:
        tokenizer.save_pretrained(aside)
        _complete(aside / "tokenizer.json", tokenizer)
        if (directory / "vocab.txt").is_file():  # for readers that know nothing else
            shutil.copyfile(directory / "vocab.txt", aside / "vocab.txt")
        atomic_files.publish(aside, target)
    except OSError as error:
        if not target.is_dir():  # another process has built it meanwhile
            raise EncoderError(f"{target}: cannot be written ({error}); make room, or set CLASSIFIER_HOME") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def model_max_length(directory: Path) -> int | None:
    """Return where a resolved tokenizer truncates by itself; None where it does not say so."""
    found = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8")).get("model_max_length")
    return found if isinstance(found, int) and 0 < found <= LONGEST else None


def reference(directory: Path, max_length: int) -> Tokenize:
    """Return how `transformers` itself tokenises with the files of a directory.

    Raises:
        EncoderError: as `resolve`.
    """
    tokenizer = _open(directory)

    def tokenize(texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
        return found

    return tokenize


def _open(directory: Path) -> Any:
    """Return the tokenizer that `transformers` makes of the files."""
    if not any((directory / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise EncoderError(f"{directory / 'tokenizer.json'}: no such file, and no vocab.txt either")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises bare Exception
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise EncoderError(f"{directory}: transformers cannot read its tokenizer ({line})") from error
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise EncoderError(f"{directory}: {type(tokenizer).__name__} is no fast tokenizer; save it as tokenizer.json")
    for name in ("is_local", "local_files_only"):  # how it was opened is no property of the tokenizer
        tokenizer.init_kwargs.pop(name, None)
    return tokenizer


def _complete(path: Path, tokenizer: Any) -> None:
    """Write into `tokenizer.json` what `transformers` keeps beside it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if tokenizer.truncation_side == "left":
        content["truncation"] = {"direction": "Left", "max_length": LONGEST, "strategy": "LongestFirst", "stride": 0}
    if tokenizer.split_special_tokens:
        content["added_tokens"] = [one for one in content["added_tokens"] if not one["special"]]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _key(directory: Path) -> str:
    """Return a hash of all that the built tokenizer depends on."""
    from transformers import __version__

    digest = hashlib.sha256(__version__.encode())
    for name in (checkpoint.CONFIG_FILE, "added_tokens.json", *checkpoint.TOKENIZER_FILES):
        path = directory / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:32]
