"""Reads the pickles that NVIDIA's StyleGAN2 repositories write, without running anything in them.

Road: before it, where weights of other projects are converted. Such a file is a program: the official
loader imports the modules it names and compiles Python source that lies inside it. Here a closed list of
names is mapped to stand-ins of ours (``pickled_arrays``), the source is thrown away unread, and any other
name is refused with an error that tells it. Read are the writers of stylegan2-ada-pytorch and stylegan3
(``torch_utils.persistence``) and of the older TensorFlow code (``dnnlib.tflib``).
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers import pickled_arrays
from stylegan_swap.weights.readers.pickle_machine import (
    ForbiddenPickle,
    PickleMachine,
    PlainDict,
    StandIn,
    plain_key,
    shown,
)

_FOREIGN = ("torch_utils", "dnnlib", "numpy")
# What a damaged program raises inside the machine.
_DAMAGED = (ValueError, TypeError, LookupError, OverflowError, struct.error, UnicodeError, RuntimeError)


@dataclass
class PickledModule:
    """A network as ``torch_utils.persistence`` stores it, without its source.

    Attributes:
        class_name: of the official code, e.g. "Generator".
        state: its attributes; ``_parameters``, ``_buffers`` and ``_modules`` among them.
    """

    class_name: str
    state: dict[str, Any]


class PickledNetwork(PlainDict):
    """A network as ``dnnlib.tflib`` stores it: version, variables, components, static_kwargs."""


def read_pickle(file: Path) -> Any:
    """Read a pickle of plain values, networks and tensors.

    Args:
        file: written by ``pickle.dump``; PyTorch's own files are for ``torch_file``.

    Returns:
        Dicts, lists, numbers, :class:`PickledModule`, :class:`PickledNetwork` and tensors.

    Raises:
        CheckpointError: it cannot be read, is damaged, or asks for anything else; the message names it.
    """
    try:
        data = memoryview(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); check its permissions") from error
    machine = PickleMachine(data, allowed)
    try:
        return machine.load()
    except ForbiddenPickle as error:
        raise refusal(file, str(error)) from None
    except MemoryError as error:
        raise CheckpointError(f"{file}: not enough memory to read it; close other programs") from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{file}: is truncated or damaged ({reason}); fetch it again") from error


def refusal(file: Path, what: str) -> CheckpointError:
    """The error for a file that asks for something which is not on the list."""
    return CheckpointError(
        f"{file}: refused, it asks for more than numbers ({what}); nothing in it was executed; "
        "ask its author for a .safetensors file"
    )


def allowed(module: str, name: str) -> StandIn:
    """The stand-in for a global name.

    Raises:
        ForbiddenPickle: the name is not on the list; the message is the name.
    """
    # Python 2 called it otherwise.
    full = f"{'builtins' if module == '__builtin__' else module}.{name}"
    if full not in _ALLOWED:
        raise ForbiddenPickle(shown(full))
    return _ALLOWED[full]


def stand_ins() -> list[tuple[Callable[..., Any], str]]:
    """What PyTorch's restricted reader does not know, as ``torch.serialization.safe_globals`` takes it.

    Beside the names of this list it is the command line that training checkpoints carry along.
    """
    foreign = {name: entry.make for name, entry in _ALLOWED.items() if name.split(".")[0] in _FOREIGN}
    # That reader sets entries of plain dicts alone, and states of anything else.
    foreign |= {"dnnlib.util.EasyDict": dict, "argparse.Namespace": PlainDict}
    return [(make, name) for name, make in foreign.items()]


def persistent_object(meta: Any) -> PickledModule:
    """Stand in for ``torch_utils.persistence._reconstruct_persistent_obj``; ``module_src`` is dropped.

    Raises:
        ValueError: not the layout of that writer.
    """
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise ValueError("a network that does not say what it is")
    name = meta.get("class_name")
    return PickledModule(name if isinstance(name, str) else "unnamed", meta["state"])


def _ordered_dict(items: Any = ()) -> OrderedDict[Any, Any]:
    made: OrderedDict[Any, Any] = OrderedDict()
    for item in _sequence(items):
        key, value = _sequence(item)
        made[plain_key(key)] = value
    return made


def _set(items: Any = ()) -> set[Any]:
    return {plain_key(item) for item in _sequence(items)}


def _encoded(text: Any, encoding: Any) -> bytes:
    """Protocol 2 has no bytes: it writes them as a text to be encoded."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1")


def _sequence(items: Any) -> tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise ValueError("a collection of no items")
    return tuple(items)


def _table() -> dict[str, StandIn]:
    numpy_cores = ("numpy.core.multiarray", "numpy._core.multiarray")
    made: dict[str, Callable[..., Any]] = {
        "torch_utils.persistence._reconstruct_persistent_obj": persistent_object,
        "dnnlib.util.EasyDict": PlainDict,
        "dnnlib.tflib.network.Network": PickledNetwork,
        "collections.OrderedDict": _ordered_dict,
        "builtins.set": _set,
        "_codecs.encode": _encoded,
        "torch._utils._rebuild_tensor_v2": pickled_arrays.rebuild_tensor,
        "torch._utils._rebuild_parameter": pickled_arrays.rebuild_parameter,
        "torch.storage._load_from_bytes": pickled_arrays.storage_from_bytes,
        "numpy.dtype": pickled_arrays.PickledDtype,
        "numpy.ndarray": pickled_arrays.PickledArray,
        **{f"{core}.scalar": pickled_arrays.numpy_scalar for core in numpy_cores},
        **{f"{core}._reconstruct": pickled_arrays.empty_array for core in numpy_cores},
    }
    return {name: StandIn(name, make) for name, make in made.items()}


_ALLOWED = _table()
