"""The DistilBERT text classifier as a Keras network.

The network is keras-hub's `DistilBertTextClassifier`. Its head is that of `transformers`: dense and ReLU on the first
token, dropout, logits. So each weight corresponds to one tensor of `model.safetensors`. It runs on TensorFlow and on
PyTorch. Only the modules of this package import Keras or one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from classifier.model.keras.backend import Dtype, backend, is_tensorflow_on_cpu, make_deterministic

import keras  # isort: skip  # noqa: TID253  # this module is one of those that do
import keras_hub  # isort: skip  # noqa: TID253
import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TaskKind, TokenIds
from classifier.exceptions import SettingsError
from classifier.model.checkpoint import Checkpoint, EncoderShape, Weights
from classifier.model.keras import first_token, optimizers, training_state
from classifier.model.keras.on_tensorflow import attention, byte_dropout, split_step, tracing
from classifier.model.sigmoid import sigmoid
from classifier.model.targets import Targets

HEAD_DROPOUT = 0.2
"""Dropout before the last layer, as in `transformers`."""


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW with linear warm-up, cosine decay and gradients that are clipped by their global norm.

    Attributes:
        accumulation_steps: Calls of `fit_batch` whose mean gradient makes one optimizer step.
        frozen_layers: Layers from the bottom that are not trained, with the embeddings; 0 trains all.
        layer_decay: Factor of the learning rate from each layer to the one below.
        label_smoothing: Share of the target that is divided among all categories.
        ema_decay: Momentum of the weights' moving average per optimizer step; 0 keeps none.
        positive_weights: For a multi-label network, the weight in the loss of each category's own articles.
    """

    learning_rate: float
    weight_decay: float
    warmup_steps: int
    total_steps: int
    clip_norm: float
    accumulation_steps: int = 1
    frozen_layers: int = 0
    layer_decay: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    positive_weights: tuple[float, ...] = ()


