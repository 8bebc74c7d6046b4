"""Tensors and arrays inside a pickle, rebuilt from their bytes alone.

Road: before it, where weights of other projects are converted (``restricted_pickle`` puts these functions
in the place of PyTorch's and NumPy's). Every length is compared with the bytes that are there before a
tensor is made; a tensor is never larger than what the file stores for it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from stylegan_swap.weights.readers.pickle_machine import (
    Buildable,
    ForbiddenPickle,
    PickleMachine,
    StandIn,
    shown,
)

# PyTorch's format before zip files: this number, a version, sizes of C types, the object, keys, data.
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MOST_DIMENSIONS = 8

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_NUMPY = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "u1": torch.uint8,
    "b1": torch.bool,
}


class Storage:
    """Numbers of one type in a row, as PyTorch stores them.

    Args:
        raw: their bytes, little endian.
        dtype: their type.
    """

    def __init__(self, raw: memoryview, dtype: torch.dtype) -> None:
        self.flat = _numbers(raw, dtype)


def storage_from_bytes(raw: Any) -> Storage:
    """Stand in for ``torch.storage._load_from_bytes``: the bytes are a file of their own, pickles in it.

    Raises:
        ForbiddenPickle: the inner pickle names anything but the type of a storage.
        ValueError: damaged, or announcing other sizes than it has.
    """
    data = raw if isinstance(raw, memoryview) else memoryview(bytes(raw) if isinstance(raw, bytes) else b"")
    machine = PickleMachine(data, _storage_name, _storage_id)
    if machine.load() != _MAGIC or machine.load() != _VERSION:
        raise ValueError("a tensor that is not in PyTorch's format")
    system = machine.load()
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("a tensor that was written on a big-endian machine")
    described, keys = machine.load(), machine.load()
    if type(described) is not _Announced or keys != [described.key]:
        raise ValueError("a storage that does not say what it is")
    count = int.from_bytes(machine.take(8), "little", signed=True)
    rest = data[machine.position :]
    if count != described.count or count * described.dtype.itemsize != len(rest):
        raise ValueError(f"a storage of {described.count} numbers with {len(rest)} bytes")
    return Storage(rest, described.dtype)


def rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> Tensor:
    """Stand in for ``torch._utils._rebuild_tensor_v2``; gradients and hooks are left out.

    Raises:
        ValueError: the view reaches beyond the storage, or is larger than it.
    """
    if type(storage) is not Storage:
        raise ValueError("a tensor without a storage")
    lengths = (offset, *_integers(size), *_integers(stride))
    if any(type(n) is not int or n < 0 for n in lengths) or len(size) != len(stride):
        raise ValueError("a tensor of an impossible shape")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (count > len(storage.flat) or last >= len(storage.flat)):
        raise ValueError(f"a tensor {list(size)} of a storage of {len(storage.flat)} numbers")
    if not count:
        return storage.flat.new_zeros(size)
    return storage.flat.as_strided(size, stride, offset)


def rebuild_parameter(data: Any, *_rest: Any) -> Tensor:
    """Stand in for ``torch._utils._rebuild_parameter``: its tensor.

    Raises:
        ValueError: there is no tensor in it.
    """
    if not isinstance(data, Tensor):
        raise ValueError("a parameter without a tensor")
    return data


class PickledDtype(Buildable):
    """Stand in for ``numpy.dtype``; numbers and truth values, no objects or records.

    Raises:
        ForbiddenPickle: any other type.
    """

    def __init__(self, text: Any, *_rest: Any) -> None:
        match = re.fullmatch(r"([<>=|]?)([a-z]\d)", text) if isinstance(text, str) else None
        if match is None or match[2] not in _NUMPY:
            raise ForbiddenPickle(
                f"numpy.dtype of {shown(str(text)) if isinstance(text, str) else 'no text'}"
            )
        self.dtype = _NUMPY[match[2]]
        self._check_order(match[1] or "=")

    def take_state(self, state: Any) -> None:
        """Check the byte order; fields, names and sub-arrays are refused."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise ForbiddenPickle("numpy.dtype with fields")
        self._check_order(state[1])

    def _check_order(self, order: Any) -> None:
        if order not in ("<", "=", "|"):
            raise ValueError("numbers in big-endian order")


def numpy_scalar(dtype: Any, raw: Any) -> bool | int | float:
    """Stand in for ``numpy.core.multiarray.scalar``: one plain number.

    Raises:
        ValueError: it is not one number of the type.
    """
    if type(dtype) is not PickledDtype:
        raise ValueError("a number without a type")
    value = _numbers(_view(raw), dtype.dtype)
    if value.numel() != 1:
        raise ValueError(f"a number of {value.numel()} parts")
    return value.item()


class PickledArray(Buildable):
    """Stand in for ``numpy.ndarray`` while its state is still to come; afterwards ``tensor`` holds it."""

    def __init__(self) -> None:
        self.tensor: Tensor | None = None

    def take_state(self, state: Any) -> None:
        """Rebuild from (version, shape, dtype, column-major, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or type(state[2]) is not PickledDtype:
            raise ValueError("an array without a shape and a type")
        shape = _integers(state[1])
        flat = _numbers(_view(state[4]), state[2].dtype)
        if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) != flat.numel():
            raise ValueError(f"an array of an impossible shape with {flat.numel()} numbers")
        if state[3]:
            self.tensor = flat.reshape(shape[::-1]).permute(*reversed(range(len(shape))))
        else:
            self.tensor = flat.reshape(shape)


def empty_array(kind: Any, *_rest: Any) -> PickledArray:
    """Stand in for ``numpy.core.multiarray._reconstruct``.

    Raises:
        ForbiddenPickle: of another class than ``numpy.ndarray``.
    """
    made = kind.make if type(kind) is StandIn else kind
    if made is not PickledArray:
        name = kind.name if type(kind) is StandIn else type(kind).__name__
        raise ForbiddenPickle(f"numpy's _reconstruct of {shown(name)}")
    return PickledArray()


class _Announced:
    """What a pickled storage says about itself."""

    def __init__(self, key: Any, dtype: torch.dtype, count: int) -> None:
        self.key, self.dtype, self.count = key, dtype, count


def _storage_name(module: str, name: str) -> StandIn:
    if module == "torch" and name in _STORAGES:
        return StandIn(f"torch.{name}", _not_called)
    raise ForbiddenPickle(shown(f"{module}.{name}"))


def _storage_id(identity: Any) -> _Announced:
    if not isinstance(identity, tuple) or len(identity) != 6 or identity[0] != "storage":
        raise ForbiddenPickle("a persistent id that is no storage")
    _, kind, key, _place, count, view = identity
    if type(kind) is not StandIn or type(count) is not int or count < 0 or view is not None:
        raise ValueError("a storage that does not say what it is")
    return _Announced(key, _STORAGES[kind.name.removeprefix("torch.")], count)


def _not_called(*_: Any) -> None:
    raise ForbiddenPickle("the call of a storage's type")


def _numbers(raw: memoryview, dtype: torch.dtype) -> Tensor:
    """A tensor of its own memory."""
    if len(raw) % dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes of numbers with {dtype.itemsize} bytes each")
    return torch.frombuffer(bytearray(raw), dtype=dtype) if len(raw) else torch.empty(0, dtype=dtype)


def _view(raw: Any) -> memoryview:
    if not isinstance(raw, bytes | memoryview):
        raise ValueError("numbers that are no bytes")
    return memoryview(raw)


def _integers(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple) or len(values) > _MOST_DIMENSIONS:
        raise ValueError("a shape that is no short tuple")
    return values
