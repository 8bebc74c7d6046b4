"""ADA's geometric augmentations: flips, turns, shifts, scales, all in one resampling.

Beside the road, under ``ada``. All items of an image are one 3×3 matrix; the image is sampled once, at
twice its resolution between two halves of a wavelet, so that no transform but the intended one is seen
(a filter's softness would otherwise tell augmented images from photographs). Karras et al. (2020),
"Training generative adversarial networks with limited data", appendix B.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cuda_ops.upfirdn2d import downsample2d, setup_filter, upsample2d
from stylegan_swap.training.ada.ada_draws import Draws

ITEMS = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")

INTEGER_SHIFT = 0.125
SCALE = 0.2
TURN = math.pi
STRETCH = 0.2
SHIFT = 0.125

# Daubechies' symlet of 6 vanishing moments: half-band, and orthogonal to its own even shifts, so that
# up-sampling followed by down-sampling with the mirrored filter changes nothing.
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
# What the wavelet reaches beyond a sample, in pixels before up-sampling.
REACH = len(SYM6) // 4


def lowpass() -> Tensor:
    """The wavelet's low-pass ``[12]``, of sum 1, for both axes in turn."""
    return setup_filter(SYM6)


def draw_geometry(draws: Draws, items: Collection[str], side: int) -> Tensor | None:
    """Draw the transforms of a batch.

    Args:
        draws: the batch's random numbers.
        items: names out of ``ITEMS``.
        side: of the images, in pixels.

    Returns:
        ``[batch, 3, 3]``, float64, CPU: from pixels of the augmented image to pixels of the image, both
        counted from the centre; None where no image is moved.
    """
    matrix = torch.eye(3, dtype=torch.float64).repeat(draws.batch, 1, 1)
    if "xflip" in items:
        flip = draws.chosen("xflip", draws.whole("xflip", 2), 0.0)
        matrix = matrix @ _scaling(1 - 2 * flip, torch.ones_like(flip))
    if "rotate90" in items:
        matrix = matrix @ _rotation(draws.chosen("rotate90", draws.whole("rotate90", 4), 0.0) * (math.pi / 2))
    if "xint" in items:
        keep = draws.applies("xint")
        across, down = (
            torch.where(keep, draws.uniform(f"xint_{axis}") * (INTEGER_SHIFT * side), 0.0).round()
            for axis in "xy"
        )
        matrix = matrix @ _translation(-across, -down)
    if "scale" in items:
        scale = draws.chosen("scale", torch.exp2(draws.normal("scale") * SCALE), 1.0)
        matrix = matrix @ _scaling(1 / scale, 1 / scale)
    # Turned before and after stretching, each so often that either happens with probability p.
    either = 1 - math.sqrt(min(max(1 - draws.probability, 0.0), 1.0))
    if "rotate" in items:
        matrix = matrix @ _rotation(draws.chosen("rotate", draws.uniform("rotate") * TURN, 0.0, either))
    if "aniso" in items:
        stretch = draws.chosen("aniso", torch.exp2(draws.normal("aniso") * STRETCH), 1.0)
        matrix = matrix @ _scaling(1 / stretch, stretch)
    if "rotate" in items:
        turn = draws.chosen("rotate_again", draws.uniform("rotate_again") * TURN, 0.0, either)
        matrix = matrix @ _rotation(turn)
    if "xfrac" in items:
        keep = draws.applies("xfrac")
        across, down = (
            torch.where(keep, draws.normal(f"xfrac_{axis}") * (SHIFT * side), 0.0) for axis in "xy"
        )
        matrix = matrix @ _translation(-across, -down)
    return None if torch.equal(matrix, torch.eye(3, dtype=torch.float64).expand_as(matrix)) else matrix


def move(images: Tensor, matrix: Tensor, taps: Tensor) -> Tensor:
    """Resample images by the transforms of :func:`draw_geometry`; twice differentiable in the images.

    Args:
        images: ``[batch, channels, S, S]``, float32 or float64.
        matrix: ``[batch, 3, 3]``, CPU.
        taps: of :func:`lowpass`, on the device of the images.

    Returns:
        Like ``images``; beyond the border they are mirrored.
    """
    side = images.shape[-1]
    left_px, top_px, right_px, bottom_px = _margins(matrix, side)
    images = F.pad(images, (left_px, right_px, top_px, bottom_px), mode="reflect")
    middle = matrix.new_tensor([(left_px - right_px) / 2, (top_px - bottom_px) / 2])
    to_input = _translation(middle[:1], middle[1:]) @ matrix
    images = upsample2d(images, taps, up=2)
    # Pixel centres of the doubled image lie half a (doubled) pixel off those of the image.
    half = matrix.new_tensor([0.5])
    twice, once = matrix.new_tensor([2.0]), matrix.new_tensor([0.5])
    to_input = _scaling(twice, twice) @ to_input @ _scaling(once, once)
    to_input = _translation(-half, -half) @ to_input @ _translation(half, half)
    # affine_grid counts in half sides.
    out = (side + 2 * REACH) * 2
    height, width = images.shape[2:]
    scale_in = _scaling(matrix.new_tensor([2 / width]), matrix.new_tensor([2 / height]))
    scale_out = _scaling(matrix.new_tensor([out / 2]), matrix.new_tensor([out / 2]))
    theta = (scale_in @ to_input @ scale_out)[:, :2].to(images.dtype).to(images.device, non_blocking=True)
    grid = F.affine_grid(theta, [images.shape[0], images.shape[1], out, out], align_corners=False)
    sampled = _Sample.apply(images, grid)
    return downsample2d(sampled, taps, down=2, padding=-2 * REACH, flip_filter=True)


def _margins(matrix: Tensor, side: int) -> tuple[int, int, int, int]:
    """How far this batch looks over the left, upper, right and lower border, in whole pixels."""
    reach = (side - 1) / 2
    corners = matrix.new_tensor(
        [[-reach, -reach, 1], [reach, -reach, 1], [reach, reach, 1], [-reach, reach, 1]]
    )
    corners_px = (matrix @ corners.T)[:, :2]
    least, highest = corners_px.amin((0, 2)), corners_px.amax((0, 2))
    over = torch.cat([-least, highest]) + (2 * REACH - reach)
    # Mirroring goes no further than the image itself.
    a, b, c, d = over.clamp(0, side - 1).ceil().int().tolist()
    return a, b, c, d


class _Sample(torch.autograd.Function):
    """Bilinear sampling, linear in the image; torch's own has no second derivative."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return F.grid_sample(image, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _SampleTransposed.apply(gradients[0], grid, ctx.shape), None


class _SampleTransposed(torch.autograd.Function):
    """The transposed map: what sampling sends back to the image."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        with torch.enable_grad():
            # Where a linear map is taken does not matter to its transpose.
            anywhere = gradient.new_zeros(shape).requires_grad_()
            sampled = F.grid_sample(anywhere, grid, align_corners=False)
            (result,) = torch.autograd.grad(sampled, anywhere, gradient)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(gradients[0], grid), None, None


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zeros, unit = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([x, zeros, zeros, zeros, y, zeros, zeros, zeros, unit], 1).view(-1, 3, 3)


def _translation(x: Tensor, y: Tensor) -> Tensor:
    zeros, unit = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([unit, zeros, x, zeros, unit, y, zeros, zeros, unit], 1).view(-1, 3, 3)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    zeros, unit = torch.zeros_like(cos), torch.ones_like(cos)
    return torch.stack([cos, -sin, zeros, sin, cos, zeros, zeros, zeros, unit], 1).view(-1, 3, 3)
