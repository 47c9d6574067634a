"""AdamW with one kernel per variable, for TensorFlow on a CPU.

Each operation of Keras' AdamW passes over gradient, moments and weights: some twenty passes per step over arrays that,
for an encoder, do not fit into the cache. TensorFlow has one kernel for Adam's update of a variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # noqa: TID253  # one of the modules that do


def fused_adamw(rates: Mapping[str, float]) -> Any:
    """Return a class of AdamW that multiplies a variable's learning rate, and so its decay, by `rates[path]`.

    It requires a `global_clipnorm`. Its steps and its variables equal those of Keras' AdamW up to rounding.
    """

    class TensorFlowAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def _clip_gradients(self, grads: Sequence[Any]) -> Any:
            import tensorflow as tf

            # an embedding's gradient consists of rows; the rows of one word are added before the norm is computed
            dense = [tf.convert_to_tensor(gradient) for gradient in grads]
            return tf.clip_by_global_norm(dense, self.global_clipnorm)[0]

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            decay = self.learning_rate * self.weight_decay
            for variable in variables:
                if self._use_weight_decay(variable):
                    variable.value.assign_sub(variable.value * (decay * rates[variable.path]))

        def _backend_update_step(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
            import tensorflow as tf

            step = tf.cast(keras.ops.convert_to_tensor(self.iterations), tf.float32) + 1
            shared = {
                "beta1_power": tf.pow(self.beta_1, step), "beta1": self.beta_1,
                "beta2_power": tf.pow(self.beta_2, step), "beta2": self.beta_2,
                "epsilon": self.epsilon,
            }  # fmt: skip
            for gradient, variable in zip(grads, variables, strict=True):
                index = self._get_variable_index(variable)
                m, v = self._momentums[index], self._velocities[index]
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle, m=m.value.handle, v=v.value.handle,
                    lr=learning_rate * rates[variable.path], grad=gradient, **shared,
                )  # fmt: skip

    return TensorFlowAdamW
