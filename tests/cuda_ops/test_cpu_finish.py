"""The CPU kernels against float64, when they serve, and what happens where they cannot be had."""

from __future__ import annotations

import ctypes
import logging
import math
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from covering import pairwise

from cuda_ops import cpu_kernels, cpu_library, cpu_passes
from cuda_ops.build import Recipe, build, cpu_recipe
from cuda_ops.cpu_passes import (
    cpu_kernels_serve,
    cpu_to_rgb,
    finish,
    separable,
    winograd_conv2d,
    winograd_weight,
)
from cuda_ops.toolchain import BuildError
from stylegan_swap.nn.stylegan2.generator import Generator

LAST = torch.channels_last
WORTH = cpu_passes.SMALLEST_RESULT


@pytest.fixture
def unloaded(monkeypatch, tmp_path):
    """Nothing is known yet of kernels."""
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    monkeypatch.delenv("STYLEGAN_SWAP_OPS", raising=False)
    monkeypatch.setattr(cpu_passes, "_loaded", [])
    return tmp_path / "ops"


def expected(x, taps, padding, scale, noise, strength, bias, slope, gain, clamp):
    y = x.double()
    if taps is not None:
        x0, x1, y0, y1 = padding
        kernel = torch.outer(torch.tensor(taps[0]), torch.tensor(taps[1])).double()
        kernel = kernel.expand(x.shape[1], 1, -1, -1)
        y = F.conv2d(F.pad(y, (x0, x1, y0, y1)), kernel, groups=x.shape[1])
    if scale is not None:
        y = y * scale.double()[:, :, None, None]
    if noise is not None:
        y = y + strength.double() * noise.double()
    if bias is not None:
        y = y + bias.double()[:, None, None]
    y = torch.where(y > 0, y, y * slope) * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


TAPS = [0.25, 0.75, 0.75, 0.25]
CASES = [
    # channels, height, width, taps along y and x, padding
    (32, 9, 7, None, (0, 0, 0, 0)),
    (3, 5, 6, None, (0, 0, 0, 0)),
    (20, 4, 33, None, (0, 0, 0, 0)),
    (32, 9, 9, (TAPS, TAPS), (1, 1, 1, 1)),
    (16, 8, 3, (TAPS, [0.1, 0.2, 0.3, 0.4]), (3, 2, 0, 1)),
    (48, 1, 1, (TAPS, [0.4, -0.2, 0.3, 0.1]), (1, 3, 2, 1)),
    (16, 4, 5, (TAPS, TAPS), (0, 0, 0, 0)),
    (16, 4, 4, (TAPS, TAPS), (9, 7, 6, 8)),
    (21, 9, 9, (TAPS, TAPS), (1, 1, 1, 1)),
    (16, 6, 6, ([0.5, 0.5], [0.2, 0.3, 0.5]), (1, 1, 0, 1)),
]


@pytest.mark.parametrize(
    ("case", "full", "dtype"), pairwise(CASES, [True, False], [torch.float32, torch.bfloat16]), ids=str
)
def test_parity_with_float64(compiled, case, full, dtype):
    channels, height, width, taps, padding = case
    stream = torch.Generator().manual_seed(channels + height)
    x = torch.randn(3, channels, height, width, generator=stream).to(dtype).contiguous(memory_format=LAST)
    x0, x1, y0, y1 = padding
    size = (height, width)
    if taps is not None:
        size = height + y0 + y1 - len(taps[0]) + 1, width + x0 + x1 - len(taps[1]) + 1
    ending = {"scale": None, "noise": None, "strength": None, "bias": None}
    if full:
        ending["scale"] = torch.rand(3, channels, generator=stream) + 0.5
        ending["noise"] = torch.randn(1 if height % 2 else 3, 1, *size, generator=stream).to(dtype)
        ending["strength"] = torch.tensor([0.7])
        ending["bias"] = torch.randn(channels, generator=stream).to(dtype)
    last = {"slope": 0.2, "gain": math.sqrt(2), "clamp": 1.5 if full else None}
    exact = expected(x, taps, padding, *ending.values(), *last.values())
    y = finish(x.clone(memory_format=torch.preserve_format), taps=taps, padding=padding, **ending, **last)
    assert y.dtype == dtype
    assert y.shape == exact.shape
    assert y.is_contiguous(memory_format=LAST)
    # Half a unit of the eighth bit, and what float32 sums lose.
    error = (y.double() - exact).abs() - (exact.abs() * 2**-8 if dtype == torch.bfloat16 else 0)
    assert error.max() < 2e-6


def test_without_a_filter_it_writes_in_place(compiled):
    x = torch.randn(1, 16, 4, 4).contiguous(memory_format=LAST)
    assert finish(x).data_ptr() == x.data_ptr()


