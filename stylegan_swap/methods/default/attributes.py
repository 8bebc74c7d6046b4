"""Attribute encoder: what of the attribute photo may enter the generator, and where.

On the road photo → detect → align → encoder → swapper → **generator** → paste this file decides
whether the result is a swap or a copy. Inside the face the attribute photo enters only at 8, 16 and
32 pixels, through the bottleneck of ``inside`` and gated, so pose, gaze, expression and light pass
but not the person; from 64 pixels on it enters only where the predicted mask says "not face".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d
from stylegan_swap.methods.default.inside import RESOLUTIONS as INSIDE
from stylegan_swap.methods.default.inside import SMALL, InsideFeatures
from stylegan_swap.nn.blocks.landmark_maps import CHANNELS, landmark_maps
from stylegan_swap.nn.blocks.modulation import InsideEntry, OutsideEntry
from stylegan_swap.nn.blocks.photo_pyramid import downwards, pyramid_sides, upwards
from stylegan_swap.nn.resize import doubled

ROOT_TWO = 2.0**0.5
# σ(2) = 0.88: how far the gate of the colours is open at first.
OPEN = 2.0


@dataclass(frozen=True)
class AttributeFeatures:
    """What one attribute photograph contributes.

    Attributes:
        entries: resolution r → features ``[batch, C, r, r]``, for r = 8..S.
        small: the photo at 32 pixels, ``[batch, 3, 32, 32]``.
        windows: the photo at eyes and mouth alone, see ``InsideFeatures.views``.
        mask_logits: ``[batch, 1, S, S]``, before the sigmoid, for binary cross-entropy.
        mask: ``[batch, 1, S, S]`` in 0..1, 1 = face to be replaced.
    """

    entries: Mapping[int, Tensor]
    small: Tensor
    windows: Tensor
    mask_logits: Tensor
    mask: Tensor


class ColourEntry(nn.Module):
    """The small photo in the RGB sum at 32 pixels: image ← (1 − g) ⊙ image + g ⊙ photo.

    Light and skin colour need not find their way through features that the identity modulates; the
    generator's later blocks add what is the identity's. g = σ(conv(a)) per pixel, nearly open at first.

    Args:
        width: channels of the attribute features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = EqualizedConv2d(width, 1, 3, 1, 1)
        nn.init.constant_(self.gate.get_parameter("bias"), OPEN)

    def forward(self, image: Tensor, entry: Tensor, small: Tensor) -> Tensor:
        """Return the blended image, shaped as ``image``: ``[batch, 3, 32, 32]``."""
        gate = self.gate(entry).sigmoid().to(image.dtype)
        return torch.lerp(image, small.to(image.dtype), gate.expand_as(image))


