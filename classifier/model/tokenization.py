"""Turn texts into word pieces with the tokenizer that travels with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from classifier.articles import PaddingMask, TokenIds
from classifier.exceptions import EncoderError
from classifier.model.long_articles import Chunking, ChunkWeights, Owners

Pieces = list[list[int]]
"""Word-piece ids of each article, or of each chunk, with the special tokens, not padded."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """All that the network gets to see of some articles: their chunks, article by article."""

    pieces: Pieces
    owners: Owners
    weights: ChunkWeights


@dataclass(frozen=True, slots=True)
class Tokenization:
    """A fast tokenizer that cuts each text off at `max_length` word pieces, specials included.

    With `chunking`, what follows makes further chunks of that length.
    """

    tokenizer: Tokenizer
    max_length: int
    chunking: Chunking | None = None

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
        return cls(tokenizer, max_length, chunking)

    @property
    def truncation_side(self) -> str:
        """Where a text that is too long loses its pieces: "right", or "left" if `tokenizer.json` says so."""
        return _side(self.tokenizer)

    @property
    def mask_id(self) -> int | None:
        """The id of the piece that stood for hidden ones in the encoder's pretraining; None where there is none."""
        found: int | None = self.tokenizer.token_to_id("[MASK]")
        return found

    def pieces(self, texts: Sequence[str]) -> Pieces:
        """Tokenise the texts in parallel, outside Python's lock, and return the beginning of each."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))]

    def chunks(self, texts: Sequence[str]) -> Chunks:
        """Tokenise the texts in parallel, outside Python's lock, and return the chunks of each."""
        further = self.chunking.most - 1 if self.chunking else 0
        found: Pieces = []
        owners: list[int] = []
        for article, encoding in enumerate(self.tokenizer.encode_batch_fast(list(texts))):
            chunks = [encoding, *encoding.overflowing[:further]] if further else [encoding]
            found += [chunk.ids for chunk in chunks]
            owners += [article] * len(chunks)
        weights = self.chunking.weights(found) if self.chunking else np.ones(len(found))
        return Chunks(found, np.array(owners, dtype=np.int64), weights)


def _side(tokenizer: Tokenizer) -> str:
    return str((tokenizer.truncation or {}).get("direction", "right"))


def pad(pieces: Sequence[Sequence[int]], length: int, rows: int | None = None) -> tuple[TokenIds, PaddingMask]:
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