class Network:
    """A DistilBERT with a classification head: it is trained by `fit_batch` and predicts by `probabilities`.

    A network of kind "multi" has a sigmoid and the binary cross-entropy in place of the softmax and its cross-entropy.
    """

    def __init__(
        self,
        shape: EncoderShape,
        categories: int,
        *,
        kind: TaskKind = "single",
        dropout: float = 0.1,
        dtype: Dtype = "float32",
        seed: int = 0,
    ) -> None:
        keras.utils.set_random_seed(seed)
        self.shape, self.kind = shape, kind
        self._model = _build(shape, categories, dropout, dtype)
        outputs = {"hidden": self._model.pooled_dense.input, "logits": self._model.output}
        self._outputs = keras.Model(self._model.input, outputs)  # one graph for both, since tracing one takes seconds
        _remove_attention_output_dropout(self._model)
        first_token.limit_last_layer(self._model)
        self._predict: Callable[[TokenIds, PaddingMask], dict[str, NDArray[np.float32]]] = self._predict_with_keras
        if is_tensorflow_on_cpu():
            byte_dropout.replace_dropout(self._model)
            attention.replace_attention(self._model)
            split_step.split_training_steps(self._model)
            tracing.trace_prediction(self._outputs)
        elif backend() == "torch":
            from classifier.model.keras.on_torch import steps

            self._predict = steps.prediction_function(self._model)

    def load(self, checkpoint: Checkpoint) -> None:
        """Load the checkpoint's weights; if it has no head, the head keeps its initial weights."""
        for name, variable in _variables(self._model):
            if name in checkpoint.weights:
                variable.assign(_to_keras(name, checkpoint.weights[name], variable.shape))

    def weights(self) -> Weights:
        """Return all weights with the names and layouts of `transformers`, as float32."""
        return {name: _from_keras(name, variable.numpy()) for name, variable in _variables(self._model)}

    def snapshot(self) -> list[Any]:
        """Return a copy of the weights, for `restore`."""
        return list(self._model.get_weights())

    def restore(self, snapshot: list[Any]) -> None:
        """Set the weights to those of a snapshot."""
        self._model.set_weights(snapshot)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of all that training changes: weights, optimizer, random seeds, running loss."""
        return training_state.state(self._model)

    def load_state(self, state: Mapping[str, NDArray[Any]], *, accumulation_steps: int) -> None:
        """Load what `state` returned for a network that used this number of accumulation steps.

        Raises:
            ValueError: the state belongs to another network.
        """
        training_state.load_state(
            self._model,
            state,
            saved_accumulation_steps=accumulation_steps,
            accumulation_steps=self._config.accumulation_steps,
        )

    def prepare(self, config: OptimizerConfig) -> None:
        """Attach the optimizer and the loss. Call it before `fit_batch`."""
        make_deterministic()
        self._freeze(config.frozen_layers)
        self._config, steps_per_update = config, config.accumulation_steps
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=config.learning_rate,
            warmup_steps=config.warmup_steps,
            decay_steps=max(1, config.total_steps - config.warmup_steps),
        )
        optimizer = optimizers.fastest_adamw(self._learning_rate_factors(config.layer_decay))(
            learning_rate=schedule if steps_per_update == 1 else _AccumulationSchedule(schedule, steps_per_update),
            weight_decay=config.weight_decay,
            global_clipnorm=config.clip_norm,
            gradient_accumulation_steps=steps_per_update if steps_per_update > 1 else None,
            use_ema=config.ema_decay > 0,
            ema_momentum=config.ema_decay ** (1 / steps_per_update),  # Keras moves the average at every call
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        if self.kind == "multi":
            loss = optimizers.binary_loss(config.label_smoothing, config.positive_weights)
            # it replaces keras-hub's default metric, which reads one category an article
            self._model.compile(optimizer=optimizer, loss=loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
        else:
            self._model.compile(optimizer=optimizer, loss=optimizers.loss(config.label_smoothing))
        self._step: Callable[[TokenIds, PaddingMask, NDArray[Any], Probabilities], float] = self._step_with_keras
        if is_tensorflow_on_cpu():
            tracing.trace_training(self._model, kind=self.kind)
        elif backend() == "torch":
            from classifier.model.keras.on_torch import steps

            of_batch = steps.loss_function(self.kind, config.label_smoothing, config.positive_weights)
            self._step = steps.training_function(self._model, of_batch)

    def _freeze(self, layers: int) -> None:
        """Exclude the embeddings and the lowest `layers` layers from training."""
        if layers > self.shape.n_layers:
            raise SettingsError(f"frozen layers {layers}: must be at most {self.shape.n_layers}, the encoder's layers")
        if layers:
            backbone = self._model.backbone
            for layer in (backbone.embeddings, backbone.embeddings_layer_norm, *backbone.transformer_layers[:layers]):
                layer.trainable = False

    def _learning_rate_factors(self, decay: float) -> dict[str, float]:
        """Return the factor of the learning rate for each variable's path: 1 for the head's."""
        top = self.shape.n_layers + 1
        return {variable.path: decay ** (top - _depth(name, top)) for name, variable in _variables(self._model)}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the moving average of the weights until the context ends, if the optimizer keeps one."""
        if not self._config.ema_decay:
            yield
            return
        with optimizers.averaged_weights(self._model):
            yield

    def fit_batch(self, tokens: TokenIds, mask: PaddingMask, targets: Targets, sample_weight: Probabilities) -> float:
        """Train on a batch and return its mean loss.

        `targets` are the articles' categories, shape (articles,); for a multi-label network whether each article has
        each category, shape (articles, categories). `sample_weight` is the weight of each article's loss, shape
        (articles,); 0 marks a row of padding.

        Raises:
            StepTooLargeError: the batch does not fit into memory. The network must not be used any more.
        """
        with training_state.memory_errors():
            return self._step(tokens, mask, self._as_numbers(targets), sample_weight)

    def _as_numbers(self, targets: Targets) -> Targets | Probabilities:
        """Return the targets as the loss reads them: 1 and 0 in place of the truth values of a multi-label network."""
        return targets.astype(np.float32) if self.kind == "multi" else targets

    def _step_with_keras(
        self, tokens: TokenIds, mask: PaddingMask, targets: NDArray[Any], sample_weight: Probabilities
    ) -> float:
        inputs = {"token_ids": tokens, "padding_mask": mask}
        logs = self._model.train_on_batch(inputs, targets, sample_weight=sample_weight, return_dict=True)
        return float(logs["loss"])

    def hidden(self, tokens: TokenIds, mask: PaddingMask) -> NDArray[np.float32]:
        """Return the head's input: the first token's state in the encoder's last layer, shape (articles, dim).

        Raises:
            StepTooLargeError: the batch does not fit into memory.
        """
        with training_state.memory_errors():
            return self._predict(tokens, mask)["hidden"]

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return the softmax or the sigmoid of the logits in float32, shape (articles, categories).

        Raises:
            StepTooLargeError: the batch does not fit into memory.
        """
        with training_state.memory_errors():
            logits = self._predict(tokens, mask)["logits"]
            return sigmoid(logits) if self.kind == "multi" else softmax(logits)

    def _predict_with_keras(self, tokens: TokenIds, mask: PaddingMask) -> dict[str, NDArray[np.float32]]:
        outputs = self._outputs.predict_on_batch({"token_ids": tokens, "padding_mask": mask})
        return {name: np.asarray(values, dtype=np.float32) for name, values in outputs.items()}


def clear_session() -> None:
    """Free the memory and the compiled graphs of networks that are no longer referenced."""
    keras.backend.clear_session()


class _AccumulationSchedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule by optimizer steps, for an optimizer that counts the calls that accumulate gradients."""

    def __init__(self, schedule: Any, accumulation_steps: int) -> None:
        self._schedule, self._accumulation_steps = schedule, accumulation_steps

    def __call__(self, step: Any) -> Any:
        return self._schedule(step // self._accumulation_steps)


def softmax(logits: Probabilities) -> Probabilities:
    """Return probabilities along the last axis, in the logits' own dtype. Each row depends on that row alone."""
    from scipy import special

    return np.asarray(special.softmax(logits, axis=-1))


def _build(shape: EncoderShape, categories: int, dropout: float, dtype: Dtype) -> Any:
    backbone = keras_hub.models.DistilBertBackbone(
        vocabulary_size=shape.vocab_size,
        num_layers=shape.n_layers,
        num_heads=shape.n_heads,
        hidden_dim=shape.dim,
        intermediate_dim=shape.hidden_dim,
        dropout=dropout,
        max_sequence_length=shape.max_position_embeddings,
        dtype=dtype,
    )
    for layer in backbone.transformer_layers:
        layer._feedforward_intermediate_dense.activation = gelu
    return keras_hub.models.DistilBertTextClassifier(backbone=backbone, num_classes=categories, dropout=HEAD_DROPOUT)


def _remove_attention_output_dropout(model: Any) -> None:
    """Set the dropout of attention outputs to 0, as in `transformers` and in pretraining. keras-hub applies one."""
    for layer in model.backbone.transformer_layers:
        layer._self_attention_dropout.rate = 0.0


def gelu(x: Any) -> Any:
    """Apply the exact Gaussian error linear unit (Hendrycks and Gimpel, 2016).

    It is the function of keras-hub, compiled into one loop on TensorFlow. Without that, its dozen element-wise steps
    and their gradients take a quarter of a training step in bfloat16 on a CPU.
    """
    if backend() == "tensorflow":
        return _compiled_gelu()(x)
    return keras.activations.gelu(x, approximate=False)


@cache
def _compiled_gelu() -> Any:
    import tensorflow as tf

    return tf.function(partial(tf.nn.gelu, approximate=False), jit_compile=True)


def _variables(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield each Keras variable with the name of its tensor in `transformers`."""
    backbone = model.backbone
    embeddings = "distilbert.embeddings"
    yield f"{embeddings}.word_embeddings.weight", backbone.embeddings.token_embedding.embeddings
    yield f"{embeddings}.position_embeddings.weight", backbone.embeddings.position_embedding.position_embeddings
    yield from _affine(f"{embeddings}.LayerNorm", backbone.embeddings_layer_norm)
    for index, layer in enumerate(backbone.transformer_layers):
        prefix = f"distilbert.transformer.layer.{index}"
        attention = layer._self_attention_layer
        yield from _affine(f"{prefix}.attention.q_lin", attention.query_dense)
        yield from _affine(f"{prefix}.attention.k_lin", attention.key_dense)
        yield from _affine(f"{prefix}.attention.v_lin", attention.value_dense)
        yield from _affine(f"{prefix}.attention.out_lin", attention.output_dense)
        yield from _affine(f"{prefix}.sa_layer_norm", layer._self_attention_layer_norm)
        yield from _affine(f"{prefix}.ffn.lin1", layer._feedforward_intermediate_dense)
        yield from _affine(f"{prefix}.ffn.lin2", layer._feedforward_output_dense)
        yield from _affine(f"{prefix}.output_layer_norm", layer._feedforward_layer_norm)
    yield from _affine("pre_classifier", model.pooled_dense)
    yield from _affine("classifier", model.output_dense)


def _depth(name: str, top: int) -> int:
    """Return a tensor's layer: 0 for the embeddings, 1 and up for the encoder's layers, `top` for the head."""
    if name.startswith("distilbert.embeddings."):
        return 0
    prefix = "distilbert.transformer.layer."
    return int(name.removeprefix(prefix).partition(".")[0]) + 1 if name.startswith(prefix) else top


def _affine(prefix: str, layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the weight and the bias of a dense layer, or the scale and the shift of a layer norm."""
    yield f"{prefix}.weight", layer.kernel if hasattr(layer, "kernel") else layer.gamma
    yield f"{prefix}.bias", layer.bias if hasattr(layer, "bias") else layer.beta


def _is_linear(name: str) -> bool:
    return name.endswith(".weight") and not any(part in name for part in ("embeddings", "layer_norm", "LayerNorm"))


def _to_keras(name: str, tensor: Any, shape: tuple[int, ...]) -> Any:
    # A linear layer is (outputs, inputs) in PyTorch and (inputs, outputs) in Keras, where attention's layers are also
    # split by heads.
    return (tensor.T if _is_linear(name) else tensor).reshape(shape)


def _from_keras(name: str, tensor: Any) -> Any:
    tensor = np.asarray(tensor, dtype=np.float32)
    if "attention" in name:
        bias_or_kernel = (-1,) if name.endswith(".bias") else _attention_matrix(name, tensor)
        tensor = tensor.reshape(bias_or_kernel)
    return np.ascontiguousarray(tensor.T if _is_linear(name) else tensor)


def _attention_matrix(name: str, tensor: Any) -> tuple[int, int]:
    """Return the shape (inputs, outputs); heads come first in the output projection and last in the others."""
    return (-1, tensor.shape[-1]) if "out_lin" in name else (tensor.shape[0], -1)
