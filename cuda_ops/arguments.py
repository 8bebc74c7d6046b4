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

_SHAPE = [("n", c_int64), ("c", c_int64), ("h", c_int64), ("w", c_int64)]
_ACTIVATION = [("slope", c_double), ("gain", c_double), ("limit", c_double)]
_SUMS = [("channel_sum", c_void_p), ("channel_product", c_void_p), ("pixel_sum", c_void_p)]


def wants_gradient(*operands: Tensor | None) -> bool:
    """Whether autograd would want to differentiate in one of these."""
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in operands)


class Launch(ctypes.Structure):
    """Where and how a call runs: device, number type, layout, 16-byte access, stream."""

    _fields_ = (
        *((name, c_int32) for name in ("device", "dtype", "channels_last", "packed")),
        ("stream", c_void_p),
    )


class Ending(ctypes.Structure):
    """What follows a convolution."""

    _fields_ = (
        *((name, c_void_p) for name in ("scale", "noise", "strength", "bias")),
        ("noise_batch", c_int64),
        *((name, c_int32) for name in ("noise_narrow", "strength_narrow", "bias_narrow", "unused")),
        *_ACTIVATION,
    )


class Epilogue(ctypes.Structure):
    """Of `cuda_ops_epilogue`."""

    _fields_ = (("launch", Launch), *_SHAPE, ("x", c_void_p), ("y", c_void_p), ("ending", Ending))


class EpilogueBackward(ctypes.Structure):
    """Of `cuda_ops_epilogue_backward`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        *((name, c_void_p) for name in ("g", "x", "y", "scale", "gx")),
        *_SUMS,
        *_ACTIVATION,
    )


class EpilogueDouble(ctypes.Structure):
    """Of `cuda_ops_epilogue_double`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        *((name, c_void_p) for name in ("u", "sum_u", "product_u", "pixel_u", "g", "x", "y", "scale")),
        *((name, c_void_p) for name in ("of_g", "of_x")),
        *_SUMS,
        *_ACTIVATION,
    )


class Fir(ctypes.Structure):
    """Of `cuda_ops_fir`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        ("out_h", c_int64),
        ("out_w", c_int64),
        ("x_strides", c_int64 * 4),
        ("pad_x", c_int64),
        ("pad_y", c_int64),
        *((name, c_void_p) for name in ("x", "y", "taps")),
        *((name, c_int32) for name in ("taps_x", "taps_y", "up", "down", "flip", "unused")),
        ("gain", c_double),
        ("ending", Ending),
    )


class ToRgb(ctypes.Structure):
    """Of `cuda_ops_to_rgb`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        ("skip_h", c_int64),
        ("skip_w", c_int64),
        ("skip_strides", c_int64 * 4),
        ("pad_x", c_int64),
        ("pad_y", c_int64),
        *((name, c_void_p) for name in ("x", "weight", "bias", "skip", "taps", "y")),
        *((name, c_int32) for name in ("taps_x", "taps_y")),
        ("limit", c_double),
    )


class MaskBlend(ctypes.Structure):
    """Of `cuda_ops_mask_blend`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        *((name, c_void_p) for name in ("x", "other", "mask", "y")),
        ("mask_batch", c_int64),
        *((name, c_int32) for name in ("mask_narrow", "unused")),
    )


class MaskBlendBackward(ctypes.Structure):
    """Of `cuda_ops_mask_blend_backward`."""

    _fields_ = (
        ("launch", Launch),
        *_SHAPE,
        *((name, c_void_p) for name in ("g", "x", "other", "mask", "of_x", "of_other")),
        *_SUMS,
        ("mask_batch", c_int64),
        *((name, c_int32) for name in ("mask_narrow", "unused")),
    )


STRUCTURES = (
    *(Launch, Epilogue, EpilogueBackward, EpilogueDouble),
    *(Fir, ToRgb, MaskBlend, MaskBlendBackward),
)
"""In the order of `cuda_ops_size`."""


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


def address(x: Tensor | None) -> int | None:
    """The address of a tensor's data, None for none."""
    return None if x is None else x.data_ptr()
