"""A page's probabilities are in its order, and each text's depend on that text alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from classifier.inference import bisection
from classifier.inference.batch_sizes import BatchSizes
from classifier.inference.labeller import Labeller
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model import hardware
from classifier.model.sigmoid import logit, sigmoid
from classifier.model.softmax import softmax
from classifier.model.text_chunking import Chunking
from classifier.model.tokenization import Tokenization
from tests.support.tiny_models import WORDS, make_artefact, write_tokenizer

needs_bfloat16 = pytest.mark.skipif(
    not hardware.multiplies_bfloat16(), reason="the processor does not multiply bfloat16"
)


class CountingEngine:
    """An engine that returns a row's sum of ids and number of tokens, and records its batches."""

    name = "counting"
    dtype = "f32"

    def __init__(self):
        self.batches = []

    def probabilities(self, tokens, mask):
        self.batches.append((tokens, mask))
        return np.stack([tokens.sum(axis=1), mask.sum(axis=1)], axis=1).astype(np.float32)

    @property
    def shapes(self):
        return [tokens.shape for tokens, _ in self.batches]


@pytest.fixture(scope="module")
def tokenization(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return Tokenization.read(directory, 100)


@pytest.fixture
def labeller(tokenization):
    return Labeller(tokenization, CountingEngine(), ("a", "b"), sizes=BatchSizes.fixed(256))


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "model"
    return make_artefact(directory, dim=64, heads=2, hidden_dim=128, positions=200)


def random_texts(number, longest, seed=0):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS[:8], generator.integers(0, longest))) for _ in range(number)]


