"""A classifier's prediction and training steps in PyTorch's own functions.

On PyTorch, Keras runs one layer after the other, and Python takes longer for each than a GPU does. The functions here
use the same weights and PyTorch's fused attention. On a GPU they are recorded for each shape and replayed: see
`cuda_graphs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its common name
from numpy.typing import NDArray
from torch import Tensor

from classifier.articles import PaddingMask, Probabilities, TaskKind, TokenIds
from classifier.model.keras.on_torch.cuda_graphs import ReplayedFunction

Prediction = Callable[[TokenIds, PaddingMask], dict[str, NDArray[np.float32]]]
Step = Callable[[TokenIds, PaddingMask, NDArray[Any], Probabilities], float]
LossFunction = Callable[[Tensor, Tensor], Tensor]


def prediction_function(model: Any) -> Prediction:
    """Return a function of tokens and mask, (articles, length), that returns the model's `hidden` and `logits`."""
    forward = Forward(model)

    def outputs(tokens: Tensor, mask: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            hidden, logits = forward(tokens, mask, training=False)
        return hidden.float(), logits

    replayed = ReplayedFunction(outputs)

    def predict(tokens: TokenIds, mask: PaddingMask) -> dict[str, NDArray[np.float32]]:
        hidden, logits = replayed(tokens, mask)
        return {"hidden": hidden.cpu().numpy(), "logits": logits.cpu().numpy()}

    return predict


def loss_function(kind: TaskKind, label_smoothing: float, positive_weights: Sequence[float] = ()) -> LossFunction:
    """Return a function of logits and targets that returns the loss of each article, as `optimizers` defines it."""
    if kind == "single":
        return partial(F.cross_entropy, reduction="none", label_smoothing=label_smoothing)
    weights = torch.tensor(positive_weights or 1.0, device="cuda" if torch.cuda.is_available() else "cpu")

    def binary(logits: Tensor, targets: Tensor) -> Tensor:
        smoothed = targets * (1.0 - label_smoothing) + label_smoothing / 2
        each = F.binary_cross_entropy_with_logits(logits, smoothed, pos_weight=weights, reduction="none")
        return each.sum(dim=-1)

    return binary


def training_function(model: Any, loss_of: LossFunction) -> Step:
    """Return a function of tokens, mask, targets and sample weights that trains on a batch.

    `loss_of` is a function of logits and targets, see `loss_function`. The function returns the batch's mean loss.
    """
    forward, optimizer = Forward(model), model.optimizer
    trained = model.trainable_variables
    optimizer.build(trained)

    def loss_and_gradients(tokens: Tensor, mask: Tensor, targets: Tensor, sample_weight: Tensor) -> Sequence[Tensor]:
        _, logits = forward(tokens, mask, training=True)
        loss = (loss_of(logits, targets) * sample_weight).mean()
        scaled = optimizer.scale_loss(loss)  # for float16
        return loss.detach(), *torch.autograd.grad(scaled, [variable.value for variable in trained])

    replayed = ReplayedFunction(loss_and_gradients)
    # A training saves the state of these seeds, so a resumed training drops the same numbers.
    seeds = model.output_dropout.seed_generator

    def step(tokens: TokenIds, mask: PaddingMask, targets: NDArray[Any], sample_weight: Probabilities) -> float:
        loss, *gradients = replayed(tokens, mask, targets, sample_weight, seed=sum(seeds.next().tolist()))
        with torch.no_grad():
            optimizer.apply(gradients, trained)
        return float(loss)

    return step


class Forward:
    """The network of a keras-hub `DistilBertTextClassifier`, with that model's weights, dropout and dtype."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._dtype = getattr(torch, model.backbone.compute_dtype)

    def __call__(self, tokens: Tensor, mask: Tensor, *, training: bool) -> tuple[Tensor, Tensor]:
        """Return the head's input, (articles, dim), and the logits in float32, (articles, categories).

        `tokens` and `mask` are (articles, length).
        """
        backbone = self._model.backbone
        words, positions = backbone.embeddings.token_embedding, backbone.embeddings.position_embedding
        x = F.embedding(tokens, words.embeddings.value) + positions.position_embeddings.value[: tokens.shape[1]]
        x = self._norm(backbone.embeddings_layer_norm, x.to(self._dtype))
        x = F.dropout(x, backbone.embeddings_dropout.rate, training)
        keep = mask.bool()[:, None, None]
        *lower, last = backbone.transformer_layers
        for layer in lower:
            x = self._layer(layer, x, x, keep, training)
        hidden = self._layer(last, x[:, :1], x, keep, training)[:, 0]  # see `first_token`
        pooled = torch.relu(self._dense(self._model.pooled_dense, hidden))
        pooled = F.dropout(pooled, self._model.output_dropout.rate, training)
        head = self._model.output_dense
        return hidden, torch.addmm(head.bias.value, pooled.float(), head.kernel.value)

    def _layer(self, layer: Any, x: Tensor, attended: Tensor, keep: Tensor, training: bool) -> Tensor:
        """Return the states of the queries `x`, (articles, queries, dim); `attended` is (articles, length, dim)."""
        attention = layer._self_attention_layer
        queries = self._by_head(attention.query_dense, x)
        keys, values = (self._by_head(dense, attended) for dense in (attention.key_dense, attention.value_dense))
        dropped = attention.dropout if training else 0.0
        attention_output = F.scaled_dot_product_attention(queries, keys, values, attn_mask=keep, dropout_p=dropped)
        output = attention.output_dense
        joined = attention_output.transpose(1, 2).flatten(2)
        projected = self._affine(joined, output.kernel.value.flatten(0, 1), output.bias.value)
        x = self._norm(layer._self_attention_layer_norm, projected + x)
        wide = F.gelu(self._dense(layer._feedforward_intermediate_dense, x))
        narrow = self._dense(layer._feedforward_output_dense, wide)
        narrow = F.dropout(narrow, layer._feedforward_dropout.rate, training)
        return self._norm(layer._feedforward_layer_norm, narrow + x)

    def _by_head(self, dense: Any, x: Tensor) -> Tensor:
        """Return the projection of `x`, (articles, length, dim), as (articles, heads, length, features)."""
        dim, heads, features = dense.kernel.shape
        flat = self._affine(x, dense.kernel.value.reshape(dim, -1), dense.bias.value.flatten())
        return flat.unflatten(-1, (heads, features)).transpose(1, 2)

    def _dense(self, dense: Any, x: Tensor) -> Tensor:
        return self._affine(x, dense.kernel.value, dense.bias.value)

    def _affine(self, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, kernel.to(self._dtype).T, bias.to(self._dtype))

    def _norm(self, norm: Any, x: Tensor) -> Tensor:
        scale, shift = norm.gamma.value.to(self._dtype), norm.beta.value.to(self._dtype)
        return F.layer_norm(x, scale.shape, scale, shift, norm.epsilon)
