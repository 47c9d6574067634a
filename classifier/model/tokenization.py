"""Turn texts into word pieces with the tokenizer that travels with the weights.

The tokenizer keeps some hundred bytes for each piece of a text, also for those that are then cut off. So texts are
tokenised in slices of a bounded number of characters, and of a long text only the beginning: see `_margin`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from classifier.articles import PaddingMask, TokenIds
from classifier.exceptions import EncoderError
from classifier.model import text_chunking, word_pieces
from classifier.model.slices import slices
from classifier.model.text_chunking import Chunking, ChunkWeights, Owners
from classifier.model.word_pieces import PackedPieces, Pieces, TokenRow

__all__ = ["Chunks", "Pieces", "Tokenization", "join", "pad"]

SLICE = 2_000_000
"""Characters that are tokenised at once, or a single text that is longer."""

_CHARACTERS = 8
"""Characters of a text's beginning that are tried for each piece that is kept; English has four or five a piece."""

_LOCAL_NORMALIZERS = frozenset({"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"})
_LOCAL_PRE_TOKENIZERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})


@dataclass(frozen=True, slots=True)
class Chunks:
    """All that the network gets to see of some articles: their chunks, article by article."""

    pieces: PackedPieces
    owners: Owners
    weights: ChunkWeights


@dataclass(frozen=True, slots=True)
class Tokenization:
    """A fast tokenizer that cuts each text off at `max_length` word pieces, specials included.

    With `chunking`, what follows makes further chunks of that length. `margin` is how many pieces behind the kept
    ones make these certain; None where the tokenizer has to see the whole text.
    """

    tokenizer: Tokenizer
    max_length: int
    chunking: Chunking | None = None
    margin: int | None = None

    @classmethod
    def read(cls, directory: Path, max_length: int, chunking: Chunking | None = None) -> Tokenization:
        """Read `tokenizer.json`.

        Raises:
            EncoderError: the file is missing or no tokenizer.
            SettingsError: chunks of that length cannot begin a stride apart.
        """
        if chunking:
            chunking.check(max_length)
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise EncoderError(f"{path}: no such file")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise EncoderError(f"{path}: not a tokenizer ({error})") from error
        side = _side(tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length, stride=chunking.overlap(max_length) if chunking else 0, direction=side)
        return cls(tokenizer, max_length, chunking, _margin(tokenizer))

    @property
    def truncation_side(self) -> str:
        """Where a text that is too long loses its pieces: "right", or "left" if `tokenizer.json` says so."""
        return _side(self.tokenizer)

    @property
    def mask_id(self) -> int | None:
        """The id of the piece that stood for hidden ones in the encoder's pretraining; None where there is none."""
        found: int | None = self.tokenizer.token_to_id("[MASK]")
        return found

    def pieces(self, texts: Iterable[str]) -> PackedPieces:
        """Tokenise the texts in parallel, outside Python's lock, and return the beginning of each."""
        return word_pieces.join(
            word_pieces.pack([encoding.ids for encoding in self._encodings(some, chunks=1)])
            for some in slices(texts, SLICE)
        )

    def chunks(self, texts: Iterable[str]) -> Chunks:
        """Tokenise the texts in parallel, outside Python's lock, and return the chunks of each."""
        return join(self.slices(texts))

    def slices(self, texts: Iterable[str]) -> Iterator[Chunks]:
        """Yield the chunks of some texts after the other; each time `owners` begins at 0."""
        return (self._chunks(some) for some in slices(texts, SLICE))

    def _chunks(self, texts: Sequence[str]) -> Chunks:
        max_chunks = self.chunking.max_chunks if self.chunking else 1
        rows: list[TokenRow] = []
        owners: list[int] = []
        for article, encoding in enumerate(self._encodings(texts, max_chunks)):
            chunks = [encoding, *encoding.overflowing[: max_chunks - 1]] if max_chunks > 1 else [encoding]
            rows += [chunk.ids for chunk in chunks]
            owners += [article] * len(chunks)
        weights = text_chunking.weights_of(rows) if self.chunking else np.ones(len(rows))
        return Chunks(word_pieces.pack(rows), np.array(owners, dtype=np.int64), weights)

    def _encodings(self, texts: Sequence[str], chunks: int) -> list[Encoding]:
        """Tokenise as much of each text as decides its first `chunks` chunks."""
        if self.margin is None:
            return list(self.tokenizer.encode_batch_fast(list(texts)))
        kept = self.max_length + (chunks - 1) * self._step
        size = _CHARACTERS * (kept + self.margin)
        found: dict[int, Encoding] = {}
        left = list(range(len(texts)))
        while left:
            encodings = self.tokenizer.encode_batch_fast([texts[row][:size] for row in left])
            found |= {
                row: encoding
                for row, encoding in zip(left, encodings, strict=True)
                if len(texts[row]) <= size or self._count(encoding) >= kept + self.margin
            }
            left = [row for row in left if row not in found]
            size *= 4
        return [found[row] for row in range(len(texts))]

    @property
    def _step(self) -> int:
        """How many pieces apart the tokenizer's chunks begin."""
        overlap = self.chunking.overlap(self.max_length) if self.chunking else 0
        return self.max_length - self.tokenizer.num_special_tokens_to_add(is_pair=False) - overlap

    def _count(self, encoding: Encoding) -> int:
        """Return how many pieces a tokenised text had, special ones included, before it was cut into chunks."""
        overflowing = encoding.overflowing
        return len(overflowing) * self._step + len(overflowing[-1].ids if overflowing else encoding.ids)


