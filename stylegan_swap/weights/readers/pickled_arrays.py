"""Tensors and arrays inside a pickle, rebuilt from their bytes alone.

The functions here stand in for those of PyTorch and NumPy. Every length is compared with the bytes that are
there before a tensor is made; a tensor is never larger than what the file stores for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.weights.readers import ForbiddenPickle
from stylegan_swap.weights.readers.restricted_pickle import (
    PLAIN_NAMES,
    Buildable,
    RestrictedUnpickler,
    StandIn,
    printable,
)

# PyTorch's format before zip files: this number, a version, sizes of C types, the object, keys, data.
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MOST_DIMENSIONS = 8

#: Types by the names of PyTorch's storages and of their own; values that no pickle can call.
DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_NUMPY = ("f2", "f4", "f8", "b1", "i1", "i2", "i4", "i8", "u1")


class Storages:
    """The storages of one file by their keys; a pickle refers to them with persistent ids.

    Args:
        load: key, type and count → numbers; raises ValueError or LookupError where they are not there.
    """

    def __init__(self, load: Callable[[str, torch.dtype, int], Tensor]) -> None:
        self.by_key: dict[str, Tensor] = {}
        self._load = load

    def __call__(self, identity: Any) -> Tensor:
        """The storage behind a persistent id.

        Raises:
            ForbiddenPickle: the id means something else.
            ValueError, LookupError: it is damaged, or announces other sizes than the file has.
        """
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ForbiddenPickle("a persistent id that is no storage")
        _, dtype, key, _device, count, *view = identity
        types = (type(dtype), type(key), type(count))
        if types != (torch.dtype, str, int) or count < 0 or view not in ([], [None]):
            raise ValueError("a storage that does not say what it is")
        if key not in self.by_key:
            self.by_key[key] = self._load(key, dtype, count)
        flat = self.by_key[key]
        if (flat.dtype, len(flat)) != (dtype, count):
            raise ValueError("a storage of two types or sizes")
        return flat


def numbers(data: Any, dtype: torch.dtype, count: int, offset: int = 0) -> Tensor:
    """``count`` numbers from a byte ``offset`` of writable memory on, which they share.

    Raises:
        ValueError: there are not so many.
    """
    if not 0 <= count * dtype.itemsize <= len(data) - offset:
        raise ValueError(f"{count} numbers of {dtype.itemsize} bytes in {len(data) - offset} bytes")
    return (
        torch.frombuffer(data, dtype=dtype, count=count, offset=offset)
        if count
        else torch.empty(0, dtype=dtype)
    )


def read_older_format(data: memoryview, names: dict[str, Any]) -> Any:
    """Read what ``torch.save`` wrote before PyTorch 1.6: five pickles and the numbers of the storages.

    Args:
        data: the file, writable.
        names: see ``RestrictedUnpickler``.

    Raises:
        ForbiddenPickle: a pickle asks for more than that.
        ValueError, LookupError, TypeError: damaged, or announcing other sizes than it has.
    """
    announced = 0

    def reserve(_key: str, dtype: torch.dtype, count: int) -> Tensor:
        nonlocal announced
        announced += count * dtype.itemsize
        if announced > len(data):
            raise ValueError(f"storages of {announced} bytes")
        return torch.empty(count, dtype=dtype)

    storages = Storages(reserve)
    machine = RestrictedUnpickler(data, names, storages)
    if machine.load() != _MAGIC or machine.load() != _VERSION:
        raise ValueError("not PyTorch's format")
    system = machine.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("written on a big-endian machine")
    content, keys = machine.load(), machine.load()
    texts = isinstance(keys, list) and all(type(key) is str for key in keys)
    if not texts or sorted(keys) != sorted(storages.by_key):
        raise ValueError("storages that do not say what they are")
    position = machine.source.position
    for key in keys:
        flat = storages.by_key[key]
        if int.from_bytes(data[position : position + 8], "little", signed=True) != len(flat):
            raise ValueError("a storage of another size than announced")
        flat.copy_(numbers(data, flat.dtype, len(flat), position + 8))
        position += 8 + flat.nbytes
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes behind its end")
    return content


def _storage_from_bytes(raw: Any) -> Tensor:
    """Stands in for ``torch.storage._load_from_bytes``: the bytes are a file of the older format."""
    storage = read_older_format(memoryview(bytearray(raw if isinstance(raw, bytes) else b"")), dict(DTYPES))
    if not isinstance(storage, Tensor):
        raise ValueError("bytes that are no storage")
    return storage


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> Tensor:
    """Stands in for ``torch._utils._rebuild_tensor_v2``; gradients and hooks are left out."""
    if not isinstance(storage, Tensor) or storage.ndim != 1:
        raise ValueError("a tensor without a storage")
    lengths = (offset, *_integers(size), *_integers(stride))
    if any(type(n) is not int or n < 0 for n in lengths) or len(size) != len(stride):
        raise ValueError("a tensor of an impossible shape")
    count = math.prod(size)
    if not count:
        return storage.new_zeros(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > len(storage) or last >= len(storage):
        raise ValueError(f"a tensor {list(size)} is larger than its numbers, {len(storage)}")
    return storage.as_strided(size, stride, offset)


def _rebuild_parameter(data: Any, *_rest: Any) -> Tensor:
    """Stands in for ``torch._utils._rebuild_parameter``: its tensor."""
    if not isinstance(data, Tensor):
        raise ValueError("a parameter without a tensor")
    return data


class PickledDtype(Buildable):
    """Stands in for ``numpy.dtype``; numbers and truth values, no objects or records.

    Raises:
        ForbiddenPickle: any other type.
    """

    def __init__(self, text: Any, *_rest: Any) -> None:
        match = re.fullmatch(r"([<>=|]?)([a-z]\d)", text) if isinstance(text, str) else None
        if match is None or match[2] not in _NUMPY:
            raise ForbiddenPickle(f"numpy.dtype of {printable(text) if isinstance(text, str) else 'no text'}")
        self.dtype = np.dtype(f"<{match[2]}")
        self._check_order(match[1] or "=")

    def take_state(self, state: Any) -> None:
        """Check the byte order; fields, names and sub-arrays are refused."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ForbiddenPickle("numpy.dtype with fields")
        self._check_order(state[1])

    def _check_order(self, order: Any) -> None:
        if order not in ("<", "=", "|"):
            raise ValueError("numbers in big-endian order")


