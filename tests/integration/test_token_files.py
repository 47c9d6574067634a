"""A training keeps its word pieces in files, which a resumed training finds and the last attempt deletes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from classifier.articles import AnnotatedArticle
from classifier.exceptions import SettingsError
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from classifier.training import token_files
from classifier.training.batches import BatchSize, batches
from classifier.training.spooled_articles import spool
from classifier.training.training_state import TokenizedArticles
from tests.support.tiny_models import write_tokenizer

CATEGORIES = ("business", "sport")


@pytest.fixture
def tokenization(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    write_tokenizer(tmp_path / "tokenizer")
    return Tokenization.read(tmp_path / "tokenizer", 12, Chunking(8, 3))


@pytest.fixture
def parts(tmp_path):
    def spooled(first, count):
        return spool((article(number) for number in range(first, first + count)), tmp_path / "home")

    return {"train": spooled(0, 40), "validation": spooled(100, 7)}


def article(number):
    text = "the team goal " * (number % 17) + f"bank {number}"
    return AnnotatedArticle(number, text, hashlib.sha256(text.encode()).digest(), (CATEGORIES[number % 2],))


def in_memory(tokenization, articles):
    chunks = tokenization.chunks([article.text for article in articles])
    targets = np.array([CATEGORIES.index(article.category) for article in articles])
    rows = [ids.tolist() for ids in chunks.pieces]
    return TokenizedArticles(rows, targets, chunks.owners, tokenization.mask_id, chunks.weights)


def test_batches_from_files_equal_batches_from_memory(tmp_path, tokenization, parts):
    with token_files.open_token_files(tmp_path / "checkpoints", tokenization, parts, CATEGORIES) as tokens:
        assert isinstance(tokens.train.pieces.ids, np.memmap)
        assert tokens.train.pieces.ids.dtype == np.int32
        for name, part in (("train", tokens.train), ("validation", tokens.validation)):
            expected = in_memory(tokenization, parts[name])
            assert part.sha256() == expected.sha256()
            for batch, other in zip(shuffled(part), shuffled(expected), strict=True):
                for column in ("tokens", "mask", "targets", "sample_weight", "rows"):
                    np.testing.assert_array_equal(getattr(batch, column), getattr(other, column))


def shuffled(data):
    generator = np.random.default_rng(0)
    return batches(data.pieces, data.chunk_targets, size=BatchSize(4), weights=data.shares, shuffle=generator)


def test_the_next_attempt_does_not_tokenize_again(tmp_path, tokenization, parts, monkeypatch):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        before = tokens.train.sha256()
        tokens.keep(root / "key")
        assert tokens.train.sha256() == before, "the mapping is valid after the folder was renamed"
    assert [path.name for path in root.iterdir()] == ["key"]
    monkeypatch.setattr(Tokenization, "iter_chunks", lambda *_: pytest.fail("tokenized again"))
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder == root / "key" / "tokens"
        assert tokens.train.sha256() == before
        tokens.keep(root / "key")


def test_other_articles_another_length_and_a_damaged_file_are_tokenized_again(tmp_path, tokenization, parts):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        tokens.keep(root / "key")
    kept = root / "key" / "tokens"
    others = {**parts, "train": parts["train"][:-1]}
    longer = Tokenization.read(tmp_path / "tokenizer", 14, Chunking(8, 3))
    for changed, articles in ((tokenization, others), (longer, parts)):
        with token_files.open_token_files(root, changed, articles, CATEGORIES) as tokens:
            assert tokens.folder != kept
    content = bytearray((kept / "train.ids").read_bytes())
    content[5] ^= 1
    (kept / "train.ids").write_bytes(content)
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder != kept
        tokens.keep(root / "key")
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder == kept
    assert [path.name for path in root.iterdir()] == ["key"], "files that were not kept are deleted"


@pytest.mark.parametrize("name", ["train.rows.npz", "validation.rows.npz", "train.ids", "tokens.json"])
def test_truncated_files_are_tokenized_again(tmp_path, tokenization, parts, name):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
        expected = tokens.train.sha256()
        tokens.keep(root / "key")
    path = root / "key" / "tokens" / name
    content = path.read_bytes()
    for size in (0, 1, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with token_files.open_token_files(root, tokenization, parts, CATEGORIES) as tokens:
            assert tokens.folder != path.parent, size
            assert tokens.train.sha256() == expected


def test_a_folder_that_is_not_writable_is_reported_to_the_user(tmp_path, tokenization, parts):
    (tmp_path / "file").touch()
    with (
        pytest.raises(SettingsError, match=r"cannot write the articles' word pieces"),
        token_files.open_token_files(tmp_path / "file", tokenization, parts, CATEGORIES),
    ):
        pass
    with pytest.raises(SettingsError, match=r"cannot write the articles' texts"):
        spool([article(1)], tmp_path / "file")


def test_spooled_articles_read_back_and_slices_share_their_file(tmp_path):
    articles = [AnnotatedArticle(n, text, bytes([n]), ("ab"[n % 2],)) for n, text in enumerate(["", "é中\n", "x" * 99])]
    spooled = spool(articles, tmp_path / "home")
    assert list(spooled) == articles
    assert [*spooled[1:], spooled[-1]] == [*articles[1:], articles[2]]
    assert list(spooled.take([2, 0])) == [articles[2], articles[0]]
    assert list(tmp_path.iterdir()) == [], "the file is unnamed, and the folder is not created"
