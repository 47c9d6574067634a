"""Turn texts into word pieces with the tokenizer that is stored with the weights.

The tokenizer keeps about a hundred bytes for each piece of a text, including those that are then cut off. So texts are
tokenized in slices of a bounded number of characters, and only the beginning of a long text is tokenized: see
`_margin`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from classifier.articles import AnnotatedArticle, PaddingMask, Texts, TokenIds
from classifier.exceptions import EncoderError
from classifier.model import text_chunking, word_pieces
from classifier.model.text_chunking import Chunking, ChunkWeights, Owners
from classifier.model.text_slices import slice_texts
from classifier.model.word_pieces import PackedPieces, Pieces, TokenRow

__all__ = ["Chunks", "Pieces", "Tokenization", "join", "pad"]

SLICE_CHARACTERS = 2_000_000
"""Characters that are tokenized together. A longer text is tokenized alone."""

_CHARACTERS_PER_PIECE = 8
"""Characters of a text's beginning that are tokenized first for each kept piece; English has four or five per piece."""

_LOCAL_NORMALIZERS = frozenset({"BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"})
_LOCAL_PRE_TOKENIZERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})


@dataclass(frozen=True, slots=True)
class Chunks:
    """The network's input for some articles: their chunks, article by article."""

    pieces: PackedPieces
    owners: Owners
    weights: ChunkWeights


@dataclass(frozen=True, slots=True, eq=False)
class LocatedChunks:
    """The chunks of one text: their pieces' ids, and the characters that each piece stands for.

    `spans` has a shape (pieces, 2) for each chunk; a special piece, which stands for no character, has an empty span.
    """

    pieces: tuple[NDArray[np.int32], ...]
    spans: tuple[NDArray[np.int64], ...]
    weights: ChunkWeights


@dataclass(frozen=True, slots=True)
class Tokenization:
    """A fast tokenizer that cuts each text off at `max_length` word pieces, including special ones.

    With `chunking`, the rest of the text makes further chunks of that length. `margin` is the number of pieces after
    the kept ones that must be tokenized too, so that the kept ones are certain. If it is None, the complete text must
    be tokenized. `read_title` says that an article's text begins with its title: see `classifier.articles.model_input`.
    """

    tokenizer: Tokenizer
    max_length: int
    chunking: Chunking | None = None
    margin: int | None = None
    read_title: bool = False

    @classmethod
    def read(
        cls, directory: Path, max_length: int, chunking: Chunking | None = None, *, read_title: bool = False
    ) -> Tokenization:
        """Read `tokenizer.json`.

        Raises:
            EncoderError: the file is missing or not a tokenizer.
            SettingsError: the chunking does not fit the length.
        """
        if chunking:
            chunking.check(max_length)
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise EncoderError(f"{path}: not found")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare Exception
            raise EncoderError(f"{path}: not a tokenizer ({error})") from error
        side = _truncation_side(tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length, stride=chunking.overlap(max_length) if chunking else 0, direction=side)
        return cls(tokenizer, max_length, chunking, _margin(tokenizer), read_title)

    @property
    def truncation_side(self) -> str:
        """The side where a long text is cut: "right", or "left" if `tokenizer.json` specifies it."""
        return _truncation_side(self.tokenizer)

    @property
    def mask_id(self) -> int | None:
        """The id of the piece that replaced hidden ones in the encoder's pretraining; None if there is none."""
        mask_id: int | None = self.tokenizer.token_to_id("[MASK]")
        return mask_id

    @property
    def unknown_id(self) -> int:
        """The id of the piece that stands for an unknown word; 0, the id of padding, if the tokenizer has none."""
        name = json.loads(self.tokenizer.to_str())["model"].get("unk_token") or "[UNK]"
        return self.tokenizer.token_to_id(name) or 0

    def texts(self, *parts: Sequence[AnnotatedArticle]) -> Texts:
        """Return what the model reads of the articles."""
        return Texts(*parts, read_title=self.read_title)

    def pieces(self, texts: Iterable[str]) -> PackedPieces:
        """Tokenize the texts in parallel, without Python's global lock, and return the beginning of each."""
        return word_pieces.join(
            word_pieces.pack([encoding.ids for encoding in self._encodings(slice_of_texts, chunks=1)])
            for slice_of_texts in slice_texts(texts, SLICE_CHARACTERS)
        )

    def chunks(self, texts: Iterable[str]) -> Chunks:
        """Tokenize the texts in parallel, without Python's global lock, and return the chunks of each."""
        return join(self.iter_chunks(texts))

    def iter_chunks(self, texts: Iterable[str]) -> Iterator[Chunks]:
        """Yield the chunks of one slice of texts after the other; in each, `owners` begins at 0."""
        return (self._chunks(slice_of_texts) for slice_of_texts in slice_texts(texts, SLICE_CHARACTERS))

    def located_chunks(self, text: str) -> LocatedChunks:
        """Tokenize one text, and return its chunks with the characters of each piece."""
        (encoding,) = self._encodings([text], self._max_chunks, located=True)
        chunks = self._chunks_of(encoding)
        rows = [np.array(chunk.ids, dtype=np.int32) for chunk in chunks]
        spans = [
            np.array(chunk.offsets, dtype=np.int64).reshape(-1, 2) * (1 - np.array(chunk.special_tokens_mask))[:, None]
            for chunk in chunks
        ]
        weights = text_chunking.weights_of(rows) if self.chunking else np.ones(len(rows))
        return LocatedChunks(tuple(rows), tuple(spans), weights)

    @property
    def _max_chunks(self) -> int:
        return self.chunking.max_chunks if self.chunking else 1

    def _chunks_of(self, encoding: Encoding) -> list[Encoding]:
        return [encoding, *encoding.overflowing[: self._max_chunks - 1]] if self._max_chunks > 1 else [encoding]

    def _chunks(self, texts: Sequence[str]) -> Chunks:
        rows: list[TokenRow] = []
        owners: list[int] = []
        for article, encoding in enumerate(self._encodings(texts, self._max_chunks)):
            chunks = self._chunks_of(encoding)
            rows += [chunk.ids for chunk in chunks]
            owners += [article] * len(chunks)
        weights = text_chunking.weights_of(rows) if self.chunking else np.ones(len(rows))
        return Chunks(word_pieces.pack(rows), np.array(owners, dtype=np.int64), weights)

    def _encodings(self, texts: Sequence[str], chunks: int, *, located: bool = False) -> list[Encoding]:
        """Tokenize as much of each text as determines its first `chunks` chunks; the pieces' characters take longer."""
        encode = self.tokenizer.encode_batch if located else self.tokenizer.encode_batch_fast
        if self.margin is None:
            return list(encode(list(texts)))
        kept = self.max_length + (chunks - 1) * self._step
        size = _CHARACTERS_PER_PIECE * (kept + self.margin)
        certain: dict[int, Encoding] = {}
        remaining = list(range(len(texts)))
        while remaining:
            encodings = encode([texts[row][:size] for row in remaining])
            certain |= {
                row: encoding
                for row, encoding in zip(remaining, encodings, strict=True)
                if len(texts[row]) <= size or self._count(encoding) >= kept + self.margin
            }
            remaining = [row for row in remaining if row not in certain]
            size *= 4
        return [certain[row] for row in range(len(texts))]

    @property
    def _step(self) -> int:
        """The number of pieces from the start of a chunk to the start of the next."""
        overlap = self.chunking.overlap(self.max_length) if self.chunking else 0
        return self.max_length - self.tokenizer.num_special_tokens_to_add(is_pair=False) - overlap

    def _count(self, encoding: Encoding) -> int:
        """Return the number of pieces, including special ones, of a text before it was cut into chunks."""
        overflowing = encoding.overflowing
        return len(overflowing) * self._step + len(overflowing[-1].ids if overflowing else encoding.ids)


