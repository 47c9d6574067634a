"""The state of a Keras model that is being trained, and one error for exhausted memory.

This module does not import Keras: it works on a compiled model of `network`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.exceptions import StepTooLargeError

_ACCUMULATED = "gradient_accumulator"
"""Part of the path of the variables in which Keras accumulates a step's gradients."""

_OUT_OF_MEMORY = frozenset({"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"})
"""Exception classes of Python, TensorFlow and PyTorch."""


def state(model: Any) -> dict[str, NDArray[Any]]:
    """Return a copy of all that training changes: weights, optimizer, random seeds, running loss."""
    return {name: np.array(variable.numpy(), order="C") for name, variable in _changing_variables(model)}


def load_state(
    model: Any, saved: Mapping[str, NDArray[Any]], *, saved_accumulation_steps: int, accumulation_steps: int
) -> None:
    """Load what `state` returned for a model that used `saved_accumulation_steps`.

    Raises:
        ValueError: the state belongs to another model.
    """
    same_steps = saved_accumulation_steps == accumulation_steps
    # Between two optimizer steps the accumulated gradients are zero, so they are not needed for other steps.
    variables = [pair for pair in _changing_variables(model) if same_steps or _ACCUMULATED not in pair[0]]
    for name, variable in variables:
        if name not in saved or saved[name].shape != tuple(variable.shape):
            raise ValueError(f"{name} of shape {tuple(variable.shape)} is not in the state")
    for name, variable in variables:
        value = saved[name]
        if variable.path.endswith("/iteration") and not same_steps:  # counts calls, not optimizer steps
            value = value // saved_accumulation_steps * accumulation_steps
        variable.assign(value)


def _changing_variables(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the variables that training changes, with names that do not depend on earlier models of the process."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    groups = {
        "network": model.variables,  # including the seeds of dropout
        "optimizer": [variable for variable in optimizer.variables if _ACCUMULATED not in variable.path],
        _ACCUMULATED: [variable for variable in optimizer.variables if _ACCUMULATED in variable.path],
        "metric": model.metrics_variables,
    }
    for group, variables in groups.items():
        yield from ((f"{group}.{index:04d}", variable) for index, variable in enumerate(variables))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Translate the out-of-memory errors of Python and the backends.

    Raises:
        StepTooLargeError: the memory was exhausted.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ in _OUT_OF_MEMORY or "RESOURCE_EXHAUSTED" in str(error):
            raise StepTooLargeError from error
        raise
