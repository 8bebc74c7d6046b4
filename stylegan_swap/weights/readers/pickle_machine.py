"""A machine for pickle programs that cannot do anything but build plain values.

Road: before it, where weights of other projects are converted (``restricted_pickle`` gives it its names).
Python's own unpickler imports what a file names, calls what it finds, and reserves the memory a file asks
for. This one knows lists, dicts, texts, numbers and bytes; a name means what the caller's table says, or is
refused; nothing of a file is ever imported, called or set as an attribute. What a short program could blow
up is bounded: instructions, the nesting of tuples, whole numbers, and what is handed to functions over and
over.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

_NAME_SHOWN = 200
# Dictionary keys and set members: hashing anything nested could be made to run out of stack or of time.
_HASHABLE = (str, int, float, bytes, bool, type(None))
# The longest published checkpoints take some hundred thousand; each may cost a container.
_MOST_INSTRUCTIONS = 4_000_000
_DEEPEST_TUPLE = 32
# Longer whole numbers (of bytes) would make arithmetic a matter of hours.
_LONGEST_NUMBER = 64
# Texts and bytes shorter than this may be handed to functions as often as the program likes.
_LONG = 256
# Protocol 2 hands a text to be encoded, and the bytes that come of it to what makes numbers of them.
_MOST_HANDED = 3


class ForbiddenPickle(Exception):
    """The pickle asks for more than plain values; the message says what, without the file's name."""


@dataclass(frozen=True, eq=False)
class StandIn:
    """What a global name of a pickle means here.

    Attributes:
        name: the full name in the file, for messages.
        make: a function of ours, called in place of what the file names.
    """

    name: str
    make: Callable[..., Any]


class Buildable:
    """A value of ours that a pickle may give a state to, by ``take_state``; nothing else takes one."""

    def take_state(self, state: Any) -> None:
        """Check and keep the state.

        Raises:
            ValueError: it is not what this value can hold.
        """
        raise NotImplementedError

    def __setstate__(self, state: Any) -> None:
        # The name under which PyTorch's own restricted reader calls it.
        self.take_state(state)


class PlainDict(dict[Any, Any], Buildable):
    """Stands in for dict-like and attribute-holding classes: a state becomes entries.

    It begins empty: entries given at once would be hashed unchecked.
    """

    def __init__(self) -> None:
        super().__init__()

    def take_state(self, state: Any) -> None:
        """Add the entries of a dict; None adds nothing."""
        if state is None:
            return
        if type(state) not in _DICTS:
            raise ValueError("a state that is no dict")
        self.update(state)


_DICTS = (dict, OrderedDict, PlainDict)
Lookup = Callable[[str, str], StandIn]


def shown(name: str) -> str:
    """A name of a file, fit for one line of a message."""
    return (name if name.isprintable() else ascii(name))[:_NAME_SHOWN]


