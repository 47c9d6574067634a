"""The DistilBERT text classifier as a Keras network.

With `backend`, `first_token` and `optimiser` beside it, and a package each of what is TensorFlow's and PyTorch's own,
it is all that names Keras.

The network is keras-hub's `DistilBertTextClassifier`, whose head is the one of `transformers`
(dense and ReLU on the first token, dropout, logits), so every weight maps one to one to a tensor of
`model.safetensors`. It runs on each of Keras' backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from classifier.model.keras.backend import Dtype, backend, is_tensorflow_on_cpu, make_repeatable

import keras  # isort: skip  # noqa: TID253  # this module is one of those that do
import keras_hub  # isort: skip  # noqa: TID253
import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, PaddingMask, Probabilities, TokenIds
from classifier.exceptions import SettingsError
from classifier.model.checkpoint import Checkpoint, EncoderShape, Weights
from classifier.model.keras import first_token, optimizers, training_state
from classifier.model.keras.on_tensorflow import attention, byte_dropout, split_step, tracing


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """How the weights follow the gradient: AdamW, linear warm-up, cosine decay, clipped by norm.

    A step's gradient is the mean of `parts` calls of `fit_batch`. The four after it are those of a recipe;
    their defaults do nothing.
    """

    learning_rate: float
    weight_decay: float
    warmup_steps: int
    total_steps: int
    clip_norm: float
    parts: int = 1
    frozen_layers: int = 0
    layer_decay: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0


class Network:
    """A DistilBERT with a classification head, that can be fitted and asked."""

    def __init__(
        self,
        shape: EncoderShape,
        categories: int,
        *,
        dropout: float = 0.1,
        dtype: Dtype = "float32",
        seed: int = 0,
    ) -> None:
        keras.utils.set_random_seed(seed)
        self.shape = shape
        self._model = _build(shape, categories, dropout, dtype)
        answers = {"hidden": self._model.pooled_dense.input, "logits": self._model.output}
        self._answers = keras.Model(self._model.input, answers)  # one graph for both, since to trace one takes seconds
        _drop_as_transformers(self._model)
        first_token.use(self._model)
        self._answer: Callable[[TokenIds, PaddingMask], dict[str, NDArray[np.float32]]] = self._answer_of_keras
        if is_tensorflow_on_cpu():
            byte_dropout.use(self._model)
            attention.use(self._model)
            split_step.use(self._model)
            tracing.answers(self._answers)
        elif backend() == "torch":
            from classifier.model.keras.on_torch import steps

            self._answer = steps.answers(self._model)

    def load(self, checkpoint: Checkpoint) -> None:
        """Take the checkpoint's weights; a head that it does not have keeps its initial ones."""
        for name, variable in _variables(self._model):
            if name in checkpoint.weights:
                variable.assign(_to_keras(name, checkpoint.weights[name], variable.shape))

    def weights(self) -> Weights:
        """Return every weight under the name and in the layout of `transformers`, as float32."""
        return {name: _from_keras(name, variable.numpy()) for name, variable in _variables(self._model)}

    def snapshot(self) -> list[Any]:
        """Return a copy of the weights that `restore` takes back."""
        return list(self._model.get_weights())

    def restore(self, snapshot: list[Any]) -> None:
        """Put back the weights of a snapshot."""
        self._model.set_weights(snapshot)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of all that fitting changes: weights, optimiser, random numbers, running loss."""
        return training_state.state(self._model)

    def load_state(self, state: Mapping[str, NDArray[Any]], *, parts: int) -> None:
        """Put back what `state` returned, of a network that computed its steps in `parts`.

        Raises:
            ValueError: it is the state of another network.
        """
        training_state.load_state(self._model, state, parts_then=parts, parts_now=self._parts)

    def prepare(self, optimisation: OptimizerConfig) -> None:
        """Attach the optimiser and the loss. Needed before `fit_batch`."""
        make_repeatable()
        self._freeze(optimisation.frozen_layers)
        self._averages = optimisation.ema_decay > 0
        self._parts = optimisation.parts
        schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=optimisation.learning_rate,
            warmup_steps=optimisation.warmup_steps,
            decay_steps=max(1, optimisation.total_steps - optimisation.warmup_steps),
        )
        optimizer = optimizers.adamw(self._rates(optimisation.layer_decay))(
            learning_rate=schedule if optimisation.parts == 1 else _OfWholeSteps(schedule, optimisation.parts),
            weight_decay=optimisation.weight_decay,
            global_clipnorm=optimisation.clip_norm,
            gradient_accumulation_steps=optimisation.parts if optimisation.parts > 1 else None,
            use_ema=self._averages,
            # Keras moves the average at every part of a step
            ema_momentum=optimisation.ema_decay ** (1 / optimisation.parts),
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self._model.compile(optimizer=optimizer, loss=optimizers.loss(optimisation.label_smoothing))
        self._step: Callable[[TokenIds, PaddingMask, CategoryIndices, Probabilities], float] = self._step_of_keras
        if is_tensorflow_on_cpu():
            tracing.steps(self._model)
        elif backend() == "torch":
            from classifier.model.keras.on_torch import steps

            self._step = steps.steps(self._model, optimisation.label_smoothing)

    def _freeze(self, layers: int) -> None:
        """Keep the weights of the embeddings and of so many layers from the bottom."""
        if layers > self.shape.n_layers:
            raise SettingsError(f"frozen layers {layers}: the encoder has {self.shape.n_layers}")
        if layers:
            backbone = self._model.backbone
            for layer in (backbone.embeddings, backbone.embeddings_layer_norm, *backbone.transformer_layers[:layers]):
                layer.trainable = False

    def _rates(self, decay: float) -> dict[str, float]:
        """Return, by each variable's path, the share of the learning rate that it gets: 1 for the head's."""
        top = self.shape.n_layers + 1
        return {variable.path: decay ** (top - _depth(name, top)) for name, variable in _variables(self._model)}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Be the network of the averaged weights, where the optimiser keeps an average, for as long as this lasts."""
        if not self._averages:
            yield
            return
        with optimizers.averaged(self._model):
            yield

    def fit_batch(
        self, tokens: TokenIds, mask: PaddingMask, targets: CategoryIndices, sample_weight: Probabilities
    ) -> float:
        """Take one optimiser step and return its mean loss.

        `sample_weight` weighs each article's loss, shape (articles,); 0 marks a row of padding.

        Raises:
            StepTooLargeError: it does not fit into memory. The network is of no use any more.
        """
        with training_state.memory_errors():
            return self._step(tokens, mask, targets, sample_weight)

    def _step_of_keras(
        self, tokens: TokenIds, mask: PaddingMask, targets: CategoryIndices, sample_weight: Probabilities
    ) -> float:
        inputs = {"token_ids": tokens, "padding_mask": mask}
        logs = self._model.train_on_batch(inputs, targets, sample_weight=sample_weight, return_dict=True)
        return float(logs["loss"])

    def hidden(self, tokens: TokenIds, mask: PaddingMask) -> NDArray[np.float32]:
        """Return what the head is given: the first token of the encoder's last layer, shape (articles, dim).

        Raises:
            StepTooLargeError: it does not fit into memory.
        """
        with training_state.memory_errors():
            return self._answer(tokens, mask)["hidden"]

    def probabilities(self, tokens: TokenIds, mask: PaddingMask) -> Probabilities:
        """Return the softmax of the logits in float32, shape (articles, categories).

        Raises:
            StepTooLargeError: it does not fit into memory.
        """
        with training_state.memory_errors():
            return softmax(self._answer(tokens, mask)["logits"])

    def _answer_of_keras(self, tokens: TokenIds, mask: PaddingMask) -> dict[str, NDArray[np.float32]]:
        found = self._answers.predict_on_batch({"token_ids": tokens, "padding_mask": mask})
        return {name: np.asarray(one, dtype=np.float32) for name, one in found.items()}


