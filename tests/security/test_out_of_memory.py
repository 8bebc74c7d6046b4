"""Memory runs out while a network runs: fewer faces, half precision, the CPU, each told; then an error."""

from __future__ import annotations

import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from stylegan_swap import Swapper
from stylegan_swap.cli import main as cli
from stylegan_swap.errors import FallbackWarning, NotEnoughMemoryError
from stylegan_swap.methods.base.memory import MemoryLadder
from stylegan_swap.methods.base.network_method import NetworkMethod
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.stylegan2.generator import Generator

GPU_WORDS = "CUDA out of memory. Tried to allocate 2.00 GiB"
CPU_WORDS = "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory"


@pytest.fixture
def tiny(tiny_checkpoint) -> Swapper:
    """Fresh: what a method learns about memory stays with it."""
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu", dtype="float32")


@pytest.fixture
def faces():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def points(tiny, astronaut_face):
    from stylegan_swap.faces.geometry.align import ffhq_alignment

    one = ffhq_alignment(astronaut_face.landmarks, 64).to_crop(astronaut_face.landmarks)
    return torch.from_numpy(np.stack([one] * 4))


@pytest.fixture
def failing(monkeypatch):
    """Lets the generator run out of memory so many times; counts the faces of every try."""

    def fail(times: int, error: Exception | None = None) -> list[int]:
        seen: list[int] = []
        forward = Generator.forward

        def run(self, wplus, **options):
            seen.append(len(wplus))
            if len(seen) <= times:
                raise error or torch.OutOfMemoryError(GPU_WORDS)
            return forward(self, wplus, **options)

        monkeypatch.setattr(Generator, "forward", run)
        return seen

    return fail


@pytest.fixture
def accelerated(monkeypatch):
    """The method believes that it runs on a GPU, so that every step is taken; its numbers are the CPU's."""

    def pretend(method) -> None:
        def moved(runner) -> bool:
            return runner is not method and runner.dtype == torch.float32

        monkeypatch.setattr(NetworkMethod, "on_accelerator", property(lambda runner: not moved(runner)))

    return pretend


def told(caught) -> list[str]:
    return [str(one.message).partition("ran out: ")[2] for one in caught if one.category is FallbackWarning]


def test_once_is_outlasted_by_emptied_caches(tiny, faces, points, failing):
    person = tiny.method.prepare(faces[:1], points[:1])
    expected = tiny.method.swap_aligned(person, faces, points)
    seen = failing(1)
    with pytest.warns(FallbackWarning, match="memory of cpu ran out: its caches were emptied"):
        found = tiny.method.swap_aligned(person, faces, points)
    assert seen == [4, 4]
    assert torch.equal(found.image, expected.image) and torch.equal(found.mask, expected.mask)


