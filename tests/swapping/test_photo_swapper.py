"""The road of a photograph: its faces go through the network together, each as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap import Swapper
from stylegan_swap.methods.base.prepared import joined


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture
def batches(tiny, monkeypatch) -> list[int]:
    """Faces of every pass through the method."""
    sizes = []

    def counted(prepared, x_attr, landmarks, options, original=tiny.method.swap_aligned):
        sizes.append(len(x_attr))
        return original(prepared, x_attr, landmarks, options)

    monkeypatch.setattr(tiny.method, "swap_aligned", counted)
    return sizes


@pytest.mark.parametrize("options", [{}, {"seed": 3, "structure": 0.5}])
def test_the_faces_of_a_photo_are_one_batch(tiny, batches, two_faces, hopper, options):
    person = tiny.prepare(hopper)
    together = tiny(person, two_faces, face="all", **options)
    assert batches == [2]
    for number, face in enumerate(together.faces):
        alone = tiny(person, two_faces, face=number, **options).faces[0]
        torch.testing.assert_close(face.aligned, alone.aligned, atol=1e-4, rtol=0)
        torch.testing.assert_close(face.mask, alone.mask, atol=1e-4, rtol=0)


def test_several_people_are_one_batch(tiny, batches, two_faces, hopper, astronaut):
    together = tiny({0: hopper, 1: astronaut}, two_faces)
    assert batches == [2]
    for number, identity in enumerate((hopper, astronaut)):
        alone = tiny(identity, two_faces, face=number)
        torch.testing.assert_close(together.faces[number].aligned, alone.faces[0].aligned, atol=1e-4, rtol=0)
        changed = alone.mask > 0
        pixels = np.asarray(together.image).astype(int)[changed] - np.asarray(alone.image)[changed]
        assert np.abs(pixels).max() <= 1


def test_refined_people_bring_a_network_each(tiny, batches, two_faces, hopper, astronaut):
    people = tiny.prepare_people({0: tiny.prepare(hopper, refine=1), 1: astronaut})
    assert len(tiny(people, two_faces).faces) == 2
    assert batches == [1, 1]


def test_people_of_different_kinds_are_not_joined():
    person = torch.zeros(1, 3)
    assert joined([person, person]).shape == (2, 3)
    assert joined([[1], [2]]) == [1, 2]
    for other in (torch.zeros(1, 4), None, [person]):
        with pytest.raises(ValueError, match="cannot share a batch"):
            joined([person, other])