class PickleMachine:
    """Runs one pickle program, or several that follow each other.

    Args:
        data: the whole file, or a part of it; values refer to it rather than copy it.
        lookup: module and name → stand-in; raises ForbiddenPickle for what it does not know.
        persistent: what a persistent id means; None refuses them.
    """

    def __init__(
        self, data: memoryview, lookup: Lookup, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self.data = data
        self.position = 0
        self._lookup = lookup
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._instructions = 0
        # What functions were handed, in bytes.
        self._handed = 0
        # Tuples that hold tuples, by id, with their depth; kept, so that no id is used twice.
        self._nested: dict[int, tuple[tuple[Any, ...], int]] = {}

    def load(self) -> Any:
        """Run up to the next STOP and return the value; ``position`` is then behind it.

        Raises:
            ForbiddenPickle: a name, call, state or instruction that is not allowed.
            ValueError, IndexError, KeyError, TypeError, struct.error: the program is damaged.
        """
        self._stack, self._marks, self._memo = [], [], {}
        while True:
            code = self.take(1)[0]
            self._instructions += 1
            if self._instructions > _MOST_INSTRUCTIONS:
                raise ValueError(f"a program of more than {_MOST_INSTRUCTIONS} instructions")
            if code == _STOP:
                return self._stack.pop()
            run = self._RUN.get(code)
            if run is None:
                raise ForbiddenPickle(f"the pickle instruction {bytes([code])!r}")
            run(self)

    def take(self, count: int) -> memoryview:
        """The next bytes. A length that the file does not have is refused before anything is reserved."""
        if not 0 <= count <= len(self.data) - self.position:
            raise ValueError(f"it ends within {count} bytes that it announces")
        self.position += count
        return self.data[self.position - count : self.position]

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        # Lines hold names and short numbers; a search of the whole file would be slow.
        end = bytes(self.data[self.position : self.position + 4096]).find(b"\n")
        if end < 0:
            raise ValueError("a line without an end")
        line = bytes(self.take(end + 1))[:-1]
        return line.removesuffix(b"\r").decode("utf-8", "backslashreplace")

    def _push(self, value: Any) -> None:
        # A method: `self._stack.append(self._since_mark())` would pick the list before the mark is taken.
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._marks.pop()
        return items

    # Values -------------------------------------------------------------------------------------------

    def _text(self, layout: str) -> None:
        self._stack.append(str(self.take(self._number(layout)), "utf-8", "surrogatepass"))

    def _old_text(self, layout: str) -> None:
        self._stack.append(str(self.take(self._number(layout)), "latin-1"))

    def _bytes(self, layout: str) -> None:
        # A view, not a copy: weights are here.
        self._stack.append(self.take(self._number(layout)))

    def _long(self, layout: str) -> None:
        raw = self.take(self._number(layout))
        if len(raw) > _LONGEST_NUMBER:
            raise ValueError(f"a whole number of {len(raw)} bytes")
        self._stack.append(int.from_bytes(raw, "little", signed=True))

    def _written_number(self) -> int:
        line = self._line()
        if len(line) > _LONGEST_NUMBER:
            raise ValueError(f"a whole number of {len(line)} digits")
        return int(line)

    # Containers ---------------------------------------------------------------------------------------

    def _tuple(self, count: int) -> None:
        split = len(self._stack) - count
        if split < 0:
            raise IndexError("a tuple of more values than there are")
        self._stack[split:] = [self._checked(tuple(self._stack[split:]))]

    def _checked(self, made: tuple[Any, ...]) -> tuple[Any, ...]:
        """The tuple, if it is not nested deeply: hashing, comparing and freeing it recurse."""
        inner = [self._nested.get(id(item), (item, 1))[1] for item in made if type(item) is tuple]
        if inner:
            depth = 1 + max(inner)
            if depth > _DEEPEST_TUPLE:
                raise ValueError(f"tuples nested more than {_DEEPEST_TUPLE} times")
            self._nested[id(made)] = (made, depth)
        return made

    def _append(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ForbiddenPickle(f"appending to a {type(self._stack[-1]).__name__}")
        self._stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in _DICTS:
            raise ForbiddenPickle(f"setting entries of a {type(target).__name__}")
        if len(items) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _add_items(self) -> None:
        items = self._since_mark()
        if type(self._stack[-1]) is not set:
            raise ForbiddenPickle(f"adding to a {type(self._stack[-1]).__name__}")
        self._stack[-1].update(plain_key(item) for item in items)

    def _dict(self) -> None:
        items = self._since_mark()
        self._stack.append({})
        self._set_items(items)

    # Memory -------------------------------------------------------------------------------------------

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    # Names and calls ----------------------------------------------------------------------------------

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._stack.append(self._lookup(module, name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ForbiddenPickle("a global whose name is no text")
        self._stack.append(self._lookup(module, name))

    def _call(self, how: str) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not StandIn:
            raise ForbiddenPickle(f"{how} of a {type(function).__name__}")
        if type(arguments) is not tuple:
            raise ValueError(f"{how} of {function.name} without arguments")
        self._hand_over(arguments)
        self._stack.append(function.make(*arguments))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if type(target) is OrderedDict:
            # Attributes beside the entries, e.g. _metadata of a state dict.
            return
        if not isinstance(target, Buildable):
            raise ForbiddenPickle(f"a state (BUILD) for a {type(target).__name__}")
        self._hand_over(state if type(state) is tuple else ())
        target.take_state(state)

    def _hand_over(self, values: tuple[Any, ...]) -> None:
        """Count what a function may copy: one text could otherwise be copied any number of times."""
        self._handed += sum(
            len(value)
            for value in values
            if isinstance(value, str | bytes | memoryview) and len(value) > _LONG
        )
        if self._handed > _MOST_HANDED * len(self.data):
            raise ValueError("it uses the same bytes over and over")

    def _instance(self) -> None:
        found = self._lookup(self._line(), self._line())
        raise ForbiddenPickle(f"the old instruction INST, of {found.name}")

    def _object(self) -> None:
        items = self._since_mark()
        name = items[0].name if items and type(items[0]) is StandIn else "a value"
        raise ForbiddenPickle(f"the old instruction OBJ, of {name}")

    def _new_with_keywords(self) -> None:
        function = self._stack[-3]
        name = function.name if type(function) is StandIn else "a value"
        raise ForbiddenPickle(f"the instruction NEWOBJ_EX, of {name}")

    def _persistent_id(self, key: Any) -> None:
        if self._persistent is None:
            raise ForbiddenPickle("a persistent id, which lets other code find values")
        self._stack.append(self._persistent(key))

    def _extension(self, layout: str) -> None:
        raise ForbiddenPickle(f"the extension code {self._number(layout)}")

    # Instruction → what it does. Absent ones (out-of-band buffers, written floats, ...) are refused.
    _RUN: ClassVar[dict[int, Callable[[PickleMachine], Any]]] = {
        ord(key): run
        for key, run in {
            "\x80": lambda m: m.take(1),
            "\x95": lambda m: m.take(8),
            "N": lambda m: m._push(None),
            "\x88": lambda m: m._push(True),
            "\x89": lambda m: m._push(False),
            "J": lambda m: m._push(m._number("<i")),
            "K": lambda m: m._push(m._number("<B")),
            "M": lambda m: m._push(m._number("<H")),
            "\x8a": lambda m: m._long("<B"),
            "\x8b": lambda m: m._long("<I"),
            "I": lambda m: m._push(m._written_number()),
            "G": lambda m: m._push(m._number(">d")),
            "X": lambda m: m._text("<I"),
            "\x8c": lambda m: m._text("<B"),
            "\x8d": lambda m: m._text("<Q"),
            "S": lambda m: m._push(m._line()[1:-1]),
            "V": lambda m: m._push(m._line()),
            "T": lambda m: m._old_text("<I"),
            "U": lambda m: m._old_text("<B"),
            "B": lambda m: m._bytes("<I"),
            "C": lambda m: m._bytes("<B"),
            "\x8e": lambda m: m._bytes("<Q"),
            "\x96": lambda m: m._bytes("<Q"),
            "]": lambda m: m._push([]),
            ")": lambda m: m._push(()),
            "}": lambda m: m._push({}),
            "\x8f": lambda m: m._push(set()),
            "l": lambda m: m._push(m._since_mark()),
            "t": lambda m: m._push(m._checked(tuple(m._since_mark()))),
            "\x85": lambda m: m._tuple(1),
            "\x86": lambda m: m._tuple(2),
            "\x87": lambda m: m._tuple(3),
            "d": _dict,
            "\x91": lambda m: m._push({plain_key(item) for item in m._since_mark()}),
            "a": lambda m: m._append([m._stack.pop()]),
            "e": lambda m: m._append(m._since_mark()),
            "s": _set_item,
            "u": lambda m: m._set_items(m._since_mark()),
            "\x90": _add_items,
            "(": lambda m: m._open(),
            "0": lambda m: m._stack.pop(),
            "1": _since_mark,
            "2": lambda m: m._push(m._stack[-1]),
            "p": lambda m: m._put(m._written_number()),
            "q": lambda m: m._put(m._number("<B")),
            "r": lambda m: m._put(m._number("<I")),
            "\x94": lambda m: m._put(len(m._memo)),
            "g": lambda m: m._push(m._memo[m._written_number()]),
            "h": lambda m: m._push(m._memo[m._number("<B")]),
            "j": lambda m: m._push(m._memo[m._number("<I")]),
            "c": _global,
            "\x93": _stack_global,
            "R": lambda m: m._call("a call (REDUCE)"),
            "\x81": lambda m: m._call("an object (NEWOBJ)"),
            "\x92": _new_with_keywords,
            "b": _build,
            "i": _instance,
            "o": _object,
            "P": lambda m: m._persistent_id(m._line()),
            "Q": lambda m: m._persistent_id(m._stack.pop()),
            "\x82": lambda m: m._extension("<B"),
            "\x83": lambda m: m._extension("<H"),
            "\x84": lambda m: m._extension("<i"),
        }.items()
    }

    def _open(self) -> None:
        """MARK: what follows is gathered until an instruction takes it."""
        self._marks.append(self._stack)
        self._stack = []


_STOP = ord(".")


def plain_key(key: Any) -> Any:
    """A value that may be a dictionary's key or in a set: a plain one, or a tuple of plain ones.

    Raises:
        ForbiddenPickle: it is another container or an object.
    """
    if isinstance(key, memoryview):
        return bytes(key)
    if type(key) is tuple and all(type(item) in _HASHABLE for item in key):
        return key
    if type(key) not in _HASHABLE:
        raise ForbiddenPickle(f"a {type(key).__name__} as the key of a dict")
    return key
