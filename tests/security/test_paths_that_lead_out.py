"""Names in lists, archives and links that climb out of their folder; archives that unpack to more."""

from __future__ import annotations

import ast
import json
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from stylegan_swap.batch import Job, run, run_batch
from stylegan_swap.errors import BatchError, ImageReadError
from stylegan_swap.evaluation.pairs import manifest_of
from stylegan_swap.files.paths import contained
from stylegan_swap.images.photo import read_photo
from stylegan_swap.training.data.pack import read_pack
from stylegan_swap.training.data.photo_folder import read_folder

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    path for part in ("stylegan_swap", "inversion", "cuda_ops") for path in (ROOT / part).rglob("*.py")
]
OUTSIDE = [
    "../x.jpg",
    "a/../../x.jpg",
    "/etc/passwd",
    "..\\x.jpg",
    "C:\\x.jpg",
    "\\\\host\\x.jpg",
    "a\0.jpg",
    "",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_manifests(tmp_path, name):
    with pytest.raises(ImageReadError, match="does not lie in the folder"):
        contained(tmp_path, name, tmp_path / "manifest.csv")
    if "\0" in name or not name:
        return
    (tmp_path / "manifest.csv").write_text(f'file,person,split\n"{name}",a,train\n')
    (tmp_path / "landmarks68.json").write_text(json.dumps({name: [[float(n), n * n / 7] for n in range(68)]}))
    for read in (lambda: read_folder(tmp_path, "train", 64), lambda: manifest_of(tmp_path)):
        with pytest.raises(ImageReadError, match=r"manifest\.csv: .* does not lie in the folder"):
            read()


def test_names_inside_stay_what_they_are(tmp_path):
    for name in ("a.jpg", "one/two/..three.jpg", "ü 日本.png"):
        assert contained(tmp_path, name, tmp_path) == tmp_path / name


def test_links_in_the_folder_of_a_batch(tmp_path, monkeypatch):
    """The name is plain, but the folder it names lies elsewhere."""
    from tests.batch.batch_workers import LocalWorker, Scripted

    monkeypatch.setattr(run, "ProcessWorker", LocalWorker)
    monkeypatch.setattr(run, "SwapWorker", Scripted)
    photos, out, elsewhere = tmp_path / "photos", tmp_path / "out", tmp_path / "elsewhere"
    for folder in (photos, out, elsewhere):
        folder.mkdir()
    (photos / "a.png").write_text("a")
    (out / "sub").symlink_to(elsewhere)
    jobs = [Job(0, (str(photos / "a.png"),), str(photos / "a.png"), "sub/x.png")]
    with pytest.raises(BatchError, match="a link leads out of the output folder"):
        run_batch(jobs, out, overwrite=True)
    assert not any(elsewhere.iterdir())
    (out / "sub").unlink()
    (tmp_path / "link").symlink_to(out)
    assert run_batch(jobs, tmp_path / "link").done == 1


def test_nothing_is_ever_unpacked_to_disk():
    """Zip files are read member by member into memory; names in them never become paths."""
    forbidden = {"extractall", "extract", "unpack_archive"}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {
            node.func.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        }
        imported = {
            name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
        }
        assert not calls & forbidden and "tarfile" not in imported, path


def test_a_pack_that_unpacks_to_more(tmp_path):
    """A hundred megabytes of blanks in a hundred kilobytes."""
    bomb = tmp_path / "bomb.faces"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("index.json", b" " * 100_000_000)
    assert bomb.stat().st_size < 200_000
    began = time.perf_counter()
    with pytest.raises(ImageReadError, match=r"index\.json is compressed, a pack is not"):
        read_pack(bomb)
    assert time.perf_counter() - began < 0.5
    with zipfile.ZipFile(tmp_path / "odd.faces", "w") as archive:
        archive.writestr("index.json", "[1, 2]")
    for other in (tmp_path / "odd.faces", tmp_path):
        with pytest.raises(ImageReadError):
            read_pack(other)


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_and_profiles_that_unpack_to_more(tmp_path, kind):
    """A small PNG whose text or profile would become a gigabyte."""
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    content = (tmp_path / "small.png").read_bytes()
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(b"\0" * 16_000_000) for _ in range(16)) + packed.flush()
    head = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind]
    (tmp_path / "bomb.png").write_bytes(content[:33] + chunk(kind, head + data) + content[33:])
    try:
        assert read_photo(tmp_path / "bomb.png").pixels.shape == (8, 8, 3)
    except ImageReadError as error:
        assert "bomb.png" in str(error)
    assert PngImagePlugin.MAX_TEXT_CHUNK < 10_000_000


def test_no_shell_and_no_code_from_data():
    """No command line is a string, nothing is evaluated, no pickle is loaded but by a careful reader."""
    subprocesses = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            assert name not in ("eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads"), path
            assert not any(word.arg == "shell" for word in node.keywords), path
            if name == "torch.load":
                assert any(
                    w.arg == "weights_only" and ast.unparse(w.value) == "True" for w in node.keywords
                ), path
            if name.startswith("subprocess.") and name != "subprocess.TimeoutExpired":
                subprocesses.add(path.relative_to(ROOT).as_posix())
                assert not isinstance(node.args[0], ast.Constant | ast.JoinedStr), path
    assert all(name.startswith(("cuda_ops/", "stylegan_swap/evaluation/bench/")) for name in subprocesses)
