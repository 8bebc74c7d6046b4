"""Short programs that would take all memory, all time, or the process itself: refused at once."""

from __future__ import annotations

import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from weights.foreign import nvidia_modules, persistent, write_nvlabs

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.weights.readers import restricted_pickle
from stylegan_swap.weights.readers.torch_file import read_file

PROTO = b"\x80\x02"
ORDERED = b"ccollections\nOrderedDict\n"
SET = b"cbuiltins\nset\n"
EASY = b"cdnnlib.util\nEasyDict\n"
# A tuple in a tuple, so often that hashing it would overflow the stack of the process.
DEEP = b")" + b"\x85" * 100_000
# A tuple that holds the same tuple twice, sixty times over: hashing it once takes 2⁶⁰ steps.
LAUGHS = b")" + b"2\x86" * 60


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


def pairs(key: bytes) -> bytes:
    """[(key, None)]"""
    return b"]" + key + b"N\x86a"


def over_and_over(call: bytes, size: int = 200_000, times: int = 5000) -> bytes:
    """One text, remembered, handed to a function again and again: a gigabyte from 200 kilobytes."""
    return PROTO + b"](" + text(b"a" * size) + b"q\x000" + (b"h\x00".join([b""] + [call] * times)) + b"e."


PROGRAMS = {
    "key of an ordered dict": PROTO + ORDERED + pairs(DEEP) + b"\x85R.",
    "key of a plain dict": PROTO + EASY + pairs(DEEP) + b"\x85R.",
    "key of a new plain dict": PROTO + EASY + pairs(DEEP) + b"\x85\x81.",
    "entry of a dict": PROTO + b"}" + DEEP + b"Ns.",
    "member of a set": PROTO + SET + b"]" + DEEP + b"a\x85R.",
    "laughing key": PROTO + b"}" + LAUGHS + b"Ns.",
    "laughing member": PROTO + SET + b"]" + LAUGHS + b"a\x85R.",
    "laughing key of an ordered dict": PROTO + ORDERED + pairs(LAUGHS) + b"\x85R.",
    "arithmetic": PROTO + b"\x8b" + struct.pack("<i", 1 << 16) + b"\xff" * (1 << 16) + b".",
    # Multiples of 2⁶¹ - 1 have the hash 0: a dict of many takes hours.
    "keys of one hash": PROTO
    + b"}("
    + b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(1, 9999))
    + b"u.",
    "written number": b"I" + b"9" * 4000 + b"\n.",
    "encoded texts": over_and_over(text(b"latin1") + b"\x86q\x010c_codecs\nencode\nh\x01R"),
}


def list_over_and_over(item: bytes, function: bytes) -> bytes:
    """One list of 2000 items, remembered, of which a function makes a collection 4000 times."""
    return PROTO + b"](" + item * 2000 + b"e\x85q\x000](" + (function + b"h\x00R") * 4000 + b"e."


LONG_DICT = b"".join(b"M" + struct.pack("<H", key) + b"N" for key in range(2000))
# Refused because they are long, or hand much over.
LONG_PROGRAMS = {
    "members over and over": list_over_and_over(b"K\x01", SET),
    "entries over and over": list_over_and_over(b"(K\x01K\x02t", ORDERED),
    "one state over and over": PROTO
    + b"}q\x00("
    + LONG_DICT
    + b"u]("
    + (EASY + b")\x81h\x00b") * 4000
    + b"e.",
    "sets without end": PROTO + b"(" + b"\x8f" * 200_000 + b"t.",
    "arguments over and over": PROTO
    + b"]("
    + b"N" * 2000
    + b"tq\x000]("
    + (b"ctorch\ndevice\nh\x00R") * 4000
    + b"e.",
    "long keys over and over": PROTO + b"](" + b"N" * 2000 + b"tq\x000}(" + b"h\x00N" * 4000 + b"u.",
    "many tuples as keys": PROTO
    + b"}("
    + b"".join(b"M" + struct.pack("<H", n) + b"\x85N" for n in range(4000))
    + b"u.",
}


