"""Python's unpickler with a closed list of names, each of which means an inert stand-in of ours.

A pickle is a program. Here the names it may use are those of the writers of PyTorch, NumPy and NVIDIA's
StyleGAN2 (``torch_utils.persistence``, ``dnnlib.tflib``); source code inside is thrown away unread.

Why the standard library's unpickler in Python and not the one in C, which ``find_class`` restricts as well:
the C one lets a state (BUILD) set attributes of any object, hashes keys of any depth (a tuple in a tuple a
hundred thousand times ends the process), and reserves what a file announces (16 GB for one memo number).
None of that can be overridden there; here every instruction can.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from stylegan_swap.weights.readers import ForbiddenPickle

MOST_READS = 2_000_000  # public checkpoints need some hundred thousand; an empty set costs one and 216 bytes
_LONGEST_NUMBER = 64  # bytes of a whole number; arithmetic with longer ones could take hours
_READS_PER_TUPLE = 1000  # that is a key
_LONGEST_LINE = 4096  # bytes; lines hold names
_LONG = 256  # bytes; shorter texts may be handed to stand-ins as often as the program likes
_MOST_HANDED = 3  # times the file's size; protocol 2 hands bytes on twice, as a text and encoded
# Keys of dicts and members of sets: hashing anything nested could run out of stack or of time.
_HASHABLE = (str, int, float, bytes, bool, type(None))
# What protocols 2 to 5 write, but for calls with keywords, buffers elsewhere, and very long numbers.
_INSTRUCTIONS = (
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_SET", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
)


@dataclass(frozen=True, eq=False)
class StandIn:
    """What a global name of a pickle means here: ``make``, a function of ours, is called in its place."""

    name: str
    make: Callable[..., Any]


class Buildable:
    """A value of ours that a pickle may give a state to; nothing else takes one."""

    def take_state(self, state: Any) -> None:
        """Check and keep the state.

        Raises:
            ValueError: it is not what this value can hold.
        """
        raise NotImplementedError


class PlainDict(dict[Any, Any], Buildable):
    """Stands in for dict-like and attribute-holding classes: a state becomes entries.

    It begins empty: entries given at once would be hashed unchecked.
    """

    def __init__(self) -> None:
        super().__init__()

    def take_state(self, state: Any) -> None:
        """Add the entries of a dict; None adds nothing."""
        if type(state) not in (*_DICTS, type(None)):
            raise ValueError("a state that is no dict")
        self.update(state or {})


class PickledNetwork(PlainDict):
    """A network as ``dnnlib.tflib`` stores it: version, variables, components, static_kwargs."""


@dataclass
class PickledModule:
    """A network as ``torch_utils.persistence`` stores it, without its source.

    Attributes:
        class_name: of the official code, e.g. "Generator".
        state: its attributes; ``_parameters``, ``_buffers`` and ``_modules`` among them.
    """

    class_name: str
    state: dict[str, Any]


_DICTS = (dict, OrderedDict, PlainDict)


class _Source:
    """A file in memory that gives no more than it holds, and not for ever."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.position, self.reads = data, 0, 0

    def count(self, reads: int) -> None:
        self.reads += reads
        if self.reads > MOST_READS:
            raise ValueError(f"a program of more than {MOST_READS} reads")

    def read(self, size: int) -> bytes:
        self.count(1)
        if not 0 <= size <= len(self.data) - self.position:
            raise ValueError(f"it ends within {size} bytes that it announces")
        self.position += size
        return bytes(self.data[self.position - size : self.position])

    def readline(self) -> bytes:
        line = bytes(self.data[self.position : self.position + _LONGEST_LINE])
        # Without an end it is as long as the search, and what follows is no program.
        return self.read(line.find(b"\n") + 1 or len(line))


class _Instructions(dict[int, Callable[[Any], None]]):
    def __missing__(self, code: int) -> Callable[[Any], None]:
        names = [name for name in pickle.__all__ if getattr(pickle, name) == bytes([code])]
        raise ForbiddenPickle(f"the pickle instruction {(names or [hex(code)])[0]}")


