"""Few texts are in memory at a time, whatever their number and length."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.inference import agreement
from classifier.inference import labeller as pages
from classifier.inference.batch_sizes import BatchSizes
from classifier.inference.labeller import Labeller
from classifier.inference.openvino_engine import OpenVinoEngine
from tests.support.tiny_models import WORDS, make_artefact


@pytest.fixture(scope="module")
def labeller(tmp_path_factory):
    artefact = make_artefact(tmp_path_factory.mktemp("models") / "model")
    engine = OpenVinoEngine(artefact.checkpoint(), dtype="f32")
    return Labeller(artefact.tokenization(), engine, artefact.categories, sizes=BatchSizes.fixed(256))


def texts(count):
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS[:8], generator.integers(0, 90))) for _ in range(count)]


def test_texts_are_labelled_in_pages_of_bounded_size_to_the_same_bits(labeller, monkeypatch):
    everything = texts(300)
    together = labeller.probabilities(everything)
    monkeypatch.setattr(pages, "PAGE_CHARACTERS", 20_000)
    sizes = []
    prepare = Labeller.prepare

    def counted(self, page):
        sizes.append(sum(map(len, page)))
        return prepare(self, page)

    monkeypatch.setattr(Labeller, "prepare", counted)
    np.testing.assert_array_equal(labeller.probabilities(iter(everything)), together)
    assert len(sizes) > 10
    assert max(sizes) <= 20_000


def test_an_article_longer_than_a_page_is_a_page_of_its_own(labeller, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_CHARACTERS", 10)
    assert labeller.probabilities(["the team", "bank " * 1_000, ""]).shape == (3, 3)


def test_the_texts_that_engines_are_compared_on_are_those_of_the_smallest_hashes_whatever_the_order():
    everything = texts(400)
    chosen = agreement.choose_texts(everything, 20)
    assert chosen == agreement.choose_texts(reversed([*everything, *everything]), 20)
    assert len(set(chosen)) == 20
    assert set(agreement.choose_texts(everything, 10)) == set(chosen[:10])
    assert agreement.choose_texts(["a", "a"], 5) == ["a"]
