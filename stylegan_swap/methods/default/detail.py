"""What of the identity photo itself enters the generator: skin, brows, eyes and lips in the attribute's pose.

On the road photo → detect → align → encoder → swapper → **generator** → paste: codes say who somebody is,
but a few hundred numbers hold no freckles and no hair of a brow. So the identity photo is carried onto the
attribute photo's landmarks (``landmark_warp``), given its light, and read by a small U-Net, whose features
are added to the generator's from 32 pixels on. People without a photo get nothing added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d
from stylegan_swap.faces.geometry.landmark_warp import carried, landmark_nodes
from stylegan_swap.nn.blocks.landmark_maps import CHANNELS
from stylegan_swap.nn.blocks.photo_pyramid import downwards, pyramid_sides, upwards

ROOT_TWO = 2.0**0.5
# Side of the patches whose light is compared, and what is added so that dark ones do not decide.
LIGHT = 16
DARK = 0.04
BRIGHTEST = 3.0
# The U-Net's lowest resolution, and the lowest at which it enters the generator.
BOTTOM, FIRST = 8, 32


@dataclass(frozen=True)
class DetailPhoto:
    """Photos of people, as the network keeps them.

    Attributes:
        image: ``[batch, 4, S, S]``: RGB in [-1, 1], and in 0..1 what of it may be used (0: a hole).
        landmarks: ``[batch, 68, 2]`` in pixels of the image; not finite: nothing may be used.
    """

    image: Tensor
    landmarks: Tensor

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, rows: slice) -> DetailPhoto:
        return DetailPhoto(self.image[rows], self.landmarks[rows])

    @classmethod
    def joined(cls, photos: Sequence[DetailPhoto]) -> DetailPhoto:
        """Several photos in one batch."""
        return cls(torch.cat([p.image for p in photos]), torch.cat([p.landmarks for p in photos]))

    def without(self, rows: Tensor) -> DetailPhoto:
        """Nothing of these photos may be used, ``rows`` being bool ``[batch]``."""
        return DetailPhoto(self.image, self.landmarks.masked_fill(rows.view(-1, 1, 1), float("nan")))

    def expand(self, batch: int) -> DetailPhoto:
        """One photo repeated for ``batch`` attribute photos."""
        return DetailPhoto(self.image.expand(batch, -1, -1, -1), self.landmarks.expand(batch, -1, -1))


class IdentityDetail(nn.Module):
    """Identity photo → features that are added to the generator's at 32..S.

    Modules are named by resolution, so weights of a smaller network start a larger. The projections begin at
    zero: a network without this part goes on as it was.

    Args:
        size: side S of the network's images, a power of two from 32.
        channels: channels of the generator per resolution.
        width: channels of the U-Net up to 32 pixels; half at 64, a quarter from there.
    """

    def __init__(self, size: int, channels: Mapping[int, int], width: int = 64) -> None:
        super().__init__()
        if size < FIRST:
            raise ValueError(f"size must be at least {FIRST}, got {size}.")
        self.size = size
        self.resolutions = [2**k for k in range(3, size.bit_length())]
        widths = {r: max(width * 32 // max(r, 32), width // 4) for r in self.resolutions}
        channels_in = 2 * 3 + 2 + 3 + CHANNELS + 3
        self.from_image = nn.ModuleDict(
            {str(r): EqualizedConv2d(channels_in, widths[r], 3, 1, 1) for r in pyramid_sides(size)}
        )
        self.down = nn.ModuleDict(
            {str(r): EqualizedConv2d(widths[2 * r], widths[r], 3, 2, 1) for r in self.resolutions[:-1]}
        )
        self.bottom = EqualizedConv2d(widths[BOTTOM], widths[BOTTOM], 3, 1, 1)
        wide = self.resolutions[1:]
        self.lateral = nn.ModuleDict({str(r): EqualizedConv2d(widths[r], widths[r], 3, 1, 1) for r in wide})
        self.up = nn.ModuleDict({str(r): EqualizedConv2d(widths[r // 2], widths[r], 3, 1, 1) for r in wide})
        self.project = nn.ModuleDict()
        for r in (r for r in self.resolutions if r >= FIRST):
            self.project[str(r)] = EqualizedConv2d(widths[r], channels[r], 3, 1, 1)
            nn.init.zeros_(self.project[str(r)].get_parameter("weight"))

    def forward(
        self,
        photo: DetailPhoto,
        views: tuple[Tensor, Tensor],
        landmarks: Tensor,
        carry: tuple[Tensor, Tensor] | None = None,
    ) -> dict[int, Tensor]:
        """Read photos of the identity for the attribute photos they go into.

        Args:
            photo: of the identity, one per attribute photo.
            views: of the attribute photos, what ``InsideFeatures.views`` gives: small, and in full only at
                eyes and mouth.
            landmarks: of the attribute photos, ``[batch, 68, 2]`` in their pixels.
            carry: the map onto them that ``landmark_nodes`` gives; None solves it.

        Returns:
            Resolution → what is to be added to the generator's hidden tensor, ``[batch, C_r, r, r]``, for
            32..S; zeros where nothing of the photo may be used.
        """
        small, windows = views
        warped, visibility = self.moved(photo, landmarks, carry)
        colours, usable = warped[:, :3], warped[:, 3:]
        wide = F.interpolate(small.float(), (self.size, self.size), mode="bilinear", align_corners=False)
        lit = relit(colours, usable, small.float()) * usable
        windows = F.interpolate(windows, (self.size, self.size), mode="bilinear", align_corners=False)
        x = torch.cat([lit, colours * usable, usable, visibility, wide, windows.float()], 1)
        skips = downwards(self, x)
        any_use = (usable.amax((1, 2, 3)) > 0).view(-1, 1, 1, 1)
        entries = {}
        for r, x in upwards(self, skips).items():
            if r >= FIRST:
                entries[r] = self.project[str(r)](x) * any_use
        return entries

    def moved(
        self, photo: DetailPhoto, landmarks: Tensor, carry: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The photo on the attribute's landmarks: ``[batch, 4, S, S]``, and ``[batch, 1, S, S]`` how kept.

        Holes are widened by the interpolation, never narrowed: their colours are not read.
        """
        image = photo.image
        alpha = image[:, 3:]
        size = image.shape[-1]
        nodes, finite = carry or landmark_nodes(photo.landmarks, landmarks, size, image.device)
        warped, visibility = carried(torch.cat([image[:, :3] * alpha, alpha], 1), nodes, finite, size)
        usable = warped[:, 3:]
        colours = (warped[:, :3] / usable.clamp_min(1e-3)).clamp(-1, 1)
        return torch.cat([colours, usable * (visibility > 0)], 1), visibility


