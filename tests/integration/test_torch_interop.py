"""`transformers` on PyTorch opens our artefacts unchanged and computes the same probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.inference.keras_engine import KerasEngine
from classifier.inference.labeller import Labeller
from classifier.inference.openvino_engine import OpenVinoEngine
from classifier.model.keras.network import Network
from classifier.model.tokenization import pad
from tests.support.tiny_models import make_artefact

torch = pytest.importorskip("torch", reason="compares with PyTorch: install the extra 'torch'")

TEXTS = (
    "The team's goal",
    "Shares, market; bank!",
    "SOFTWARE phone",
    "",
    "[SEP] the [MASK] chip",
    "café \u4e16\u754c",
    "market " * 80,
)


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "model"
    return make_artefact(directory, layers=3, dim=24, heads=4, hidden_dim=40)


@pytest.fixture(scope="module")
def batch(artefact):
    return pad(artefact.tokenization().pieces(TEXTS), 64)


@pytest.fixture(scope="module")
def classifier(artefact):
    from transformers import DistilBertForSequenceClassification

    loaded, report = DistilBertForSequenceClassification.from_pretrained(artefact.directory, output_loading_info=True)
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return loaded.eval()


@pytest.fixture(scope="module")
def expected(classifier, batch):
    tokens, mask = (torch.from_numpy(array).long() for array in batch)
    with torch.no_grad():
        return classifier(tokens, attention_mask=mask).logits.softmax(dim=-1).numpy()


def test_openvino_gives_pytorchs_probabilities(artefact, batch, expected):
    probabilities = OpenVinoEngine(artefact.checkpoint()).probabilities(*batch)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_keras_gives_pytorchs_probabilities(artefact, batch, expected):
    probabilities = KerasEngine(artefact.checkpoint(), 3).probabilities(*batch)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)


def test_categories_are_the_models_labels(artefact, classifier):
    assert classifier.config.id2label == dict(enumerate(artefact.categories))
    assert classifier.config.label2id == {name: index for index, name in enumerate(artefact.categories)}
    assert classifier.config.problem_type == "single_label_classification"


def test_the_tokenizer_gives_the_same_ids(artefact):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(artefact.directory)
    theirs = tokenizer(list(TEXTS), truncation=True, max_length=64)["input_ids"]
    assert theirs == [ids.tolist() for ids in artefact.tokenization().pieces(TEXTS)]
    assert tokenizer.pad_token_id == 0


def test_weights_pass_through_keras_unchanged(artefact):
    checkpoint = artefact.checkpoint()
    network = Network(checkpoint.shape, 3)
    network.load(checkpoint)
    weights = network.weights()
    assert weights.keys() == checkpoint.weights.keys()
    for name, tensor in checkpoint.weights.items():
        assert weights[name].dtype == np.float32
        np.testing.assert_array_equal(weights[name], tensor, err_msg=name)


def test_dropout_varies_the_logits_as_much_as_in_pytorch(artefact, classifier):
    """One article 20,000 times; one more dropout, or another rate, would change the standard deviation."""
    tokens, mask = (np.repeat(array, 20_000, axis=0) for array in pad(artefact.tokenization().pieces(TEXTS[:1]), 8))
    checkpoint = artefact.checkpoint()
    network = Network(checkpoint.shape, 3, dropout=classifier.config.dropout)
    network.load(checkpoint)
    logits = np.asarray(network._model({"token_ids": tokens, "padding_mask": mask}, training=True))
    torch.manual_seed(0)
    with torch.no_grad():
        expected = classifier.train()(torch.from_numpy(tokens).long(), torch.from_numpy(mask).long()).logits.numpy()
    classifier.eval()
    np.testing.assert_allclose(logits.std(axis=0), expected.std(axis=0), rtol=0.03)


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    """Return a multi-label model and the probabilities that it labels with."""
    directory = tmp_path_factory.mktemp("multi") / "model"
    written = make_artefact(directory, layers=3, dim=24, heads=4, hidden_dim=40, kind="multi")
    engine = OpenVinoEngine(written.checkpoint(), kind="multi")
    return written, Labeller.of(written.load(), engine).probabilities(TEXTS)


def test_pytorchs_sigmoids_are_a_multi_label_models_probabilities(multi):
    from transformers import DistilBertForSequenceClassification

    written, ours = multi
    loaded = DistilBertForSequenceClassification.from_pretrained(written.directory).eval()
    assert loaded.config.problem_type == "multi_label_classification"
    tokens, mask = pad(written.tokenization().pieces(TEXTS), 64)
    with torch.no_grad():
        logits = loaded(torch.from_numpy(tokens).long(), attention_mask=torch.from_numpy(mask).long()).logits
    np.testing.assert_allclose(ours, logits.sigmoid().numpy(), rtol=0, atol=1e-6)


def test_a_pipeline_of_transformers_gives_a_multi_label_models_probabilities(multi):
    """It applies a sigmoid and not a softmax, because of the problem type in the configuration."""
    from transformers import pipeline

    written, ours = multi
    classify = pipeline("text-classification", model=str(written.directory), device="cpu", top_k=None)
    scores = [
        {each["label"]: each["score"] for each in text}
        for text in classify(list(TEXTS), truncation=True, max_length=64)
    ]
    theirs = [[of_text[name] for name in written.categories] for of_text in scores]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.ptp(np.sum(theirs, axis=1)) > 0.1, "the scores of a text need not sum to 1"
