"""Where the networks run and how precisely: what ``device="auto"`` and ``dtype="auto"`` mean."""

from __future__ import annotations

import torch

from stylegan_swap.errors import UnsupportedOptionError

# The least side of a generator whose convolutions, not the calls round them, take the time.
_BFLOAT16_FROM = 256
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


def choose_dtype(
    name: str = "auto", device: torch.device | None = None, side: int | None = None
) -> torch.dtype:
    """The precision of that name.

    ``"auto"`` is float32, except for large generators on CPUs that multiply bfloat16 in hardware: from 256
    pixels on they take about half the time there, and their images in [-1, 1] move by less than 0.01 (root
    mean square). Smaller networks gain little, and so do not depend on the machine.

    Args:
        name: ``"auto"``, ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        device: where the network runs; None for the precision that is right anywhere.
        side: of the generator's images in pixels; None where there is no generator.

    Raises:
        UnsupportedOptionError: the name is unknown.
    """
    if name == "auto":
        large = side is not None and side >= _BFLOAT16_FROM
        fast = device is not None and device.type == "cpu" and has_fast_bfloat16(device)
        return torch.bfloat16 if large and fast else torch.float32
    if name not in _DTYPES:
        raise UnsupportedOptionError(f"unknown dtype {name!r}: use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware: AMX or AVX512-BF16 on a CPU, or a GPU of its own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch has no public question for it; a version that lacks these is treated as slow.
    questions = (
        getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    return any(ask is not None and bool(ask()) for ask in questions)
