"""A function of tensors as a CUDA graph: recorded once per set of shapes, then replayed without Python.

At 4 to 64 pixels a layer takes a GPU less time than Python takes to launch it; a recorded network costs one
launch. Off the GPU, or where gradients are needed, the function is simply called.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Result = Tensor | tuple[Tensor, ...]
# Calls before the recording: the first ones compile kernels, pick cuDNN's algorithms and allocate.
_WARM_UP = 3


@dataclass
class _Recording:
    graph: Any
    inputs: list[Tensor]
    outputs: list[Tensor]
    alone: bool


class CapturedCall:
    """Call a function of CUDA tensors through a CUDA graph.

    The recording reads parameters where they lie: steps of an optimiser and `load_state_dict` are seen, moved
    or replaced parameters are not (make a new CapturedCall, or `clear` this one). The function must not
    depend on values of its inputs in Python, copy from the CPU, or change Python state.

    Args:
        function: of positional tensors, to a tensor or a tuple of tensors.
        keep: recordings to keep, one per set of shapes, layouts and number types; the one longest unused
            goes first. Each holds the memory of a whole call.

    Raises:
        ValueError: `keep` below 1.
    """

    def __init__(self, function: Callable[..., Result], keep: int = 4) -> None:
        if keep < 1:
            raise ValueError(f"CapturedCall: keep must be at least 1, got {keep}.")
        self.function = function
        self.keep = keep
        self._recordings: OrderedDict[tuple[Any, ...], _Recording] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *inputs: Tensor) -> Result:
        """Return what the function returns for `inputs`, in tensors of the caller's own."""
        if not inputs or any(x.device.type != "cuda" for x in inputs) or torch.is_grad_enabled():
            return self.function(*inputs)
        # Results lie in the recording's memory until they are copied.
        with self._lock, torch.cuda.device(inputs[0].device):
            recording = self._recorded(inputs)
            for buffer, x in zip(recording.inputs, inputs, strict=True):
                buffer.copy_(x)
            recording.graph.replay()
            outputs = [y.clone() for y in recording.outputs]
        return outputs[0] if recording.alone else tuple(outputs)

    def clear(self) -> None:
        """Forget all recordings and free their memory."""
        with self._lock:
            self._recordings.clear()

    def _recorded(self, inputs: Sequence[Tensor]) -> _Recording:
        precision = (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"))
        key = (precision, *((x.device, x.dtype, x.shape, x.stride()) for x in inputs))
        recording = self._recordings.pop(key, None)
        if recording is None:
            while len(self._recordings) >= self.keep:
                self._recordings.popitem(last=False)
            recording = self._record(inputs)
        self._recordings[key] = recording
        return recording

    def _record(self, inputs: Sequence[Tensor]) -> _Recording:
        # Ordinary tensors even in inference mode, so that later calls may write to them outside of it.
        with torch.inference_mode(False):
            buffers = [x.clone() for x in inputs]
        # Recording needs a stream of its own, and work on it must see what was done before.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self.function(*buffers)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self.function(*buffers)
        alone = isinstance(result, Tensor)
        return _Recording(graph, buffers, [result] if alone else list(result), alone)  # type: ignore[list-item]
