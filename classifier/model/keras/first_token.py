"""The encoder's last layer, limited to what the head reads: the first token's state.

The last layer's other tokens serve as keys and values only. So their queries, their feed-forward layer and their
dropout are left out, in training and in prediction, on both backends.
"""

from __future__ import annotations

from typing import Any

import keras_hub  # noqa: TID253  # one of the modules that do


class FirstTokenEncoder(keras_hub.layers.TransformerEncoder):  # type: ignore[misc]  # it has no types
    """keras-hub's layer with the same weights and its norms last, for the first token alone."""

    def call(self, inputs: Any, padding_mask: Any = None, training: bool | None = None) -> Any:
        """Return the first token's state, shape (articles, 1, dim), of `inputs`, shape (articles, length, dim).

        `padding_mask` marks the tokens that are not padding, shape (articles, length).
        """
        first = inputs[:, :1]
        keys = None if padding_mask is None else padding_mask[:, None]
        x = self._self_attention_layer(query=first, value=inputs, attention_mask=keys, training=training)
        x = self._self_attention_layer_norm(self._self_attention_dropout(x, training=training) + first)
        wide = self._feedforward_intermediate_dense(x)
        narrow = self._feedforward_dropout(self._feedforward_output_dense(wide), training=training)
        return self._feedforward_layer_norm(narrow + x)


def limit_last_layer(model: Any) -> None:
    """Make the encoder's last layer compute the first token alone."""
    model.backbone.transformer_layers[-1].__class__ = FirstTokenEncoder
