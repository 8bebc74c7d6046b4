"""Which implementation of the operations is in use, and why.

Road: beside it; the command `stylegan-swap doctor` prints what is found here. Importing this
package never compiles and never needs CUDA: the plain torch path runs on every device that
torch runs on, and it is the only one in this version.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

ENVIRONMENT = "STYLEGAN_SWAP_OPS"
CHOICES = ("auto", "torch", "cuda")


@dataclass(frozen=True)
class OpsBackend:
    """The active implementation of the operations.

    Attributes:
        requested: what STYLEGAN_SWAP_OPS asked for: "auto", "torch" or "cuda".
        active: what runs: "torch".
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
    """Say which backend is active, read anew at every call.

    Args:
        environ: where STYLEGAN_SWAP_OPS is looked up; None is the process's environment.

    Returns:
        The backend and the reason for it.

    Raises:
        ValueError: STYLEGAN_SWAP_OPS is none of auto, torch, cuda.
        RuntimeError: "cuda" was asked for, which this version does not have.
    """
    value = (os.environ if environ is None else environ).get(ENVIRONMENT, "")
    requested = value.strip().lower() or "auto"
    if requested not in CHOICES:
        raise ValueError(
            f"{ENVIRONMENT}={value!r} names no backend of the operations; set it to one of "
            f"{', '.join(CHOICES)}, or unset it."
        )
    if requested == "cuda":
        raise RuntimeError(
            f"{ENVIRONMENT}=cuda asks for CUDA kernels, but none are built in this version; set it to "
            "'auto' or 'torch', which also run on a GPU."
        )
    reason = "chosen by the user" if requested == "torch" else "no CUDA kernels are built in this version"
    return OpsBackend(requested, "torch", reason, _device())


def _device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"
