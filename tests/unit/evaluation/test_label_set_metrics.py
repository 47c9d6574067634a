"""The figures of label sets are those of scikit-learn, and of a calculation by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from classifier.evaluation import label_sets
from classifier.evaluation.label_set_metrics import MAX_CONFUSED, compute_label_set_metrics, list_confused_labels

NAMES = ("grain", "wheat", "ship")
TRUTH = [{"grain", "wheat"}, {"grain"}, set(), {"ship"}]
PREDICTED = [{"grain", "wheat"}, {"wheat"}, {"ship"}, set()]


def figures(truth, predicted, names=NAMES):
    return compute_label_set_metrics(label_sets.to_matrix(truth, names), label_sets.to_matrix(predicted, names), names)


def test_a_case_calculated_by_hand():
    metrics = figures(TRUTH, PREDICTED)
    assert (metrics.articles, metrics.exact_matches) == (4, 0.25)
    assert metrics.hamming_loss == pytest.approx(4 / 12)
    assert (metrics.micro_precision, metrics.micro_recall, metrics.micro_f1) == (0.5, 0.5, 0.5)
    assert metrics.by_category["grain"].f1 == pytest.approx(2 / 3, abs=1e-5)
    assert metrics.by_category["wheat"].precision == 0.5
    assert [metrics.by_category[name].support for name in NAMES] == [2, 1, 1]
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert (metrics.labels_per_article, metrics.predicted_per_article) == (1.0, 1.0)


def test_missed_and_wrong_labels_are_counted_in_pairs():
    assert figures(TRUTH, PREDICTED).confused == ((0, 1, 1), (2, None, 1), (None, 2, 1))
    assert figures([{"grain", "wheat"}] * 3, [{"ship"}] * 3).confused == ((0, 2, 3), (1, 2, 3))
    assert figures(TRUTH, TRUTH).confused == ()


def test_the_most_frequent_pairs_of_many_are_kept():
    names = tuple(f"c{number:02d}" for number in range(40))
    truth = [{names[a]} for a in range(40) for b in range(40) if a != b]
    predicted = [{names[b]} for a in range(40) for b in range(40) if a != b]
    metrics = figures([*truth, {"c39"}], [*predicted, {"c38"}], names)
    assert (len(metrics.confused), metrics.confused_pairs) == (MAX_CONFUSED, 40 * 39)
    assert metrics.confused[0] == (39, 38, 2)


def test_pairs_of_two_labels_come_before_labels_that_are_missed_or_wrong_alone():
    assert figures([{"grain"}] * 4 + [{"ship"}], [set()] * 4 + [{"wheat"}]).confused == ((2, 1, 1), (0, None, 4))


def test_no_label_at_all_is_an_exact_match_and_no_f1():
    metrics = figures([set(), set()], [set(), set()])
    assert (metrics.exact_matches, metrics.micro_f1, metrics.macro_f1, metrics.hamming_loss) == (1.0, 0.0, 0.0, 0.0)


def test_a_category_that_is_only_predicted_does_not_count_in_macro_f1():
    metrics = figures([{"grain"}], [{"grain", "ship"}])
    assert metrics.macro_f1 == 1.0
    assert metrics.micro_f1 == pytest.approx(2 / 3)


def test_figures_become_plain_json():
    plain = json.loads(json.dumps(figures(TRUTH, PREDICTED).as_json()))
    assert plain["kind"] == "multi"
    assert plain["by_category"]["ship"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert plain["confused"] == [[0, 1, 1], [2, None, 1], [None, 2, 1]]


# scikit-learn takes a single column for the classes of a single-label task
pairs_of_matrices = st.tuples(st.integers(1, 25), st.integers(2, 6)).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


@given(pairs_of_matrices)
def test_figures_agree_with_scikit_learn(matrices):
    from sklearn.metrics import accuracy_score, hamming_loss, precision_recall_fscore_support

    truth, predicted = matrices
    names = tuple(f"c{column}" for column in range(truth.shape[1]))
    metrics = compute_label_set_metrics(truth, predicted, names)
    assert metrics.exact_matches == pytest.approx(accuracy_score(truth, predicted))
    assert metrics.hamming_loss == pytest.approx(hamming_loss(truth, predicted))
    occurring = np.flatnonzero(truth.any(axis=0))
    for average in ("micro", "macro"):
        labels = occurring if average == "macro" else range(truth.shape[1])
        if not len(labels):
            assert metrics.macro_f1 == 0
            continue
        scores = precision_recall_fscore_support(truth, predicted, labels=labels, average=average, zero_division=0)
        ours = [getattr(metrics, f"{average}_{name}") for name in ("precision", "recall", "f1")]
        assert ours == pytest.approx(scores[:3])
    by_category = precision_recall_fscore_support(truth, predicted, labels=range(len(names)), zero_division=0)
    for column, name in enumerate(names):
        score = metrics.by_category[name]
        assert (score.precision, score.recall, score.f1, score.support) == pytest.approx(
            tuple(scores[column] for scores in by_category), abs=1e-5
        )


@given(pairs_of_matrices)
def test_every_article_with_a_mistake_is_in_a_confused_pair(matrices):
    truth, predicted = matrices
    wrong_rows = (truth != predicted).any(axis=1).sum()
    assert sum(count for _, _, count in list_confused_labels(truth, predicted)) >= wrong_rows


class TestColumns:
    def test_a_model_that_does_not_know_a_category_never_predicts_it(self):
        predictions = label_sets.LabelSetPredictions(("b",), np.array([[0.9], [0.1]]), np.array([[True], [False]]))
        wide = predictions.over(("a", "b"))
        assert wide.probabilities.tolist() == [[0, 0.9], [0, 0.1]]
        assert wide.predicted.tolist() == [[False, True], [False, False]]

    def test_the_categories_of_annotations_and_models_are_sorted(self):
        assert label_sets.common_categories(["c", "a"], ("b", "a")) == ("a", "b", "c")

    def test_a_label_that_would_be_lost_is_an_error(self):
        with pytest.raises(ValueError, match="not among the target's"):
            label_sets.align(np.array([[True, False]]), ("a", "b"), ("b",))
        with pytest.raises(KeyError):
            label_sets.to_matrix([{"x"}], NAMES)
