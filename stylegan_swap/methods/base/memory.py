"""What a method does when memory runs out: fewer faces at once, half precision, and at last the CPU.

Between ``methods`` and their networks: ``outlasts_memory`` stands before the functions of a method that run
one. Every step down is told by a warning, and is kept for the calls that follow, so that a clip does not
run out of memory in every frame.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import operator
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stylegan_swap.errors import FallbackWarning, NotEnoughMemoryError
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.stylegan2.generator import Generator

Function = TypeVar("Function", bound=Callable[..., Any])

# Where torch raises a plain RuntimeError.
_WORDS = (
    *("DefaultCPUAllocator: ", "CUDA out of memory", "MPS backend out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)
_STATE = "_less_memory"
_guard = threading.Lock()
_running = threading.local()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU or of the machine ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def outlasts_memory(function: Function) -> Function:
    """Decorator of a method's function: out of memory, it steps down instead of ending.

    First caches are emptied. Then ``swap_aligned`` takes half as many faces at once, and half again (not with
    a seed, whose noise is drawn for all faces together); on a GPU half precision follows, then the CPU.

    Raises:
        NotEnoughMemoryError: there is no further step.
    """

    @functools.wraps(function)
    def careful(method: Any, *arguments: Any, **options: Any) -> Any:
        if getattr(_running, "inside", False):
            # Of the functions that call each other the outermost steps down: it knows about faces.
            return function(method, *arguments, **options)
        steps = _steps_of(method)
        faces = _faces(function, arguments, options)
        emptied = False
        while True:
            taken = steps.taken
            result, failure = _attempt(function, method, steps, arguments, options, faces)
            if failure is None:
                return result
            _empty_caches()
            told = "its caches were emptied" if not emptied else steps.down(taken, method, faces)
            emptied = True
            if told is None:
                raise NotEnoughMemoryError(
                    f"{method.name}: the memory of {method.device} does not suffice ({failure}), and nothing "
                    "that takes less is left: close other programs, or use a smaller network or method 'warp'"
                )
            warnings.warn(
                f"{method.name}: the memory of {method.device} ran out: {told}", FallbackWarning, stacklevel=2
            )

    return careful  # type: ignore[return-value]


@dataclass
class _Steps:
    """How far down a method is.

    Attributes:
        taken: number of steps.
        most: faces at once; None: any number.
        stand_in: the method in half precision or on the CPU; None: the method itself.
    """

    taken: int = 0
    most: int | None = None
    stand_in: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def down(self, seen: int, method: Any, faces: int) -> str | None:
        """Take the next step unless another thread took one meanwhile; what to tell, None at the end."""
        with self.lock:
            if self.taken != seen:
                return "another thread has made room"
            told = self._next(method, faces)
            self.taken += told is not None
            return told

    def _next(self, method: Any, faces: int) -> str | None:
        here = self.stand_in or method
        at_once = min(self.most or faces, faces)
        if at_once > 1:
            self.most = at_once // 2
            return f"{self.most} instead of {at_once} faces go through the network at once"
        if not _on_accelerator(here):
            return None
        if here.dtype == torch.float32:
            self.stand_in = copy.copy(here)
            self.stand_in.dtype = _half(here.device)
            return f"it goes on in {str(self.stand_in.dtype).removeprefix('torch.')}, a little less exact"
        self.stand_in, self.most = _copied_to_cpu(method), None
        return "it goes on on the CPU, which is slower; build the method anew to return"


def _steps_of(method: Any) -> _Steps:
    with _guard:
        # Copies of a method share it: they are the method, further down.
        return vars(method).setdefault(_STATE, _Steps())


def _faces(function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> int:
    """How many faces can be parted into groups."""
    if function.__name__ != "swap_aligned" or options.get("seed") is not None:
        return 1
    return len(arguments[1] if len(arguments) > 1 else options["x_attr"])


def _attempt(
    function: Callable[..., Any],
    method: Any,
    steps: _Steps,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    faces: int,
) -> tuple[Any, str | None]:
    """The result, or why there is none; what the failure held in memory is let go of on return."""
    here = steps.stand_in or method
    moved = here.device != method.device
    _running.inside = True
    try:
        if moved:
            arguments, options = _moved(arguments, here.device), _moved(options, here.device)
        if steps.most is None or faces <= steps.most:
            result = function(here, *arguments, **options)
        else:
            result = _in_groups(function, here, steps.most, *arguments, **options)
        return (_moved(result, method.device) if moved else result), None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None, (" ".join(str(error).split()) or type(error).__name__)[:120]
    finally:
        _running.inside = False


def _in_groups(
    function: Callable[..., Any],
    method: Any,
    most: int,
    prepared: Any,
    x_attr: Tensor,
    landmarks: Tensor | None = None,
    **dials: Any,
) -> AlignedSwap:
    """``swap_aligned``, some faces at a time."""
    count = len(x_attr)
    results = []
    for start in range(0, count, most):
        rows = slice(start, start + most)
        person = prepared if len(prepared) == 1 else _mapped(prepared, operator.itemgetter(rows))
        points = None if landmarks is None else landmarks[rows]
        results.append(function(method, person, x_attr[rows], points, **dials))
    parts = (None if part[0] is None else torch.cat(part) for part in zip(*results, strict=True))
    return AlignedSwap._make(parts)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A copy of what a method keeps, with every tensor in it changed."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{one.name: _mapped(getattr(value, one.name), change) for one in fields(value)}
        )
    if isinstance(value, dict):
        return {key: _mapped(one, change) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(one, change) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(one, change) for one in value)
    return value


def _moved(value: Any, device: torch.device) -> Any:
    """The same on another device; networks of a refined person go there as copies."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = {one.name: getattr(value, one.name) for one in fields(value)}
        networks = {name: one for name, one in kept.items() if isinstance(one, nn.Module)}
        value = replace(value, **{name: _module_on(one, device) for name, one in networks.items()})
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(_moved(one, device) for one in value)
    return _mapped(value, lambda x: x.to(device))


