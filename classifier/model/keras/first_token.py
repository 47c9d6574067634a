"""The encoder's last layer, as far as the head reads it: its first token alone.

Of that layer the other tokens are keys and values and no more, so their queries, their feed-forward layer and what
dropout draws for them are left out: some 5/6 of one layer, in fitting and in answering, on each of Keras' backends.
"""

from __future__ import annotations

from typing import Any

import keras_hub  # noqa: TID253  # one of the modules that do


class FirstTokenEncoder(keras_hub.layers.TransformerEncoder):  # type: ignore[misc]  # it has no types
    """keras-hub's layer with the same weights, norms last, that computes one of its tokens."""

    def call(self, inputs: Any, padding_mask: Any = None, training: bool | None = None) -> Any:
        """Return the first token's state, shape (articles, 1, dim), of `inputs`, shape (articles, length, dim).

        `padding_mask` says which tokens count, shape (articles, length).
        """
        first = inputs[:, :1]
        keys = None if padding_mask is None else padding_mask[:, None]
        x = self._self_attention_layer(query=first, value=inputs, attention_mask=keys, training=training)
        x = self._self_attention_layer_norm(self._self_attention_dropout(x, training=training) + first)
        wide = self._feedforward_intermediate_dense(x)
        narrow = self._feedforward_dropout(self._feedforward_output_dense(wide), training=training)
        return self._feedforward_layer_norm(narrow + x)


def use(model: Any) -> None:
    """Let the last layer of the model's encoder compute no more than the head reads."""
    model.backbone.transformer_layers[-1].__class__ = FirstTokenEncoder
