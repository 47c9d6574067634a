"""A linear classifier on TF-IDF: what scikit-learn's own pipeline answers, and what its files bring back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from classifier.exceptions import ArtefactError
from classifier.model import linear

WORDS = {"sport": "goal match team", "business": "bank share profit", "tech": "phone chip software"}


def made_up(categories, count=30):
    """Texts that share words with every category, so that no score is far from a boundary."""
    generator = np.random.default_rng(0)
    everything = " ".join(WORDS.values()).split()
    names = list(WORDS)[:categories]
    truth = [names[number % categories] for number in range(count)]
    texts = [
        " ".join([*generator.choice(everything, 3), *generator.choice(WORDS[name].split(), 2), f"no{number}"])
        for number, name in enumerate(truth)
    ]
    return texts, truth


@pytest.mark.parametrize("categories", [2, 3])
def test_its_best_scores_are_what_scikit_learns_pipeline_predicts(categories):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    texts, truth = made_up(categories)
    reference = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), LinearSVC(random_state=0)
    ).fit(texts, truth)
    asked = made_up(3, 200)[0]
    found = linear.fit(texts, truth)
    assert [found.categories[best] for best in found.scores(asked).argmax(axis=1)] == list(reference.predict(asked))
    distances = reference.decision_function(asked)
    np.testing.assert_allclose(found.scores(asked)[:, 1], distances if categories == 2 else distances[:, 1])


@pytest.mark.parametrize("categories", [2, 3])
def test_its_files_bring_it_back(categories):
    texts, truth = made_up(categories)
    found = linear.fit([*texts, *["Zürich über Zürich"] * 2], [*truth, *truth[:2]])
    again = linear.from_files(found.to_files(), found.categories)
    np.testing.assert_allclose(again.scores(texts), found.scores(texts), atol=1e-6)
    assert again.scores(["zürich"]).tolist() != again.scores([""]).tolist()
    assert linear.from_files(again.to_files(), found.categories).to_files() == again.to_files()


def test_a_texts_scores_do_not_depend_on_its_neighbours():
    texts, truth = made_up(3, 90)
    found = linear.fit(texts, truth)
    together = found.scores(texts)
    for size in (1, 7, 64):
        parts = [found.scores(texts[start : start + size]) for start in range(0, len(texts), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda files: {linear.TERMS_FILE: files[linear.TERMS_FILE]}, "KeyError"),
        (lambda files: {**files, linear.TERMS_FILE: b"[1, "}, "JSONDecodeError"),
        (lambda files: {**files, linear.WEIGHTS_FILE: b"short"}, "SafetensorError"),
        (lambda files: {**files, linear.TERMS_FILE: json.dumps(["one"]).encode()}, "not of 1 terms"),
    ],
    ids=["no weights", "terms cut short", "weights cut short", "other terms"],
)
def test_files_that_are_none_are_named(damage, said):
    files = linear.fit(*made_up(3)).to_files()
    with pytest.raises(ArtefactError, match=said):
        linear.from_files(damage(files), ("business", "sport", "tech"))
