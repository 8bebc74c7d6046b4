"""HieRFE: MegaFS's hierarchical encoder, a five-stage ResNet whose pyramid feeds one head per style row.

The one published encoder that also returns a structure tensor, which takes the place of the generator's
learned constant (Zhu et al. 2021, "One Shot Face Swapping on Megapixels", §3.1). Parameter names and shapes
are those of the entry ``e`` of the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inversion.latents import Latents
from inversion.psp import add_lateral, strided_convolutions

INPUT_SIZE = 256
BLOCKS = (3, 4, 6, 3, 2)
PLANES = (64, 128, 256, 512, 512)
EXPANSION = 4
# Rows from the 8-, 16- and 32-pixel maps. 256 and 1024 are published; 512 is ours, in between.
SPLITS = {256: (3, 4, 7), 512: (4, 5, 7), 1024: (4, 6, 8)}
HEAD_SIDES = (8, 16, 32)


class Bottleneck(nn.Module):
    """ResNet-50's unit, the stride on its 3×3 convolution (He et al. 2016).

    Maps ``[batch, in_channels, h, w]`` to ``[batch, 4·planes, h/stride, w/stride]``.
    """

    def __init__(self, in_channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        channels = planes * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(residual + shortcut)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class FiveStageResNet(nn.Module):
    """ResNet-50 with a fifth stage, which halves the size once more and keeps the channels.

    ``[batch, 3, s, s]`` → maps at s/8, s/16, s/32 and, where the stage exists, s/64.

    Args:
        blocks: units per stage; four numbers leave the fifth stage out.
        planes: inner width per stage; a stage puts out four times as many channels.
    """

    def __init__(self, blocks: Sequence[int] = BLOCKS, planes: Sequence[int] = PLANES) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes[0])
        self.stages = len(blocks)
        channels = planes[0]
        for index, (count, width) in enumerate(zip(blocks, planes, strict=False)):
            units = [Bottleneck(channels, width, 2 if index else 1)]
            channels = width * EXPANSION
            units += [Bottleneck(channels, width) for _ in range(count - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*units))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of the second stage and of those behind it, the finest first."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps: list[Tensor] = []
        for index in range(self.stages):
            x = self.get_submodule(f"layer{index + 1}")(x)
            maps.append(x)
        return maps[1:]


class FeaturePyramid(nn.Module):
    """Brings the maps to one width and adds each coarser one to the next finer; the coarsest stays apart.

    Args:
        blocks: units per stage of the backbone.
        planes: inner width per stage.
        width: channels of the pyramid.
    """

    def __init__(self, blocks: Sequence[int], planes: Sequence[int], width: int) -> None:
        super().__init__()
        self.backbone = FiveStageResNet(blocks, planes)
        for index in range(1, len(blocks)):
            # The structure tensor takes either sign, like the constant it replaces: no ReLU.
            activation = [] if index == 4 else [nn.ReLU()]
            convolution = nn.Conv2d(planes[index] * EXPANSION, width, 3, 1, 1)
            self.add_module(f"output{index}", nn.Sequential(convolution, nn.BatchNorm2d(width), *activation))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Return the maps at 8, 16 and 32 pixels for 256-pixel images, and the 4-pixel one or None."""
        maps = self.backbone(x)
        outputs = [self.get_submodule(f"output{i + 1}")(feature) for i, feature in enumerate(maps)]
        fused = [outputs[2]]
        for finer in (outputs[1], outputs[0]):
            fused.append(add_lateral(fused[-1], finer))
        return fused, outputs[3] if len(outputs) > 3 else None


class StyleMapping(nn.Module):
    """A head: strided convolutions with batch norm and leaky ReLU down to one pixel, one style row.

    ``[batch, channels, side, side]`` → ``[batch, style_dim]``.
    """

    def __init__(self, channels: int, style_dim: int, side: int) -> None:
        super().__init__()
        self.convs = strided_convolutions(channels, style_dim, side, norm=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return one style per image."""
        return self.convs(x).flatten(1)


class HieRFE(nn.Module):
    """MegaFS's encoder into W+ and the structure space ("W++"), 242 M parameters with 18 rows.

    ``[batch, 3, 256, 256]``, RGB in [-1, 1] → codes ``[batch, L, D]`` inside (-1, 1) and a structure
    tensor ``[batch, width, 4, 4]``. The image stays 256 for every generator; only the number of heads
    changes. The codes pass through tanh and no average is added, so they are no pSp codes.

    Args:
        split: rows from the 8-, 16- and 32-pixel maps: ``SPLITS`` by size of the generator.
        style_dim: width D of a row.
        width: channels of the pyramid and of the structure tensor.
        blocks: units per stage of the backbone.
        planes: inner width per stage.
        structure: False leaves out the fifth stage; codes alone are returned ("omega only").

    Raises:
        ValueError: if a number of stages or rows does not fit.
    """

    def __init__(
        self,
        split: Sequence[int] = SPLITS[1024],
        style_dim: int = 512,
        *,
        width: int = 512,
        blocks: Sequence[int] = BLOCKS,
        planes: Sequence[int] = PLANES,
        structure: bool = True,
    ) -> None:
        super().__init__()
        if len(split) != 3 or min(split) < 0 or sum(split) < 1:
            raise ValueError(f"split holds the rows of three maps, got {tuple(split)}.")
        if len(blocks) != 5 or len(planes) != 5:
            raise ValueError(
                f"HieRFE has five stages, got blocks={tuple(blocks)} and planes={tuple(planes)}."
            )
        self.split = tuple(split)
        self.n_latent = sum(split)
        self.style_dim = style_dim
        self.fpn = FeaturePyramid(blocks if structure else blocks[:4], planes, width)
        for index, (count, side) in enumerate(zip(split, HEAD_SIDES, strict=True)):
            heads = nn.ModuleList(StyleMapping(width, style_dim, side) for _ in range(count))
            self.add_module(f"mapping{index + 1}", heads)

    def forward(self, x: Tensor) -> Latents:
        """Invert aligned images ``[batch, 3, 256, 256]``, RGB in [-1, 1].

        Raises:
            ValueError: if ``x`` has another shape.
        """
        if x.ndim != 4 or x.shape[1:] != (3, INPUT_SIZE, INPUT_SIZE):
            raise ValueError(
                f"HieRFE reads [batch, 3, {INPUT_SIZE}, {INPUT_SIZE}], got {tuple(x.shape)}; "
                "resize the aligned image first."
            )
        maps, structure = self.fpn(x)
        rows = [
            head(feature)
            for index, feature in enumerate(maps)
            for head in self.get_submodule(f"mapping{index + 1}").children()
        ]
        return Latents(torch.stack(rows, 1).tanh(), structure)
