"""What a method does when memory runs out: fewer faces at once, half precision, and at last the CPU.

Every step down is told by a warning, and is kept for the calls that follow, so that a clip does not run out
of memory in every frame.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from stylegan_swap.errors import FallbackWarning, NotEnoughMemoryError
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.stylegan2.generator import Generator

# Where torch raises a plain RuntimeError.
_OUT_OF_MEMORY_TEXTS = (
    *("DefaultCPUAllocator: ", "CUDA out of memory", "MPS backend out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)
_CAUSE_LENGTH = 120


class Movable(Protocol):
    """What the ladder needs of a method: ``NetworkMethod`` has it."""

    name: ClassVar[str]
    device: torch.device
    dtype: torch.dtype
    on_accelerator: Any
    in_half_precision: Callable[[], Any]
    on_cpu: Callable[[], Any]


Result = TypeVar("Result")


class MemoryLadder:
    """How far down a method is; everything that runs its networks runs through here.

    First caches are emptied. Then a swap takes half as many faces at once, and half again; on a GPU half
    precision follows, then the CPU.

    Args:
        method: whose networks run.

    Attributes:
        runner: the method that computes now: itself, or a copy in half precision or on the CPU.
        steps: number of steps taken.
        faces_at_once: most faces in one call of a swap; None: any number.
    """

    def __init__(self, method: Any) -> None:
        self.method: Movable = method
        self.runner: Movable = method
        self.steps = 0
        self.faces_at_once: int | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """``function(method, *arguments)``, repeated one step down while memory does not suffice.

        Raises:
            NotEnoughMemoryError: there is no further step.
        """
        return self._outlast(lambda runner, inputs: function(runner, *inputs), arguments, faces=1)

    def swap(
        self,
        function: Callable[..., AlignedSwap],
        prepared: Any,
        x_attr: Tensor,
        landmarks: Tensor | None,
        options: Mapping[str, Any],
    ) -> AlignedSwap:
        """``function(method, prepared, x_attr, landmarks, options)``, some faces at a time where need be.

        Raises:
            NotEnoughMemoryError: there is no further step.
        """
        faces = len(x_attr)

        def run(runner: Movable, inputs: tuple[Any, ...]) -> AlignedSwap:
            group_size = self.faces_at_once
            if group_size is None or faces <= group_size:
                return function(runner, *inputs, options)
            return _in_groups(functools.partial(function, runner), group_size, options, *inputs)

        return self._outlast(run, (prepared, x_attr, landmarks), faces)

    def _outlast(
        self, run: Callable[[Movable, tuple[Any, ...]], Result], arguments: tuple[Any, ...], faces: int
    ) -> Result:
        emptied = False
        while True:
            steps = self.steps
            results, cause = self._attempt(run, arguments)
            if cause is None:
                return results[0]
            _empty_caches()
            message = "its caches were emptied" if not emptied else self._step_down(steps, faces)
            emptied = True
            name, device = self.method.name, self.method.device
            if message is None:
                raise NotEnoughMemoryError(
                    f"{name}: the memory of {device} does not suffice ({cause}), and nothing that takes less "
                    "is left: close other programs, or use a smaller network or method 'warp'"
                )
            warnings.warn(f"{name}: the memory of {device} ran out: {message}", FallbackWarning, stacklevel=4)

    def _attempt(
        self, run: Callable[[Movable, tuple[Any, ...]], Result], arguments: tuple[Any, ...]
    ) -> tuple[list[Result], str | None]:
        """The result, or why there is none; what the failure held in memory is let go of on return."""
        runner, home = self.runner, self.method.device
        elsewhere = runner.device != home
        try:
            result = run(runner, on_device(arguments, runner.device) if elsewhere else arguments)
            return [on_device(result, home) if elsewhere else result], None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return [], (" ".join(str(error).split()) or type(error).__name__)[:_CAUSE_LENGTH]

    def _step_down(self, expected_steps: int, faces: int) -> str | None:
        """Take the next step unless another thread took one meanwhile; the message, None at the end."""
        with self._lock:
            if self.steps != expected_steps:
                return "another thread has made room"
            message = self._next_step(faces)
            self.steps += message is not None
            return message

    def _next_step(self, faces: int) -> str | None:
        at_once = min(self.faces_at_once or faces, faces)
        if at_once > 1:
            self.faces_at_once = at_once // 2
            return f"{self.faces_at_once} instead of {at_once} faces go through the network at once"
        if not self.runner.on_accelerator:
            return None
        if self.runner.dtype == torch.float32:
            self.runner = self.runner.in_half_precision()
            precision = str(self.runner.dtype).removeprefix("torch.")
            return f"it goes on in {precision}, a little less exact"
        self.runner, self.faces_at_once = self.method.on_cpu(), None
        return "it goes on on the CPU, which is slower; build the method anew to return"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU or of the machine ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS)


def half_precision(device: torch.device) -> torch.dtype:
    """The half precision that a device computes in: bfloat16 has the range of single precision."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.float16 if device.type == "mps" else torch.bfloat16


