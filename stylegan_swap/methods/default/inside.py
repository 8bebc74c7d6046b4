"""What of the attribute photo is seen inside the face: a small picture, and eyes and mouth in full.

On the road photo → detect → align → encoder → swapper → **generator** → paste this is the bottleneck
that keeps the attribute person out. Features of 64 channels at 32 pixels could hold the whole photo; so
the photo itself is made small first. Pose, light and colour survive in 32×32 pixels; gaze and expression
need more, and get it only where eyes and mouth are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d, activated
from stylegan_swap.nn.blocks.landmark_maps import CHANNELS, landmark_maps

RESOLUTIONS = (8, 16, 32)
SMALL = 32
# Eyes and mouth are seen at this side of the crop, whatever the network's.
DETAIL = 128
# Their windows: Gaussians of this share of the side around each landmark.
WINDOW = 0.02
ROOT_TWO = 2.0**0.5


class InsideFeatures(nn.Module):
    """Attribute photo ``[batch, 3, S, S]`` → features at 8, 16 and 32 pixels, and the small photo.

    Independent of S, so weights of a smaller network serve a larger one.

    Args:
        width: channels of the features.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        block = DETAIL // SMALL
        self.from_small = EqualizedConv2d(3 + (CHANNELS + 3) * block**2, width, 3, 1, 1)
        self.refine = EqualizedConv2d(width, width, 3, 1, 1)
        self.down = nn.ModuleDict({str(r): EqualizedConv2d(width, width, 3, 2, 1) for r in (16, 8)})
        self.bottom = EqualizedConv2d(width, width, 3, 1, 1)
        self.up = nn.ModuleDict({str(r): EqualizedConv2d(width, width, 3, 1, 1) for r in (16, 32)})

    def forward(self, small: Tensor, windows: Tensor) -> dict[int, Tensor]:
        """Look at what ``views`` gives: resolution → features ``[batch, width, r, r]`` for 8, 16 and 32."""
        fine = torch.cat([small, F.pixel_unshuffle(windows, DETAIL // SMALL)], 1)
        fine = activated(fine, self.from_small, self.refine)
        middle = activated(fine, self.down["16"])
        entries = {8: activated(middle, self.down["8"], self.bottom)}
        for resolution, skip in ((16, middle), (32, fine)):
            wide = F.interpolate(entries[resolution // 2], scale_factor=2.0, mode="nearest")
            # Two branches of unit variance, divided by √2 before the activation and multiplied after it.
            entries[resolution] = F.leaky_relu(self.up[str(resolution)](wide) + skip, 0.2, inplace=True)
        return entries

    @staticmethod
    def views(x: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """All that passes: the small photo ``[batch, 3, 32, 32]``, and the windows ``[batch, 7, 128, 128]``.

        The windows are the heat maps of eyes and lips, and the photo where it is within some pixels of
        their landmarks, black elsewhere. ``x`` is ``[batch, 3, S, S]``, RGB in [-1, 1], and ``landmarks``
        ``[batch, 68, 2]`` in its pixels; None closes the windows.
        """
        small, detail = _resized(x, SMALL), _resized(x, DETAIL)
        if landmarks is not None:
            landmarks = (landmarks + 0.5) * (DETAIL / x.shape[-1]) - 0.5
        maps = landmark_maps(landmarks, DETAIL, like=detail)
        window = landmark_maps(landmarks, DETAIL, like=detail, sigma=WINDOW).amax(1, keepdim=True)
        return small, torch.cat([maps, detail * window], 1)


def _resized(x: Tensor, size: int) -> Tensor:
    """Area mean when shrinking, bilinear when growing."""
    if x.shape[-1] >= size:
        return F.adaptive_avg_pool2d(x, size)
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