class RestrictedUnpickler(pickle._Unpickler):
    """Runs pickle programs that follow each other, without doing what they ask for.

    Args:
        data: the file, or a part of it.
        names: full name → its stand-in, or a value that is none and can therefore not be called.
        persistent: what a persistent id means; None refuses them.
    """

    def __init__(
        self, data: memoryview, names: dict[str, Any], persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self.source = _Source(data)
        super().__init__(self.source, encoding="latin-1")
        self._names = names
        self._persistent = persistent
        self._bytes_handed = 0

    def load(self) -> Any:
        """Run one program and return its value; ``source.position`` is then behind it.

        Raises:
            ForbiddenPickle: a name, call, state or instruction that is not allowed.
            ValueError, LookupError, TypeError, struct.error, UnpicklingError: the program is damaged.
        """
        self.memo: dict[int, Any] = {}
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        """The value of a name.

        Raises:
            ForbiddenPickle: it is not on the list; the message is the name.
        """
        # Python 2 called it otherwise.
        full = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if full not in self._names:
            raise ForbiddenPickle(printable(full))
        return self._names[full]

    def persistent_load(self, pid: Any) -> Any:
        """The value of a persistent id."""
        if self._persistent is None:
            raise ForbiddenPickle("a persistent id, which lets other code find values")
        return self._persistent(pid)

    # What the type stubs of the standard library leave out.
    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def load_frame(self) -> None:
        """FRAME: the file is in memory already."""
        self.source.read(8)

    def load_long1(self) -> None:
        """LONG1: a whole number of a limited length."""
        digits = self.source.read(self.source.read(1)[0])
        if len(digits) > _LONGEST_NUMBER:
            raise ValueError(f"a whole number of {len(digits)} bytes")
        self.append(int.from_bytes(digits, "little", signed=True))

    def load_stack_global(self) -> None:
        """STACK_GLOBAL: a name of two texts."""
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ForbiddenPickle("a global whose name is no text")
        self.append(self.find_class(module, name))

    def load_appends(self) -> None:
        """APPENDS: to lists alone."""
        items = self.pop_mark()
        self._require("appending to", self.stack[-1], list)
        self.stack[-1].extend(items)

    def load_setitems(self) -> None:
        """SETITEMS: in dicts alone, with plain keys."""
        items = self.pop_mark()
        self._require("setting entries of", self.stack[-1], *_DICTS)
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][self._key(key)] = value

    def load_additems(self) -> None:
        """ADDITEMS: to sets alone, of plain values."""
        items = self.pop_mark()
        self._require("adding to", self.stack[-1], set)
        self.stack[-1].update(map(self._key, items))

    def load_append(self) -> None:
        """APPEND: to lists alone."""
        item = self.stack.pop()
        self._require("appending to", self.stack[-1], list)
        self.stack[-1].append(item)

    def load_setitem(self) -> None:
        """SETITEM: in dicts alone, with a plain key."""
        value, key = self.stack.pop(), self.stack.pop()
        self._require("setting entries of", self.stack[-1], *_DICTS)
        self.stack[-1][self._key(key)] = value

    def _key(self, key: Any) -> Any:
        """A plain key, or a short tuple of them; few, for their hashes can be made equal on purpose."""
        if type(key) is not tuple:
            return plain_key(key)
        self.source.count(_READS_PER_TUPLE + len(key))
        return tuple(map(plain_key, key))

    def load_reduce(self) -> None:
        """REDUCE and NEWOBJ: call the function of a stand-in, nothing else."""
        arguments, function = self.stack.pop(), self.stack.pop()
        self._require("a call (REDUCE) of", function, StandIn)
        if type(arguments) is not tuple:
            raise ValueError(f"a call of {function.name} without arguments")
        self._hand_over(arguments)
        self.append(function.make(*arguments))

    load_newobj = load_reduce

    def load_build(self) -> None:
        """BUILD: values of ours take a state, nothing else does."""
        state, target = self.stack.pop(), self.stack[-1]
        # An ordered dict's are attributes beside the entries, e.g. _metadata of a state dict.
        if type(target) is not OrderedDict:
            if not isinstance(target, Buildable):
                raise ForbiddenPickle(f"a state (BUILD) for a {type(target).__name__}")
            self._hand_over(state if type(state) is tuple else (state,))
            target.take_state(state)

    def _hand_over(self, values: tuple[Any, ...]) -> None:
        """Count what a function may copy: one text or list could otherwise be copied any number of times."""
        self.source.count(len(values))
        for value in values:
            if isinstance(value, str | bytes) and len(value) > _LONG:
                self._bytes_handed += len(value)
            elif isinstance(value, list | tuple | dict):
                self.source.count(len(value))
        if self._bytes_handed > _MOST_HANDED * len(self.source.data):
            raise ValueError("it uses the same bytes over and over")

    @staticmethod
    def _require(action: str, target: object, *types: type) -> None:
        if type(target) not in types:
            raise ForbiddenPickle(f"{action} a {type(target).__name__}")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = _Instructions()


for _code in (getattr(pickle, _name)[0] for _name in _INSTRUCTIONS):
    RestrictedUnpickler.dispatch[_code] = getattr(
        RestrictedUnpickler, pickle._Unpickler.dispatch[_code].__name__
    )


def printable(name: str) -> str:
    """A name of a file, fit for one line of a message."""
    return (name if name.isprintable() else ascii(name))[:200]


def plain_key(key: Any) -> Any:
    """A value that may be a dictionary's key or in a set.

    Raises:
        ForbiddenPickle: it is a container, an object, or a number whose hash could be any other's.
    """
    if type(key) not in _HASHABLE or (type(key) is int and key.bit_length() > 60):
        raise ForbiddenPickle(f"a {type(key).__name__} as the key of a dict")
    return key


def _persistent_object(meta: Any) -> PickledModule:
    """Stands in for ``torch_utils.persistence._reconstruct_persistent_obj``; ``module_src`` is dropped."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise ValueError("a network that does not say what it is")
    name = meta.get("class_name")
    return PickledModule(name if isinstance(name, str) else "unnamed", meta["state"])


def _encoded(text: Any, encoding: Any) -> bytes:
    """Protocol 2 has no bytes: it writes them as a text to be encoded."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1")


def _sequence(items: Any = ()) -> tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise ValueError("a collection of no items")
    return tuple(items)


#: Plain Python and NVIDIA's classes; ``pickled_arrays`` adds those of PyTorch and NumPy.
PLAIN_NAMES: dict[str, Callable[..., Any]] = {
    "argparse.Namespace": PlainDict,
    "dnnlib.util.EasyDict": PlainDict,
    "dnnlib.tflib.network.Network": PickledNetwork,
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "collections.OrderedDict": lambda items=(): OrderedDict(
        (plain_key(key), value) for key, value in map(_sequence, _sequence(items))
    ),
    "builtins.set": lambda items=(): set(map(plain_key, _sequence(items))),
    "_codecs.encode": _encoded,
    "torch.Size": _sequence,
    "torch.device": lambda *_: "device",
}
