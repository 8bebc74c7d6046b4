"""Bad input on the command line: one line that names file, cause and remedy; exit code 1; nothing left."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from stylegan_swap.api import Swapper
from stylegan_swap.cli import main as cli
from stylegan_swap.editing.codes import save_codes


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def folder(tmp_path, monkeypatch, astronaut_path, hopper_path) -> Path:
    """The working folder of the command, with a.png (the astronaut) and h.png (Hopper)."""
    shutil.copy(astronaut_path, tmp_path / "a.png")
    shutil.copy(hopper_path, tmp_path / "h.png")
    monkeypatch.chdir(tmp_path)
    # main() is made for a process of its own.
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return tmp_path


@pytest.fixture
def refused(folder, monkeypatch, capfd):
    """Runs a command that must fail; returns its one line after the common demands were checked."""

    def run(*arguments: object) -> str:
        before = contents(folder)
        monkeypatch.setattr(sys, "argv", ["stylegan-swap", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        output = capfd.readouterr()
        assert exit_info.value.code == 1, output
        assert "Traceback" not in output.err
        assert output.out == ""
        lines = output.err.splitlines()
        assert len(lines) == 1, output.err
        assert lines[0].startswith("error: ")
        assert contents(folder) == before
        return lines[0].removeprefix("error: ")

    return run


@pytest.fixture
def no_work(monkeypatch):
    """Fails a test whose error should have come before any face was looked for."""
    forbid_work(monkeypatch)


def forbid_work(monkeypatch) -> None:
    def worked(*_: object, **__: object) -> None:
        raise AssertionError("work began before the error was told")

    monkeypatch.setattr(Swapper, "prepare", worked)
    monkeypatch.setattr(Swapper, "invert", worked)


def png_header(width: int, height: int) -> bytes:
    """A black-and-white PNG of that size whose pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


def a_text(path: Path) -> None:
    path.write_text("This is a letter, not a photograph.\n" * 20)


def a_truncated_jpeg(path: Path) -> None:
    with Image.open("a.png") as image:
        image.save(path, "JPEG", quality=90)
    path.write_bytes(path.read_bytes()[:9000])


def nothing(path: Path) -> None:
    pass


