"""AdamW with one kernel for many variables.

Keras' goes over gradient, moments and weights an operation at a time, and clips and decays them a variable at a time:
some five hundred calls at every step, and a GPU that waits for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import torch
from torch.optim.adamw import adamw as update


def adamw(rates: Mapping[str, float]) -> Any:
    """Return the class of an AdamW whose learning rate for a variable, and so its decay, is times `rates[path]`.

    It needs a `global_clipnorm`. Its steps and its own variables are those of Keras' AdamW but for rounding, and for
    epsilon, which PyTorch adds to the second moment's root once that is corrected for its bias, and Keras before.
    """

    class Fused(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def _clip_gradients(self, grads: Sequence[Any]) -> Any:
            return grads  # in the update

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            """Leave it to the update."""

        def _backend_update_step(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
            # PyTorch divides gradients by a scale, for those who have scaled their loss up
            scale = (torch.nn.utils.get_total_norm(grads) / self.global_clipnorm).clamp(min=1.0)
            done = keras.ops.convert_to_tensor(self.iterations).float()
            for (rate, decay), members in self._alike(grads, variables).items():
                weights, gradients, first, second = (list(column) for column in zip(*members, strict=True))
                update(
                    weights, gradients, first, second, [], list(done.repeat(len(members)).unbind()),
                    lr=learning_rate * rate, beta1=self.beta_1, beta2=self.beta_2, eps=self.epsilon, weight_decay=decay,
                    amsgrad=False, maximize=False, fused=True, grad_scale=scale,
                )  # fmt: skip

        def _alike(self, grads: Sequence[Any], variables: Sequence[Any]) -> dict[Any, list[tuple[Any, ...]]]:
            """Return weights, gradients and both moments of the variables, by their rate and weight decay."""
            groups = defaultdict(list)
            for gradient, variable in zip(grads, variables, strict=True):
                index = self._get_variable_index(variable)
                decay = self.weight_decay if self._use_weight_decay(variable) else 0.0
                moments = self._momentums[index].value, self._velocities[index].value
                groups[rates[variable.path], decay].append((variable.value, gradient, *moments))
            return groups

    return Fused
