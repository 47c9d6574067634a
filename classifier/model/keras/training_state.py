"""What changes in a Keras model while it is fitted, and what happens when it does not fit into memory.

Nothing here names Keras: it works on a compiled model that `network` made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.exceptions import StepTooLargeError

_ACCUMULATED = "gradient_accumulator"
"""In the path of the variables in which Keras adds a step's gradients up."""

_OUT_OF_MEMORY = frozenset({"MemoryError", "ResourceExhaustedError", "OutOfMemoryError"})
"""Classes of Python, TensorFlow and PyTorch."""


def state(model: Any) -> dict[str, NDArray[Any]]:
    """Return a copy of all that fitting changes: weights, optimiser, random numbers, running loss."""
    return {name: np.array(variable.numpy(), order="C") for name, variable in _changing(model)}


def load_state(model: Any, saved: Mapping[str, NDArray[Any]], *, parts_then: int, parts_now: int) -> None:
    """Put back what `state` returned, of a model that computed its steps in `parts_then` calls.

    Raises:
        ValueError: it is the state of another model.
    """
    same = parts_then == parts_now
    # between two steps the sums of gradients are zero, so those of other parts are not needed
    changing = [pair for pair in _changing(model) if same or _ACCUMULATED not in pair[0]]
    for name, variable in changing:
        if name not in saved or saved[name].shape != tuple(variable.shape):
            raise ValueError(f"{name} of shape {tuple(variable.shape)} is not in the state")
    for name, variable in changing:
        counts_calls = variable.path.endswith("/iteration") and not same
        variable.assign(saved[name] // parts_then * parts_now if counts_calls else saved[name])


def _changing(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield what fitting changes, by names that do not depend on how many models there were before."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    groups = {
        "network": model.variables,  # the seeds of dropout among them
        "optimizer": [variable for variable in optimizer.variables if _ACCUMULATED not in variable.path],
        _ACCUMULATED: [variable for variable in optimizer.variables if _ACCUMULATED in variable.path],
        "metric": model.metrics_variables,
    }
    for group, variables in groups.items():
        yield from ((f"{group}.{index:04d}", variable) for index, variable in enumerate(variables))


@contextmanager
def memory_errors() -> Iterator[None]:
    """Give the backends' and Python's errors of exhausted memory one name.

    Raises:
        StepTooLargeError: there was one.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ in _OUT_OF_MEMORY or "RESOURCE_EXHAUSTED" in str(error):
            raise StepTooLargeError from error
        raise
