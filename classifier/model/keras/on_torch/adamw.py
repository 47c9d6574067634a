"""AdamW with one kernel for many variables.

Keras' AdamW calls PyTorch once per operation, and clips and decays one variable at a time. That is some five hundred
calls per step, which a GPU waits for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import torch
from torch.optim.adamw import adamw as update


def fused_adamw(rates: Mapping[str, float]) -> Any:
    """Return a class of AdamW that multiplies a variable's learning rate, and so its decay, by `rates[path]`.

    It requires a `global_clipnorm`. Its steps and its variables equal those of Keras' AdamW up to rounding and epsilon:
    PyTorch adds epsilon to the second moment's root after the bias correction, and Keras before.
    """

    class TorchAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras has no types
        def _clip_gradients(self, grads: Sequence[Any]) -> Any:
            return grads  # they are clipped in the update

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            """Do nothing: the update applies the decay."""

        def _backend_update_step(self, grads: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
            # PyTorch divides gradients by a scale, which is meant for a scaled loss, and clips them here
            scale = (torch.nn.utils.get_total_norm(grads) / self.global_clipnorm).clamp(min=1.0)
            done = keras.ops.convert_to_tensor(self.iterations).float()
            for (rate, decay), members in self._groups(grads, variables).items():
                weights, gradients, first, second = (list(column) for column in zip(*members, strict=True))
                update(
                    weights, gradients, first, second, [], list(done.repeat(len(members)).unbind()),
                    lr=learning_rate * rate, beta1=self.beta_1, beta2=self.beta_2, eps=self.epsilon, weight_decay=decay,
                    amsgrad=False, maximize=False, fused=True, grad_scale=scale,
                )  # fmt: skip

        def _groups(self, grads: Sequence[Any], variables: Sequence[Any]) -> dict[Any, list[tuple[Any, ...]]]:
            """Return the variables' weights, gradients and moments, grouped by rate and weight decay."""
            groups = defaultdict(list)
            for gradient, variable in zip(grads, variables, strict=True):
                index = self._get_variable_index(variable)
                decay = self.weight_decay if self._use_weight_decay(variable) else 0.0
                moments = self._momentums[index].value, self._velocities[index].value
                groups[rates[variable.path], decay].append((variable.value, gradient, *moments))
            return groups

    return TorchAdamW
