"""A linear classifier on TF-IDF predicts what scikit-learn's pipeline predicts, also after it was saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from classifier.exceptions import ArtefactError
from classifier.model import linear

WORDS = {"sport": "goal match team", "business": "bank share profit", "tech": "phone chip software"}


def synthetic(categories, count=30):
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

    texts, truth = synthetic(categories)
    reference = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), LinearSVC(random_state=0)
    ).fit(texts, truth)
    asked = synthetic(3, 200)[0]
    result = linear.fit_linear(texts, truth)
    assert [result.categories[best] for best in result.scores(asked).argmax(axis=1)] == list(reference.predict(asked))
    distances = reference.decision_function(asked)
    np.testing.assert_allclose(result.scores(asked)[:, 1], distances if categories == 2 else distances[:, 1])


@pytest.mark.parametrize(
    ("first_style", "second_style"),
    [("goal; match; team", "goal - match - team"), ("Goal Match team", "goal match team")],
    ids=["punctuation", "capitals"],
)
def test_styles_are_distinguished_if_the_words_are_the_same(first_style, second_style):
    texts, truth = [first_style, second_style] * 20, ["ada", "bob"] * 20
    by_style, by_words = linear.fit_linear(texts, truth, "style"), linear.fit_linear(texts, truth)
    assert [by_style.categories[best] for best in by_style.scores([first_style, second_style]).argmax(axis=1)] == [
        "ada",
        "bob",
    ]
    assert np.ptp(by_words.scores([first_style, second_style]), axis=0).max() < 1e-9


@pytest.mark.parametrize("kind", linear.KINDS)
@pytest.mark.parametrize("categories", [2, 3])
def test_its_files_bring_it_back(categories, kind):
    texts, truth = synthetic(categories)
    result = linear.fit_linear([*texts, *["Zürich über Zürich"] * 2], [*truth, *truth[:2]], kind)
    again = linear.from_files(result.to_files(), result.categories, kind)
    np.testing.assert_allclose(again.scores(texts), result.scores(texts), atol=1e-6)
    assert again.scores(["zürich"]).tolist() != again.scores([""]).tolist()
    assert linear.from_files(again.to_files(), result.categories, kind).to_files() == again.to_files()


@pytest.mark.parametrize("kind", linear.KINDS)
def test_a_texts_scores_do_not_depend_on_other_texts(kind):
    texts, truth = synthetic(3, 90)
    result = linear.fit_linear(texts, truth, kind)
    together = result.scores(texts)
    for size in (1, 7, 64):
        parts = [result.scores(texts[start : start + size]) for start in range(0, len(texts), size)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda files: {linear.TERMS_FILE: files[linear.TERMS_FILE]}, "KeyError"),
        (lambda files: {**files, linear.TERMS_FILE: b"[1, "}, "JSONDecodeError"),
        (lambda files: {**files, linear.WEIGHTS_FILE: b"short"}, "SafetensorError"),
        (lambda files: {**files, linear.TERMS_FILE: json.dumps(["one"]).encode()}, "must have 1 terms"),
    ],
    ids=["no weights", "terms cut short", "weights cut short", "other terms"],
)
def test_files_that_are_none_are_named(damage, message):
    files = linear.fit_linear(*synthetic(3)).to_files()
    with pytest.raises(ArtefactError, match=message):
        linear.from_files(damage(files), ("business", "sport", "tech"))


def test_files_of_another_kind_are_refused():
    words, style = (linear.fit_linear(*synthetic(3), kind).to_files() for kind in linear.KINDS)
    for files, kind in ((words, "style"), (style, "linear")):
        with pytest.raises(ArtefactError, match=r"linear\.safetensors"):
            linear.from_files(files, ("business", "sport", "tech"), kind)


def test_a_distorted_text_has_its_frequent_words_its_shape_and_nothing_else():
    text = "The bank's 25 branches -- of Zürich_Nord -- lost $1.5m, the Bank said."
    kept = frozenset({"the", "of", "said"})
    assert linear.distort(text, kept) == "The ****'* ## ******** -- of ******_**** -- **** $#.#*, the **** said."


def test_frequent_words_are_counted_in_the_texts_and_saved_with_the_files():
    texts = [f"the the the word{number} and {number}" for number in range(30)]
    result = linear.fit_linear(texts, ["ada", "bob"] * 15, "style")
    assert result.frequent[0] == "the"
    assert "7" not in result.frequent
    assert linear.from_files(result.to_files(), ("ada", "bob"), "style").frequent == result.frequent


def test_a_style_counts_words_and_marks_characters_and_what_is_left_of_a_distorted_text(monkeypatch):
    monkeypatch.setattr(linear, "_FREQUENT_WORDS", 1)
    result = linear.fit_linear(["The Bank; the Fed", "the Fed, the Bank"] * 10, ["ada", "bob"] * 10, "style")
    words, characters, distorted = ({*vectorizer.get_feature_names_out()} for vectorizer in result.vectorizers)
    assert {"The", "the", "Bank", ";", "Bank ;"} <= words
    assert "bank" not in words
    assert {"Ba", "k; t"} <= characters
    assert not characters & {"ba", "k", "Bank;"}
    assert {"The", "the *", "**; t"} <= distorted
    assert all(set(term) <= set("The the*;, ") for term in distorted)


@pytest.fixture
def sparse(monkeypatch):
    """Train as where the coefficients are too many for a dense array."""
    monkeypatch.setattr(linear, "MAX_DENSE_COEFFICIENTS", 0)


@pytest.mark.parametrize("kind", linear.KINDS)
@pytest.mark.usefixtures("sparse")
def test_one_category_after_the_other_gives_the_same_answers(monkeypatch, kind):
    texts, truth = synthetic(3, 300)
    asked = synthetic(3, 400)[0][300:]
    result = linear.fit_linear(texts, truth, kind)
    monkeypatch.setattr(linear, "MAX_DENSE_COEFFICIENTS", 64_000_000)
    together = linear.fit_linear(texts, truth, kind)
    assert result.coefficients.dtype == np.float32
    assert result.predict(asked) == together.predict(asked)
    bound = (
        linear.MAX_SCORE_CHANGE * len(result.vectorizers) ** 0.5 + 0.01
    )  # of what is dropped, and of the solver's own tolerance
    assert np.abs(result.scores(asked) - together.scores(asked)).max() < bound


@pytest.mark.usefixtures("sparse")
def test_what_is_sparse_is_written_so_and_read_back_to_the_same_bits(monkeypatch):
    texts, truth = synthetic(3, 90)
    texts = [f"{text} {name}{number % 9}" for number, (text, name) in enumerate(zip(texts, truth, strict=True))]
    monkeypatch.setattr(linear, "MAX_SCORE_CHANGE", 2.0)
    result = linear.fit_linear(texts, truth)
    files = result.to_files()
    assert {"data", "indices", "indptr"} <= load(files[linear.WEIGHTS_FILE]).keys()
    again = linear.from_files(files, result.categories)
    np.testing.assert_array_equal(again.scores(texts), result.scores(texts))
    assert again.to_files() == files
    monkeypatch.setattr(linear, "MAX_DENSE_COEFFICIENTS", 64_000_000)
    dense = linear.from_files(files, result.categories)
    assert isinstance(dense.coefficients, np.ndarray)
    np.testing.assert_array_equal(dense.scores(texts), result.scores(texts))
    for damage in ({"indptr": np.arange(3)}, {"indices": np.full(result.coefficients.nnz, 7, dtype=np.int32)}):
        weights = {**load(files[linear.WEIGHTS_FILE]), **damage}
        with pytest.raises(ArtefactError, match="not a linear classifier"):
            linear.from_files({**files, linear.WEIGHTS_FILE: save(weights)}, result.categories)


@pytest.mark.parametrize("kind", linear.KINDS)
def test_with_very_many_categories_the_most_frequent_terms_count(monkeypatch, kind):
    texts, truth = synthetic(3, 90)
    everything = linear.fit_linear(texts, truth, kind)
    monkeypatch.setattr(linear, "MAX_COEFFICIENTS", 3 * 3 * 15)
    result = linear.fit_linear(texts, truth, kind)
    assert result.coefficients.shape[0] == 45
    assert everything.coefficients.shape[0] > 45
    assert linear.from_files(result.to_files(), result.categories, kind).to_files() == result.to_files()


def test_the_files_of_before_are_dense_and_still_are_where_few_coefficients_are_zero():
    result = linear.fit_linear(*synthetic(3))
    weights = load(result.to_files()[linear.WEIGHTS_FILE])
    assert weights["coefficients"].shape == result.coefficients.shape


def test_texts_are_counted_some_at_a_time_to_the_same_bits(monkeypatch):
    texts, truth = synthetic(3, 90)
    result = linear.fit_linear(texts, truth)
    together = result.scores(texts)
    monkeypatch.setattr(linear, "_SLICE_CHARACTERS", 2_000)
    np.testing.assert_array_equal(result.scores(iter(texts)), together)
    assert result.predict(texts) == [result.categories[column] for column in together.argmax(axis=1)]
    assert result.scores([]).shape == (0, 3)