def an_empty_file(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_huge_photo(path: Path) -> None:
    path.write_bytes(png_header(12_000, 9_000))


BAD_PHOTOS = [
    (nothing, "no such file", "check the path"),
    (a_text, "not", "photo|picture"),
    (a_truncated_jpeg, "truncated|damaged", "again"),
    (an_empty_file, "empty", "again"),
    (a_folder, "is a folder", "give a picture"),
    (a_huge_photo, "12000 × 9000 pixels are 108.0 megapixels", "shrink|STYLEGAN_SWAP_MAX_PIXELS"),
]


def says(line: str, *alternatives: str) -> None:
    for each in alternatives:
        assert any(part in line for part in each.split("|")), f"{each!r} is not in {line!r}"


def test_bad_photos(refused, tiny_checkpoint, monkeypatch):
    for make, cause, remedy in BAD_PHOTOS:
        make(Path("bad.jpg"))
        with monkeypatch.context() as patch:
            forbid_work(patch)
            for photos in (("bad.jpg", "h.png"), ("a.png", "bad.jpg")):
                line = refused("swap", *photos, "--method", "warp", "-o", "out.png")
                says(line, "bad.jpg", cause, remedy)
        line = refused("invert", "bad.jpg", "-w", tiny_checkpoint, "-o", "codes.safetensors")
        says(line, "bad.jpg", cause, remedy)
        if Path("bad.jpg").is_dir():
            Path("bad.jpg").rmdir()
        Path("bad.jpg").unlink(missing_ok=True)


def test_a_huge_photo_is_refused_before_it_is_decoded(refused, monkeypatch):
    a_huge_photo(Path("huge.png"))

    def decoded(*_: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decoded)
    says(refused("swap", "huge.png", "h.png"), "huge.png", "108.0 megapixels", "limit of 64")


def test_no_face(refused):
    Image.new("RGB", (160, 120), (120, 130, 140)).save("wall.png")
    for photos in (("wall.png", "h.png"), ("a.png", "wall.png")):
        line = refused("swap", *photos, "--method", "warp")
        says(line, "wall.png: no face was found", "tried CenterFace, HOG", "use a sharper or larger picture")


def test_a_face_of_20_pixels(refused, astronaut):
    """The astronaut's face of 102 px, reduced to 20."""
    small = Image.fromarray(astronaut).resize((100, 100), Image.Resampling.LANCZOS)
    small.save("small.png")
    line = refused("swap", "h.png", "small.png", "--method", "warp")
    says(line, "small.png: the face is only 2", "at least 32 px", "use a larger version")
    pixels = int(line.split("only ")[1].split(" px")[0])
    assert 18 <= pixels <= 23


def test_a_face_number_out_of_range(refused, two_faces):
    Image.fromarray(two_faces).save("two.png")
    line = refused("swap", "a.png", "two.png", "--method", "warp", "--face", "2")
    says(line, "two.png: face 2", "2 faces", "0 to 1")
    line = refused("swap", "two.png", "a.png", "--method", "warp", "--identity-face", "5")
    says(line, "two.png: face 5", "2 faces", "0 to 1")
    says(
        refused("swap", "a.png", "two.png", "--method", "warp", "--face", "larges"), "larges", "no such file"
    )


@pytest.fixture
def checkpoint(tiny_checkpoint, tmp_path_factory) -> Path:
    """A copy of the tiny weights that may be spoilt, outside the working folder."""
    copy = tmp_path_factory.mktemp("spoilt") / "net"
    shutil.copytree(tiny_checkpoint, copy)
    return copy


def other_names(file: Path) -> None:
    save_file({f"module.{key}": value for key, value in load_file(file).items()}, file)


def other_shapes(file: Path) -> None:
    state = load_file(file)
    key = next(key for key in state if state[key].ndim == 2)
    save_file({**state, key: torch.zeros(3, 5)}, file)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def not_a_number(file: Path) -> None:
    state = load_file(file)
    key = next(iter(state))
    save_file({**state, key: torch.full_like(state[key], float("nan"))}, file)


def no_config(file: Path) -> None:
    file.with_name("config.json").unlink()


def a_web_page(file: Path) -> None:
    file.write_text("<!DOCTYPE html><html>Sign in to download</html>")


BAD_CHECKPOINTS = [
    (other_names, "missing", "config"),
    (other_shapes, "[3, 5]", "config"),
    (cut_short, "truncated", "fetch it again"),
    (cut_in_the_header, "truncated", "fetch it again"),
    (not_a_number, "NaN", "earlier checkpoint"),
    (no_config, "config.json: missing", "copy it"),
    (a_web_page, "web page", "download"),
]


def test_bad_checkpoints(refused, no_work, tiny_checkpoint, tmp_path_factory):
    for spoil, cause, remedy in BAD_CHECKPOINTS:
        folder = tmp_path_factory.mktemp("spoilt") / "net"
        shutil.copytree(tiny_checkpoint, folder)
        spoil(folder / "model.safetensors")
        for command in (
            ("swap", "a.png", "h.png", "--method"),
            ("invert", "a.png", "-w"),
            ("generate", "-w"),
        ):
            says(refused(*command, folder), str(folder), cause, remedy)


def test_codes_of_another_network(refused, tiny_checkpoint):
    from inversion import Latents

    save_codes(Path("codes.safetensors"), Latents(torch.zeros(1, 14, 256)))
    line = refused("generate", "--codes", "codes.safetensors", "-w", tiny_checkpoint, "-o", "out.png")
    says(line, "codes", "14, 256]", "10, 64]", "weights")
    save_file({"other": torch.zeros(1)}, "codes.safetensors")
    line = refused("generate", "--codes", "codes.safetensors", "-w", tiny_checkpoint, "-o", "out.png")
    says(line, "codes.safetensors: holds no W+ codes", "stylegan-swap invert")
    line = refused("generate", "--codes", "none.safetensors", "-w", tiny_checkpoint, "-o", "out.png")
    says(line, "none.safetensors: cannot be read", "check the path")


SWAP = ("swap", "a.png", "h.png", "--method", "warp")


WRONG_OUTPUTS = [
    ((*SWAP, "-o", "no/such/out.png"), ("no/such/out.png", "does not exist", "create it first")),
    ((*SWAP, "-o", "a.png/out.png"), ("a.png/out.png", "does not exist|not a directory|Not a directory")),
    ((*SWAP, "-o", "taken.png"), ("taken.png: exists already", "--overwrite")),
    ((*SWAP, "-o", "h.png", "--overwrite"), ("h.png: is one of the input", "another name")),
    ((*SWAP, "-o", "./a.png", "--overwrite"), ("a.png: is one of the input", "another name")),
    (
        ("swap", "h.png", "h.png", "--face", "a.png", "-o", "a.png", "--overwrite"),
        ("a.png: is one of the input", "another name"),
    ),
    ((*SWAP, "-o", "out.gif"), ("out.gif", "'.gif'", ".png")),
    ((*SWAP, "-o", "out"), ("out", "suffix ''", ".png")),
    ((*SWAP, "-o", "sub"), ("sub", "suffix ''")),
    ((*SWAP, "--save-mask", "no/mask.png"), ("no/mask.png", "does not exist", "create it")),
    ((*SWAP, "--save-mask", "taken.png"), ("taken.png: exists already", "--overwrite")),
    ((*SWAP, "--save-mask", "a.png", "--overwrite"), ("a.png: is one of the input",)),
    ((*SWAP, "-o", "o.png", "--save-mask", "./o.png"), ("o.png", "choose another")),
    ((*SWAP, "--method", "wrap"), ("unknown method 'wrap'", "copy, default, ")),
    ((*SWAP, "--method", "no/weights"), ("no/weights: no such weights",)),
    ((*SWAP, "--device", "gpu"), ("unknown device 'gpu'", "auto, cpu, cuda")),
    ((*SWAP, "--dtype", "int8"), ("unknown dtype 'int8'", "float32")),
    (("invert", "a.png", "-o", "codes.pt"), ("codes.pt", ".safetensors")),
    (("invert", "a.png", "-o", "no/codes.safetensors"), ("no/codes.safetensors", "create it")),
    (
        ("invert", "a.png", "-o", "taken.safetensors"),
        ("taken.safetensors: exists already", "--overwrite"),
    ),
    (("invert", "a.png", "--preview", "a.png", "--overwrite"), ("a.png: is one of the input",)),
    (("generate", "-o", "taken.png"), ("taken.png: exists already", "--overwrite")),
    (("generate", "-o", "full"), ("seed000000.png: exists already", "--overwrite")),
    (("generate", "-w", "nothing"), ("nothing: no such weights", "default")),
    (("demo", "-o", "a.png"), ("a.png: the folder cannot be created", "-o")),
    (("demo", "-o", "a.png/demo"), ("a.png/demo: the folder cannot be created", "-o")),
]


def test_wrong_outputs_and_names_are_told_before_the_work(refused, no_work, folder):
    (folder / "sub").mkdir()
    (folder / "full").mkdir()
    for name in ("taken.png", "taken.safetensors", "full/seed000000.png"):
        (folder / name).write_bytes(b"old")
    for arguments, parts in WRONG_OUTPUTS:
        says(refused(*arguments), *parts)


def test_dials_of_warp_are_told(refused):
    for option in (("--structure", "0.5"), ("--appearance", "1"), ("--seed", "3"), ("--refine", "3")):
        says(refused(*SWAP, *option), "'warp'", option[0].strip("-"), "leave it out")


def test_dials_out_of_range(refused, tiny_checkpoint):
    base = ("swap", "a.png", "h.png", "--method", tiny_checkpoint)
    for option, value in (("--structure", "1.5"), ("--appearance", "-1"), ("--structure", "nan")):
        says(refused(*base, option, value), option.strip("-"), "0 to 1", value)
    says(refused(*base, "--seed", "99999999999999999999"), "seed", "99999999999999999999")
    says(refused("generate", "-w", tiny_checkpoint, "-o", "o.png", "--seed", "-1"), "seed", "-1")


def test_codes_never_replace_the_weights(refused, no_work, checkpoint):
    file = checkpoint / "model.safetensors"
    before = file.read_bytes()
    for weights in (checkpoint, file):
        line = refused("invert", "a.png", "-w", weights, "-o", file, "--overwrite")
        says(line, "model.safetensors: holds the weights", "another name")
    assert file.read_bytes() == before


def test_a_folder_without_permission(refused, no_work, folder, monkeypatch):
    """Root may write anywhere, so the answer of the system is replaced."""
    (folder / "locked").mkdir()
    allowed = os.access

    def access(path: object, mode: int, **options: object) -> bool:
        return allowed(path, mode, **options) and not (mode & os.W_OK and "locked" in str(path))

    monkeypatch.setattr(os, "access", access)
    says(refused(*SWAP, "-o", "locked/out.png"), "locked/out.png: no permission", "another folder")
    says(refused(*SWAP, "--save-mask", "locked/mask.png"), "locked/mask.png: no permission")


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk(refused, folder, monkeypatch, overwrite):
    """The picture is half written when the disk is full."""
    if overwrite:
        (folder / "out.png").write_bytes(b"old")

    write = Path.write_bytes

    def half(self: Path, _: bytes) -> None:
        write(self, b"half a picture")
        full()

    monkeypatch.setattr(Path, "write_bytes", half)
    line = refused(*SWAP, "-o", "out.png", *(["--overwrite"] if overwrite else []))
    says(line, "out.png", "No space left on device")


def test_a_full_disk_while_codes_are_written(refused, monkeypatch, tiny_checkpoint):
    monkeypatch.setattr(os, "fsync", full)
    line = refused("invert", "a.png", "-w", tiny_checkpoint, "-o", "codes.safetensors")
    says(line, "codes.safetensors: the codes could not be written", "No space left", "another folder")


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits")
def test_a_limit_of_file_size_in_the_real_process(folder):
    """As a full disk, but by the kernel: files may grow to 20 kB."""
    before = contents(folder)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "stylegan_swap.cli.main", *SWAP, "-o", "out.png"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    says(line, "out.png", "File too large")
    assert contents(folder) == before