def _numpy_scalar(dtype: Any, raw: Any) -> bool | int | float:
    """Stands in for ``numpy.core.multiarray.scalar``: one plain number."""
    value = _array_numbers(dtype, raw)
    if value.numel() != 1:
        raise ValueError(f"a number of {value.numel()} parts")
    return value.item()


class PickledArray(Buildable):
    """Stands in for ``numpy.ndarray`` while its state is still to come; afterwards ``tensor`` holds it."""

    def __init__(self) -> None:
        self.tensor: Tensor | None = None

    def take_state(self, state: Any) -> None:
        """Rebuild from (version, shape, dtype, column-major, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an array without a shape and a type")
        shape, flat = _integers(state[1]), _array_numbers(state[2], state[4])
        if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) != flat.numel():
            raise ValueError(f"an array of an impossible shape with {flat.numel()} numbers")
        self.tensor = (
            flat.reshape(shape[::-1]).permute(*range(len(shape))[::-1]) if state[3] else flat.reshape(shape)
        )


def _empty_array(kind: Any, *_rest: Any) -> PickledArray:
    """Stands in for ``numpy.core.multiarray._reconstruct``."""
    if type(kind) is not StandIn or kind.make is not PickledArray:
        raise ForbiddenPickle(f"numpy's _reconstruct of {getattr(kind, 'name', type(kind).__name__)}")
    return PickledArray()


def _array_numbers(dtype: Any, raw: Any) -> Tensor:
    if type(dtype) is not PickledDtype or not isinstance(raw, bytes):
        raise ValueError("numbers without a type")
    return torch.from_numpy(np.frombuffer(bytearray(raw), dtype.dtype))


def _integers(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple) or len(values) > _MOST_DIMENSIONS:
        raise ValueError("a shape that is no short tuple")
    return values


def _names() -> dict[str, Any]:
    functions: dict[str, Callable[..., Any]] = {
        **PLAIN_NAMES,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_parameter": _rebuild_parameter,
        "torch.storage._load_from_bytes": _storage_from_bytes,
        "numpy.dtype": PickledDtype,
        "numpy.ndarray": PickledArray,
    }
    for core in ("numpy.core.multiarray", "numpy._core.multiarray"):
        functions |= {f"{core}.scalar": _numpy_scalar, f"{core}._reconstruct": _empty_array}
    types = DTYPES | {str(dtype): dtype for dtype in DTYPES.values()}
    return types | {name: StandIn(name, make) for name, make in functions.items()}


#: Every name that a file may use.
NAMES = _names()
