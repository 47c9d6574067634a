"""The known provenance of a model is stored, without any text."""

from __future__ import annotations

import hashlib
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier.articles import AnnotatedArticle
from classifier.ingest.fingerprints import fingerprint
from classifier.training import data_snapshot, provenance


def article(article_id, text, category):
    return AnnotatedArticle(article_id, text, hashlib.sha256(text.encode()).digest(), (category,))


ARTICLES = [article(1, "secret one", "a"), article(2, "secret two", "b")]


def git(folder, *arguments):
    settings = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True)


@pytest.fixture
def package(tmp_path):
    """Return a package in a git checkout."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return folder


def test_the_commit_is_returned_and_whether_files_differ_from_it(package):
    clean = provenance.commit(package)
    assert len(clean) == 40
    (package / "__init__.py").write_text("changed")
    assert provenance.commit(package) == f"{clean}+changes"


def test_a_package_that_is_not_tracked_by_the_checkout_has_no_commit(package):
    installed = package.parent / "installed"
    installed.mkdir()
    (installed / "__init__.py").write_text("")
    assert provenance.commit(installed) is None


def test_without_git_the_commit_is_none(package, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit(package) is None
    description = provenance.describe_provenance()
    assert description["commit"] is None
    assert {"python", "keras", "tensorflow", "article-classifier"} <= description["versions"].keys()
    assert description["machine"]["cores"] >= 1


def test_a_snapshot_has_ids_hashes_and_categories_and_no_text(tmp_path):
    content = data_snapshot.encode_snapshot({"train": ARTICLES[:1], "validation": ARTICLES[1:]})
    (tmp_path / data_snapshot.FILE).write_bytes(content)
    hashes = [{"text_sha256": article.text_hash, "fingerprint": fingerprint(article.text)} for article in ARTICLES]
    assert pq.read_table(tmp_path / data_snapshot.FILE).to_pylist() == [
        {"article_id": 1, "part": "train", **hashes[0], "categories": ["a"]},
        {"article_id": 2, "part": "validation", **hashes[1], "categories": ["b"]},
    ]
    assert b"secret" not in content
    assert data_snapshot.encode_snapshot({"train": ARTICLES[:1], "validation": ARTICLES[1:]}) == content


def test_a_snapshot_of_an_older_version_has_one_category_an_article(tmp_path):
    columns = {"article_id": [1, 2], "text_sha256": [b"1", b"2"], "category": ["a", "b"]}
    pq.write_table(pa.table(columns), tmp_path / data_snapshot.FILE)
    assert data_snapshot.read_snapshot(tmp_path) == {(1, b"1", ("a",)), (2, b"2", ("b",))}


def test_new_articles_are_those_that_the_snapshot_lacks_or_has_differently(tmp_path):
    (tmp_path / data_snapshot.FILE).write_bytes(data_snapshot.encode_snapshot({"train": ARTICLES}))
    snapshot = data_snapshot.read_snapshot(tmp_path)
    assert data_snapshot.count_new(ARTICLES, snapshot) == 0
    corrected, edited, added = article(1, "secret one", "b"), article(2, "secret 2", "b"), article(3, "three", "a")
    assert data_snapshot.count_new([corrected, edited, added], snapshot) == 3
    assert data_snapshot.count_new(ARTICLES[:1], snapshot) == 0
