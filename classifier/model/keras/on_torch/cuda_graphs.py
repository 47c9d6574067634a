"""A function of PyTorch's, recorded on a GPU for each shape of its inputs, and replayed.

A DistilBERT's step is some hundreds of kernels, and a GPU is done with most of them before Python has asked for the
next one. A recording (a CUDA graph) is asked for as a whole: on an H200 the loss and gradients of 16 articles of 128
word pieces take 4 ms so, and to record them, which computes them once and goes through them once more, a tenth of a
second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Function = Callable[..., Sequence[Tensor]]


class Replayed:
    """Calls `function` with tensors of the arrays that it is given; on a GPU by replaying it.

    What it returns lasts until the next call. Whatever the function reads besides, as weights, has to stay where it is
    in memory.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._recorded: dict[tuple[tuple[int, ...], ...], _Recording] = {}

    def __call__(self, *arrays: NDArray[Any], seed: int | None = None) -> Sequence[Tensor]:
        """Return the function's tensors for arrays of whole numbers or float32; what it draws comes from the seed."""
        inputs = [_tensor(array) for array in arrays]
        call = self._recording(inputs) if torch.cuda.is_available() else self._function
        if seed is not None:
            torch.manual_seed(seed)  # after the recording, which draws too
        return call(*inputs)

    def _recording(self, inputs: Sequence[Tensor]) -> _Recording:
        shapes = tuple(tuple(one.shape) for one in inputs)
        if shapes not in self._recorded:
            pool = next((known.pool for known in self._recorded.values()), None)
            self._recorded[shapes] = _Recording(self._function, inputs, pool)
        return self._recorded[shapes]


class _Recording:
    """The function for one shape: the places that its inputs are copied to, and where its outputs lie afterwards.

    `pool` is the memory of the others, which can be the same, since one is replayed at a time.
    """

    def __init__(self, function: Function, inputs: Sequence[Tensor], pool: Any) -> None:
        self._inputs = [one.cuda() for one in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # kernels are loaded at their first call, which cannot be recorded
            function(*self._inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._outputs = function(*self._inputs)
        self.pool = self._graph.pool()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for place, one in zip(self._inputs, inputs, strict=True):
            place.copy_(one)
        self._graph.replay()
        return self._outputs


def _tensor(array: NDArray[Any]) -> Tensor:
    """Return the array in float32, or in the 64-bit whole numbers that PyTorch takes for indices."""
    tensor = torch.from_numpy(array)
    return tensor.float() if tensor.is_floating_point() else tensor.long()