def _copied_to_cpu(method: Any) -> Any:
    """A method that computes the same on the CPU, in single precision; the original stays as it is."""
    copied = copy.copy(method)
    copied.device, copied.dtype = torch.device("cpu"), torch.float32
    for name, value in list(vars(copied).items()):
        if isinstance(value, nn.Module):
            setattr(copied, name, _module_on(value, copied.device))
        elif isinstance(value, Tensor):
            setattr(copied, name, value.to(copied.device))
    return copied


def _module_on(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy on another device, made without taking memory on its own."""
    known: dict[int, Any] = {}
    for tensor in _tensors(module):
        there = tensor.detach().to(device, copy=True)
        parameter = isinstance(tensor, nn.Parameter)
        known[id(tensor)] = nn.Parameter(there, tensor.requires_grad) if parameter else there
    copied = copy.deepcopy(module, known).to(device)
    for part in copied.modules():
        if isinstance(part, Generator) and not part.training:
            part.for_inference()
    return copied


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers, also those of modules that are kept in a tuple."""
    for part in module.modules():
        yield from part.parameters(recurse=False)
        yield from part.buffers(recurse=False)
        for value in vars(part).values():
            if isinstance(value, tuple):
                for one in value:
                    if isinstance(one, nn.Module):
                        yield from _tensors(one)


def _on_accelerator(method: Any) -> bool:
    return bool(method.device.type != "cpu")


def _half(device: torch.device) -> torch.dtype:
    """The half precision that a device computes in: bfloat16 has the range of single precision."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.float16 if device.type == "mps" else torch.bfloat16


def _empty_caches() -> None:
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        with contextlib.suppress(RuntimeError):
            torch.mps.empty_cache()
