"""Decides for every call whether compiled kernels or plain torch run.

Kernels run on CUDA tensors of 16 or 32 bits where a library can be had; everything else is plain torch, as it
would be without this file. What goes wrong on the way is told once, with cause and remedy.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cuda_ops.build import Recipe, cuda_recipe, find_built, recorded_failure
from cuda_ops.library import Library, load_built, use_library
from cuda_ops.toolchain import BuildError

ENVIRONMENT = "STYLEGAN_SWAP_OPS"
CHOICES = ("auto", "torch", "cuda")
_CUDA_DTYPES = (torch.float32, torch.float16, torch.bfloat16)

_lock = threading.RLock()
_checked: set[int] = set()
_failure: list[str] = []
ON_CPU: list[bool] = [False]
"""Whether `host_kernels` runs the kernels' host build on CPU tensors."""


def requested(environ: Mapping[str, str] | None = None) -> str:
    """What STYLEGAN_SWAP_OPS asks for: "auto", "torch" or "cuda".

    Raises:
        ValueError: it is none of them.
    """
    value = (os.environ if environ is None else environ).get(ENVIRONMENT, "")
    name = value.strip().lower() or "auto"
    if name not in CHOICES:
        raise ValueError(
            f"{ENVIRONMENT}={value!r} names no backend of the operations; set it to one of "
            f"{', '.join(CHOICES)}, or unset it."
        )
    return name


def use_kernels(x: Tensor) -> bool:
    """Whether the operations on `x` shall run as compiled kernels; the first call may build them.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS has another value than auto, torch and cuda.
        RuntimeError: it is "cuda", `x` lies on a GPU, and the kernels cannot be had.
    """
    if x.device.type == "cpu":
        return ON_CPU[0]
    if x.device.type != "cuda" or x.dtype not in _CUDA_DTYPES:
        return False
    return kernels_ready(x.device.index)


def kernels_ready(index: int | None = None) -> bool:
    """Whether compiled kernels can run on a GPU; loads, and builds, at the first call of the process.

    Args:
        index: number of the GPU; None: the current one.

    Raises:
        ValueError: as `use_kernels`.
        RuntimeError: as `use_kernels`.
    """
    choice = requested()
    if choice == "torch":
        return False
    index = torch.cuda.current_device() if index is None else index
    if index in _checked:
        return True
    with _lock:
        if index in _checked:
            return True
        if not _failure:
            try:
                _prepare(index, choice)
            except BuildError as error:
                _failure.append(str(error))
                if choice == "auto":
                    warn_of_plain_torch("CUDA", error)
            else:
                return True
    if choice == "cuda":
        raise RuntimeError(
            f"{ENVIRONMENT}=cuda asks for the CUDA kernels, but they cannot be had: {_failure[0]}. "
            "Set it to 'auto' or 'torch' to go on with plain torch."
        )
    return False


# What torch.compiler.assume_constant_result does, without the second that its import of the compiler takes.
vars(kernels_ready)["_dynamo_marked_constant"] = True


def _prepare(index: int, choice: str) -> None:
    """Load the library and try it on a GPU; raises BuildError."""
    if torch.version.cuda is None:
        raise BuildError("this torch is not built for CUDA; install one that is, see pytorch.org")
    recipe = cuda_recipe()
    if choice == "auto":
        refuse_known_failure(recipe)
    library = load_built(recipe)
    # A comparison waits for the GPU, which a graph that is being captured cannot.
    if not torch.cuda.is_current_stream_capturing():
        library.check(torch.device("cuda", index))
    use_library(library)
    _checked.add(index)


def refuse_known_failure(recipe: Recipe, folder: Path | None = None) -> None:
    """Raise BuildError where the compiler refused this recipe before: each process would wait for it anew."""
    if recorded_failure(recipe, folder) is not None:
        raise BuildError(
            f"{recipe.compiler} failed before with this version and these flags; `python -m cuda_ops build` "
            "tries again and shows why"
        )


def build_state(recipe: Recipe, occasion: str) -> str:
    """Whether a recipe's library is compiled, or on which occasion it will be; BuildError where never."""
    if (path := find_built(recipe)) is not None:
        return f"compiled, in {path.parent}"
    refuse_known_failure(recipe)
    return f"not compiled yet; the {occasion} does it with {recipe.compiler}"


def warn_of_plain_torch(kernels: str, error: BuildError) -> None:
    """Say why the kernels for "CUDA" or "CPU" tensors are not in use."""
    warnings.warn(
        f"the {kernels} kernels are not in use, plain torch is (slower, same results): {error}. "
        f"{ENVIRONMENT}=torch silences this.",
        RuntimeWarning,
        stacklevel=3,
    )


def failure() -> str | None:
    """Why this process gave the kernels up, None if it did not."""
    return _failure[0] if _failure else None


@contextlib.contextmanager
def host_kernels(library: Library) -> Iterator[None]:
    """Run the kernels' host build on CPU tensors meanwhile: for tests, it is slower than torch.

    Args:
        library: what `load_built(host_recipe())` returned.
    """
    if library.device_type != "cpu":
        raise ValueError("host_kernels: this library is built for GPUs; pass load_built(host_recipe()).")
    use_library(library)
    previous = ON_CPU[0]
    ON_CPU[0] = True
    try:
        yield
    finally:
        ON_CPU[0] = previous


@dataclass(frozen=True)
class OpsBackend:
    """The active implementation of the operations.

    Attributes:
        requested: what STYLEGAN_SWAP_OPS asked for: "auto", "torch" or "cuda".
        active: what runs on this machine's GPU, or without one: "torch" or "cuda".
        reason: one sentence on why.
        device: the fastest device torch sees here: "cuda", "mps" or "cpu".
    """

    requested: str
    active: str
    reason: str
    device: str

    def __str__(self) -> str:
        return f"operations: {self.active} (asked for {self.requested}; {self.reason}); device: {self.device}"


def ops_backend(environ: Mapping[str, str] | None = None) -> OpsBackend:
    """Say which backend is active, read anew at every call; nothing is compiled.

    Args:
        environ: where STYLEGAN_SWAP_OPS and TORCH_CUDA_ARCH_LIST are looked up; None is the process's
            environment.

    Returns:
        The backend and the reason for it.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS is none of auto, torch, cuda.
        RuntimeError: "cuda" was asked for, and the kernels cannot be had here.
    """
    choice = requested(environ)
    if choice == "torch":
        return OpsBackend(choice, "torch", "chosen by the user", _device())
    try:
        return OpsBackend(choice, "cuda", _kernels(environ), _device())
    except BuildError as error:
        if choice == "cuda":
            raise RuntimeError(
                f"{ENVIRONMENT}=cuda asks for the CUDA kernels, but they cannot be had: {error}. "
                "Set it to 'auto' or 'torch', which run everywhere."
            ) from None
        return OpsBackend(choice, "torch", str(error), _device())


def _kernels(environ: Mapping[str, str] | None) -> str:
    """The state of the compiled kernels; raises BuildError where they will not run."""
    if not torch.cuda.is_available():
        raise BuildError("torch sees no CUDA GPU here")
    if torch.version.cuda is None:
        raise BuildError("this torch is not built for CUDA")
    if (reason := failure()) is not None:
        raise BuildError(reason)
    return build_state(cuda_recipe(environ=environ), "first use, or `python -m cuda_ops build`")


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"
