"""Crop templates: the published systems' matrices, what all must do, and a swap through each kind of crop."""

from __future__ import annotations

import golden
import numpy as np
import pytest
import torch

from stylegan_swap import Swapper
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.geometry import templates
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.geometry.templates import (
    ARCFACE_112,
    ARCFACE_112_AFFINE,
    DFL_FULL,
    DFL_HALF,
    DFL_HEAD,
    DFL_MID_FULL,
    DFL_WHOLE,
    FFHQ,
    FFHQ_FIVE_POINTS,
    FIVE_POSE_224,
    CropTemplate,
    five_points,
)
from stylegan_swap.methods.base.network_method import BaseMethod, soft_masks
from stylegan_swap.methods.base.options import Option
from stylegan_swap.methods.base.protocol import AlignedSwap

ALL = [value for value in vars(templates).values() if isinstance(value, CropTemplate)]


@golden.mark
def test_five_points_are_laid_as_simswap_lays_them():
    recorded = golden.case("simswap_alignment").outputs
    for template, name, size in (
        (FIVE_POSE_224, "None.224", 224),
        (FIVE_POSE_224, "None.112", 112),
        (FFHQ_FIVE_POINTS, "ffhq.512", 512),
        (FFHQ_FIVE_POINTS, "ffhq.224", 224),
    ):
        for points, matrix in zip(recorded["landmarks"], recorded[f"M.{name}"], strict=True):
            found = template.align_points(points.numpy(), size).matrix
            np.testing.assert_allclose(found, matrix.numpy(), atol=1e-4)


@golden.mark
def test_face_types_are_those_of_deepfacelab():
    recorded = golden.case("dfl_align").outputs
    landmarks = recorded["landmarks"].numpy()
    for name, template in (
        ("half", DFL_HALF),
        ("mid_full", DFL_MID_FULL),
        ("full", DFL_FULL),
        ("whole_face", DFL_WHOLE),
        ("head", DFL_HEAD),
    ):
        # They work in single precision.
        matrix = recorded[f"mat_{name}"].numpy()
        np.testing.assert_allclose(template.align(landmarks, 256).matrix, matrix, atol=5e-4, err_msg=name)


@golden.mark
def test_the_affine_fit_and_its_inverse_are_mobilefaceswaps():
    recorded = {
        name: value.numpy() for name, value in golden.case("mobilefaceswap_align_paste").outputs.items()
    }
    alignment = ARCFACE_112_AFFINE.align_points(recorded["points"], 224)
    np.testing.assert_allclose(alignment.matrix, recorded["matrix"], atol=1e-4)
    np.testing.assert_allclose(alignment.inverse, recorded["back"], atol=1e-4)


def test_every_template_follows_the_face(astronaut_face):
    """Moved, turned and enlarged in the photo, a face lies in the same place of the crop."""
    landmarks = astronaut_face.landmarks.astype(np.float64)
    turn = 1.7 * np.array([[0.8, -0.6], [0.6, 0.8]])
    moved = landmarks @ turn.T + [40, -25]
    assert len(ALL) == 10
    for template in ALL:
        plain, other = template.align(landmarks, 224), template.align(moved, 224)
        np.testing.assert_allclose(
            other.to_crop(moved), plain.to_crop(landmarks), atol=1e-2, err_msg=template.name
        )
        assert template.side(moved) == pytest.approx(1.7 * template.side(landmarks), rel=1e-3)
        assert template.free_side(landmarks) <= template.free_side(moved)
        np.testing.assert_allclose(plain.to_photo(plain.to_crop(landmarks)), landmarks, atol=1e-2)
        with pytest.raises(ValueError, match="span no face"):
            template.align(np.full((68, 2), 7.0), 224)


def test_ffhq_is_the_crop_of_before_and_five_points_lie_on_their_template(astronaut_face):
    landmarks = astronaut_face.landmarks
    assert np.array_equal(FFHQ.align(landmarks, 256).matrix, ffhq_alignment(landmarks, 256).matrix)
    points = ARCFACE_112.align(landmarks, 112).to_crop(five_points(landmarks))
    assert np.abs(points - np.reshape(ARCFACE_112.poses, (5, 2))).max() < 6


class Tinted(BaseMethod[torch.Tensor]):
    """Makes the face red where the mask lies; keeps the crops it saw."""

    name, paper = "tinted", "none"
    size = 224
    options = (Option("strength", 0, 2, 1.0),)

    def __init__(self, crop: CropTemplate) -> None:
        self.crop = crop
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def _prepare(self, x_id, landmarks):
        return x_id

    def _swap(self, person, x_attr, landmarks, options):
        self.seen.append((x_attr, landmarks))
        image = x_attr.clone()
        image[:, 0] += options["strength"] * (1 - image[:, 0])
        return AlignedSwap(image, soft_masks(x_attr, landmarks))


@pytest.mark.parametrize("crop", [ARCFACE_112_AFFINE, FIVE_POSE_224], ids=lambda crop: crop.name)
def test_a_swap_goes_through_the_crop_a_method_declares(crop, astronaut, hopper, hopper_face):
    method = Tinted(crop)
    result = Swapper(method)(astronaut, hopper)
    image, inside = np.asarray(result.image), result.mask > 0.99
    landmarks = hopper_face.landmarks
    # What the method saw is the photo through the declared map, and so are the landmarks.
    expected = crop.align(landmarks, 224)
    np.testing.assert_allclose(method.seen[0][1][0], expected.to_crop(landmarks), atol=0.5)
    np.testing.assert_allclose(result.faces[0].alignment.matrix, expected.matrix, atol=1e-2)
    # What it changed lies in the face, at its place: red is new there, the other colours are the photo's.
    assert inside.sum() > 0.2 * np.prod(np.ptp(landmarks, axis=0))
    columns = np.nonzero(inside)[1]
    assert abs(columns.mean() - landmarks[:, 0].mean()) < 0.1 * np.ptp(landmarks[:, 0])
    assert (image[inside][:, 0] >= 250).all()
    assert np.abs(image[inside][:, 1:].astype(int) - hopper[inside][:, 1:]).mean() < 4
    assert np.array_equal(image[result.mask == 0], hopper[result.mask == 0])
    # An option of the method's own is handed on.
    plain = np.asarray(Swapper(method)(astronaut, hopper, options={"strength": 0}).image)
    assert np.abs(plain[inside].astype(int) - hopper[inside]).mean() < 4
    with pytest.raises(UnsupportedOptionError, match="strength is a dial from 0 to 2"):
        Swapper(method)(astronaut, hopper, options={"strength": 3})
