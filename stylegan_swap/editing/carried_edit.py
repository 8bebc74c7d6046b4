"""Latent edits brought into a picture of a face: what the generator changes is carried over to it.

Road: photo → detect → align → **invert → edit → generate → carry over** → paste; called by ``photo_editing``.
A generator draws an inverted face softer than the photo and not quite as the same person. So its pictures are
not pasted; what differs between the one before and the one after the edit is carried over to the face.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion import Latents
from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.geometry.landmark_warp import warp_to_landmarks
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.tensors import to_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap

# Landmarks are found at this side at least: dlib's trees are trained on faces of some hundred pixels.
_SEEN_AT = 256
# How far motion and appearance reach beyond the hull of the face, in shares of the crop's side.
_MOTION_REACH, _APPEARANCE_REACH = 0.14, 0.06
# Changes below the first (in 1/255) leave the photo's own pixels, from the second on the edit counts fully.
_UNSEEN, _SEEN = 1.0, 4.0


def edited_face(
    method: Any, x: Tensor, landmarks: Tensor | None, edit: Callable[[Latents], Latents]
) -> AlignedSwap:
    """Edit aligned faces.

    Args:
        method: with ``invert`` and ``generate``.
        x: ``[batch, 3, s, s]``, RGB in [-1, 1].
        landmarks: ``[batch, 68, 2]`` in pixels of ``x``; None finds them.
        edit: from codes to codes.

    Returns:
        The edited faces at the side s, their masks, and the edited codes.
    """
    side = x.shape[-1]
    source_codes = method.invert(x)
    edited_codes = edit(source_codes)
    if landmarks is None:
        landmarks = _landmarks(x)
    old, new = (method.generate(codes, len(x), 1.0, 0).to(x) for codes in (source_codes, edited_codes))
    detection_side = max(_SEEN_AT, old.shape[-1])
    old_points, new_points = (_landmarks(_resized(face, detection_side)) for face in (old, new))
    motion = (new_points - old_points) * (side / detection_side)
    old, new = _resized(old, side), _resized(new, side)
    # Landmarks of the photo move as those of the generator's pictures did.
    points = landmarks.to(x)
    source_points = ((old_points + 0.5) * (side / detection_side) - 0.5).to(x)
    motion = motion.to(x)
    carried, coverage = warp_to_landmarks(x, points, points + motion)
    old_moved, source_coverage = warp_to_landmarks(old, source_points, source_points + motion)
    visible = (coverage > 0).to(x) * (source_coverage > 0).to(x)
    wide, near = (
        _reach(points, points + motion, side, reach).to(x) for reach in (_MOTION_REACH, _APPEARANCE_REACH)
    )
    image = (carried + near * visible * (new - old_moved)).clamp(-1, 1)
    mask = wide * _visible(image - x)
    return AlignedSwap(image, mask, edited_codes.wplus)


def _landmarks(x: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([landmarks_of_crop(crop) for crop in to_pixels(x.float().clamp(-1, 1))]))


def _resized(x: Tensor, side: int) -> Tensor:
    if x.shape[-1] == side:
        return x
    return F.interpolate(
        x, (side, side), mode="bicubic", align_corners=False, antialias=x.shape[-1] > side
    ).clamp(-1, 1)


def _reach(source_points: Tensor, target_points: Tensor, side: int, margin: float) -> Tensor:
    """Round the face where it was and where it is, ``[batch, 1, side, side]``."""
    masks = [
        np.maximum(reach_mask(first, side, margin=margin), reach_mask(second, side, margin=margin))
        for first, second in zip(source_points.cpu().numpy(), target_points.cpu().numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(masks))[:, None]


def _visible(change: Tensor) -> Tensor:
    """0 where a change cannot be seen, 1 where it can, ``[batch, 1, s, s]``, smooth."""
    size = change.shape[-1]
    amount = change.abs().amax(1, keepdim=True) * 127.5
    kernel = 2 * round(0.02 * size) + 1
    # Three means of a box are nearly a Gaussian.
    for _ in range(3):
        amount = F.avg_pool2d(amount, kernel, 1, kernel // 2, count_include_pad=False)
    ramp = ((amount - _UNSEEN) / (_SEEN - _UNSEEN)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)