@given(texts=st.lists(st.lists(st.sampled_from(WORDS), max_size=120).map(" ".join), max_size=12))
def test_results_are_in_the_order_of_the_texts(tokenization, texts):
    labeller = Labeller(tokenization, CountingEngine(), ("a", "b"), sizes=BatchSizes.fixed(256))
    pieces = tokenization.pieces(texts)
    expected = np.array([(sum(ids), len(ids)) for ids in pieces], dtype=np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(labeller.probabilities(texts), expected)


def test_no_texts_give_no_rows_and_compute_nothing(labeller):
    assert labeller.probabilities([]).shape == (0, 2)
    assert labeller.probabilities([]).dtype == np.float32
    assert labeller.engine.batches == []


def test_repeated_texts_are_computed_once(labeller):
    probabilities = labeller.probabilities(["the team", "bank", "the team", "the team", "bank"])
    ((_, mask),) = labeller.engine.batches
    assert (mask.sum(axis=1) > 1).sum() == 2
    np.testing.assert_array_equal(probabilities[[0, 2, 3]], np.repeat(probabilities[:1], 3, axis=0))
    np.testing.assert_array_equal(probabilities[1], probabilities[4])


def test_a_texts_batch_has_the_shape_of_its_bucket(labeller):
    lengths = {30: (8, 32), 31: (5, 48), 62: (4, 64), 63: (3, 80), 94: (2, 96), 95: (2, 100), 500: (2, 100)}
    for words, shape in lengths.items():
        labeller.engine.batches.clear()
        labeller.probabilities(["bank " * words])
        assert labeller.engine.shapes == [shape], words


def test_rows_beyond_the_texts_are_padding_with_one_open_position(labeller):
    labeller.probabilities(["bank"])
    ((tokens, mask),) = labeller.engine.batches
    assert tokens[1:].sum() == 0
    np.testing.assert_array_equal(mask[1:].sum(axis=1), 1)


def test_preparing_a_page_computes_nothing(labeller):
    prepared = labeller.prepare(["the team", "bank " * 50])
    assert labeller.engine.batches == []
    np.testing.assert_array_equal(labeller.run(prepared), labeller.probabilities(["the team", "bank " * 50]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_probability_that_is_no_number_is_an_error(labeller, monkeypatch, value):
    def broken(tokens, mask):
        result = np.full((len(tokens), 2), 0.5, dtype=np.float32)
        result[(tokens == WORDS.index("bank") + 5).any(axis=1), 1] = value
        return result

    monkeypatch.setattr(labeller.engine, "probabilities", broken)
    assert labeller.probabilities(["the team", "goal"]).shape == (2, 2)
    with pytest.raises(FloatingPointError, match="1 of 2 distinct texts have NaN or infinite probabilities"):
        labeller.probabilities(["the team", "bank", "bank"])


CHUNKING = Chunking(stride=60, max_chunks=4)  # of the 98 word pieces that are text


def in_chunks(labeller):
    tokenization = labeller.tokenization
    tokenizer = Tokenizer.from_str(tokenization.tokenizer.to_str())
    tokenizer.enable_truncation(tokenization.max_length, stride=CHUNKING.overlap(tokenization.max_length))
    return replace(labeller, tokenization=Tokenization(tokenizer, tokenization.max_length, CHUNKING))


def test_chunks_of_a_text_are_batched_each_by_its_own_length_and_repeats_computed_once(labeller):
    text = "bank " * 200
    in_chunks(labeller).probabilities([text, "the team", text])
    lengths = sorted(int(count) for _, mask in labeller.engine.batches for count in mask.sum(axis=1) if count > 1)
    assert lengths == [4, 82, 100, 100]
    assert labeller.engine.shapes == [(16, 16), (2, 96), (2, 100)]


def test_only_texts_longer_than_the_model_get_other_bits_in_chunks(artefact):
    texts = random_texts(40, longest=250)
    cut = Labeller(
        Tokenization.read(artefact.directory, 100), OpenVinoEngine(artefact.checkpoint()), artefact.categories
    )
    long = np.array([len(text.split()) > 98 for text in texts])
    assert 5 < long.sum() < 35
    same = (cut.probabilities(texts) == in_chunks(cut).probabilities(texts)).all(axis=1)
    np.testing.assert_array_equal(same, ~long)


def test_a_text_fails_alone_if_one_of_its_chunks_breaks_the_engine(labeller, monkeypatch):
    monkeypatch.setattr(labeller.engine, "probabilities", broken_by_bank)
    texts = [Row("team " * words + last) for words, last in ((5, "goal"), (150, "bank"), (150, "goal"), (290, "bank"))]
    result = bisection.label_articles(in_chunks(labeller), texts)
    assert [failure.article for failure in result.failed] == [texts[1]], "the last text's bank is behind its last chunk"
    assert result.articles == [texts[0], *texts[2:]]


def broken_by_bank(tokens, mask):
    if (tokens == WORDS.index("bank") + 5).any():
        raise RuntimeError("cannot")
    return np.full((len(tokens), 2), 0.5, dtype=np.float32)


@dataclass(frozen=True)
class Row:
    text: str


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("chunked", [False, True], ids=["cut off", "in chunks"])
@pytest.mark.parametrize("dtype", ["f32", pytest.param("bf16", marks=needs_bfloat16)])
def test_a_text_gets_the_same_bits_whatever_texts_are_labelled_with_it(artefact, dtype, chunked, kind):
    texts = random_texts(120, longest=590 if chunked else 190)
    calibration = {"temperature": {"value": 1.7}} if kind == "multi" else {}
    model = replace(artefact.load(), kind=kind, calibration=calibration)
    labeller = Labeller.of(model, OpenVinoEngine(artefact.checkpoint(), kind=kind, dtype=dtype))
    labeller = in_chunks(labeller) if chunked else labeller
    together = labeller.probabilities(texts)
    assert len(np.unique(together, axis=0)) > 100

    order = np.random.default_rng(1).permutation(len(texts))
    np.testing.assert_array_equal(labeller.probabilities([texts[row] for row in order]), together[order])

    for size in (1, 7, 50):
        pages = [labeller.probabilities(texts[start : start + size]) for start in range(0, len(texts), size)]
        np.testing.assert_array_equal(np.concatenate(pages), together)

    others = random_texts(30, longest=590 if chunked else 190, seed=2)
    np.testing.assert_array_equal(labeller.probabilities(others + texts)[len(others) :], together)

    again = replace(labeller, engine=OpenVinoEngine(artefact.checkpoint(), kind=kind, dtype=dtype, threads=1))
    np.testing.assert_array_equal(again.probabilities(texts[:20]), together[:20])


def test_a_multi_label_models_probabilities_stand_each_alone(artefact):
    """They are the sigmoids of the logits whose softmax a single-label model returns."""
    texts = random_texts(20, longest=60)
    single, multi = (
        Labeller.of(replace(artefact.load(), kind=kind), OpenVinoEngine(artefact.checkpoint(), kind=kind))
        for kind in ("single", "multi")
    )
    logits = logit(multi.probabilities(texts))
    np.testing.assert_allclose(softmax(logits), single.probabilities(texts), rtol=0, atol=1e-5)
    warm = replace(multi, temperature=2.0).probabilities(texts)
    np.testing.assert_allclose(warm, sigmoid(logits / 2), rtol=0, atol=1e-6)
