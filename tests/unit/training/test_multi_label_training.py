"""A multi-label network is trained to predict each category of an article alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifier.model import checkpoint
from classifier.model.keras import optimizers
from classifier.model.keras.network import Network, OptimizerConfig
from classifier.model.sigmoid import sigmoid
from classifier.model.targets import encode_targets, log_odds
from classifier.training import fit, probe
from classifier.training.batches import BatchSize, batches, split_batch
from classifier.training.checkpoints import open_checkpoints
from classifier.training.early_stopping import standard_error
from classifier.training.epoch_scores import score_epoch
from classifier.training.recipes import Recipe
from classifier.training.training_state import TokenizedArticles, training_key
from tests.support.tiny_models import make_encoder

CLS, SEP, MASK_ID = 2, 3, 4
RECIPE = Recipe(
    epochs=3, batch_size=8, learning_rate=0.01, max_length=16, patience=3, masking=0.1, label_smoothing=0.05,
    class_weights="balanced", dtype="float32",
)  # fmt: skip
PLAIN = OptimizerConfig(learning_rate=0.01, weight_decay=0.0, warmup_steps=0, total_steps=1000, clip_norm=1.0)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return checkpoint.read_checkpoint(make_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def articles(count, *, seed=0):
    """Return articles of three categories, each of which has a word of its own; many have two, some have none."""
    generator = np.random.default_rng(seed)
    targets = generator.random((count, 3)) < (0.5, 0.4, 0.1)
    pieces = [
        [CLS, *(5 + 2 * np.flatnonzero(row)).tolist(), *generator.integers(11, 17, 3).tolist(), SEP] for row in targets
    ]
    return TokenizedArticles(pieces, targets, mask_id=MASK_ID)


def padded(data):
    width = max(map(len, data.pieces))
    tokens = np.array([[*ids, *[0] * (width - len(ids))] for ids in data.pieces], dtype=np.int32)
    return tokens, (tokens > 0).astype(np.int32)


class TestTargets:
    def test_a_label_set_is_a_row_of_truth_values_in_the_order_of_the_categories(self):
        matrix = encode_targets([("b",), (), ("c", "a"), ("unknown", "b")], ("a", "b", "c"), "multi")
        assert matrix.dtype == np.bool_
        np.testing.assert_array_equal(matrix, [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]])
        assert encode_targets([], ("a", "b"), "multi").shape == (0, 2)

    def test_a_single_category_is_its_position(self):
        np.testing.assert_array_equal(encode_targets([("b",), ("a",)], ("a", "b"), "single"), [1, 0])

    def test_the_log_odds_of_a_category_without_articles_are_finite(self):
        odds = log_odds(np.array([[True, False], [False, False]]))
        np.testing.assert_allclose(odds, [0, np.log(0.5 / 2.5)], rtol=1e-6)

    def test_the_hash_covers_every_label(self):
        data = articles(20)
        changed = data.targets.copy()
        changed[7, 2] ^= True
        variants = (data.targets, changed, data.targets.T)
        assert len({replace(data, targets=targets).sha256() for targets in variants}) == 3

    def test_the_key_of_a_training_differs_from_that_of_a_single_label_one(self, encoder):
        data = articles(20)
        single = replace(data, targets=data.targets[:, 0].astype(np.int64))
        options = {"categories": ("a", "b", "c"), "arithmetic": "float32"}
        assert training_key(encoder, data, data, RECIPE, **options) != training_key(
            encoder, single, single, RECIPE, **options
        )


class TestBatches:
    def test_every_article_keeps_its_labels_and_rows_of_padding_have_none(self):
        data = articles(50)
        seen = np.zeros_like(data.targets)
        for batch in batches(data.pieces, data.targets, size=BatchSize(16), shuffle=np.random.default_rng(0)):
            assert batch.targets.dtype == np.bool_
            seen[batch.rows] = batch.targets[: len(batch.rows)]
            assert not batch.targets[len(batch.rows) :].any()
            assert not batch.sample_weight[len(batch.rows) :].any()
        np.testing.assert_array_equal(seen, data.targets)

    def test_the_parts_of_a_split_batch_have_its_labels(self):
        data = articles(5)
        (batch,) = batches(data.pieces, data.targets, size=BatchSize(5))
        parts = split_batch(batch, 3)
        assert [len(part.targets) for part in parts] == [2, 2, 2]
        np.testing.assert_array_equal(np.concatenate([part.targets for part in parts])[:5], batch.targets)
        assert not parts[-1].targets[-1].any()

    def test_a_chunk_has_the_labels_of_its_article(self):
        data = replace(articles(2), owners=np.array([0, 0, 1]))
        np.testing.assert_array_equal(data.chunk_targets, data.targets[[0, 0, 1]])
        assert data.kind == "multi"


class TestLoss:
    LOGITS = np.random.default_rng(1).normal(0, 5, (40, 3)).astype(np.float32)
    TARGETS = np.random.default_rng(2).random((40, 3)) < 0.4

    @pytest.mark.parametrize("weights", [(), (1.0, 4.0, 10.0)])
    @pytest.mark.parametrize("smoothing", [0.0, 0.3])
    def test_it_is_the_binary_cross_entropy_summed_over_the_categories(self, smoothing, weights):
        probabilities = sigmoid(self.LOGITS.astype(np.float64))
        target = self.TARGETS * (1 - smoothing) + smoothing / 2
        each = (weights or 1.0) * target * np.log(probabilities) + (1 - target) * np.log1p(-probabilities)
        actual = optimizers.binary_loss(smoothing, weights)(self.TARGETS.astype(np.float32), self.LOGITS)
        np.testing.assert_allclose(actual, -each.sum(axis=1), rtol=1e-5)

    def test_extreme_logits_have_a_finite_loss(self):
        logits = np.array([[500, -500], [500, -500]], dtype=np.float32)
        np.testing.assert_allclose(optimizers.binary_loss(0.0)(np.eye(2, dtype=np.float32), logits), [0, 1000])

    def test_rows_of_padding_add_nothing(self, encoder):
        data = articles(6)
        tokens, mask = padded(data)
        weights = np.array([1, 1, 1, 1, 0, 0], dtype=np.float32)

        def loss(targets):
            network = Network(encoder.shape, 3, kind="multi", dropout=0.0)
            network.load(encoder)
            network._model.output_dropout.rate = 0.0
            network.prepare(PLAIN)
            return network.fit_batch(tokens, mask, targets, weights)

        changed = data.targets.copy()
        changed[4:] ^= True
        assert loss(data.targets) == loss(changed)


class TestClassWeights:
    def test_rare_categories_weigh_more_within_bounds(self):
        targets = np.zeros((1000, 4), dtype=np.bool_)
        for column, count in enumerate((700, 260, 40, 0)):
            targets[:count, column] = True
        np.testing.assert_allclose(fit.class_weights("balanced", targets), [1, 1, 6.25, 10])
        np.testing.assert_array_equal(fit.class_weights("none", targets), [1, 1, 1, 1])


class TestProbe:
    def test_each_category_has_the_logistic_regression_of_its_own(self, encoder):
        from sklearn.linear_model import LogisticRegression

        data, weights = articles(80), np.array([1, 1, 3], dtype=np.float32)
        shapes = {"pre_classifier.weight": (8, 8), "pre_classifier.bias": 8, "classifier.weight": (3, 8)}
        empty = {name: np.zeros(shape, np.float32) for name, shape in (*shapes.items(), ("classifier.bias", 3))}
        network = Network(encoder.shape, 3, kind="multi", dropout=0.0)
        network.load(replace(encoder, weights={**encoder.weights, **empty}))
        head = probe.fit_probe(network, data, 3, weights=weights, seed=0)
        network.load(replace(encoder, weights=head))
        hidden = network.hidden(*padded(data)).astype(np.float64)
        inputs = (hidden - hidden.mean(axis=0)) / hidden.std(axis=0)
        predicted = network.probabilities(*padded(data))
        for category in range(3):
            truth = data.targets[:, category]
            model = LogisticRegression(C=probe.INVERSE_REGULARISATION, max_iter=1000, tol=1e-8)
            model.fit(inputs, truth, sample_weight=np.where(truth, weights[category], 1))
            expected = model.predict_proba(inputs)[:, 1]
            np.testing.assert_allclose(predicted[:, category], expected, rtol=0, atol=1e-3)

    def test_its_articles_are_drawn_alike_and_every_category_has_one(self, monkeypatch):
        monkeypatch.setattr(probe, "MAX_ARTICLES", 50)
        targets = np.zeros((1000, 5), dtype=np.bool_)
        targets[:, 0], targets[997, 1], targets[3, 2], targets[998, 4] = True, True, True, True
        rows = probe._sample(targets, np.random.default_rng(0))
        assert 50 <= len(rows) == len(set(rows)) <= 54
        assert {997, 3, 998} <= set(rows)


class TestScores:
    def test_they_are_macro_f1_and_exact_matches_with_the_best_thresholds(self):
        """The probabilities of the second category are all low, but rank its articles first."""
        truth = np.array([[1, 0], [1, 1], [0, 1], [0, 0]] * 10, dtype=np.bool_)
        probabilities = np.where(truth, (0.9, 0.2), (0.1, 0.05)).astype(np.float32)
        scores = score_epoch(truth, probabilities)
        assert (scores.accuracy, scores.macro_f1) == (1, 1)
        assert 0 < scores.standard_error < 0.1
        worse = score_epoch(truth, np.where(truth[::-1], 0.6, 0.4).astype(np.float32))
        assert worse.macro_f1 < 1
        assert worse.accuracy < 1

    def test_a_single_labels_standard_error_is_that_of_its_matrix(self):
        generator = np.random.default_rng(0)
        truth, predicted = generator.integers(0, 4, (2, 200))
        matrices = (np.eye(4, dtype=np.bool_)[column] for column in (truth, predicted))
        assert standard_error(*matrices) == pytest.approx(standard_error(truth, predicted))

    def test_articles_without_any_label_have_a_macro_f1_of_0(self):
        scores = score_epoch(np.zeros((5, 2), dtype=np.bool_), np.full((5, 2), 0.1, np.float32))
        assert (scores.macro_f1, scores.standard_error) == (0, 0)


class TestTraining:
    def test_it_learns_each_category(self, encoder):
        train, validation = articles(240), articles(80, seed=1)
        plain = {"masking": 0.0, "label_smoothing": 0.0, "class_weights": "none"}
        recipe = replace(RECIPE, epochs=14, patience=14, **plain)
        fitted = fit.fit_classifier(encoder, train, validation, recipe, categories=3)
        best = fitted.history[fitted.best_epoch - 1]
        assert best.macro_f1 > 0.8
        assert best.accuracy > 0.6, "less than a third of the articles have the same labels"
        network = Network(encoder.shape, 3, kind="multi")
        network.load(replace(encoder, weights=fitted.weights))
        probabilities = fit.predict(network, validation, size=16)
        several = validation.targets.sum(axis=1) > 1
        assert (probabilities[several][:, :2] > 0.5).all(axis=1).mean() > 0.7, "they do not compete"

    @pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, ema_decay=0.9, head="random", batch_tokens=64)])
    def test_a_resumed_training_ends_with_the_same_bits(self, encoder, tmp_path, recipe):
        class KilledError(BaseException):
            pass

        def die(progress):
            if progress.step == 5:
                raise KilledError

        data = articles(60)
        expected = fit.fit_classifier(encoder, data, data, recipe, categories=3)
        with open_checkpoints(tmp_path, "key", every_steps=2) as saved:
            with pytest.raises(KilledError):
                fit.fit_classifier(encoder, data, data, recipe, categories=3, checkpoints=saved, on_progress=die)
            resumed = fit.fit_classifier(encoder, data, data, recipe, categories=3, checkpoints=saved)
        assert resumed.resumed_from == 4
        for name, tensor in expected.weights.items():
            np.testing.assert_array_equal(resumed.weights[name], tensor, err_msg=name)

    @pytest.mark.parametrize("recipe", [replace(RECIPE, head="random"), RECIPE])
    def test_a_head_that_has_no_probe_starts_at_the_log_odds(self, encoder, recipe, monkeypatch):
        monkeypatch.setattr(probe, "fit_probe", lambda *_, **__: {})
        started = []
        run_epochs = fit.TrainingLoop.run_epochs
        monkeypatch.setattr(
            fit.TrainingLoop, "run_epochs", lambda self: (started.append(self.network.weights()), run_epochs(self))
        )
        data = articles(40)
        fit.fit_classifier(encoder, data, data, replace(recipe, epochs=1), categories=3)
        np.testing.assert_array_equal(started[0]["classifier.bias"], log_odds(data.targets))
