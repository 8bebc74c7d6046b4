"""NaN and infinity end a swap with a name: never as a black or white patch in a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan_swap.errors import NonFiniteError


def require_finite(name: str, *stages: tuple[str, Tensor | None], dtype: torch.dtype | None = None) -> None:
    """Refuse results that are no numbers.

    Args:
        name: of the method or the weights, for the message.
        *stages: what made a tensor, and the tensor, in the order they were made; None is skipped. Ask before
            clamping: it would turn infinity into white.
        dtype: the precision it was made in.

    Raises:
        NonFiniteError: names the first stage whose tensor holds NaN or infinity.
    """
    for stage, value in stages:
        if value is None or bool(value.isfinite().all()):
            continue
        narrow = dtype in (torch.float16, torch.bfloat16)
        cause = "its weights or its input are broken"
        if narrow:
            cause = f"{str(dtype).removeprefix('torch.')} is too narrow for these weights"
        remedy = "repeat it with dtype float32 (--dtype float32)" if narrow else "fetch or train them again"
        raise NonFiniteError(f"{name}: {stage} gave NaN or infinity: {cause}; {remedy}")
