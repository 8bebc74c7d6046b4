"""Files that try to run code, or to take all memory: refused by name, and nothing happens."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from weights.foreign import Reduced, nvidia_modules, write_nvlabs

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.torch_file import read_file, read_tensors

PROTO = b"\x80\x02"
EASY = b"cdnnlib.util\nEasyDict\n)\x81"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def storage(inner: bytes) -> bytes:
    return b"ctorch.storage\n_load_from_bytes\n" + raw(inner) + b"\x85R"


def stored(count: int, numbers: bytes, kind: str = "FloatStorage", announced: int | None = None) -> bytes:
    """The bytes of a storage in PyTorch's older format."""
    identity = text("storage") + f"ctorch\n{kind}\n".encode() + text("1") + text("cpu")
    described = PROTO + b"(" + identity + number(count if announced is None else announced) + b"NtQ."
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)
    return head + system + described + pickle.dumps(["1"], 2) + struct.pack("<q", count) + numbers


def tensor(numbers: bytes, size: bytes, stride: bytes, offset: int = 0) -> bytes:
    count = len(numbers) // 4
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage(stored(count, numbers))
        + number(offset)
        + size
        + stride
        + b"\x89)tR"
    )


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def command(canary: Path) -> bytes:
    return text(f"touch {canary}")


