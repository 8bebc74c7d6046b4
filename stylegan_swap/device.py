"""Where the networks run and how precisely: what ``device="auto"`` and ``dtype="auto"`` mean."""

from __future__ import annotations

import torch

from stylegan_swap.errors import UnsupportedOptionError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``"auto"`` takes CUDA where there is one, then Apple's MPS, then the CPU.

    Raises:
        UnsupportedOptionError: the name is unknown or the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnsupportedOptionError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnsupportedOptionError(f"device {name!r}: torch sees no CUDA GPU here: use --device cpu")
        if device.index is not None and device.index >= torch.cuda.device_count():
            count = torch.cuda.device_count()
            raise UnsupportedOptionError(f"device {name!r}: there are {count} GPUs, numbered from 0")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise UnsupportedOptionError(f"device {name!r}: torch sees no Apple GPU here: use --device cpu")
    elif device.type not in ("cpu", "mps"):
        raise UnsupportedOptionError(f"unknown device {name!r}: use auto, cpu, cuda, cuda:N or mps")
    return device


def choose_dtype(name: str = "auto") -> torch.dtype:
    """The precision of that name; ``"auto"`` is float32 everywhere: results do not depend on the machine.

    Raises:
        UnsupportedOptionError: the name is unknown.
    """
    if name == "auto":
        return torch.float32
    if name not in _DTYPES:
        raise UnsupportedOptionError(f"unknown dtype {name!r}: use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]
