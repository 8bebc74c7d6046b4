"""Where automatic mixed precision must not round: coefficients of a layer, and sums kept in float32."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def as_given(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """A context in which operations on tensors like `x` keep their dtypes, also inside `torch.autocast`."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return contextlib.nullcontext()