def _side(tokenizer: Tokenizer) -> str:
    return str((tokenizer.truncation or {}).get("direction", "right"))


def join(parts: Iterable[Chunks]) -> Chunks:
    """Return the chunks of all parts, whose articles are numbered on."""
    pieces: list[PackedPieces] = []
    owners, weights, articles = [np.empty(0, dtype=np.int64)], [np.empty(0)], 0
    for part in parts:
        pieces.append(part.pieces)
        owners.append(part.owners + articles)
        weights.append(part.weights)
        articles += int(part.owners[-1]) + 1 if len(part.owners) else 0
    return Chunks(word_pieces.join(pieces), np.concatenate(owners), np.concatenate(weights))


def _margin(tokenizer: Tokenizer) -> int | None:
    """Return how many pieces of a text's beginning a cut behind them may change; None where that is not known.

    A word-piece tokenizer first splits a text into words, by white space, punctuation and ideographs, and looks at
    each word alone. A cut changes the word that it falls into, or an added token such as [MASK] that is written
    there. A word has as many pieces as characters at most, and one piece if it is longer than the model's limit.
    """
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer = described["normalizer"] or {"type": "Sequence", "normalizers": []}
    normalizers = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    if (
        described["model"]["type"] != "WordPiece"
        or (described["pre_tokenizer"] or {}).get("type") not in _LOCAL_PRE_TOKENIZERS
        or not all(one["type"] in _LOCAL_NORMALIZERS for one in normalizers)
        or described["truncation"]["direction"] != "Right"
    ):
        return None
    added = max((len(token["content"]) for token in described["added_tokens"]), default=0)
    return int(described["model"]["max_input_chars_per_word"]) + 2 * added + 2


def pad(pieces: Sequence[TokenRow], length: int, rows: int | None = None) -> tuple[TokenIds, PaddingMask]:
    """Return ids and mask of shape (rows, length); rows beyond the articles hold only padding.

    A row of padding keeps one unmasked position: attention over nothing is not a number.
    """
    rows = len(pieces) if rows is None else rows
    tokens = np.zeros((rows, length), dtype=np.int32)
    mask = np.zeros((rows, length), dtype=np.int32)
    for row, ids in enumerate(pieces):
        tokens[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    mask[len(pieces) :, 0] = 1
    return tokens, mask
