"""What a swap leaves alone: inputs, the process it runs in, other threads."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from stylegan_swap import Swapper


@pytest.fixture(scope="module")
def warp() -> Swapper:
    return Swapper.from_pretrained("warp", device="cpu")


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(params=["warp", "tiny"])
def swapper(request) -> Swapper:
    return request.getfixturevalue(request.param)


def pixels_of(result) -> np.ndarray:
    return np.asarray(result.image)


def test_inputs_are_not_written_to(swapper, astronaut, hopper):
    first, second = astronaut.copy(), hopper.copy()
    swapper(first, second)
    assert np.array_equal(first, astronaut)
    assert np.array_equal(second, hopper)


def test_four_threads_share_a_swapper(swapper, astronaut, hopper, two_faces):
    jobs = [(astronaut, hopper), (hopper, astronaut), (astronaut, two_faces), (hopper, hopper)] * 2
    serial = [(pixels_of(result), result.faces[0].distance) for result in (swapper(*job) for job in jobs)]
    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(lambda job: swapper(*job), jobs))
    for (pixels, distance), result in zip(serial, concurrent, strict=True):
        assert np.array_equal(pixels, pixels_of(result))
        assert result.faces[0].distance == pytest.approx(distance, abs=1e-5)


SNAPSHOT = """
import hashlib, json, locale, logging, os, random, signal, sys, threading, warnings
import cv2, numpy, PIL.Image, scipy.interpolate, torch, dlib

def state():
    return {
        "dtype": str(torch.get_default_dtype()),
        "device": str(torch.get_default_device()),
        "gradients": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": [torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32],
        "matmul": torch.get_float32_matmul_precision(),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads(), cv2.getNumThreads()],
        "torch random": hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest(),
        "numpy random": hashlib.sha256(numpy.random.get_state()[1].tobytes()).hexdigest(),
        "numpy position": numpy.random.get_state()[2],
        "random": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "numpy errors": numpy.geterr(),
        "pixel limit": PIL.Image.MAX_IMAGE_PIXELS,
        "folder": os.getcwd(),
        "files here": sorted(os.listdir()),
        "environment": dict(os.environ),
        "root handlers": [repr(handler) for handler in logging.getLogger().handlers],
        "root level": logging.getLogger().level,
        "warning filters": [repr(each) for each in warnings.filters],
        "showwarning": repr(warnings.showwarning),
        "excepthook": repr(sys.excepthook),
        "locale": locale.setlocale(locale.LC_ALL),
        "interrupt": repr(signal.getsignal(signal.SIGINT)),
        "path": sys.path,
        "umask": [os.umask(0o22), os.umask(0o22)][1],
        "threads alive": threading.active_count(),
    }

torch.set_num_threads(2)
before = state()
import stylegan_swap
import stylegan_swap.errors
from stylegan_swap import Swapper, swap
identity, attribute, weights = sys.argv[1:]
for method in ("warp", weights):
    swapper = Swapper.from_pretrained(method, device="cpu")
    result = swapper(swapper.prepare(identity), attribute, face="all")
    assert result.faces[0].distance > 0
swapper(identity, attribute, seed=7, structure=0.5)
swapper.generate(n=2, seed=3)
with warnings.catch_warnings():
    # Random weights redraw nobody, and say so.
    warnings.simplefilter("ignore", stylegan_swap.errors.StyleganSwapWarning)
    swapper.generate(swapper.invert(identity))
swap(identity, attribute, method="warp")
swap(identity, attribute)
after = state()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
"""


def test_nothing_global_changes(tmp_path, astronaut_path, hopper_path, tiny_checkpoint):
    """In a fresh interpreter, so that what happens on import is seen as well."""
    done = subprocess.run(
        [sys.executable, "-c", SNAPSHOT, astronaut_path, hopper_path, tiny_checkpoint],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
    assert done.stderr == ""


def test_the_callers_precision_and_gradients_do_not_matter(swapper, astronaut, hopper):
    expected = pixels_of(swapper(astronaut, hopper))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            result = swapper(astronaut, hopper)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.abs(pixels_of(result).astype(int) - expected).max() <= 1
    assert result.faces[0].aligned.dtype == torch.float32
