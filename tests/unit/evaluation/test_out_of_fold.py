"""Out-of-fold probabilities: no article's own annotation, and none of its near-duplicates', is learned from."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.evaluation import out_of_fold
from classifier.evaluation.out_of_fold import AnnotatedTexts, predict_out_of_fold
from classifier.model.confident_learning import find_doubts

WORDS = {
    "gold": "gold bullion ounce mine metal",
    "grain": "wheat corn bushel harvest crop",
    "ship": "vessel port cargo tanker freight",
}


def make_text(name, generator):
    return " ".join(generator.choice([*WORDS[name].split(), "the", "said", "year", "market"], 12))


def corpus(size=120, seed=0):
    """Return texts with their categories."""
    generator = np.random.default_rng(seed)
    names = [sorted(WORDS)[n % 3] for n in range(size)]
    return [make_text(name, generator) for name in names], names


def predict(texts, label_sets, *, kind="single", groups=None, more=()):
    groups = np.arange(len(texts)) if groups is None else np.asarray(groups)
    return predict_out_of_fold(AnnotatedTexts([texts, *more], label_sets, groups, kind))


def test_a_changed_annotation_is_the_most_doubtful():
    texts, names = corpus()
    annotated = [(name,) for name in names]
    annotated[7] = ("gold",) if names[7] != "gold" else ("ship",)
    result = predict(texts, annotated)
    doubts = find_doubts(result.probabilities, result.annotated, result.learned)
    assert doubts.order()[0] == 7
    assert result.categories[doubts.suggested[7]] == names[7]
    assert result.probabilities.sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)


def test_a_copy_does_not_vouch_for_an_annotation():
    texts, names = corpus()
    texts += [texts[1]] * 3
    annotated = [*((name,) for name in names), *[("gold",)] * 3]
    annotated[1] = ("gold",)
    assert names[1] != "gold"
    apart = predict(texts, annotated)
    together = predict(texts, annotated, groups=[*range(120), 1, 1, 1])
    column = together.categories.index("gold")
    assert together.probabilities[1, column] < 0.1 < apart.probabilities[1, column]


def test_articles_of_a_held_out_split_are_predicted_by_all_folds():
    texts, names = corpus()
    more, truth = corpus(30, seed=1)
    result = predict(texts, [(name,) for name in [*names, *truth]], more=[more])
    assert result.learned.all()
    assert [result.categories[column] for column in result.probabilities[120:].argmax(axis=1)] == truth


def test_a_category_with_one_article_cannot_be_assessed():
    texts, names = corpus()
    names[5] = "weather"
    result = predict(texts, [(name,) for name in names])
    column = result.categories.index("weather")
    assert not result.learned[5, column]
    assert 5 not in find_doubts(result.probabilities, result.annotated, result.learned).order()


def test_a_category_of_the_held_out_split_alone_cannot_be_assessed():
    texts, names = corpus()
    result = predict(texts, [*((name,) for name in names), ("weather",)], more=[["gold bullion"]])
    assert 120 not in find_doubts(result.probabilities, result.annotated, result.learned).order()


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["gold mine", "wheat crop"], ["gold", "grain"]),
        (["gold mine"], ["gold"]),
        (["gold mine", "gold ounce", "gold bullion"], ["gold"] * 3),
        ([], []),
    ],
)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_too_few_articles_and_equal_annotations_cannot_be_assessed(texts, names, kind):
    result = predict(texts, [(name,) for name in names], kind=kind)
    if result is not None:
        assert find_doubts(result.probabilities, result.annotated, result.learned).order().tolist() == []


def test_fewer_articles_than_folds_are_assessed_if_the_others_have_their_categories():
    texts, names = ["gold mine ounce", "gold ounce mine", "wheat crop corn", "corn crop wheat"], ["a", "a", "b", "b"]
    result = predict(texts, [(name,) for name in names])
    assert len(texts) < out_of_fold.FOLDS
    assert result.learned.all()
    assert [result.categories[column] for column in result.probabilities.argmax(axis=1)] == names


def test_texts_without_a_common_term_cannot_be_assessed():
    assert predict([f"word{n}" for n in range(30)], [("ab"[n % 2],) for n in range(30)]) is None


def test_a_missing_label_of_a_multi_label_task_is_the_most_doubtful():
    generator = np.random.default_rng(0)
    pairs = [("gold",), ("grain",), ("gold", "ship"), ("grain", "ship"), ()]
    sets = [pairs[n % 5] for n in range(200)]
    texts = [" ".join([make_text(name, generator) for name in names] or ["the said year market"]) for names in sets]
    annotated = list(sets)
    annotated[12] = ("gold",)
    assert sets[12] == ("gold", "ship")
    result = predict(texts, annotated, kind="multi")
    doubts = find_doubts(result.probabilities, result.annotated, result.learned)
    assert doubts.order()[0] == 12
    assert {name for name, has in zip(result.categories, doubts.suggested[12], strict=True) if has} == {"gold", "ship"}


def test_a_label_of_all_articles_is_not_assessed():
    texts, names = corpus()
    result = predict(texts, [tuple(sorted({name, "news"})) for name in names], kind="multi")
    assert not result.learned[:, result.categories.index("news")].any()


def test_the_nearest_articles_are_those_with_the_same_words():
    texts = ["gold mine", "wheat crop", "gold mine ounce", "freight port", "ounce gold"]
    result = predict(texts[:4], [("a",), ("b",), ("a",), ("b",), ("a",)], more=[texts[4:]])
    ((first, cosine), *_) = out_of_fold.nearest(result.vectors, [4], 4, 2)[0]
    assert (first, cosine > 0.5) == (2, True)
    assert [row for row, _ in out_of_fold.nearest(result.vectors, [0], 4, 3)[0]] == [2]
