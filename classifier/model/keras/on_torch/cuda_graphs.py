"""A PyTorch function that is recorded on a GPU for each shape of its inputs, and replayed.

A DistilBERT's step has some hundreds of kernels, and a GPU finishes most of them before Python has launched the next.
A recording (a CUDA graph) is launched as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Function = Callable[..., Sequence[Tensor]]


class ReplayedFunction:
    """Calls a function with tensors of the given arrays; on a GPU, it replays a recording.

    The returned tensors are valid until the next call. Other tensors that the function reads, such as weights, must
    keep their addresses.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._recorded: dict[tuple[tuple[int, ...], ...], _Recording] = {}

    def __call__(self, *arrays: NDArray[Any], seed: int | None = None) -> Sequence[Tensor]:
        """Return the function's tensors for arrays of integers or float32; `seed` determines its random numbers."""
        inputs = [_tensor(array) for array in arrays]
        call = self._recording(inputs) if torch.cuda.is_available() else self._function
        if seed is not None:
            torch.manual_seed(seed)  # after the recording, which draws random numbers too
        return call(*inputs)

    def _recording(self, inputs: Sequence[Tensor]) -> _Recording:
        shapes = tuple(tuple(tensor.shape) for tensor in inputs)
        if shapes not in self._recorded:
            pool = next((recording.pool for recording in self._recorded.values()), None)
            self._recorded[shapes] = _Recording(self._function, inputs, pool)
        return self._recorded[shapes]


class _Recording:
    """The recording for one shape: the buffers that its inputs are copied to, and its outputs.

    `pool` is the memory of the other recordings. They can share it, because one is replayed at a time.
    """

    def __init__(self, function: Function, inputs: Sequence[Tensor], pool: Any) -> None:
        self._inputs = [tensor.cuda() for tensor in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # the first call loads the kernels, which cannot be recorded
            function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            self._outputs = function(*self._inputs)
        self.pool = self._graph.pool()

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for buffer, tensor in zip(self._inputs, inputs, strict=True):
            buffer.copy_(tensor)
        self._graph.replay()
        return self._outputs


def _tensor(array: NDArray[Any]) -> Tensor:
    """Return the array as float32, or as the 64-bit integers that PyTorch uses for indices."""
    tensor = torch.from_numpy(array)
    return tensor.float() if tensor.is_floating_point() else tensor.long()
