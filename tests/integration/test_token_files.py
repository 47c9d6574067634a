"""A training's word pieces lie in files, which the next attempt finds and the last one removes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from classifier.articles import AnnotatedArticle
from classifier.exceptions import SettingsError
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from classifier.training import token_files
from classifier.training.batches import Size, batches
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
    def some(first, count):
        return spool((article(number) for number in range(first, first + count)), tmp_path / "home")

    return {"train": some(0, 40), "validation": some(100, 7)}


def article(number):
    text = "the team goal " * (number % 17) + f"bank {number}"
    return AnnotatedArticle(number, text, hashlib.sha256(text.encode()).digest(), CATEGORIES[number % 2])


def in_memory(tokenization, articles):
    chunks = tokenization.chunks([one.text for one in articles])
    targets = np.array([CATEGORIES.index(one.category) for one in articles])
    rows = [ids.tolist() for ids in chunks.pieces]
    return TokenizedArticles(rows, targets, chunks.owners, tokenization.mask_id, chunks.weights)


def test_batches_from_the_files_are_those_from_memory(tmp_path, tokenization, parts):
    with token_files.opened(tmp_path / "checkpoints", tokenization, parts, CATEGORIES) as tokens:
        assert isinstance(tokens.train.pieces.ids, np.memmap)
        assert tokens.train.pieces.ids.dtype == np.int32
        for name, found in (("train", tokens.train), ("validation", tokens.validation)):
            expected = in_memory(tokenization, parts[name])
            assert found.sha256() == expected.sha256()
            for one, other in zip(dealt(found), dealt(expected), strict=True):
                for column in ("tokens", "mask", "targets", "sample_weight", "rows"):
                    np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def dealt(data):
    generator = np.random.default_rng(0)
    return batches(data.pieces, data.chunk_targets, size=Size(4), weights=data.shares, shuffle=generator)


def test_the_next_attempt_does_not_tokenise_again(tmp_path, tokenization, parts, monkeypatch):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        before = tokens.train.sha256()
        tokens.keep(root / "key")
        assert tokens.train.sha256() == before, "the mapping stays when the folder gets its name"
    assert [path.name for path in root.iterdir()] == ["key"]
    monkeypatch.setattr(Tokenization, "slices", lambda *_: pytest.fail("tokenised again"))
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder == root / "key" / "tokens"
        assert tokens.train.sha256() == before
        tokens.keep(root / "key")


def test_other_articles_another_length_and_a_damaged_file_are_tokenised_again(tmp_path, tokenization, parts):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        tokens.keep(root / "key")
    kept = root / "key" / "tokens"
    others = {**parts, "train": parts["train"][:-1]}
    longer = Tokenization.read(tmp_path / "tokenizer", 14, Chunking(8, 3))
    for given, articles in ((tokenization, others), (longer, parts)):
        with token_files.opened(root, given, articles, CATEGORIES) as tokens:
            assert tokens.folder != kept
    content = bytearray((kept / "train.ids").read_bytes())
    content[5] ^= 1
    (kept / "train.ids").write_bytes(content)
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder != kept
        tokens.keep(root / "key")
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        assert tokens.folder == kept
    assert [path.name for path in root.iterdir()] == ["key"], "what nobody kept is gone"


@pytest.mark.parametrize("name", ["train.rows.npz", "validation.rows.npz", "train.ids", "tokens.json"])
def test_a_truncated_file_is_tokenised_again(tmp_path, tokenization, parts, name):
    root = tmp_path / "checkpoints"
    (root / "key").mkdir(parents=True)
    with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
        expected = tokens.train.sha256()
        tokens.keep(root / "key")
    path = root / "key" / "tokens" / name
    content = path.read_bytes()
    for size in (0, 1, 4, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with token_files.opened(root, tokenization, parts, CATEGORIES) as tokens:
            assert tokens.folder != path.parent, size
            assert tokens.train.sha256() == expected


def test_a_folder_that_cannot_be_written_to_is_the_users_to_mend(tmp_path, tokenization, parts):
    (tmp_path / "file").touch()
    with (
        pytest.raises(SettingsError, match=r"cannot write the articles' word pieces"),
        token_files.opened(tmp_path / "file", tokenization, parts, CATEGORIES),
    ):
        pass
    with pytest.raises(SettingsError, match=r"cannot write the articles' texts"):
        spool([article(1)], tmp_path / "file")


def test_spooled_articles_are_what_was_written_and_parts_of_them_share_the_file(tmp_path):
    articles = [AnnotatedArticle(n, text, bytes([n]), "ab"[n % 2]) for n, text in enumerate(["", "é中\n", "x" * 99])]
    found = spool(articles, tmp_path / "home")
    assert list(found) == articles
    assert [*found[1:], found[-1]] == [*articles[1:], articles[2]]
    assert list(found.take([2, 0])) == [articles[2], articles[0]]
    assert list(tmp_path.iterdir()) == [], "the file has no name, and the folder is not created"