def test_nan_and_infinity_come_through(compiled):
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.zeros(1, 17, 1, 3, dtype=dtype).contiguous(memory_format=LAST)
        x[:, :, 0, 1], x[:, :, 0, 2] = float("nan"), float("-inf")
        y = finish(x, slope=0.2)
        assert y[:, :, 0, 1].isnan().all()
        assert (y[:, :, 0, 2] == float("-inf")).all()
        assert (y[:, :, 0, 0] == 0).all()


def test_any_number_of_threads_gives_the_same_bits(compiled):
    x = torch.randn(2, 32, 41, 37).contiguous(memory_format=LAST)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(finish(x, taps=(TAPS, TAPS), padding=(1, 1, 1, 1), slope=0.2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_threads_of_the_program_do_not_meet(compiled):
    inputs = [torch.randn(1, 16, 64, 64).contiguous(memory_format=LAST) for _ in range(4)]
    alone = [finish(x, taps=(TAPS, TAPS), padding=(1, 1, 1, 1)) for x in inputs]
    together: list[list[torch.Tensor]] = [[] for _ in inputs]

    def work(n):
        for _ in range(20):
            together[n].append(finish(inputs[n], taps=(TAPS, TAPS), padding=(1, 1, 1, 1)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for right, results in zip(alone, together, strict=True):
        assert len(results) == 20
        assert all(torch.equal(right, result) for result in results)


def test_operands_that_do_not_fit_are_refused(compiled):
    x = torch.randn(1, 16, 4, 4).contiguous(memory_format=LAST)
    with pytest.raises(ValueError, match="scale"):
        finish(x, scale=torch.ones(1, 15))
    with pytest.raises(ValueError, match="noise"):
        finish(
            x, taps=(TAPS, TAPS), padding=(1, 1, 1, 1), noise=torch.ones(1, 1, 4, 4), strength=torch.ones(1)
        )
    with pytest.raises(ValueError, match="gain"):
        finish(x, gain=0.0)
    with pytest.raises(ValueError, match="float16"):
        finish(x.half())
    with pytest.raises(ValueError, match="no gradients"):
        finish(x.clone().requires_grad_())


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_generator_s_images_stay(compiled, monkeypatch, dtype, batch):
    stream = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        table = {4: 32, 8: 32, 16: 32, 32: 32, 64: 40, 128: 32}
        network = Generator(128, channels=table, n_mlp=1).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if name.endswith(("noise.weight", "activate.bias")):
            parameter.data.normal_(generator=stream).mul_(0.3)
    wplus = torch.randn(batch, network.n_latent, 512, generator=stream)
    images = {}
    with torch.inference_mode():
        for name, backend in (("exact", "torch"), ("torch", "torch"), ("kernels", "auto")):
            monkeypatch.setenv("STYLEGAN_SWAP_OPS", backend)
            if name == "torch":
                network = network.to(dtype).for_inference()
            images[name] = network(wplus).image
    difference = (images["kernels"] - images["torch"]).abs().max()
    assert 0 < difference < (5e-5 if dtype == torch.float32 else 0.2)
    # Fewer roundings: not further from the exact image than plain torch is.
    errors = {name: (images[name] - images["exact"]).square().mean().sqrt() for name in ("torch", "kernels")}
    assert errors["kernels"] < max(1.1 * errors["torch"], 1e-5)


def test_when_they_serve(compiled, monkeypatch):
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=LAST)
    with torch.no_grad():
        assert cpu_kernels_serve(x, WORTH)
        assert cpu_kernels_serve(x.bfloat16(), WORTH)
        assert not cpu_kernels_serve(x, WORTH - 1)
        assert not cpu_kernels_serve(x.double(), WORTH)
        assert not cpu_kernels_serve(x.half(), WORTH)
        assert not cpu_kernels_serve(x.contiguous(), WORTH)
        assert not cpu_kernels_serve(x.to("meta"), WORTH)
        assert not cpu_kernels_serve(torch.nn.Parameter(x), WORTH)
        with torch.autocast("cpu", dtype=torch.float16):
            assert not cpu_kernels_serve(x, WORTH)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert cpu_kernels_serve(x, WORTH)
        seen = []
        torch.func.vmap(lambda one: seen.append(cpu_kernels_serve(one[None], WORTH)) or one)(x)
        assert seen == [False]
        monkeypatch.setenv("STYLEGAN_SWAP_OPS", "torch")
        assert not cpu_kernels_serve(x, WORTH)
        monkeypatch.setenv("STYLEGAN_SWAP_OPS", "fast")
        with pytest.raises(ValueError, match="fast"):
            cpu_kernels_serve(x, WORTH)
    monkeypatch.delenv("STYLEGAN_SWAP_OPS")
    assert not cpu_kernels_serve(x, WORTH), "gradients are wanted"


def test_separable_filters_are_found():
    f = torch.outer(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0]))
    along_y, along_x = separable(f)
    assert torch.allclose(torch.outer(torch.tensor(along_y), torch.tensor(along_x)), f.flip((0, 1)))
    assert separable(torch.eye(3)) is None
    assert separable(torch.ones(5, 5)) is None
    assert separable(torch.zeros(2, 2)) is None
    assert separable(torch.tensor([[1.0, -1.0], [1.0, -1.0]])) is None


def test_without_a_compiler_nobody_is_warned(unloaded, monkeypatch):
    def missing(environ=None):
        raise BuildError("no C++ compiler was found; install g++")

    monkeypatch.setattr(cpu_library, "cpu_recipe", missing)
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=LAST)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not cpu_kernels_serve(x, WORTH)
    assert "no C++ compiler" in cpu_kernels()
    with pytest.raises(RuntimeError, match="no C\\+\\+ compiler"):
        finish(x)


