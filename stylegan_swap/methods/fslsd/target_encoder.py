"""FSLSD's target encoder: the attribute photo as one feature map per resolution of the generator.

On the road photo → detect → align → encoder → swapper → **generator** → paste it delivers what the
blend decoder puts outside the face (Xu et al. 2022, FSLSD, §3.3). Parameter names and shapes are
those of the entry ``encoder_target`` of the released checkpoint without ``module.``.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from cuda_ops.layers import ConvLayer
from stylegan_swap.nn.stylegan2.generator import channels_for


class TargetEncoder(nn.Module):
    """A chain of halving convolutions, whose every step is put out.

    ``[batch, 3, S, S]``, RGB in [-1, 1] → resolution r → ``[batch, C_r, r, r]`` for r = 8..S, with the
    generator's channels C_r. 8.6 M parameters at 1024.

    Args:
        size: side S of the photo, a power of two from 16 on.
        channels: resolution → channels; None takes the published generator's.

    Raises:
        ValueError: a bad size, or a channel table that lacks a resolution.
    """

    def __init__(self, size: int, channels: Mapping[int, int] | None = None) -> None:
        super().__init__()
        table = channels_for(size) if channels is None else channels
        self.size = size
        self.resolutions = [2**k for k in range(3, size.bit_length())]
        missing = [r for r in self.resolutions if r not in table]
        if missing or size < 16:
            raise ValueError(f"TargetEncoder: size {size} from 16 on needs channels at {missing or '8..16'}.")
        # Nested once more than needed: the published names are encoder.{i}.0.{layer}.
        steps = [nn.Sequential(ConvLayer(3, table[size], 1))]
        for r in reversed(self.resolutions[:-1]):
            steps.append(nn.Sequential(ConvLayer(table[2 * r], table[r], 3, down=True)))
        self.encoder = nn.ModuleList(steps)

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        """Return the maps by resolution.

        Raises:
            ValueError: if ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"TargetEncoder reads [batch, 3, {self.size}, {self.size}], got {tuple(x.shape)}."
            )
        maps: dict[int, Tensor] = {}
        for r, step in zip(reversed(self.resolutions), self.encoder, strict=True):
            x = step(x)
            maps[r] = x
        return maps
