"""The kernels' host build, compiled once per test session, and what needs a compiler or a GPU."""

from __future__ import annotations

import ctypes

import pytest
import torch

from cuda_ops import cpu_passes, dispatch
from cuda_ops.build import cpu_recipe, host_recipe
from cuda_ops.library import load_built
from cuda_ops.toolchain import BuildError


def pytest_collection_modifyitems(config, items):
    """Compiling for every architecture takes minutes: only where it is asked for, by `make cuda`."""
    if "nvcc" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("nvcc"):
            item.add_marker(pytest.mark.skip(reason="compiles for minutes; `make cuda` runs it"))


@pytest.fixture(scope="session")
def host_library(pytestconfig):
    """The kernels built with the C++ compiler; kept between sessions, shared by workers of pytest-xdist."""
    try:
        return load_built(host_recipe(), pytestconfig.cache.mkdir("cuda_ops_host"))
    except BuildError as error:
        if "no C++ compiler" in str(error):
            pytest.skip(f"the host build of the kernels needs a compiler: {error}")
        raise


@pytest.fixture
def kernels(host_library):
    """Operations on CPU tensors run through the kernels meanwhile."""
    with dispatch.host_kernels(host_library):
        yield host_library


@pytest.fixture
def compiled(pytestconfig, monkeypatch):
    """The CPU kernels, built once and kept between sessions."""
    try:
        cpu_recipe()
    except BuildError as error:
        pytest.skip(f"the CPU kernels need a compiler: {error}")
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(pytestconfig.cache.mkdir("cpu_kernels")))
    monkeypatch.delenv("STYLEGAN_SWAP_OPS", raising=False)
    monkeypatch.setattr(cpu_passes, "_loaded", [])
    assert isinstance(cpu_passes.cpu_library(), ctypes.CDLL)


@pytest.fixture
def gpu():
    """The GPU, with kernels that work on it."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here")
    assert dispatch.kernels_ready(), dispatch.failure()
    return torch.device("cuda")