def test_a_compiler_that_fails_is_told_once_and_never_tried_again(unloaded, monkeypatch, tmp_path, caplog):
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho once >> '%s'\necho 'fatal error: no'\nexit 1\n" % (tmp_path / "runs"))
    script.chmod(0o755)
    monkeypatch.setattr(cpu_library, "cpu_recipe", lambda: Recipe("cpu", str(script), "1", ("-O3",)))
    x = torch.randn(1, 16, 8, 8).contiguous(memory_format=LAST)
    with torch.no_grad():
        with pytest.warns(RuntimeWarning, match="fatal error: no.*STYLEGAN_SWAP_OPS=torch"):
            assert not cpu_kernels_serve(x, WORTH)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not cpu_kernels_serve(x, WORTH)
        assert "fatal error" in cpu_kernels()
        # Another process finds the record.
        monkeypatch.setattr(cpu_passes, "_loaded", [])
        with pytest.warns(RuntimeWarning, match="failed before"):
            assert not cpu_kernels_serve(x, WORTH)
    assert (tmp_path / "runs").read_text() == "once\n"


def test_a_library_that_does_not_load_is_built_anew(unloaded, compiled, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    monkeypatch.setattr(cpu_passes, "_loaded", [])
    tried = []

    def check(path, key, original=cpu_library.checked_cpu_library):
        tried.append(path)
        if len(tried) == 1:
            raise BuildError("from another machine")
        return original(path, key)

    monkeypatch.setattr(cpu_library, "checked_cpu_library", check)
    assert "not compiled yet" in cpu_kernels()
    with caplog.at_level(logging.INFO):
        build(cpu_recipe())
        assert isinstance(cpu_passes.cpu_library(), ctypes.CDLL)
    assert len(tried) == 2
    assert caplog.text.count("compiling the CPU kernels") == 2
    assert "compiled, in" in cpu_kernels()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_first_call_may_come_from_autocast(compiled, dtype):
    with torch.autocast("cpu", dtype):
        assert isinstance(cpu_library.load_cpu_library(), ctypes.CDLL)


def test_wrong_libraries_are_refused(compiled, tmp_path):
    junk = tmp_path / "cuda_ops.so"
    junk.write_bytes(b"junk")
    with pytest.raises(BuildError, match="cannot be loaded"):
        cpu_library.checked_cpu_library(junk, "key")
    path = build(cpu_recipe())
    with pytest.raises(BuildError, match="other sources"):
        cpu_library.checked_cpu_library(path, "another")


def test_the_key_knows_the_instructions(monkeypatch):
    keys = set()
    for name in ("AVX512", "AVX2", "DEFAULT"):
        monkeypatch.setattr("cuda_ops.build._capability", lambda name=name: name)
        keys.add(cpu_recipe().key)
    assert len(keys) == 3


def test_every_instruction_set_gives_the_same_numbers(compiled, monkeypatch, tmp_path):
    if "AVX512" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("this processor cannot run all of them")
    x = torch.randn(1, 32, 9, 9).bfloat16().contiguous(memory_format=LAST)
    image, weight = torch.randn(1, 32, 9, 9).contiguous(memory_format=LAST), torch.randn(32, 32, 3, 3)
    exact = F.conv2d(image.double(), weight.double(), padding=1)
    colours, results = torch.randn(1, 3, 32), []
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    for name in ("AVX512", "AVX2", "DEFAULT"):
        monkeypatch.setattr("cuda_ops.build._capability", lambda name=name: name)
        monkeypatch.setattr(cpu_passes, "_loaded", [])
        results.append(finish(x, taps=(TAPS, TAPS), padding=(1, 1, 1, 1), slope=0.2).float())
        assert (winograd_conv2d(image, winograd_weight(weight)) - exact).abs().max() < 5e-4
        assert torch.allclose(
            cpu_to_rgb(x, colours), (colours @ x.float().flatten(2)).view(1, 3, 9, 9), atol=1e-4
        )
    assert torch.equal(results[0], results[1])
    # Without fused multiplication and addition sums are rounded once more.
    assert torch.allclose(results[0], results[2], rtol=2**-7)