def programs(command: bytes) -> dict[str, tuple[bytes, str]]:
    call = command + b"\x85R"
    system = PROTO + b"cos\nsystem\n" + call + b"."
    return {
        "global": (system, "os.system"),
        "protocol 0": (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        "posix": (PROTO + b"cposix\nsystem\n" + call + b".", "posix.system"),
        "eval": (PROTO + b"c__builtin__\neval\n" + call + b".", "builtins.eval"),
        "exec": (PROTO + b"cbuiltins\nexec\n" + call + b".", "builtins.exec"),
        "stack global": (b"\x80\x04" + text("os") + text("system") + b"\x93" + call + b".", "os.system"),
        "dotted": (
            b"\x80\x04" + text("dnnlib.util") + text("EasyDict.update") + b"\x93.",
            "dnnlib.util.EasyDict.update",
        ),
        "renamed": (b"\x80\x04" + text("os") + text("sys\ntem") + b"\x93.", r"os.sys\ntem"),
        "no text": (b"\x80\x04K\x01" + text("system") + b"\x93.", "a global whose name is no text"),
        "getattr chain": (
            PROTO + b"cbuiltins\ngetattr\ncdnnlib.util\nEasyDict\n" + text("__init__") + b"\x86R.",
            "builtins.getattr",
        ),
        "import": (PROTO + b"cbuiltins\n__import__\n" + call + b".", "builtins.__import__"),
        "official loader": (
            PROTO + b"ctorch\nload\n" + call + b".",
            "torch.load",
        ),
        "partial": (PROTO + b"cfunctools\npartial\n" + call + b".", "functools.partial"),
        "nested in a storage": (PROTO + storage(system) + b".", "os.system"),
        "class of a storage": (
            PROTO
            + storage(stored(1, b"\0" * 4, "FloatStorage").replace(b"FloatStorage", b"nn.Module"))
            + b".",
            "torch.nn.Module",
        ),
        "new object": (PROTO + b"cos\nsystem\n" + command + b"\x85\x81.", "os.system"),
        "keywords": (
            b"\x80\x04cdnnlib.util\nEasyDict\n)}\x92.",
            "NEWOBJ_EX",
        ),
        "setstate": (
            PROTO + EASY + b"}(" + text("__setstate__") + b"cos\nsystem\nub" + command + b"b.",
            "os.system",
        ),
        "inst": (PROTO + b"(" + command + b"ios\nsystem\n.", "INST"),
        "allowed inst": (PROTO + b"(icollections\nOrderedDict\n.", "INST"),
        "obj": (PROTO + b"(cos\nsystem\n" + command + b"o.", "os.system"),
        "allowed obj": (PROTO + b"(ccollections\nOrderedDict\no.", "OBJ"),
        "persistent id": (PROTO + text("a") + b"Q.", "a persistent id"),
        "written id": (b"Pa\n.", "PERSID"),
        "extension": (PROTO + b"\x82\x01.", "EXT1"),
        "buffer": (b"\x80\x05\x97.", "the pickle instruction"),
        "call of a value": (PROTO + text("os") + call + b".", "a call (REDUCE) of a str"),
        "call of a result": (PROTO + EASY + call + b".", "a call (REDUCE) of a PlainDict"),
        "state of a list": (PROTO + b"]}b.", "a state (BUILD) for a list"),
        "state of a name": (PROTO + b"cdnnlib.util\nEasyDict\n}b.", "a state (BUILD) for a StandIn"),
        "nested key": (PROTO + b"})" + b"\x85" * 3 + b"Ns.", "a tuple as the key"),
        "objects": (PROTO + b"cnumpy\ndtype\n" + text("O8") + b"\x85R.", "numpy.dtype of O8"),
        "records": (
            PROTO
            + b"cnumpy\ndtype\n"
            + text("f4")
            + b"\x85R(K\x03"
            + text("<")
            + b"N"
            + text("a")
            + b"NK\0tb.",
            "numpy.dtype with fields",
        ),
        "array class": (
            PROTO + b"cnumpy.core.multiarray\n_reconstruct\ndnnlib\n".replace(b"\nd", b"\ncd") + b"x\n.",
            "dnnlib.x",
        ),
        "other array": (
            PROTO + b"cnumpy.core.multiarray\n_reconstruct\ncdnnlib.util\nEasyDict\n\x85R.",
            "_reconstruct of dnnlib.util.EasyDict",
        ),
    }


def test_code_is_refused_by_name(tmp_path: Path, canary: Path, command: bytes):
    file = tmp_path / "model.pkl"
    for name, (program, refusal) in programs(command).items():
        file.write_bytes(program)
        with pytest.raises(CheckpointError) as caught:
            read_file(file)
        message = str(caught.value)
        assert str(file) in message, name
        assert refusal in message, (name, message)
        assert "nothing in it was executed" in message, name
        assert "\n" not in message, name
        assert not canary.exists(), name


def test_the_programs_would_run_elsewhere(tmp_path: Path, canary: Path, command: bytes):
    """The canary is a canary: Python's own unpickler lets it die."""
    pickle.loads(programs(command)["global"][0])  # noqa: S301
    assert canary.exists()


def test_the_source_inside_is_not_compiled(tmp_path: Path, canary: Path):
    file = write_nvlabs(
        tmp_path / "net.pkl",
        {"synthesis.b4.const": torch.ones(2, 4, 4)},
        source=f"open({str(canary)!r}, 'w')\nthis is no Python",
    )
    network = read_file(file)["G_ema"]
    assert network.class_name == "Generator"
    assert not canary.exists()
    assert b"this is no Python" in file.read_bytes()


def test_a_state_never_becomes_a_method(tmp_path: Path):
    file = tmp_path / "net.pkl"
    state = b"}" + text("__setstate__") + b"ccollections\nOrderedDict\nsb}" + text("x") + b"K\x01sb"
    file.write_bytes(PROTO + EASY + state + b".")
    found = read_file(file)
    assert sorted(found) == ["__setstate__", "x"]
    assert found["x"] == 1


FOUR = b"\0\0\x80?" * 4
LARGE = number(1 << 40)


ANNOUNCED = [
    b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
    b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    b"\x80\x04\x8d" + struct.pack("<Q", (1 << 64) - 1) + b".",
    PROTO + b"X" + struct.pack("<I", 0xFFFFFFFF) + b".",
    PROTO + b"\x8b" + struct.pack("<I", 0x7FFFFFFF) + b".",
    PROTO + storage(stored(1 << 40, FOUR)) + b".",
    PROTO + storage(stored(4, FOUR, announced=1 << 40)) + b".",
    PROTO + storage(stored(-1, FOUR)) + b".",
    PROTO + tensor(FOUR, LARGE + b"\x85", b"K\x00\x85") + b".",
    PROTO + tensor(FOUR, b"K\x05\x85", b"K\x00\x85") + b".",
    PROTO + tensor(FOUR, b"K\x04\x85", b"K\x02\x85") + b".",
    PROTO + tensor(FOUR, b"K\x04\x85", b"K\x01\x85", offset=1) + b".",
    PROTO + tensor(FOUR, b"J\xff\xff\xff\xff\x85", b"K\x01\x85") + b".",
    PROTO + tensor(FOUR, b"\x88\x85", b"K\x01\x85") + b".",
    PROTO
    + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R(K\x01("
    + LARGE
    + b"tcnumpy\ndtype\n"
    + text("f4")
    + b"\x85R\x89"
    + raw(FOUR)
    + b"tb.",
]


def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path):
    file = tmp_path / "model.pkl"
    for program in ANNOUNCED:
        file.write_bytes(program)
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError, match=r"truncated or damaged|refused"):
                read_file(file)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000, program


def test_a_large_memo_number_takes_no_memory(tmp_path: Path):
    file = tmp_path / "model.pkl"
    file.write_bytes(PROTO + b"K\x01r\xff\xff\xff\x7f.")
    assert read_file(file) == 1


def test_what_is_right_is_read(tmp_path: Path):
    file = tmp_path / "model.pkl"
    file.write_bytes(PROTO + tensor(FOUR, b"K\x02K\x02\x86", b"K\x02K\x01\x86") + b".")
    assert torch.equal(read_file(file), torch.ones(2, 2))
    file.write_bytes(PROTO + storage(stored(4, b"\0\x3c" * 4, "HalfStorage")) + b".")
    assert torch.equal(read_file(file), torch.ones(4, dtype=torch.float16))


class Runs:
    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self):
        return os.system, (self.line,)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_refused_by_name_as_well(zipped: bool, tmp_path: Path, canary: Path):
    file = tmp_path / "model.pt"
    content = {"g_ema": {"a": torch.ones(1)}, "x": Runs(f"touch {canary}")}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"refused.*\b(posix|nt|os)\.system"):
        read_file(file)
    assert not canary.exists()


