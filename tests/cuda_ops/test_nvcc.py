"""The kernels compile for every architecture that nvcc 13 and PyTorch share, without a warning."""

import ctypes
import json
import os
import subprocess

import pytest
import torch

from cuda_ops.build import build, cuda_recipe
from cuda_ops.library import Library
from cuda_ops.toolchain import BuildError, find_nvcc

ARCHITECTURES = ("8.0", "8.6", "8.9", "9.0", "10.0", "12.0")


@pytest.fixture(scope="module")
def built(pytestconfig):
    """Kept between sessions, since it takes minutes."""
    try:
        recipe = cuda_recipe([], os.environ | {"TORCH_CUDA_ARCH_LIST": ";".join(ARCHITECTURES) + "+PTX"})
    except BuildError as error:
        pytest.skip(str(error))
    return build(recipe, pytestconfig.cache.mkdir("cuda_ops_nvcc"), timeout=7000), recipe


@pytest.mark.nvcc
@pytest.mark.timeout(7200)
def test_every_architecture_without_a_warning(built):
    path, recipe = built
    record = json.loads((path.parent / "build.json").read_text(encoding="utf-8"))
    print(f"{record['seconds']} s: {' '.join(recipe.flags)}")
    assert record["output"] == ""
    data = path.read_bytes()
    for architecture in ARCHITECTURES:
        assert f"sm_{architecture.replace('.', '')}".encode() in data


@pytest.mark.nvcc
@pytest.mark.timeout(7200)
def test_it_loads_and_without_a_gpu_says_why_it_cannot_run(built):
    path, recipe = built
    library = Library(path, recipe.key)
    assert library.device_type == "cuda"
    if torch.cuda.is_available():
        library.check(torch.device("cuda"))
        return
    with pytest.raises(BuildError, match=r"a trial run failed: cuda_ops_epilogue: .*(driver|device)"):
        library.check(torch.device("cpu"))


@pytest.mark.nvcc
@pytest.mark.timeout(7200)
def test_it_needs_no_library_of_cuda_or_torch(built):
    """So that it loads beside whatever version of them the process has."""
    path, _ = built
    needed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" in needed
    assert not [
        line for line in needed.splitlines() if "NEEDED" in line and ("cuda" in line or "torch" in line)
    ]
    assert ctypes.CDLL(str(path)).cuda_ops_is_host() == 0
    assert find_nvcc()