def _truncation_side(tokenizer: Tokenizer) -> str:
    return str((tokenizer.truncation or {}).get("direction", "right"))


def join(parts: Iterable[Chunks]) -> Chunks:
    """Return the chunks of all parts, with their articles numbered consecutively."""
    pieces: list[PackedPieces] = []
    owners, weights, articles = [np.empty(0, dtype=np.int64)], [np.empty(0)], 0
    for part in parts:
        pieces.append(part.pieces)
        owners.append(part.owners + articles)
        weights.append(part.weights)
        articles += int(part.owners[-1]) + 1 if len(part.owners) else 0
    return Chunks(word_pieces.join(pieces), np.concatenate(owners), np.concatenate(weights))


def _margin(tokenizer: Tokenizer) -> int | None:
    """Return the number of pieces before a cut that the cut may change; None if it is unknown.

    A word-piece tokenizer first splits a text into words, by white space, punctuation and ideographs, and then splits
    each word alone. A cut changes only the word that it falls into, or an added token such as [MASK] there. A word has
    at most as many pieces as characters, and one piece if it is longer than the model's limit.
    """
    described: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer = described["normalizer"] or {"type": "Sequence", "normalizers": []}
    normalizers = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    if (
        described["model"]["type"] != "WordPiece"
        or (described["pre_tokenizer"] or {}).get("type") not in _LOCAL_PRE_TOKENIZERS
        or not all(entry["type"] in _LOCAL_NORMALIZERS for entry in normalizers)
        or described["truncation"]["direction"] != "Right"
    ):
        return None
    added = max((len(token["content"]) for token in described["added_tokens"]), default=0)
    return int(described["model"]["max_input_chars_per_word"]) + 2 * added + 2


def pad(pieces: Sequence[TokenRow], length: int, rows: int | None = None) -> tuple[TokenIds, PaddingMask]:
    """Return ids and mask of shape (rows, length); rows after the articles are padding.

    A padding row keeps one unmasked position, because attention without any key is NaN.
    """
    rows = len(pieces) if rows is None else rows
    tokens = np.zeros((rows, length), dtype=np.int32)
    mask = np.zeros((rows, length), dtype=np.int32)
    for row, ids in enumerate(pieces):
        tokens[row, : len(ids)] = ids
        mask[row, : len(ids)] = 1
    mask[len(pieces) :, 0] = 1
    return tokens, mask
