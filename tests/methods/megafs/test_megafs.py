"""MegaFS behind the method protocol, with tiny random weights; its published post-processing."""

from __future__ import annotations

import pytest
import torch
from methods.tiny import tiny_config, tiny_weights

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.megafs.method import MegaFSMethod, stretched
from stylegan_swap.methods.megafs.network import MegaFSNetwork

NAME = "megafs"


def test_without_structure_the_codes_are_the_attribute_photos(method, pair):
    faces, points = pair
    off = method.swap_aligned(method.prepare(faces), faces.flip(0), points.flip(0), {"structure": 0.0})
    torch.testing.assert_close(off.wplus, method.invert(faces.flip(0)).wplus)


class Oval:
    """A parser in BiSeNet's numbers: skin in the middle, an ear beside it."""

    order = "bisenet"

    def __call__(self, x):
        labels = torch.zeros(len(x), 128, 128)
        labels[:, 16:112, 16:112] = 1
        labels[:, 40:60, 0:16] = 7
        return labels


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MegaFSNetwork(tiny_config("megafs"))


@pytest.fixture
def faces():
    return torch.rand(2, 3, 64, 64) * 2 - 1


def test_parity_stretches_the_image_and_erodes_the_mask(network, faces):
    points = torch.rand(2, 68, 2) * 40 + 12
    plain = MegaFSMethod(network)
    official = MegaFSMethod(network, parity=True, parser=Oval())
    own = plain.swap_aligned(plain.prepare(faces), faces.flip(0), points)
    reference = official.swap_aligned(official.prepare(faces), faces.flip(0))
    torch.testing.assert_close(reference.image.amin((1, 2, 3)), torch.full((2,), -1.0))
    torch.testing.assert_close(reference.image.amax((1, 2, 3)), torch.full((2,), 1.0))
    assert reference.mask.max() == 1 and 0 < reference.mask.mean() < own.mask.mean() + 1
    # The ear at the left border is no face; the middle is.
    assert reference.mask[0, 0, 25, 2] == 0 and reference.mask[0, 0, 32, 32] == 1
    torch.testing.assert_close(own.wplus, reference.wplus, atol=0.05, rtol=0)


def test_inverting_twice_inverts_the_pasted_face_again(network, faces):
    points = torch.rand(2, 68, 2) * 40 + 12
    once, twice = MegaFSMethod(network), MegaFSMethod(network, invert_twice=True)
    first = once.swap_aligned(once.prepare(faces), faces.flip(0), points)
    second = twice.swap_aligned(twice.prepare(faces), faces.flip(0), points)
    assert torch.equal(first.mask, second.mask) and torch.equal(first.wplus, second.wplus)
    pasted = first.image * first.mask + faces.flip(0) * (1 - first.mask)
    expected = network.synthesise(once.invert(pasted)).clamp(-1, 1)
    torch.testing.assert_close(second.image, expected)


def test_stretching_is_per_image():
    images = torch.stack([torch.linspace(0, 4, 12), torch.linspace(-9, 1, 12)]).reshape(2, 3, 2, 2)
    for image in stretched(images):
        torch.testing.assert_close(image.flatten(), torch.linspace(-1, 1, 12))
    assert stretched(torch.ones(1, 3, 2, 2)).isfinite().all()


def test_weights_of_another_method_are_refused(tmp_path):
    folder = tiny_weights("megafs", tmp_path / "mine")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"megafs"', '"fslsd"'))
    with pytest.raises(CheckpointError, match="weights of the method 'fslsd', not of 'megafs'") as caught:
        MegaFSMethod.from_pretrained(folder, device=torch.device("cpu"), dtype=torch.float32)
    assert str(folder) in str(caught.value)
