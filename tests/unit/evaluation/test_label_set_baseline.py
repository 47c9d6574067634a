"""The baseline of a multi-label task learns words, and always returns a prediction."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import label_sets
from classifier.evaluation.label_set_baseline import LabelRule, predict_baseline_labels
from classifier.evaluation.label_set_metrics import compute_label_set_metrics

CATEGORIES = ("business", "sport", "tech")
WORDS = {"sport": "goal match team", "business": "bank share profit", "tech": "phone chip software"}


def synthetic(count=120, *, seed=0):
    generator = np.random.default_rng(seed)
    labels = [tuple(name for name in CATEGORIES if generator.random() < 0.4) for _ in range(count)]
    texts = []
    for number, names in enumerate(labels):
        words = [word for name in names for word in generator.choice(WORDS[name].split(), 2)]
        texts.append(" ".join([f"no{number} said the", *words]))
    return texts, labels


def figures(train, test, rule=LabelRule(), categories=CATEGORIES):  # noqa: B008 - the rule is frozen
    predicted = predict_baseline_labels(*train, test[0], categories, rule).predicted
    return predicted, compute_label_set_metrics(label_sets.to_matrix(test[1], categories), predicted, categories)


@pytest.mark.parametrize("count", [40, 120], ids=["default thresholds", "chosen thresholds"])
def test_the_baseline_learns_words_that_distinguish_categories(count):
    _, metrics = figures(synthetic(count), synthetic(60, seed=1))
    assert metrics.micro_f1 > 0.9
    assert metrics.macro_f1 > 0.9


def test_thresholds_find_a_rare_category_that_a_threshold_of_one_half_misses():
    """A word that stands for a category in two of three cases is below the boundary of its machine."""
    generator = np.random.default_rng(0)
    rare = generator.random(400) < 0.15
    shown = np.where(rare, generator.random(400) < 0.7, generator.random(400) < 0.06)
    texts = [f"{'cue' if cue else 'none'} filler{n % 7} filler{n % 11}" for n, cue in enumerate(shown)]
    labels = [("rare",) if present else () for present in rare]
    train, test = (texts[:300], labels[:300]), (texts[300:], labels[300:])
    predicted, metrics = figures(train, test, categories=("rare", "never"))
    assert metrics.by_category["rare"].recall > 0.5
    assert not predicted[:, 1].any()


def test_every_article_gets_a_label_if_it_must_have_one():
    train = [(text, labels or ("tech",)) for text, labels in zip(*synthetic(), strict=True)]
    predicted, _ = figures(
        tuple(zip(*train, strict=True)), (["nothing known", "goal"], [(), ()]), LabelRule(min_labels=1)
    )
    assert predicted.any(axis=1).all()


def test_a_precise_baseline_assigns_fewer_labels():
    train, test = synthetic(200), synthetic(100, seed=1)
    noisy = train[0], [tuple({*labels, "tech"}) if n % 4 == 0 else labels for n, labels in enumerate(train[1])]
    balanced, _ = figures(noisy, test)
    fewer, _ = figures(noisy, test, LabelRule(goal="precision", target_precision=0.95))
    assert fewer.sum() < balanced.sum()


@pytest.mark.parametrize(
    "texts",
    [[f"unique{n}" for n in range(30)], ["! ?"] * 30],
    ids=["no term twice", "no word of two letters"],
)
def test_texts_without_terms_get_the_most_frequent_label_set(texts):
    labels = [("sport", "tech")] * 20 + [()] * 10
    predicted, _ = figures((texts, labels), (["x y", "z"], [(), ()]))
    assert predicted.tolist() == [[False, True, True]] * 2


def test_the_same_articles_give_the_same_labels_and_the_time_is_measured():
    train, test = synthetic(), synthetic(30, seed=1)
    once, again = (predict_baseline_labels(*train, test[0], CATEGORIES, LabelRule()) for _ in range(2))
    np.testing.assert_array_equal(once.predicted, again.predicted)
    assert 0 < once.train_seconds < 60
