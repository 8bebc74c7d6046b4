"""ADA's colour augmentations: one affine map of RGB per image.

Beside the road, under ``ada``. Karras et al. (2020), "Training generative adversarial networks with
limited data", appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor

from stylegan_swap.training.ada.ada_draws import Draws

ITEMS = ("brightness", "contrast", "lumaflip", "hue", "saturation")

BRIGHTNESS = 0.2
CONTRAST = 0.5
HUE = math.pi
SATURATION = 1.0


def draw_colour(draws: Draws, items: Collection[str]) -> Tensor | None:
    """Draw the colour maps of a batch.

    Args:
        draws: the batch's random numbers.
        items: names out of ``ITEMS``.

    Returns:
        ``[batch, 3, 4]``, float64, CPU: matrix and offset of RGB in [-1, 1]; None where no image changes.
    """
    unchanged = torch.eye(3, 4, dtype=torch.float64).repeat(draws.batch, 1, 1)
    # Grey is the axis (1, 1, 1); what lies across it is colour.
    grey = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    identity = torch.eye(3, dtype=torch.float64)
    change = unchanged.clone()
    if "brightness" in items:
        change[:, :, 3] += draws.chosen("brightness", draws.normal("brightness") * BRIGHTNESS, 0.0)[:, None]
    if "contrast" in items:
        scale = draws.chosen("contrast", torch.exp2(draws.normal("contrast") * CONTRAST), 1.0)
        change = change * scale.view(-1, 1, 1)
    if "lumaflip" in items:
        flip = draws.chosen("lumaflip", draws.whole("lumaflip", 2), 0.0).view(-1, 1, 1)
        change = (identity - 2 * flip * grey) @ change
    if "hue" in items:
        change = _about_grey(draws.chosen("hue", draws.uniform("hue") * HUE, 0.0)) @ change
    if "saturation" in items:
        scale = draws.chosen("saturation", torch.exp2(draws.normal("saturation") * SATURATION), 1.0)
        change = (grey + (identity - grey) * scale.view(-1, 1, 1)) @ change
    # Rounding in the products of identities must not count as a change.
    return None if torch.allclose(change, unchanged, rtol=0, atol=1e-12) else change


def recolour(images: Tensor, change: Tensor) -> Tensor:
    """Map the colours of ``[batch, 3, H, W]`` by ``[batch, 3, 4]`` of :func:`draw_colour`."""
    change = change.to(images.dtype).to(images.device, non_blocking=True)
    mapped = torch.baddbmm(change[:, :, 3:], change[:, :, :3], images.flatten(2))
    return mapped.view_as(images)


def _about_grey(angle: Tensor) -> Tensor:
    """Rotations ``[batch, 3, 3]`` about the grey axis (Rodrigues' formula)."""
    axis = 1 / math.sqrt(3)
    cross = axis * torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64)
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return cos * torch.eye(3, dtype=torch.float64) + (1 - cos) / 3 + sin * cross
