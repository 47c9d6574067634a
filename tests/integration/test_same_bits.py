"""Real articles get the same bits in any page, order or process."""

from __future__ import annotations

import csv
import gzip
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import BUCKETS
from classifier.model import hardware
from tests.support.paths import DATA, needs_articles
from tests.support.tiny_models import make_artefact

needs_bfloat16 = pytest.mark.skipif(
    not hardware.multiplies_bfloat16(), reason="the processor does not multiply bfloat16"
)
pytestmark = needs_articles

ARTICLES = 120


@pytest.fixture(scope="module")
def texts():
    """Return BBC and C50 articles, some of them shortened to about a sentence, so that all widths occur."""
    with (DATA / "bbc-text.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][: ARTICLES // 2]
    with gzip.open(DATA / "c50_test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        texts += [row["text"] for row in csv.DictReader(file)][: ARTICLES // 2]
    return [text if number % 2 else text[: 40 * number] for number, text in enumerate(texts, start=1)]


@pytest.fixture(scope="module")
def artefact(tmp_path_factory, texts):
    """Write a small model with the articles' words and a temperature."""
    words = [word for word, _ in Counter(re.findall(r"[a-z]+", " ".join(texts).lower())).most_common(3000)]
    return make_artefact(
        tmp_path_factory.mktemp("models") / "model",
        dim=64,
        heads=4,
        hidden_dim=256,
        positions=512,
        words=words,
        details={"calibration": {"temperature": {"value": 1.7}}},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=["f32", pytest.param("bf16", marks=needs_bfloat16)])
def labeller(request, artefact, home):
    return FineTunedClassifier(artefact.load()).labeller("openvino", dtype=request.param, home=home)


@pytest.fixture(scope="module")
def together(labeller, texts):
    return labeller.probabilities(texts)


def test_the_articles_have_many_widths_and_different_probabilities(labeller, texts, together):
    widths = {batch.tokens.shape[1] for batch in labeller.prepare(texts).batches}
    assert len(widths) > len(BUCKETS) / 2
    assert len(np.unique(together, axis=0)) == len(set(texts))


def test_repeated_texts_get_the_same_bits(labeller, texts, together):
    np.testing.assert_array_equal(labeller.probabilities(texts), together)
    twice = labeller.probabilities([*texts, *texts])
    np.testing.assert_array_equal(twice, np.concatenate([together, together]))


def test_shuffled_texts_get_the_same_bits(labeller, texts, together):
    order = np.random.default_rng(1).permutation(len(texts))
    np.testing.assert_array_equal(labeller.probabilities([texts[row] for row in order]), together[order])


@pytest.mark.parametrize("size", [1, 13, 64])
def test_texts_in_other_pages_get_the_same_bits(labeller, texts, together, size):
    pages = [labeller.probabilities(texts[start : start + size]) for start in range(0, len(texts), size)]
    np.testing.assert_array_equal(np.concatenate(pages), together)


def test_texts_in_another_process_get_the_same_bits(labeller, artefact, home, texts, together, tmp_path):
    """The other process reads the batch sizes that this process measured."""
    (tmp_path / "texts").write_text("\0".join(texts), encoding="utf-8")
    program = (
        "import sys, numpy; from pathlib import Path; from classifier.model import artefact; "
        "from classifier.inference.fine_tuned_classifier import FineTunedClassifier; "
        "classifier = FineTunedClassifier(artefact.read_artefact(Path(sys.argv[1])).load()); "
        "labeller = classifier.labeller('openvino', dtype=sys.argv[2], home=Path(sys.argv[3])); "
        "texts = Path(sys.argv[4], 'texts').read_text(encoding='utf-8').split(chr(0)); "
        "numpy.save(Path(sys.argv[4], 'probabilities.npy'), labeller.probabilities(texts[::-1]))"
    )
    arguments = [str(artefact.directory), labeller.engine.dtype, str(home), str(tmp_path)]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "probabilities.npy")[::-1], together)
