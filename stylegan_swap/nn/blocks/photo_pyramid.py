"""How the two U-Nets that read photographs grow: every side from 128 pixels on has an input of its own.

A network of 256 pixels reads the photo at 256 and, like the one of 128 that it started from, at 128; what the
finer side adds begins at zero. So a trained network computes exactly what it did when its side is doubled
(after Karnewar and Wang, MSG-GAN, 2020, and the input skips of StyleGAN2, figure 7b).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d, activated, joined_upwards

ROOT_TWO = 2.0**0.5
# The side from which on every side is read.
FIRST_SIDE = 128


class PhotoReader(Protocol):
    """A U-Net that reads photos at several sides."""

    size: int
    resolutions: list[int]
    from_image: nn.ModuleDict
    down: nn.ModuleDict
    bottom: EqualizedConv2d
    lateral: nn.ModuleDict
    up: nn.ModuleDict


def pyramid_sides(size: int) -> list[int]:
    """Sides at which a network of ``size`` pixels reads photos, rising; below 128 only its own."""
    first = min(size, FIRST_SIDE)
    return [first * 2**k for k in range((size // first).bit_length())]


def downwards(reader: PhotoReader, x: Tensor) -> dict[int, Tensor]:
    """The U-Net's way down.

    Args:
        reader: the network.
        x: the photo and all that is seen with it, ``[batch, C, S, S]``.

    Returns:
        Resolution → features after the activation, for all of the reader's resolutions.
    """
    skips: dict[int, Tensor] = {}
    features: Tensor | None = None
    for r in reversed(reader.resolutions):
        parts = [] if features is None else [reader.down[str(r)](features)]
        if str(r) in reader.from_image:
            view = x if r == x.shape[-1] else F.adaptive_avg_pool2d(x, r)
            parts.append(reader.from_image[str(r)](view.contiguous(memory_format=torch.channels_last)))
        features = F.leaky_relu(sum(parts[1:], parts[0]) * ROOT_TWO, 0.2, inplace=True)
        skips[r] = features
    return skips


def upwards(reader: PhotoReader, skips: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The U-Net's way up.

    Args:
        reader: the network.
        skips: what ``downwards`` gives.

    Returns:
        Resolution → features after the activation, for all of the reader's resolutions but the lowest.
    """
    x = activated(skips[reader.resolutions[0]], reader.bottom)
    features = {}
    for r in reader.resolutions[1:]:
        x = features[r] = joined_upwards(x, skips[r], reader.up[str(r)], reader.lateral[str(r)])
    return features


@torch.no_grad()
def begin_at_zero(network: nn.Module, side: int) -> None:
    """Let what the sides above ``side`` add begin at zero: features, mask and colours.

    Args:
        network: a ``SwapNetwork`` whose layers up to ``side`` come from a network of that side.
        side: of the smaller network.
    """
    for name, parameter in network.named_parameters():
        part, kind, number, *rest = [*name.split("."), "", ""][:5]
        if not number.isdecimal():
            continue
        resolution, last = int(number), rest[:2]
        if part in ("attributes", "detail"):
            # A smaller network has no entrance in common with this one.
            begins = {"down": side, "mask_head": 2 * side}.get(kind) if side >= FIRST_SIDE else None
        else:
            begins = 2 * side if kind == "to_rgbs" and last in (["conv", "weight"], ["bias", ""]) else None
            resolution = 8 * 2**resolution
        if begins is not None and resolution >= begins:
            parameter.zero_()
