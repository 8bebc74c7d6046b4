"""StyleGAN2's residual discriminator, which tells photographs from generated faces in training.

State-dict keys and shapes are those of the exchange layout (`d` of rosinality's port); the channel table is
free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cuda_ops.layers import ConvLayer, EqualizedLinear
from stylegan_swap.nn.stylegan2.generator import check_channels, resolutions_of


def minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """Append a channel with the spread of the features inside groups of the batch.

    Group members lie `batch / group` apart (i, i + batch/group, ...), as in published networks.

    Args:
        x: `[batch, channels, h, w]`.
        group: samples per group; the batch itself where it is smaller.

    Returns:
        `[batch, channels + 1, h, w]`.

    Raises:
        ValueError: a batch that is no multiple of the group.

    Source: progressive growing (Karras et al. 2018), section 3.
    """
    batch, channels, height, width = x.shape
    members = min(batch, group)
    if members < 1 or batch % members:
        raise ValueError(
            f"minibatch_std: a batch of {batch} does not divide into groups of {members}; "
            f"use a multiple of {members} or another group."
        )
    parts = x.reshape(members, batch // members, channels, height, width)
    # In 16 bits the mean of small squares would round to 0.
    parts = parts.to(torch.promote_types(x.dtype, torch.float32))
    spread = (parts.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3)).to(x.dtype)
    plane = spread.repeat(members)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat((x, plane), dim=1)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, the second halving the size, plus a 1×1 skip; the sum over √2.

    Args:
        in_channels: channels at side r.
        out_channels: channels at side r/2.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(in_channels, in_channels, 3)
        self.conv2 = ConvLayer(in_channels, out_channels, 3, down=True)
        self.skip = ConvLayer(in_channels, out_channels, 1, down=True, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, in, r, r]` to `[batch, out, r/2, r/2]`."""
        half = math.sqrt(0.5)
        return self.conv2(self.conv1(x), gain=half) + self.skip(x, gain=half)


class Discriminator(nn.Module):
    """Image to logit.

    Args:
        size: side S of the image, a power of two from 8 on.
        channels: resolution → channels; None takes `channels_for(size, channel_multiplier)`.
        channel_multiplier: used where `channels` is None.
        in_channels: channels of the image, more than 3 where masks or heat maps ride along.
        group: samples per minibatch-std group.

    Raises:
        ValueError: a bad size, or a channel table that lacks a resolution.

    Source: StyleGAN2 (Karras et al. 2020), figure 7c, residual discriminator.
    """

    def __init__(
        self,
        size: int,
        channels: Mapping[int, int] | None = None,
        channel_multiplier: int = 2,
        in_channels: int = 3,
        group: int = 4,
    ) -> None:
        super().__init__()
        self.size = size
        self.in_channels = in_channels
        self.group = group
        self.channels = check_channels(size, channels, channel_multiplier)
        c = self.channels
        self.convs = nn.Sequential(ConvLayer(in_channels, c[size], 1))
        for r in reversed(resolutions_of(size)[1:]):
            self.convs.append(ResidualBlock(c[r], c[r // 2]))
        self.final_conv = ConvLayer(c[4] + 1, c[4], 3)
        self.final_linear = nn.Sequential(
            EqualizedLinear(c[4] * 16, c[4], activation="lrelu"),
            EqualizedLinear(c[4], 1),
        )

    def grown(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name the weights of a discriminator of half the side as this one's.

        Args:
            state: of a discriminator of this side, which is returned as it is, or of half of it.

        Returns:
            A whole state: the first layer and the first block of a larger one keep their random start.
        """
        if len({k.split(".")[1] for k in state if k.startswith("convs.")}) != len(self.convs) - 1:
            return dict(state)
        renamed = dict(self.state_dict())
        for name, tensor in state.items():
            parts = name.split(".")
            if parts[0] == "convs":
                if parts[1] == "0":
                    continue
                parts[1] = str(int(parts[1]) + 1)
            renamed[".".join(parts)] = tensor
        return renamed

    def features(self, x: Tensor) -> Tensor:
        """Map images to `[batch, C_4, 4, 4]`, what minibatch-std sees.

        Args:
            x: `[batch, in_channels, S, S]`, range [-1, 1].

        Returns:
            `[batch, C_4, 4, 4]`.

        Raises:
            ValueError: images of another shape.
        """
        if x.ndim != 4 or x.shape[1:] != (self.in_channels, self.size, self.size):
            raise ValueError(
                f"discriminator: images must be [batch, {self.in_channels}, {self.size}, {self.size}], "
                f"got {list(x.shape)}."
            )
        return self.convs(x.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        """Give a logit per image, above 0 for "photograph".

        Args:
            x: `[batch, in_channels, S, S]`, range [-1, 1]; the batch must divide into groups of
                `min(batch, group)`.

        Returns:
            `[batch, 1]`.

        Raises:
            ValueError: images of another shape, or a batch that does not divide into groups.
        """
        y = self.final_conv(minibatch_std(self.features(x), self.group))
        # Published weights flatten in channel order, whatever the memory format is.
        return self.final_linear(y.flatten(1))
