"""Conversions between the pixels of OpenCV and the tensors of the networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop


def from_pixels(pixels: np.ndarray) -> Tensor:
    """``[S, S, 3]`` RGB in 0..255 → float32 ``[1, 3, S, S]`` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()[None] / 127.5 - 1


def to_pixels(x: Tensor) -> list[np.ndarray]:
    """``[batch, 3, S, S]`` in [-1, 1] → one float32 ``[S, S, 3]`` in 0..255 per face, clipped."""
    scaled = ((x.detach().float() + 1) * 127.5).clamp(0, 255).cpu()
    return [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in scaled]


def points_of(x: Tensor, landmarks: Tensor | None) -> list[np.ndarray]:
    """The 68 landmarks of aligned faces, ``[68, 2]`` each; predicted on the crops where not given."""
    if landmarks is None:
        return [landmarks_of_crop(crop) for crop in to_pixels(x)]
    return list(landmarks.cpu().numpy())