def refused(read, file: Path) -> str:
    """Refused with one line, soon, and without memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(CheckpointError) as caught:
            read(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000
    assert time.process_time() - start < 10
    message = str(caught.value)
    assert str(file) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_pickle_and_the_same_in_pytorchs_files(name: str, tmp_path: Path):
    file = tmp_path / "model.pkl"
    file.write_bytes(PROGRAMS[name])
    refused(read_file, file)

    torch.save({}, file)
    with zipfile.ZipFile(file) as old:
        entries = {entry.filename: old.read(entry) for entry in old.infolist()}
    with zipfile.ZipFile(file, "w") as new:
        for entry, data in entries.items():
            new.writestr(entry, PROGRAMS[name] if entry.endswith("data.pkl") else data)
    refused(read_file, file)

    torch.save({}, file, _use_new_zipfile_serialization=False)
    whole, empty = file.read_bytes(), b"\x80\x02}q\x00."
    assert whole.count(empty) == 1
    file.write_bytes(whole.replace(empty, PROGRAMS[name]))
    refused(read_file, file)


def test_counters_and_reserved_bytes_in_pytorchs_files(tmp_path: Path):
    for program in (b"cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x01\x85R.", b"ccollections\nCounter\n)R."):
        file = tmp_path / "model.pt"
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model/data.pkl", PROTO + program)
            archive.writestr("model/version", "3\n")
        assert "refused" in refused(read_file, file)


def test_one_storage_is_not_copied_again_and_again(tmp_path: Path):
    """1000 arrays of the same bytes."""
    dtype = b"cnumpy\ndtype\n" + text(b"f4") + b"\x85Rq\x020"
    raw = b"B" + struct.pack("<I", 400_000) + b"\0" * 400_000 + b"q\x000"
    one = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R"
    one += b"(K\x01J\xa0\x86\x01\x00\x85h\x02\x89h\x00tb"
    file = tmp_path / "model.pkl"
    file.write_bytes(PROTO + dtype + raw + b"](" + one + b"e.")
    assert read_file(file)[0].tensor.shape == (100_000,)
    file.write_bytes(PROTO + dtype + raw + b"](" + one * 1000 + b"e.")
    assert "the same bytes over and over" in refused(read_file, file)


@pytest.mark.parametrize("name", sorted(LONG_PROGRAMS))
def test_reads_and_what_is_handed_over_are_counted(name: str, tmp_path: Path, monkeypatch):
    """Scaled down: of the real limit, the sets take 450 MB."""
    monkeypatch.setattr(restricted_pickle, "MOST_READS", 60_000)
    file = tmp_path / "model.pkl"
    file.write_bytes(LONG_PROGRAMS[name])
    assert "more than 60000 reads" in refused(read_file, file)


def test_keys_of_storages_that_laugh(tmp_path: Path):
    """The list of keys in the older format holds one list twice, sixty times over."""
    file = tmp_path / "model.pt"
    torch.save({}, file, _use_new_zipfile_serialization=False)
    whole, keys = file.read_bytes(), PROTO + b"]q\x00."
    assert whole.endswith(keys)
    nested = b"]" + b"".join(b"q\x00](h\x00h\x00e" for _ in range(60))
    file.write_bytes(whole.removesuffix(keys) + PROTO + b"](" + nested + b"e.")
    assert "storages that do not say what they are" in refused(read_file, file)


def test_networks_that_hold_each_other_many_times(tmp_path: Path):
    """Twenty levels, each holding the next one twice, are a million modules; or one with an endless name."""
    state = {"synthesis.b4.const": torch.ones(2, 4, 4)}
    file = write_nvlabs(tmp_path / "net.pkl", {**state, f"{'n' * 1000}.weight": torch.ones(1)})
    assert "no usable name" in refused(convert_file, file)
    with nvidia_modules() as nvidia:
        module = persistent(nvidia.reconstruct, "Layer", {"weight": torch.ones(1)}, {})
        for _ in range(20):
            outer = persistent(nvidia.reconstruct, "Layer", {}, {})
            outer.arguments[0]["state"]["_modules"] = {"a": module, "b": module}
            module = outer
        torch.save(module, tmp_path / "net.pt")
    assert "refer to themselves" in refused(convert_file, tmp_path / "net.pt")


def test_shallow_tuples_may_be_keys(tmp_path: Path):
    file = tmp_path / "model.pt"
    torch.save({("cpu", 0): torch.ones(1)}, file)
    assert list(read_file(file)) == [("cpu", 0)]