def relit(image: Tensor, usable: Tensor, small: Tensor) -> Tensor:
    """Give a face the light of another that lies pixel on pixel with it.

    Patch by patch the colours are multiplied by the ratio of both means, so that what is finer stays.

    Args:
        image: ``[batch, 3, S, S]``, RGB in [-1, 1].
        usable: ``[batch, 1, S, S]`` in 0..1, the pixels of it that count.
        small: the other, ``[batch, 3, s, s]``, in [-1, 1].

    Returns:
        ``[batch, 3, S, S]`` in [-1, 1].
    """
    light = (image + 1) / 2
    weight = F.adaptive_avg_pool2d(usable, LIGHT)
    source_light = F.adaptive_avg_pool2d(light * usable, LIGHT)
    target_light = F.adaptive_avg_pool2d((small + 1) / 2, LIGHT)
    # Patches without a usable pixel keep their colours.
    ratio = (target_light * weight + DARK * weight + 1e-4) / (source_light + DARK * weight + 1e-4)
    ratio = ratio.clamp(1 / BRIGHTEST, BRIGHTEST)
    ratio = F.interpolate(ratio, image.shape[-2:], mode="bilinear", align_corners=False)
    return (((light + DARK) * ratio - DARK) * 2 - 1).clamp(-1, 1)