@pytest.mark.parametrize("several", [False, True])
def test_fewer_faces_at_once_give_the_same_picture(tiny, faces, points, failing, several):
    """One person for all, and a person for each face."""
    person = tiny.method.prepare(faces.flip(0) if several else faces[:1], points[: 4 if several else 1])
    expected = tiny.method.swap_aligned(person, faces, points)
    seen = failing(3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tiny.method.swap_aligned(person, faces, points)
    assert seen == [4, 4, 2, 1, 1, 1, 1]
    assert [text.split(" ")[0] for text in told(caught)] == ["its", "2", "1"]
    assert found.image.shape == expected.image.shape and found.wplus.shape == expected.wplus.shape
    assert (found.image - expected.image).abs().max() < 1e-4
    assert (found.mask - expected.mask).abs().max() < 1e-4
    # What helped is kept: the next call does not fail first.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny.method.swap_aligned(person, faces, points)
    assert seen[7:] == [1, 1, 1, 1]


def test_parted_faces_of_which_some_stay_in_place():
    """Features that moved in one group and not in the other keep places; other splines are 0."""

    class TwoGroups:
        name, device, dtype, on_accelerator = "two groups", torch.device("cpu"), torch.float32, False

    points = torch.rand(2, 68, 2)

    def swap(_, person, x_attr, landmarks, options):
        if len(x_attr) > 1:
            raise MemoryError
        weights = torch.ones(1, 71, 2) if bool((x_attr > 0).any()) else None
        moved = None if weights is None else landmarks + 1
        return AlignedSwap(x_attr, x_attr[:, :1], landmarks=moved, spline_weights=weights)

    x_attr = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    with pytest.warns(FallbackWarning):
        swapped = MemoryLadder(TwoGroups()).swap(swap, torch.zeros(1), x_attr, points, {})
    assert torch.equal(swapped.image, x_attr)
    assert torch.equal(swapped.landmarks, torch.stack([points[0], points[1] + 1]))
    assert swapped.spline_weights.sum((1, 2)).tolist() == [0, 142]
    assert swapped.spline_points is None


def test_faces_with_a_seed_keep_their_noise_when_parted(tiny, faces, points, failing):
    person = tiny.method.prepare(faces[:1], points[:1])
    expected = tiny.method.swap_aligned(person, faces, points, {"seed": 1})
    seen = failing(2)
    with pytest.warns(FallbackWarning):
        parted = tiny.method.swap_aligned(person, faces, points, {"seed": 1})
    assert seen == [4, 4, 2, 2]
    assert (parted.image - expected.image).abs().max() < 1e-4


def test_half_precision_and_then_the_cpu(tiny, faces, points, failing, accelerated):
    person = tiny.method.prepare(faces[:1], points[:1])
    expected = tiny.method.swap_aligned(person, faces[:1], points[:1])
    weights = {name: value.clone() for name, value in tiny.method.network.state_dict().items()}
    accelerated(tiny.method)
    seen = failing(2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        half = tiny.method.swap_aligned(person, faces[:1], points[:1])
    assert told(caught)[1].startswith("it goes on in bfloat16")
    assert 0 < (half.image - expected.image).abs().mean() < 0.05
    assert tiny.method.dtype == torch.float32, "the method itself stays as it was"
    seen.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        whole = tiny.method.swap_aligned(person, faces[:1], points[:1])
    assert told(caught)[1:] == ["it goes on on the CPU, which is slower; build the method anew to return"]
    assert (whole.image - expected.image).abs().max() < 1e-4 and whole.image.dtype == torch.float32
    # The copy shares nothing with the network, which others may be using.
    copied = tiny.method.memory.runner.network
    assert copied is not tiny.method.network and copied.identity is not tiny.method.network.identity
    for name, value in tiny.method.network.state_dict().items():
        assert torch.equal(value, weights[name])
        assert copied.state_dict()[name].data_ptr() != value.data_ptr()
        assert torch.equal(copied.state_dict()[name], weights[name])
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    # It stays there, without a word.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = tiny.method.swap_aligned(person, faces[:1], points[:1])
        tiny.method.invert(faces[:1])
        tiny.method.generate(None, 1, 0.7, 0)
    assert torch.equal(again.image, whole.image)


def test_a_refined_person_takes_their_own_network_along(tiny, hopper, astronaut, failing, accelerated):
    person = tiny.prepare(hopper, refine=1)
    expected = np.asarray(tiny(person, astronaut).image)
    accelerated(tiny.method)
    failing(3)
    with pytest.warns(FallbackWarning, match="on the CPU"):
        found = np.asarray(tiny(person, astronaut).image)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - astronaut).max() > 8


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(GPU_WORDS), RuntimeError(CPU_WORDS), MemoryError()])
def test_at_the_end_is_one_error_with_a_remedy(tiny, hopper, astronaut, failing, error):
    person = tiny.prepare(hopper)
    failing(99, error)
    with (
        pytest.warns(FallbackWarning),
        pytest.raises(NotEnoughMemoryError, match=r"memory of cpu does not suffice.*smaller network"),
    ):
        tiny(person, astronaut)


def test_other_errors_pass_at_once(tiny, hopper, astronaut, failing):
    person = tiny.prepare(hopper)
    seen = failing(99, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        tiny(person, astronaut)
    assert len(seen) == 1


def test_threads_step_down_once(tiny, faces, points, monkeypatch):
    """Both run out at the same time: the number of faces is halved once."""
    person = tiny.method.prepare(faces[:1], points[:1])
    meet, forward = threading.Barrier(2, timeout=60), Generator.forward
    tries: dict[int, int] = {}

    def run(self, wplus, **options):
        own = tries[threading.get_ident()] = tries.get(threading.get_ident(), 0) + 1
        if own <= 2:
            meet.wait()
            raise torch.OutOfMemoryError(GPU_WORDS)
        return forward(self, wplus, **options)

    monkeypatch.setattr(Generator, "forward", run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [
            threading.Thread(target=tiny.method.swap_aligned, args=(person, faces, points)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tiny.method.memory.faces_at_once == 2


def test_the_command_line_tells_it(
    tiny_checkpoint, astronaut_path, hopper_path, tmp_path, failing, capfd, monkeypatch
):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    command = [
        "stylegan-swap",
        "swap",
        str(hopper_path),
        str(astronaut_path),
        "--method",
        str(tiny_checkpoint),
    ]
    monkeypatch.setattr(sys, "argv", [*command, "--device", "cpu", "-o", str(tmp_path / "out.png")])
    failing(1)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert "note: default: the memory of cpu ran out: its caches were emptied" in capfd.readouterr().err
