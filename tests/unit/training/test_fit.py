"""Each hyper-parameter has its effect on the weights or the loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier.exceptions import EncoderError, SettingsError
from classifier.model import checkpoint
from classifier.model.keras import optimizers
from classifier.model.keras.network import Network, OptimizerConfig, softmax
from classifier.training import fit, training_loop
from classifier.training.recipes import Recipe
from tests.support.tiny_models import make_encoder

TOKENS = np.random.default_rng(0).integers(5, 17, (6, 16)).astype(np.int32)
MASK = np.ones_like(TOKENS)
TARGETS = np.array([0, 0, 0, 1, 1, 2])
ONES = np.ones(6, dtype=np.float32)
PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0, total_steps=1000, clip_norm=1.0)
EMBEDDINGS = "distilbert.embeddings.word_embeddings.weight"
LAYERS = [f"distilbert.transformer.layer.{layer}.ffn.lin1.weight" for layer in range(2)]
HEAD = "classifier.weight"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return checkpoint.read_checkpoint(make_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


@pytest.fixture
def fitted(encoder):
    """Return a function that takes steps, and returns the network, its weights after each step and the last loss."""

    def steps(config, *, count=1, sample_weight=ONES):
        network = Network(encoder.shape, 3, dropout=0.0)
        network.load(encoder)
        history = [network.weights()]
        network.prepare(config)
        network._model.run_eagerly = True  # a graph takes longer to compile than these few steps
        for _ in range(count):
            loss = network.fit_batch(TOKENS, MASK, TARGETS, sample_weight)
            history.append(network.weights())
        return network, history, loss

    return steps


def moved(before, after, name):
    return float(np.abs(after[name] - before[name]).max())


def test_frozen_layers_keep_their_weights_bit_by_bit(fitted):
    _, (before, after), _ = fitted(replace(PLAIN, frozen_layers=1, weight_decay=0.1))
    frozen = [name for name in before if "embeddings" in name or ".layer.0." in name]
    assert len(frozen) == 4 + 16
    assert all((before[name] == after[name]).all() for name in frozen)
    assert all(
        (before[name] != after[name]).any() for name in before if name not in frozen and "k_lin.bias" not in name
    )


def test_more_frozen_layers_than_the_encoder_has_are_refused(fitted):
    with pytest.raises(SettingsError, match="frozen layers 3: must be at most 2"):
        fitted(replace(PLAIN, frozen_layers=3))


def test_each_layers_learning_rate_is_a_share_of_that_of_the_layer_above(fitted):
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    _, (before, after), _ = fitted(replace(PLAIN, layer_decay=0.5))
    lengths = [moved(before, after, name) for name in (EMBEDDINGS, *LAYERS, HEAD)]
    np.testing.assert_allclose(lengths, [0.01 / 8, 0.01 / 4, 0.01 / 2, 0.01], rtol=0.02)


def test_weight_decay_follows_the_layers_rate(fitted):
    without, decayed = (fitted(replace(PLAIN, layer_decay=0.5, weight_decay=decay))[1] for decay in (0.0, 0.5))
    for name, share in zip((*LAYERS, HEAD), (0.25, 0.5, 1.0), strict=True):
        difference = without[1][name] - decayed[1][name]
        np.testing.assert_allclose(difference, decayed[0][name] * 0.5 * 0.01 * share, atol=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_the_cross_entropy_with_the_smoothed_target(smoothing):
    logits = np.random.default_rng(1).normal(0, 2, (6, 3)).astype(np.float32)
    target = np.eye(3)[TARGETS] * (1 - smoothing) + smoothing / 3
    expected = -(target * np.log(softmax(logits))).sum(axis=1)
    for row in range(6):
        actual = float(np.mean(optimizers.loss(smoothing)(TARGETS[row : row + 1], logits[row : row + 1])))
        assert actual == pytest.approx(expected[row], abs=1e-6)


def test_label_smoothing_changes_the_weights(fitted):
    without, smoothed = (fitted(replace(PLAIN, label_smoothing=share), count=3) for share in (0.0, 0.3))
    assert moved(without[1][-1], smoothed[1][-1], HEAD) > 1e-4


def test_balanced_class_weights_are_the_inverse_of_the_shares():
    np.testing.assert_allclose(fit.class_weights("balanced", TARGETS), [6 / (3 * 3), 6 / (3 * 2), 6 / (3 * 1)])
    np.testing.assert_array_equal(fit.class_weights("none", TARGETS), [1, 1, 1])


def test_sample_weights_weigh_the_loss_as_computed_by_hand(fitted):
    """The weighted losses, each alone, add up to the loss of the batch: a mean over its six rows."""
    weights = fit.class_weights("balanced", TARGETS)[TARGETS]
    network, _, _ = fitted(replace(PLAIN, learning_rate=1e-12))

    def loss(sample_weight):
        return network.fit_batch(TOKENS, MASK, TARGETS, sample_weight)

    dropouts = [layer for layer in network._model._flatten_layers() if layer.__class__.__name__ == "ByteDropout"]
    for layer in dropouts:
        layer.rate = 0.0  # the dropout of the head is not a hyper-parameter
    alone = [loss(np.eye(6, dtype=np.float32)[row]) for row in range(6)]
    assert loss(weights) == pytest.approx(float(np.dot(alone, weights)), rel=1e-5)


def test_a_training_weighs_articles_by_their_categories(encoder, monkeypatch):
    seen = {}

    def record(network, tokens, mask, targets, sample_weight):
        seen.update({(target, float(weight)) for target, weight in zip(targets, sample_weight, strict=True) if weight})
        return 0.0

    monkeypatch.setattr(Network, "fit_batch", record)
    data = fit.TokenizedArticles([[2, 5, 3]] * 6, TARGETS)
    recipe = Recipe(epochs=1, batch_size=4, class_weights="balanced", dtype="float32")
    fit.fit_classifier(encoder, data, data, recipe, categories=3)
    assert seen == pytest.approx({0: 6 / 9, 1: 1.0, 2: 2.0})


def test_the_moving_average_of_the_weights_replaces_them_temporarily(fitted):
    network, history, _ = fitted(replace(PLAIN, ema_decay=0.8), count=4)
    expected = history[1][HEAD]
    for weights in history[2:]:
        expected = 0.8 * expected + 0.2 * weights[HEAD]
    with network.averaged():
        np.testing.assert_allclose(network.weights()[HEAD], expected, atol=1e-6)
    np.testing.assert_array_equal(network.weights()[HEAD], history[-1][HEAD])


def test_without_a_moving_average_the_last_weights_are_used(fitted):
    network, history, _ = fitted(PLAIN)
    with network.averaged():
        np.testing.assert_array_equal(network.weights()[HEAD], history[-1][HEAD])


@pytest.fixture(scope="module")
def trained(encoder):
    """Return a function that trains on two categories that one word tells apart, and caches its results."""
    pieces = [[2, word, *([7] * (row % 5)), 3] for row, word in enumerate([8, 9] * 12)]
    data = fit.TokenizedArticles(pieces, np.array([0, 1] * 12))
    done = {}

    def train(*, again=0, **values):
        key = (again, *sorted(values.items()))
        if key not in done:
            recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.01, dtype="float32", **values)
            done[key] = fit.fit_classifier(encoder, data, data, recipe, categories=2)
        return done[key]

    return train


def metrics(fitted):
    return [(epoch.loss, epoch.accuracy, epoch.macro_f1) for epoch in fitted.history]


def has_same_weights(first, second):
    return all((first.weights[name] == second.weights[name]).all() for name in first.weights)


def test_the_same_recipe_seed_and_data_produce_the_same_bits(trained):
    assert metrics(trained(again=1)) == metrics(trained())
    assert has_same_weights(trained(again=1), trained())


def test_masking_hides_other_word_pieces_at_each_step_and_none_in_validation(encoder, monkeypatch):
    seen, validated = [], []

    def record(_, tokens, *__):
        seen.append(tokens)
        return 0.0

    def predict(_, tokens, mask):
        validated.append(tokens)
        return np.full((len(tokens), 2), 0.5)

    monkeypatch.setattr(Network, "fit_batch", record)
    monkeypatch.setattr(Network, "probabilities", predict)
    data = fit.TokenizedArticles([[2, *[7] * 60, 3]] * 4, np.array([0, 1, 0, 1]), mask_id=4)
    recipe = Recipe(epochs=2, batch_size=2, masking=0.2, head="random", dtype="float32")
    fit.fit_classifier(encoder, data, data, recipe, categories=2)
    patterns = {(tokens == 4).tobytes() for tokens in seen}
    assert len(patterns) == len(seen) == 4
    assert np.mean([tokens == 4 for tokens in seen]) == pytest.approx(0.2, abs=0.06)
    assert validated
    assert not any((tokens == 4).any() for tokens in validated)


def test_masking_without_a_mask_in_the_vocabulary_is_refused_in_one_line(encoder):
    data = fit.TokenizedArticles([[2, 5, 3]] * 6, TARGETS)
    with pytest.raises(EncoderError, match=r"masking 0.1: the encoder's tokenizer has no \[MASK\]; set masking to 0"):
        fit.fit_classifier(encoder, data, data, Recipe(masking=0.1), categories=3)


def test_averaged_weights_are_kept(trained):
    """The steps are the same; the weights that are validated and kept are nearer to the pretrained ones."""
    plain, averaged = trained(), trained(ema_decay=0.9)
    assert [epoch.loss for epoch in averaged.history] == [epoch.loss for epoch in plain.history]
    assert not has_same_weights(averaged, plain)


def test_the_time_left_is_estimated_from_the_steps_after_the_compilation(encoder, monkeypatch):
    """The first step takes a thousand times as long as each of the others."""
    clock, moments = {"now": 0.0}, iter(range(1000, 1100))

    def step(*_):
        clock["now"] = next(moments)
        return 0.5

    monkeypatch.setattr(Network, "fit_batch", step)
    monkeypatch.setattr(training_loop.time, "monotonic", lambda: clock["now"])
    data = fit.TokenizedArticles([[2, 5, 3]] * 6, TARGETS)
    recipe = Recipe(epochs=1, batch_size=1, dtype="float32")
    reports = []
    fit.fit_classifier(encoder, data, data, recipe, categories=3, on_progress=reports.append)
    assert [report.seconds_left for report in reports] == [None, 4, 3, 2, 1, 0, 0]
