"""The same swap twice, elsewhere, in threads; memory that does not grow; nothing global changed or told."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from video_clips import panned, write_clip

from stylegan_swap import Swapper
from stylegan_swap.images.photo import (
    CREDIT,
)

SWAP = """
import sys
import numpy as np, torch
from stylegan_swap import Swapper
identity, attribute, weights, threads, folder = sys.argv[1:]
for count in (int(threads), int(threads) + 1):
    torch.set_num_threads(count)
    for method in ("warp", weights):
        swapper = Swapper.from_pretrained(method, device="cpu", dtype="float32")
        dials = {} if method == "warp" else {"seed": 5}
        pixels = np.asarray(swapper(identity, attribute, **dials).image)
        np.save(f"{folder}/{'warp' if method == 'warp' else 'tiny'}{count - int(threads)}", pixels)
"""


@pytest.fixture(scope="module")
def small_paths(astronaut, hopper, tmp_path_factory) -> tuple[Path, Path]:
    """Both portraits at 256 pixels and less, in which faces are found quickly."""
    folder = tmp_path_factory.mktemp("small")
    Image.fromarray(hopper).reduce(2).save(folder / "hopper.png")
    Image.fromarray(astronaut[:256, 96:352]).save(folder / "astronaut.png")
    return folder / "hopper.png", folder / "astronaut.png"


@pytest.mark.slow
def test_the_same_twice_and_in_another_process(tmp_path, small_paths, tiny_checkpoint):
    """Bit by bit with as many threads, and but for rounding with one more."""
    command = (*small_paths, tiny_checkpoint, torch.get_num_threads(), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SWAP, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, method, dials in (("warp", "warp", {}), ("tiny", tiny_checkpoint, {"seed": 5})):
        swapper = Swapper.from_pretrained(method, device="cpu", dtype="float32")
        here, again = (np.asarray(swapper(*map(str, small_paths), **dials).image) for _ in "12")
        there, threaded = (np.load(tmp_path / f"{name}{more}.npy") for more in (0, 1))
        assert np.array_equal(here, again) and np.array_equal(here, there)
        assert np.abs(here.astype(int) - threaded).max() <= 1


def resident() -> float:
    """MiB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.slow
def test_many_photos_take_no_more_memory(tiny_checkpoint, astronaut, hopper):
    swapper = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    person = swapper.prepare(hopper)
    seen = []
    for _ in range(32):
        swapper(person, astronaut[:256, 96:352])
        seen.append(resident())
    # A photo of this size with crops, masks and features takes some MiB: kept, they would be 100 and more.
    assert max(seen[24:]) - max(seen[10:20]) < 0.02 * seen[20]


def test_one_swapper_for_many_threads(tiny_checkpoint, small_paths):
    """Also its very first uses, when it builds what it needs."""
    hopper, astronaut = map(str, small_paths)
    alone = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    wanted = hashlib.sha256(np.asarray(alone(hopper, astronaut, seed=1).image).tobytes()).hexdigest()
    shared = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: shared(hopper, astronaut, seed=1), range(6)))
    assert {hashlib.sha256(np.asarray(result.image).tobytes()).hexdigest() for result in results} == {wanted}


