"""Texts are tokenized in bounded slices, and only the beginning of a long text, with the ids of the complete text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from classifier.model import tokenization as tokenizing
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from tests.support.tiny_models import WORDS, write_tokenizer

LETTERS = ("e", "##e", "a", "##a", "é", "b", "##b", "中", "文", "!", "-", "ß", "ss", "##s", "가", "##ᅡ", "ᄀ")

ODD = st.one_of(
    st.text(max_size=400),
    st.lists(st.sampled_from((*WORDS, "a", "é", "e\u0301")), max_size=300).map(" ".join),
    st.lists(
        st.sampled_from([
            "a", "ab", "e\u0301", "\u0301", "\u0327", "中", "文", " ", "\n", "\u200b", "\x00", "\x07", "!", "-", "...",
            "[MASK]", "[SEP]", "[MA", "SK]", "unknown", "a" * 99, "a" * 100, "a" * 101, "b" * 5_000, "\ufffd", "가",
            "\U0001d165", "\u302e", "İ", "ẞ", "😀", "\u0301" * 300, "\u200d",
        ]),
        max_size=300,
    ).map("".join),
)  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory, (*WORDS, *LETTERS))
    return directory


def uncut_tokenization(tokenization):
    """The same tokenizer, which is given all of each text."""
    return replace(tokenization, margin=None)


def rows(pieces):
    return [ids.tolist() for ids in pieces]


@pytest.fixture
def short_beginnings(monkeypatch):
    """Cut a text after too few characters, so that it must be tokenized again."""
    monkeypatch.setattr(tokenizing, "_CHARACTERS_PER_PIECE", 1)
    monkeypatch.setattr(tokenizing, "SLICE_CHARACTERS", 700)


@given(texts=st.lists(ODD, max_size=4), length=st.integers(8, 20))
@example(texts=["a" * 1_000 + " a" * 50], length=8)
@example(texts=["\u200b" * 3_000 + "team goal"], length=8)
@example(texts=["中文" * 2_000, "!" * 900, "a\u0301" * 900], length=20)
@pytest.mark.usefixtures("short_beginnings")
def test_the_beginning_of_a_text_gives_the_ids_of_the_complete_text(directory, texts, length):
    tokenization = Tokenization.read(directory, length)
    assert rows(tokenization.pieces(texts)) == rows(uncut_tokenization(tokenization).pieces(texts))


@given(texts=st.lists(ODD, max_size=4), overlap=st.integers(0, 5), most=st.integers(1, 6))
@example(texts=["a " * 3_000], overlap=2, most=3)
@pytest.mark.usefixtures("short_beginnings")
def test_the_beginning_of_a_text_gives_the_chunks_of_the_complete_text(directory, texts, overlap, most):
    tokenization = Tokenization.read(directory, 12, Chunking(10 - overlap, most))
    cut, uncut = tokenization.chunks(texts), uncut_tokenization(tokenization).chunks(texts)
    assert rows(cut.pieces) == rows(uncut.pieces)
    assert cut.owners.tolist() == uncut.owners.tolist()
    assert cut.weights.tolist() == uncut.weights.tolist()


@pytest.mark.parametrize("accents", [True, False])
@pytest.mark.parametrize("cased", [True, False])
@given(texts=st.lists(ODD, max_size=3))
def test_so_do_cased_tokenizers_and_those_that_keep_accents(tmp_path_factory, directory, accents, cased, texts):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased, strip_accents=not accents)
    tokenizer.enable_truncation(10)
    tokenization = Tokenization(tokenizer, 10, margin=tokenizing._margin(tokenizer))
    assert tokenization.margin is not None
    assert rows(tokenization.pieces(texts)) == rows(uncut_tokenization(tokenization).pieces(texts))


def test_an_unknown_tokenizer_receives_complete_texts(directory):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.enable_truncation(10, direction="left")
    assert tokenizing._margin(tokenizer) is None
    tokenizer.enable_truncation(10)
    assert tokenizing._margin(tokenizer) is not None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    assert tokenizing._margin(tokenizer) is None


class Counting:
    """A tokenizer that remembers how many characters it was given at once."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.given = []

    def encode_batch_fast(self, texts):
        self.given.append(sum(map(len, texts)))
        return self.tokenizer.encode_batch_fast(texts)

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)


def test_texts_are_tokenized_in_slices_of_bounded_size_into_four_bytes_a_piece(directory):
    read = Tokenization.read(directory, 16)
    tokenizer = Counting(read.tokenizer)
    tokenization = replace(read, tokenizer=tokenizer)
    taken = 0

    def texts():
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield "team goal " * 100_000

    slices = tokenization.iter_chunks(texts())
    first = next(slices)
    assert taken <= 3, "texts are read only when they are needed"
    assert max(tokenizer.given) < 10_000, "only the beginning of each text"
    others = list(slices)
    assert first.pieces.ids.dtype == np.int32
    assert sum(len(part.pieces) for part in (first, *others)) == 50
    short = ["team goal " * 20] * 50_000
    tokenizer.given.clear()
    result = tokenization.chunks(short)
    assert max(tokenizer.given) <= tokenizing.SLICE_CHARACTERS
    assert result.owners.tolist() == list(range(50_000))
    assert result.pieces.ids.nbytes == 4 * 16 * 50_000