class AttributeEncoder(nn.Module):
    """Entries for the generator, and the face mask: a U-Net over the whole photo, and ``InsideFeatures``.

    Input: the aligned attribute photo ``[batch, 3, S, S]``, RGB in [-1, 1], and heat maps of eyes
    and mouth. Modules are named by resolution, and above 128 pixels every side is read and adds to the
    mask, so weights of a smaller network start a larger, see ``photo_pyramid``.

    Args:
        size: side S of photo, generator and mask; a power of two from 16.
        channels: channels of the generator per resolution, at least for 8..S.
        width: channels of the entries at 8, 16 and 32 pixels (64 in the design; it is the
            bottleneck that keeps the person out).

    Raises:
        ValueError: if ``size`` is no power of two from 16 or ``channels`` lacks a resolution.
    """

    def __init__(self, size: int, channels: Mapping[int, int], width: int = 64) -> None:
        super().__init__()
        if size < 16 or size & (size - 1):
            raise ValueError(f"size must be a power of two from 16, got {size}.")
        self.size = size
        self.resolutions = [2**k for k in range(3, size.bit_length())]
        missing = [r for r in self.resolutions if r not in channels]
        if missing:
            raise ValueError(f"The channel table lacks the resolutions {missing}.")
        widths = {r: _width(r, width) for r in self.resolutions}
        self.sides = pyramid_sides(size)
        self.from_image = nn.ModuleDict(
            {str(r): EqualizedConv2d(3 + CHANNELS, widths[r], 3, 1, 1) for r in self.sides}
        )
        self.down = nn.ModuleDict(
            {str(r): EqualizedConv2d(widths[2 * r], widths[r], 3, 2, 1) for r in self.resolutions[:-1]}
        )
        self.bottom = EqualizedConv2d(widths[8], widths[8], 3, 1, 1)
        self.lateral = nn.ModuleDict(
            {str(r): EqualizedConv2d(widths[r], widths[r], 3, 1, 1) for r in self.resolutions[1:]}
        )
        self.up = nn.ModuleDict(
            {str(r): EqualizedConv2d(widths[r // 2], widths[r], 3, 1, 1) for r in self.resolutions[1:]}
        )
        self.mask_head = nn.ModuleDict({str(r): EqualizedConv2d(widths[r], 1, 3, 1, 1) for r in self.sides})
        self.inside_features = InsideFeatures(width)
        if size >= SMALL:
            self.colour = ColourEntry(width)
        self.inside = nn.ModuleDict(
            {str(r): InsideEntry(channels[r], width) for r in self.resolutions if r in INSIDE}
        )
        self.outside = nn.ModuleDict(
            {str(r): OutsideEntry(channels[r], widths[r]) for r in self.resolutions if r not in INSIDE}
        )

    def forward(self, x: Tensor, landmarks: Tensor | None = None) -> AttributeFeatures:
        """Read a batch of attribute photos.

        Args:
            x: ``[batch, 3, S, S]``, RGB in [-1, 1].
            landmarks: ``[batch, 68, 2]`` in pixels of ``x``; None gives blank heat maps, and gaze
                and expression then rest on the photo alone.

        Raises:
            ValueError: if a shape does not fit.
        """
        if x.ndim != 4 or x.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"AttributeEncoder reads [batch, 3, {self.size}, {self.size}], got {tuple(x.shape)}."
            )
        small, windows = InsideFeatures.views(x, landmarks)
        inside = self.inside_features(small, windows)
        entries = {r: inside[r] for r in self.resolutions if r in INSIDE}
        skips = downwards(self, torch.cat([x, landmark_maps(landmarks, self.size, like=x)], 1))
        logits: Tensor | None = None
        for r, x in upwards(self, skips).items():
            if r not in INSIDE:
                entries[r] = x
            if r in self.sides:
                finer = self.mask_head[str(r)](x)
                logits = finer if logits is None else finer + doubled(logits)
        assert logits is not None
        return AttributeFeatures(entries, small, windows, logits, logits.sigmoid())

    def blender(
        self,
        features: AttributeFeatures,
        mask: Tensor | None = None,
        detail: Mapping[int, Tensor] | None = None,
    ) -> Blender:
        """Return the hook that the generator calls between the two convolutions of a block.

        Args:
            features: what :meth:`forward` returned.
            mask: face mask ``[batch, 1, S, S]`` in 0..1 instead of the predicted one.
            detail: what ``IdentityDetail`` adds, resolution → ``[batch, C_r, r, r]``.

        Raises:
            ValueError: if the mask has another shape.
        """
        mask = features.mask if mask is None else mask
        if mask.ndim != 4 or mask.shape[1:] != (1, self.size, self.size):
            raise ValueError(f"mask must be [batch, 1, {self.size}, {self.size}], got {tuple(mask.shape)}.")
        return Blender(self, features, mask, detail or {})


class Blender:
    """Generator hook: (resolution, hidden ``[batch, C_r, r, r]``) → hidden of the same shape."""

    def __init__(
        self,
        encoder: AttributeEncoder,
        features: AttributeFeatures,
        mask: Tensor,
        detail: Mapping[int, Tensor],
    ) -> None:
        self._encoder = encoder
        self._features = features
        self._detail = detail
        self.masks = mask_pyramid(mask, [int(r) for r in encoder.outside])

    def __call__(self, resolution: int, hidden: Tensor) -> Tensor:
        """Blend both photos into ``hidden``; resolutions without an entry pass unchanged."""
        key = str(resolution)
        entry = self._features.entries.get(resolution)
        if entry is None:
            return hidden
        if key in self._encoder.inside:
            hidden = self._encoder.inside[key](hidden, entry)
        if resolution in self._detail:
            hidden = hidden + self._detail[resolution].to(hidden.dtype)
        if key in self._encoder.inside:
            return hidden
        return self._encoder.outside[key](hidden, entry, self.masks[resolution])

    @property
    def image_hooks(self) -> dict[int, Callable[[int, Tensor], Tensor]]:
        """The generator's hooks for the RGB sum: the small photo enters it at 32 pixels."""
        return {SMALL: self._with_small_photo} if SMALL in self._features.entries else {}

    def _with_small_photo(self, resolution: int, image: Tensor) -> Tensor:
        return self._encoder.colour(image, self._features.entries[resolution], self._features.small)


def mask_pyramid(mask: Tensor, resolutions: list[int]) -> dict[int, Tensor]:
    """Pool a mask ``[batch, 1, S, S]`` by area to every resolution r: ``[batch, 1, r, r]``.

    Area pooling keeps a pixel at 1 only where all that it covers is face, so nothing of the
    attribute photo slips inside through rounding.
    """
    return {r: F.adaptive_avg_pool2d(mask, r) for r in resolutions}


def _width(resolution: int, width: int) -> int:
    """Channels of the U-Net: half up to 64 pixels, then falling as a layer's cost grows."""
    eighths = {128: 2}.get(resolution, 4 if resolution <= 64 else 1)
    return max(width * eighths // 8, min(width, 8))
