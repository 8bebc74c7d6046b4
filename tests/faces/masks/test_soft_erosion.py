"""MegaFS's soft erosion: recorded outputs, and what the formula leaves open."""

from __future__ import annotations

import golden
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.faces.masks.soft_erosion import erosion_kernel, soft_erosion


@golden.mark
@pytest.mark.parametrize(
    ("kernel", "threshold", "iterations", "side"), [(17, 0.9, 7, 256), (15, 0.6, 1, 128)]
)
def test_official_erosion(kernel, threshold, iterations, side):
    known = golden.case("megafs_soft_erosion")
    mask = (F.interpolate(known.input("mask"), size=side, mode="nearest") > -1.0).float()
    soft, hard = soft_erosion(mask, kernel, threshold, iterations)
    tail = f"k{kernel}_t{threshold}_i{iterations}"
    known.check(f"soft_{tail}", soft, tol=1e-5)
    known.check(f"hard_pool64_{tail}", F.adaptive_avg_pool2d(hard.float(), 64))


@golden.mark
def test_official_kernel():
    golden.case("megafs_soft_erosion").check("kernel_17", erosion_kernel(17), tol=1e-6)


def test_the_kernel_is_a_cone():
    cone = erosion_kernel(5)[0, 0]
    assert cone.sum().item() == pytest.approx(1, abs=1e-6)
    assert cone[0, 0] == 0 and cone[2, 2] == cone.max()
    assert torch.equal(cone, cone.T) and torch.equal(cone, cone.flip(0))


def test_a_face_shrinks_to_a_soft_edge():
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    soft, hard = soft_erosion(mask, 5, 0.9, 3)
    assert (soft[hard] == 1).all() and soft.max() == 1
    assert soft[0, 0, 32, 32] == 1 and soft[0, 0, 16, 32] < 1
    assert not soft[0, 0, :12].any()
    assert hard.sum() < mask.sum()
    row = soft[0, 0, 8:33, 32]
    assert (row.diff() >= 0).all()


def test_an_empty_mask_stays_empty_and_a_mask_stands_alone():
    masks = torch.zeros(2, 1, 64, 64)
    masks[1, :, 20:50, 10:40] = 1
    soft, hard = soft_erosion(masks, 5, 0.9, 3)
    assert not soft[0].any() and not hard[0].any() and soft.isfinite().all()
    torch.testing.assert_close(soft[1:], soft_erosion(masks[1:], 5, 0.9, 3)[0])


def test_what_does_not_fit_is_refused():
    for wrong in ({"kernel": 4}, {"iterations": 0}, {"mask": torch.zeros(1, 3, 8, 8)}):
        with pytest.raises(ValueError, match="must be"):
            soft_erosion(**{"mask": torch.zeros(1, 1, 8, 8), **wrong})
