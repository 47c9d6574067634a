"""A linear classifier of a multi-label task has one machine for each category, each of which answers alone."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.model import linear

WORDS = {"sport": "goal match team", "business": "bank share profit", "tech": "phone chip software"}
CATEGORIES = ("tech", "sport", "business")


def synthetic(count=60, *, seed=0):
    """Return texts about any number of the categories, and the categories of each."""
    generator = np.random.default_rng(seed)
    label_sets = [tuple(name for name in WORDS if generator.random() < 0.45) for _ in range(count)]
    texts = [
        " ".join([
            f"no{number} said the",
            *(word for name in names for word in generator.permutation(WORDS[name].split())),
        ])
        for number, names in enumerate(label_sets)
    ]
    return texts, label_sets


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "sparse"])
def test_its_scores_are_those_of_scikit_learns_machines(monkeypatch, dense):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    if not dense:
        monkeypatch.setattr(linear, "MAX_DENSE_COEFFICIENTS", 0)
    texts, label_sets = synthetic()
    result = linear.fit_linear_multi(texts, label_sets, CATEGORIES)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    counts, asked = vectorizer.fit_transform(texts), synthetic(40, seed=1)[0]
    assert (result.categories, hasattr(result.coefficients, "toarray")) == (CATEGORIES, not dense)
    for column, name in enumerate(CATEGORIES):
        machine = LinearSVC(random_state=0).fit(counts, [name in labels for labels in label_sets])
        expected = machine.decision_function(vectorizer.transform(asked))
        np.testing.assert_allclose(result.scores(asked)[:, column], expected, atol=2 * linear.MAX_SCORE_CHANGE)


def test_a_text_may_have_several_categories_or_none():
    result = linear.fit_linear_multi(*synthetic(), CATEGORIES)
    probabilities = result.probabilities(["goal match team bank share profit", "no1 said the"])
    assert (probabilities > 0.5).tolist() == [[False, True, True], [False, False, False]]
    assert probabilities.dtype == np.float32


@pytest.mark.parametrize("kind", linear.KINDS)
@pytest.mark.parametrize("limit", [0, 64_000_000], ids=["sparse", "dense"])
def test_its_files_bring_it_back_with_the_same_bits(monkeypatch, kind, limit):
    monkeypatch.setattr(linear, "MAX_DENSE_COEFFICIENTS", limit)
    texts, label_sets = synthetic()
    result = linear.fit_linear_multi(texts, label_sets, CATEGORIES, kind)
    again = linear.from_files(result.to_files(), CATEGORIES, kind)
    np.testing.assert_allclose(again.scores(texts), result.scores(texts), atol=1e-12)
    once_more = linear.from_files(again.to_files(), CATEGORIES, kind)
    np.testing.assert_array_equal(once_more.scores(texts), again.scores(texts))
    assert once_more.to_files() == again.to_files() == result.to_files()


def test_a_category_of_every_text_or_of_no_text_has_a_constant_score():
    texts, label_sets = synthetic(40)
    result = linear.fit_linear_multi(
        texts, [(*labels, "news") for labels in label_sets], ("news", "never", *CATEGORIES)
    )
    scores = result.scores(texts)
    assert scores[:, 0] == pytest.approx(np.log(40.5 / 0.5))
    assert scores[:, 1] == pytest.approx(np.log(0.5 / 40.5))
    assert np.ptp(scores[:, 2]) > 1


def test_a_label_that_is_not_among_the_categories_is_ignored():
    texts, label_sets = synthetic()
    narrow = linear.fit_linear_multi(texts, label_sets, ("sport",))
    np.testing.assert_array_equal(
        narrow.scores(texts)[:, 0], linear.fit_linear_multi(texts, label_sets, CATEGORIES).scores(texts)[:, 1]
    )


def test_texts_without_a_common_term_cannot_be_learned():
    with pytest.raises(ValueError, match=r"[Nn]o terms|pruning|min_df"):
        linear.fit_linear_multi([f"unique{n}" for n in range(30)], [("sport",)] * 30, CATEGORIES)
