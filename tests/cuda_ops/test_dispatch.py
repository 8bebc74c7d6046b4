"""When kernels run and when plain torch does, for a GPU that is only pretended."""

import threading
import warnings
from types import SimpleNamespace

import pytest
import torch

from cuda_ops import dispatch, library, ops_backend
from cuda_ops.build import Recipe
from cuda_ops.toolchain import BuildError

RECIPE = Recipe("cuda", "/toolkit/nvcc", "13.0", ("-O3",))


class PretendedLibrary:
    device_type = "cuda"

    def __init__(self):
        self.checked = []

    def check(self, device):
        self.checked.append(str(device))


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """torch sees a GPU, and nothing is known yet of kernels."""
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    monkeypatch.delenv("STYLEGAN_SWAP_OPS", raising=False)
    monkeypatch.setattr(dispatch, "_checked", set())
    monkeypatch.setattr(dispatch, "_failure", [])
    monkeypatch.setattr(library, "_in_use", {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(dispatch, "cuda_recipe", lambda **_: RECIPE)
    monkeypatch.setattr("cuda_ops.dispatch.cuda_recipe", lambda **_: RECIPE)
    return SimpleNamespace(builds=[], monkeypatch=monkeypatch, cache=tmp_path / "ops")


def loads(gpu, result):
    """Let the library be had, or not."""

    def load(recipe):
        gpu.builds.append(recipe)
        if isinstance(result, Exception):
            raise result
        return result

    gpu.monkeypatch.setattr(dispatch, "load_built", load)
    return result


def tensor(index=0, dtype=torch.float32, kind="cuda"):
    return SimpleNamespace(device=SimpleNamespace(type=kind, index=index), dtype=dtype)


def test_every_gpu_is_tried_once(gpu):
    pretended = loads(gpu, PretendedLibrary())
    for _ in range(3):
        assert dispatch.use_kernels(tensor(0))
        assert dispatch.use_kernels(tensor(1, torch.bfloat16))
    assert pretended.checked == ["cuda:0", "cuda:1"]
    assert library.library_for(tensor()) is pretended


def test_other_devices_and_types_stay_with_torch(gpu):
    loads(gpu, AssertionError("nothing is to be built"))
    assert not dispatch.use_kernels(torch.ones(1, 1, 1, 1))
    assert not dispatch.use_kernels(tensor(dtype=torch.float64))
    for kind in ("mps", "meta", "xpu"):
        assert not dispatch.use_kernels(tensor(kind=kind))


def test_torch_is_a_choice(gpu):
    loads(gpu, AssertionError("nothing is to be built"))
    gpu.monkeypatch.setenv("STYLEGAN_SWAP_OPS", "torch")
    assert not dispatch.use_kernels(tensor())
    assert ops_backend().reason == "chosen by the user"


def test_a_failure_is_told_once_with_cause_and_remedy(gpu):
    loads(gpu, BuildError("nvcc said no; buy another"))
    with pytest.warns(
        RuntimeWarning, match=r"plain torch is .*: nvcc said no; buy another\. STYLEGAN_SWAP_OPS"
    ):
        assert not dispatch.use_kernels(tensor())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not dispatch.use_kernels(tensor())
        assert not dispatch.use_kernels(tensor(1))
    assert len(gpu.builds) == 1
    assert dispatch.failure() == "nvcc said no; buy another"
    backend = ops_backend()
    assert (backend.active, backend.reason) == ("torch", "nvcc said no; buy another")


def test_cuda_raises_instead_of_falling_back(gpu):
    loads(gpu, BuildError("nvcc said no"))
    gpu.monkeypatch.setenv("STYLEGAN_SWAP_OPS", "cuda")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"STYLEGAN_SWAP_OPS=cuda asks .*: nvcc said no\. Set it to"):
            dispatch.use_kernels(tensor())
    with pytest.raises(RuntimeError, match="nvcc said no"):
        ops_backend()


def test_a_trial_run_that_fails_counts_as_failure(gpu):
    class Broken(PretendedLibrary):
        def check(self, device):
            raise BuildError("a trial run failed")

    loads(gpu, Broken())
    with pytest.warns(RuntimeWarning, match="a trial run failed"):
        assert not dispatch.use_kernels(tensor())
    assert library._in_use == {}


def test_no_trial_run_while_a_graph_is_captured(gpu):
    pretended = loads(gpu, PretendedLibrary())
    gpu.monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert dispatch.use_kernels(tensor())
    assert pretended.checked == []


def test_a_refusal_known_from_before_is_not_waited_for_again(gpu):
    loads(gpu, AssertionError("nothing is to be built"))
    gpu.cache.mkdir()
    (gpu.cache / f"{RECIPE.key}.failed.txt").write_text("error: no")
    assert "failed before" in ops_backend().reason
    with pytest.warns(RuntimeWarning, match="failed before with this version and these flags"):
        assert not dispatch.use_kernels(tensor())
    dispatch._failure.clear()
    pretended = loads(gpu, PretendedLibrary())
    gpu.monkeypatch.setenv("STYLEGAN_SWAP_OPS", "cuda")
    assert dispatch.use_kernels(tensor())
    assert pretended.checked == ["cuda:0"]


def test_threads_build_once(gpu):
    loads(gpu, PretendedLibrary())
    start = threading.Barrier(4)
    results = []

    def work():
        start.wait()
        results.append(dispatch.use_kernels(tensor()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
    assert len(gpu.builds) == 1


def test_torch_without_cuda(gpu):
    gpu.monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.warns(RuntimeWarning, match="not built for CUDA"):
        assert not dispatch.use_kernels(tensor())


def test_the_backend_of_a_gpu(gpu):
    backend = ops_backend()
    assert (backend.active, backend.device) == ("cuda", "cuda")
    assert "not compiled yet" in backend.reason
    gpu.monkeypatch.setattr(
        "cuda_ops.dispatch.find_built", lambda recipe: gpu.cache / recipe.key / "cuda_ops.so"
    )
    assert ops_backend().reason == f"compiled, in {gpu.cache / RECIPE.key}"

    def refuse(**_):
        raise BuildError("no nvcc was found")

    gpu.monkeypatch.setattr("cuda_ops.dispatch.cuda_recipe", refuse)
    assert ops_backend().reason == "no nvcc was found"


def test_operations_without_a_library_say_so(monkeypatch):
    monkeypatch.setattr(library, "_in_use", {})
    with pytest.raises(RuntimeError, match="are not loaded for cpu"):
        torch.ops.cuda_ops.mask_blend(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))


def test_host_kernels_take_a_host_library_and_end(host_library):
    x = torch.ones(1)
    with dispatch.host_kernels(host_library):
        assert dispatch.use_kernels(x)
    assert not dispatch.use_kernels(x)
    with pytest.raises(ValueError, match="built for GPUs"), dispatch.host_kernels(PretendedLibrary()):
        pass
