"""The list of known weights: strict to read, complete, and published names are told from shipped ones."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from stylegan_swap.api import Swapper
from stylegan_swap.errors import CheckpointError
from stylegan_swap.files.cache import cache_folder
from stylegan_swap.weights import store as weights
from stylegan_swap.weights.cache import cached_path, record_path, record_sha256, recorded_sha256
from stylegan_swap.weights.registry import PublishedWeights, WeightsEntry, read_registry

SHIPPED = 'file = "a/model.safetensors"\nlicence = "MIT"\nsha256 = ""\n'
PUBLISHED = (
    'about = "a network"\nfile = "net.pt"\nurl = "https://example.org/net.pt"\nlicence = "MIT"\n'
    'cite = "somebody"\nformat = "psp"\nsha256 = ""\nsize = 0\n'
)
DRIVE = 'drive = "1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0"'


def read(folder: Path, text: str):
    (folder / "registry.toml").write_text(text, encoding="utf-8")
    return read_registry(folder / "registry.toml")


def test_both_kinds(tmp_path):
    known = read(tmp_path, f"[ours]\n{SHIPPED}[theirs]\n{PUBLISHED}")
    assert known.shipped == {"ours": WeightsEntry("ours", "a/model.safetensors", "MIT", "")}
    assert list(known.published) == ["theirs"]
    entry = known.published["theirs"]
    assert (entry.url, entry.drive, entry.size, entry.page) == (
        entry.url,
        "",
        0,
        "https://example.org/net.pt",
    )
    on_drive = read(tmp_path, f"[a]\n{PUBLISHED}".replace('url = "https://example.org/net.pt"', DRIVE))
    assert on_drive.published["a"].page.startswith("https://drive.google.com/file/d/1bMTN")


@pytest.mark.parametrize("old, new, problem", [
    ('size = 0\n', '', "size is missing"),
    ('size = 0', 'size = true', "size must be a whole number"),
    ('size = 0', 'size = -1', "size must not be negative"),
    ('size = 0', 'size = 0\nlicense = "MIT"', "license is no key of it"),
    ('size = 0', f'size = 0\n{DRIVE}', "give one of url, drive, drive_folder, not url and drive"),
    ('sha256 = ""', 'sha256 = "abc"', "sha256 must be 64 hexadecimal digits, or empty"),
    ('cite = "somebody"', 'cite = " "', "cite must be one line of text"),
    ('about = "a network"', 'about = "a\\nb"', "about must be one line of text"),
    ('licence = "MIT"', 'licence = 3', "licence must be a text"),
    ('"net.pt"', '"../net.pt"', "file must be a plain name: ../net.pt"),
    ('"net.pt"', '".hidden"', "file must be a plain name"),
    ("https://", "http://", "url must be https://…: http://example.org/net.pt"),
    ("https://", "file://", "url must be https://…"),
    ("https://", "https://me:secret@", "url must be https://…"),
    ("https://example.org", "https://", "url must be https://…"),
    ('url = "https://example.org/net.pt"', 'drive = "x/y"', "drive is no identifier: x/y"),
    ("[theirs]", "[Theirs]", "the name must be small letters"),
    ("[theirs]", '["../theirs"]', "the name must be small letters"),
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, old, new, problem):
    text = f"[theirs]\n{PUBLISHED}"
    assert old in text
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, text.replace(old, new, 1))
    message = str(caught.value)
    assert (
        "registry.toml: entry [" in message
        and problem in message
        and "install stylegan-swap again" in message
    )
    assert "\n" not in message


def test_a_name_twice(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        read(tmp_path, f"[a]\n{SHIPPED}[a]\n{PUBLISHED}")


# ---- the list of this checkout


def test_every_published_file_is_described():
    published = weights.published_weights()
    assert len(published) == 31 and not set(published) & set(weights.registered_weights())
    places = [entry.url or entry.drive or (entry.drive_folder, entry.file) for entry in published.values()]
    assert len(set(places)) == len(places), "two names for one file"
    for entry in published.values():
        assert len(entry.about) < 100 and re.search(r"(19|20)\d\d", entry.cite), entry
        assert re.fullmatch(r"[a-z0-9-]+", entry.format)
    assert weights.registered_weights().keys() == {"default", "landmark_net"}


def test_names_that_others_rely_on():
    published = weights.published_weights()
    assert published["stylegan2-ffhq-1024"].file == "stylegan2-ffhq-config-f.pt"
    assert published["psp-ffhq-encode"].format == "psp"
    assert published["arcface-irse50"].file == "model_ir_se50.pth"
    for part in ("ftm", "injection", "lcr"):
        assert published[f"megafs-{part}"].file == f"{part}_final.pth"


# ---- published is not shipped


@pytest.mark.parametrize("load", [weights.find_weights, weights.load_weights, Swapper.from_pretrained])
def test_a_name_that_was_not_downloaded(load, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        load("psp-ffhq-encode")
    message = str(caught.value)
    assert "run `stylegan-swap download psp-ffhq-encode`" in message
    assert str(tmp_path / "weights" / "psp-ffhq-encode" / "psp_ffhq_encode.pt") in message
    assert "https://drive.google.com/file/d/1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0/view" in message
    assert "install" not in message and list(tmp_path.iterdir()) == []


def test_a_name_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    entry = weights.published_weights()["rafswap"]
    path = cached_path(entry)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"by hand")
    assert weights.find_weights("rafswap") == path
    record_sha256(entry, "0" * 64)
    with pytest.raises(CheckpointError, match=r"not 0000.*delete it and run `stylegan-swap download raf"):
        weights.find_weights("rafswap")


def test_a_wrong_name_is_near_to_published_ones_too():
    with pytest.raises(CheckpointError, match=r"nearest: fslsd-1024.*stylegan-swap download --list"):
        weights.find_weights("fslsd-1025")


# ---- the cache


@pytest.mark.parametrize("platform, environ, expected", [
    ("linux", {"STYLEGAN_SWAP_CACHE": "/c", "XDG_CACHE_HOME": "/x"}, "/c"),
    ("linux", {"STYLEGAN_SWAP_CACHE": "~/c"}, "{home}/c"),
    ("linux", {"STYLEGAN_SWAP_CACHE": "c"}, "{here}/c"),
    ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/stylegan_swap"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/stylegan_swap"),
    ("linux", {"STYLEGAN_SWAP_CACHE": "", "XDG_CACHE_HOME": ""}, "{home}/.cache/stylegan_swap"),
    ("darwin", {"XDG_CACHE_HOME": "/x"}, "{home}/Library/Caches/stylegan_swap"),
    ("win32", {"LOCALAPPDATA": "/l"}, "/l/stylegan_swap/Cache"),
    ("win32", {}, "{home}/AppData/Local/stylegan_swap/Cache"),
])  # fmt: skip
def test_where_the_cache_is(platform, environ, expected):
    assert cache_folder(environ, platform) == Path(expected.format(home=Path.home(), here=Path.cwd()))


def test_no_home(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(CheckpointError, match="set STYLEGAN_SWAP_CACHE to a folder"):
        cache_folder({}, "linux")


def test_the_record_of_a_first_download(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    fields = {field.name: "x" for field in dataclasses.fields(PublishedWeights)}
    entry = PublishedWeights(**{**fields, "size": 0})
    assert recorded_sha256(entry) is None
    assert recorded_sha256(entry) is None and record_sha256(entry, "a" * 64) == record_path(entry)
    assert recorded_sha256(entry) == "a" * 64
    for broken in ("", "abc", "g" * 64, "a" * 65):
        record_path(entry).write_text(broken)
        with pytest.raises(CheckpointError, match="holds no sha256; delete it and download again"):
            recorded_sha256(entry)
    record_path(entry).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="cannot be read"):
        recorded_sha256(entry)