def forget() -> None:
    """Let go of the memory of networks that nobody uses any more, and of their compiled graphs."""
    keras.backend.clear_session()


class _OfWholeSteps(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule for an optimiser that counts the parts of its steps."""

    def __init__(self, schedule: Any, parts: int) -> None:
        self._schedule, self._parts = schedule, parts

    def __call__(self, step: Any) -> Any:
        return self._schedule(step // self._parts)


def softmax(logits: Probabilities) -> Probabilities:
    """Turn logits into probabilities along the last axis, in the logits' own precision."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


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
    return keras_hub.models.DistilBertTextClassifier(backbone=backbone, num_classes=categories, dropout=0.2)


def _drop_as_transformers(model: Any) -> None:
    """Drop nothing of an attention's output, as `transformers` and the pretraining do not; keras-hub does."""
    for layer in model.backbone.transformer_layers:
        layer._self_attention_dropout.rate = 0.0


def gelu(x: Any) -> Any:
    """Apply the exact Gaussian error linear unit (Hendrycks and Gimpel, 2016).

    It is what keras-hub uses, compiled into one loop where the backend is TensorFlow: uncompiled, its
    dozen of element-wise steps and their gradients are a quarter of a training step in bfloat16 on a CPU.
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
    """Return 0 for the embeddings' tensors, a layer's number from 1, and `top` for the head's."""
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
    # A linear layer is (outputs, inputs) in PyTorch and (inputs, outputs) in Keras, which also splits
    # the attention's side by heads.
    return (tensor.T if _is_linear(name) else tensor).reshape(shape)


def _from_keras(name: str, tensor: Any) -> Any:
    tensor = np.asarray(tensor, dtype=np.float32)
    if "attention" in name:
        bias_or_kernel = (-1,) if name.endswith(".bias") else _attention_matrix(name, tensor)
        tensor = tensor.reshape(bias_or_kernel)
    return np.ascontiguousarray(tensor.T if _is_linear(name) else tensor)


def _attention_matrix(name: str, tensor: Any) -> tuple[int, int]:
    """Return (inputs, outputs): heads come first in the output projection and last in the others."""
    return (-1, tensor.shape[-1]) if "out_lin" in name else (tensor.shape[0], -1)
