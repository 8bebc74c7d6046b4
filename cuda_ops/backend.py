"""Which implementation of the operations is in use, and why.

`stylegan-swap doctor` prints it. Importing this package never compiles and never needs CUDA: the plain torch
path runs on every device that torch runs on, and the kernels of `csrc` replace it on CUDA tensors only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from cuda_ops.build import cuda_recipe
from cuda_ops.dispatch import ENVIRONMENT, build_state, failure, requested
from cuda_ops.toolchain import BuildError


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
