"""AdamW with one kernel a variable, for TensorFlow on a CPU.

Keras' goes over gradient, moments and weights an operation at a time, which no cache holds of an encoder: some twenty
passes through memory at every step, and five thousand operations to trace before the first. TensorFlow has one kernel
for what Adam does to a variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras  # noqa: TID253  # one of the modules that do


def adamw(rates: Mapping[str, float]) -> Any:
    """Return the class of an AdamW whose learning rate for a variable, and so its decay, is times `rates[path]`.

    It needs a `global_clipnorm`. Its steps and its own variables are those of Keras' AdamW but for rounding.
    """

    class Fused(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def _clip_gradients(self, grads: Sequence[Any]) -> Any:
            import tensorflow as tf

            # an embedding's gradient comes as its words' rows: those of one word are added up before they are measured
            return tf.clip_by_global_norm([tf.convert_to_tensor(one) for one in grads], self.global_clipnorm)[0]

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            decay = self.learning_rate * self.weight_decay
            for variable in variables:
                if self._use_weight_decay(variable):
                    variable.value.assign_sub(variable.value * (decay * rates[variable.path]))

        def _backend_update_step(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
            import tensorflow as tf

            step = tf.cast(keras.ops.convert_to_tensor(self.iterations), tf.float32) + 1
            of_all = {
                "beta1_power": tf.pow(self.beta_1, step), "beta1": self.beta_1,
                "beta2_power": tf.pow(self.beta_2, step), "beta2": self.beta_2,
                "epsilon": self.epsilon,
            }  # fmt: skip
            for gradient, variable in zip(grads, variables, strict=True):
                index = self._get_variable_index(variable)
                m, v = self._momentums[index], self._velocities[index]
                tf.raw_ops.ResourceApplyAdam(
                    var=variable.value.handle, m=m.value.handle, v=v.value.handle,
                    lr=learning_rate * rates[variable.path], grad=gradient, **of_all,
                )  # fmt: skip

    return Fused