def test_code_beside_a_network_in_a_torch_file(tmp_path: Path, canary: Path):
    file = tmp_path / "model.pt"
    with nvidia_modules() as nvidia:
        meta = {"type": "class", "state": {"x": Runs(f"touch {canary}")}}
        torch.save(Reduced(nvidia.reconstruct, (meta,)), file)
    with pytest.raises(CheckpointError, match="system"):
        read_file(file)
    assert not canary.exists()


class Strange:
    """Pickled as an instruction that PyTorch's restricted reader does not allow: a state for bytes."""

    def __reduce__(self):
        return codecs.encode, ("a", "latin1"), {"a": 1}


@pytest.mark.parametrize("zipped", [True, False])
def test_nobody_is_told_to_load_it_unsafely(zipped: bool, tmp_path: Path):
    file = tmp_path / "model.pt"
    torch.save({"x": Strange()}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="refused") as caught:
        read_file(file)
    assert "weights_only" not in str(caught.value)


def test_a_compiled_module(tmp_path: Path):
    file = tmp_path / "script.pt"
    torch.save({}, file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("script/constants.pkl", b"\x80\x02).")
    with pytest.raises(CheckpointError, match="TorchScript") as caught:
        read_file(file)
    assert "Re-running" not in str(caught.value)


def test_archives_that_unpack_to_more(tmp_path: Path):
    file, packed = tmp_path / "model.pt", tmp_path / "packed.pt"
    torch.save({"a": torch.zeros(100_000)}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(CheckpointError, match="compressed archive"):
        read_file(packed)
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, file)
    with pytest.raises(CheckpointError, match="larger than its numbers"):
        read_file(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_around_a_file(tmp_path: Path, method: int):
    torch.save({"a": torch.zeros(3)}, tmp_path / "plain.pt")
    for name in ("zipped.pt", "zipped.safetensors"):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.write(tmp_path / "plain.pt", "weights/plain.pt")
        with pytest.raises(
            CheckpointError, match=rf"{name}: is an archive that holds weights/plain\.pt; unpack"
        ):
            read_tensors(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "many.pt", "w", method) as archive:
        for number in range(5):
            archive.writestr(f"{number}\n.pt", b"")
    with pytest.raises(CheckpointError, match=r"holds 0\.pt, 1\.pt, 2\.pt and 2 more"):
        read_file(tmp_path / "many.pt")


def test_packed_by_other_programs(tmp_path: Path):
    for module in (gzip, bz2, lzma):
        (tmp_path / "a.pt").write_bytes(module.compress(b"numbers" * 100))
        with pytest.raises(CheckpointError, match="unpack it and give the file inside"):
            read_file(tmp_path / "a.pt")


def test_a_storage_announced_too_large_in_the_older_format(tmp_path: Path):
    file = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(300)}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    announced = b"M" + struct.pack("<H", 300)
    assert whole.count(announced) >= 1
    file.write_bytes(whole.replace(announced, b"\x8a\x06" + (1 << 44).to_bytes(6, "little")))
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        read_file(file)


def test_no_damage_becomes_another_error(tmp_path: Path):
    """Bytes changed or missing anywhere: an error of ours, or other numbers."""
    state = {"synthesis.b4.const": torch.ones(2, 4, 4), "mapping.fc0.weight": torch.ones(2, 2)}
    whole = write_nvlabs(tmp_path / "net.pkl", state).read_bytes()
    file = tmp_path / "broken.pkl"
    stream = torch.Generator().manual_seed(0)
    refused = 0
    for round_number in range(300):
        position = int(torch.randint(len(whole), (), generator=stream))
        value = int(torch.randint(256, (), generator=stream))
        changed = whole[:position] + bytes([value]) * (round_number % 3 > 0) + whole[position + 1 :]
        file.write_bytes(whole[:position] if round_number % 3 == 0 else changed)
        try:
            read_file(file)
        except CheckpointError:
            refused += 1
    assert refused > 100
