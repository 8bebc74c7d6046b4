"""Argument lists of the CUDA kernels: the structures of `csrc`, field by field.

`csrc/library.cu` tells the size of each, which `library` compares when it loads.
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int32, c_int64, c_void_p

import torch
from torch import Tensor

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2, torch.float64: 3}
"""Number types of the kernels; float64 is in the host build alone."""


def _pointers(names: str) -> list[tuple[str, type]]:
    return [(name, c_void_p) for name in names.split()]


def _integers(names: str, kind: type = c_int32) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


_SHAPE = _integers("n c h w", c_int64)
_ACTIVATION = [("slope", c_double), ("gain", c_double), ("limit", c_double)]
_SUMS = _pointers("channel_sum channel_product pixel_sum")
_MASK = [("mask_batch", c_int64), *_integers("mask_narrow unused")]


class Launch(ctypes.Structure):
    """Where and how a call runs: device, number type, layout, 16-byte access, stream."""

    _fields_ = (*_integers("device dtype channels_last packed"), *_pointers("stream"))


_LAUNCH = [("launch", Launch), *_SHAPE]


class Ending(ctypes.Structure):
    """What follows a convolution."""

    _fields_ = (
        *_pointers("scale noise strength bias"),
        ("noise_batch", c_int64),
        *_integers("noise_narrow strength_narrow bias_narrow unused"),
        *_ACTIVATION,
    )


class Epilogue(ctypes.Structure):
    """Of `cuda_ops_epilogue`."""

    _fields_ = (*_LAUNCH, *_pointers("x y"), ("ending", Ending))


class EpilogueBackward(ctypes.Structure):
    """Of `cuda_ops_epilogue_backward`."""

    _fields_ = (*_LAUNCH, *_pointers("g x y scale gx"), *_SUMS, *_ACTIVATION)


class EpilogueDouble(ctypes.Structure):
    """Of `cuda_ops_epilogue_double`."""

    _fields_ = (
        *_LAUNCH,
        *_pointers("u sum_u product_u pixel_u g x y scale of_g of_x"),
        *_SUMS,
        *_ACTIVATION,
    )


class Fir(ctypes.Structure):
    """Of `cuda_ops_fir`."""

    _fields_ = (
        *_LAUNCH,
        *_integers("out_h out_w", c_int64),
        ("x_strides", c_int64 * 4),
        *_integers("pad_x pad_y", c_int64),
        *_pointers("x y taps"),
        *_integers("taps_x taps_y up down flip unused"),
        ("gain", c_double),
        ("ending", Ending),
    )


class ToRgb(ctypes.Structure):
    """Of `cuda_ops_to_rgb`."""

    _fields_ = (
        *_LAUNCH,
        *_integers("skip_h skip_w", c_int64),
        ("skip_strides", c_int64 * 4),
        *_integers("pad_x pad_y", c_int64),
        *_pointers("x weight bias skip taps y"),
        *_integers("taps_x taps_y"),
        ("limit", c_double),
    )


class MaskBlend(ctypes.Structure):
    """Of `cuda_ops_mask_blend`."""

    _fields_ = (*_LAUNCH, *_pointers("x other mask y"), *_MASK)


class MaskBlendBackward(ctypes.Structure):
    """Of `cuda_ops_mask_blend_backward`."""

    _fields_ = (*_LAUNCH, *_pointers("g x other mask of_x of_other"), *_SUMS, *_MASK)


STRUCTURES = (
    *(Launch, Epilogue, EpilogueBackward, EpilogueDouble),
    *(Fir, ToRgb, MaskBlend, MaskBlendBackward),
)
"""In the order of `cuda_ops_size`."""


def wants_gradient(*operands: Tensor | None) -> bool:
    """Whether autograd would differentiate in any of these."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in operands)


def wide(dtype: torch.dtype) -> torch.dtype:
    """The number type in which a kernel for `dtype` computes and takes its small operands."""
    return torch.promote_types(dtype, torch.float32)


def channels_last(x: Tensor) -> bool:
    """Whether a 4-D tensor is treated as [n, h, w, c]; one channel or one pixel counts as [n, c, h, w]."""
    return x.stride(1) == 1 and x.shape[1] > 1 and x.shape[2] * x.shape[3] > 1


def memory_format(x: Tensor) -> torch.memory_format:
    """The dense layout nearest to that of `x`."""
    return torch.channels_last if channels_last(x) else torch.contiguous_format


def launch_of(x: Tensor, last: bool, packed: bool) -> Launch:
    """Device, current stream, number type and layout of a call on `x`."""
    on_gpu = x.device.type == "cuda"
    stream = torch.cuda.current_stream(x.device).cuda_stream if on_gpu else None
    return Launch(x.device.index if on_gpu else 0, DTYPES[x.dtype], last, packed, stream)


def dense_launch(tensors: list[Tensor | None]) -> Launch:
    """`launch_of` dense tensors of one shape and layout; packs where all of them allow it."""
    present = [t for t in tensors if t is not None]
    x = present[0]
    last = channels_last(x)
    length = x.shape[1] if last else x.shape[2] * x.shape[3]
    packed = (length * x.element_size()) % 16 == 0 and all(t.data_ptr() % 16 == 0 for t in present)
    return launch_of(x, last, packed)


def addresses(*tensors: Tensor | None) -> list[int | None]:
    """The addresses of tensors' data, None for none."""
    numbers: list[int | None] = []
    for x in tensors:
        numbers.append(None if x is None else x.data_ptr())
    return numbers