def on_device(value: Any, device: torch.device) -> Any:
    """The same nest of tensors on another device; networks of a refined person go there as copies."""

    def moved(part: Any) -> Any:
        return module_on(part, device) if isinstance(part, nn.Module) else part.to(device)

    return mapped(value, moved)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of what a method keeps, with every tensor and network in it changed."""
    if isinstance(value, Tensor | nn.Module):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: getattr(value, part.name) for part in fields(value)}
        return replace(value, **{name: mapped(part, change) for name, part in parts.items()})
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(mapped(part, change) for part in value)
    return value


def module_on(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy of a network on another device, made without taking memory on its own."""
    copies: dict[int, Any] = {}
    for tensor in _tensors(module):
        copied_tensor = tensor.detach().to(device, copy=True)
        parameter = isinstance(tensor, nn.Parameter)
        copies[id(tensor)] = nn.Parameter(copied_tensor, tensor.requires_grad) if parameter else copied_tensor
    copied = copy.deepcopy(module, copies).to(device)
    for part in copied.modules():
        if isinstance(part, Generator) and not part.training:
            part.for_inference()
    return copied


def _in_groups(
    swap: Callable[..., AlignedSwap],
    group_size: int,
    options: Mapping[str, Any],
    prepared: Any,
    x_attr: Tensor,
    landmarks: Tensor | None,
) -> AlignedSwap:
    """A swap of ``group_size`` faces at a time."""

    def picked(part: Any, rows: slice) -> Any:
        return part[rows] if isinstance(part, Tensor) else part

    results, moves = [], []
    for start in range(0, len(x_attr), group_size):
        rows = slice(start, start + group_size)
        person = prepared if len(prepared) == 1 else mapped(prepared, functools.partial(picked, rows=rows))
        points = None if landmarks is None else landmarks[rows]
        swapped = swap(person, x_attr[rows], points, options)
        # Where nothing moved in this group, features lie where they were.
        moves.append(swapped.landmarks is not None)
        results.append(swapped if swapped.landmarks is not None else swapped._replace(landmarks=points))
    if not any(moves):
        results = [swapped._replace(landmarks=None) for swapped in results]
    counts = [len(swapped.image) for swapped in results]
    return AlignedSwap._make(_joined(column, counts) for column in zip(*results, strict=True))


def _joined(parts: Sequence[Tensor | None], counts: Sequence[int]) -> Tensor | None:
    """One field of all groups; zeros for groups that lack it, None where all do."""
    template = next((part for part in parts if part is not None), None)
    if template is None:
        return None
    return torch.cat(
        [
            template.new_zeros(count, *template.shape[1:]) if part is None else part
            for part, count in zip(parts, counts, strict=True)
        ]
    )


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, also those of modules that are kept in a tuple."""
    for part in module.modules():
        yield from part.parameters(recurse=False)
        yield from part.buffers(recurse=False)
        for value in vars(part).values():
            if isinstance(value, tuple):
                for submodule in value:
                    if isinstance(submodule, nn.Module):
                        yield from _tensors(submodule)


def _empty_caches() -> None:
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        with contextlib.suppress(RuntimeError):
            torch.mps.empty_cache()