SIDE_EFFECTS = """
import hashlib, json, logging, os, random, signal, sys, threading, warnings
# What other packages set when they are imported is theirs: warnings' filters, a variable of the compiler's.
import cv2, lpips, numpy, scipy.special, sympy, torch
def state():
    return {
        "dtype": str(torch.get_default_dtype()), "gradients": torch.is_grad_enabled(),
        "threads": [torch.get_num_threads(), cv2.getNumThreads(), threading.active_count()],
        "torch": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "numpy": hashlib.sha256(numpy.random.get_state()[1].tobytes()).hexdigest(),
        "random": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "environment": dict(os.environ),
        "folder": os.getcwd(), "path": list(sys.path),
        "log": [repr(logging.getLogger().handlers), logging.getLogger().level],
        "filters": [repr(each) for each in warnings.filters], "hook": repr(sys.excepthook),
        "signals": [repr(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
    }
torch.set_num_threads(2)
before = state()
events = []
sys.addaudithook(lambda event, _: event in ("socket.connect", "socket.getaddrinfo") and events.append(event))
from stylegan_swap import Swapper, swap_video
identity, attribute, weights, clip, out = sys.argv[1:]
swapper = Swapper.from_pretrained(weights, device="cpu")
person = swapper.prepare(identity, refine=1, seed=3)
result = swapper(person, attribute, seed=4)
result.save(out + "/one.jpg")
swapper(identity, attribute, edit=lambda codes: codes)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    swapper.invert(identity, steps=2, pti=1, seed=9)
swap_video(identity, clip, out + "/clip.mp4", method="paste", segment=2)
after = state()
def difference(one, other):
    return [each for each in other if each not in one] if isinstance(one, list) else [one, other]
changed = {k: difference(before[k], after[k]) for k in before if before[k] != after[k]}
print(json.dumps([changed, events]))
"""


@pytest.mark.exhaustive
def test_nothing_global_changes_and_nobody_is_called(tmp_path, astronaut, small_paths, tiny_checkpoint):
    """Beside ``tests/api/test_api_effects.py``: refining, editing, projection, tuning, saving and clips."""
    clip = write_clip(tmp_path / "in.mp4", panned(astronaut, 3))
    paths = (*small_paths, tiny_checkpoint, clip, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SIDE_EFFECTS, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    changed, calls = json.loads(done.stdout)
    assert changed == {} and calls == []
    assert done.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "in.mp4", "one.jpg"]


def test_the_log_says_nothing_of_anybody(tiny_checkpoint, hopper_path, astronaut_path, caplog, tmp_path):
    """Neither paths nor descriptors, at any level: its log is silent unless kernels are compiled."""
    with caplog.at_level(logging.DEBUG):
        swapper = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
        swapper(str(hopper_path), str(astronaut_path)).save(tmp_path / "out.png")
    ours = [
        one for one in caplog.records if one.name.split(".")[0] in ("stylegan_swap", "inversion", "cuda_ops")
    ]
    assert ours == []
    assert not any(
        str(path) in one.getMessage() for one in caplog.records for path in (hopper_path, astronaut_path)
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_where_a_photo_was_taken_stays_with_it(astronaut, hopper, tmp_path, suffix):
    """From a file with a position, by a swap, into every format."""
    exif = Image.Exif()
    exif[0x0110], exif[0x8298] = "SecretCamera", "A. Person"
    exif.get_ifd(0x8825).update(
        {1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0), 29: "2024:05:31"}
    )
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>GPSLatitude 48,8.233N</x:xmpmeta>"
    Image.fromarray(astronaut).save(tmp_path / "in.jpg", exif=exif, xmp=xmp, comment=b"at 48.137")
    assert b"SecretCamera" in (tmp_path / "in.jpg").read_bytes()
    swapper = Swapper.from_pretrained("paste")
    swapper(hopper, tmp_path / "in.jpg").save(tmp_path / f"out{suffix}")
    content = (tmp_path / f"out{suffix}").read_bytes()
    for secret in (b"SecretCamera", b"GPSLatitude", b"48.137", b"2024:05:31"):
        assert secret not in content
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert not image.getexif().get_ifd(0x8825) and 0x8825 not in image.getexif()
        assert image.getexif()[0x8298] == "A. Person" and "copyright" in CREDIT


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_no_hindrance(tmp_path, small_paths):
    """Read-only homes of services: the swap is made all the same."""
    command = ["swap", *small_paths, "-o", tmp_path / "out.png"]
    environment = {key: value for key, value in os.environ.items() if key != "STYLEGAN_SWAP_QUIET"}
    done = subprocess.run(
        [sys.executable, "-m", "stylegan_swap.cli.main", *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"STYLEGAN_SWAP_CACHE": "/dev/null/cache", "HOME": "/dev/null"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").stat().st_size > 10_000 and done.stderr.startswith("notice: ")
