"""StyleGAN2's generator: from W+ rows to a face, with a hook for attributes between its layers.

State-dict keys and shapes are those of the exchange layout (`g_ema` of rosinality's port), so files of
MegaFS, pSp, e4e and FSLSD load as they are; channels and the width of a row are free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from cuda_ops.layers import EqualizedLinear, ModulatedConv2d, PixelNorm, StyledConv, ToRGB

Blend = Callable[[int, Tensor], Tensor]
Noise = Literal["buffer", "random", "none"] | Sequence[Tensor | None]


@dataclass(frozen=True)
class GeneratorOutput:
    """What the generator puts out.

    Attributes:
        image: `[batch, 3, S, S]`, RGB around [-1, 1] (not clipped), at least float32.
        features: resolution r → hidden tensor `[batch, C_r, r, r]` after the block's last
            convolution; empty if they were not asked for.
    """

    image: Tensor
    features: dict[int, Tensor] = field(default_factory=dict)


def channels_for(size: int, channel_multiplier: int = 2) -> dict[int, int]:
    """Channels per resolution of the published networks.

    Args:
        size: side of the image, a power of two from 8 on.
        channel_multiplier: 2 for config F, 1 for half the channels from 64 px on.

    Returns:
        Resolution (4, 8, ... size) → channels: 512 up to 32 px, then `16384 · multiplier / r`.

    Raises:
        ValueError: a size that is no power of two from 8 on, or a multiplier below 1.

    Source: StyleGAN2 (Karras et al. 2020), configurations E and F.
    """
    _check_size(size)
    if channel_multiplier < 1:
        raise ValueError(f"channels_for: channel_multiplier must be at least 1, got {channel_multiplier}.")
    return {
        r: 512 if r <= 32 else max(1, 16384 * channel_multiplier // r)
        for r in (2**k for k in range(2, size.bit_length()))
    }


class Generator(nn.Module):
    """Mapping network and synthesis network with output skips.

    Args:
        size: side S of the image, a power of two from 8 on.
        style_dim: width D of z, w and of every W+ row.
        n_mlp: layers of the mapping network.
        channels: resolution → channels; None takes `channels_for(size, channel_multiplier)`.
        channel_multiplier: used where `channels` is None.
        lr_mlp: learning-rate factor of the mapping network.
        conv_clamp: limit after every layer, for networks trained in mixed precision; None for none.

    Raises:
        ValueError: a bad size, or a channel table that lacks a resolution.

    Source: StyleGAN2 (Karras et al. 2020), https://arxiv.org/abs/1912.04958.
    """

    def __init__(
        self,
        size: int,
        style_dim: int = 512,
        n_mlp: int = 8,
        channels: Mapping[int, int] | None = None,
        channel_multiplier: int = 2,
        lr_mlp: float = 0.01,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.style_dim = style_dim
        self.resolutions = resolutions_of(size)
        self.channels = check_channels(size, channels, channel_multiplier)
        c = self.channels
        self.style = nn.Sequential(
            PixelNorm(),
            *(EqualizedLinear(style_dim, style_dim, lr_mul=lr_mlp, activation="lrelu") for _ in range(n_mlp)),
        )
        self.input = _Constant(c[4])
        self.conv1 = StyledConv(c[4], c[4], style_dim, conv_clamp=conv_clamp)
        self.to_rgb1 = ToRGB(c[4], style_dim, upsample=False, conv_clamp=conv_clamp)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for j, r in enumerate(self.resolutions[1:]):
            self.convs.append(StyledConv(c[r // 2], c[r], style_dim, up=True, conv_clamp=conv_clamp))
            self.convs.append(StyledConv(c[r], c[r], style_dim, conv_clamp=conv_clamp))
            self.to_rgbs.append(ToRGB(c[r], style_dim, conv_clamp=conv_clamp))
            for n in (2 * j + 1, 2 * j + 2):
                self.noises.register_buffer(f"noise_{n}", torch.randn(1, 1, r, r))

    @property
    def n_latent(self) -> int:
        """Rows L of a W+ code: 2·log2(S) − 2."""
        return 2 * len(self.resolutions)

    @property
    def num_noises(self) -> int:
        """Noise maps, one per styled convolution: L − 1."""
        return self.n_latent - 1

    def for_inference(self) -> Generator:
        """Lay all weights out for speed and remember what no style changes; see `ModulatedConv2d`.

        Values, names and shapes stay the same. Call it when the weights are final.
        """
        for module in self.modules():
            if isinstance(module, ModulatedConv2d):
                module.for_inference()
        return self

    def mapping(self, z: Tensor) -> Tensor:
        """Map `z` `[batch, D]`, standard normal, to `w` `[batch, D]`."""
        return self.style(z.to(self._like()))

    @torch.no_grad()
    def mean_latent(self, n: int = 10_000, seed: int = 0) -> Tensor:
        """Mean of `w` over `n` draws of z: the `latent_avg` that truncation and encoders start from.

        Args:
            n: number of draws, at least 1.
            seed: the same seed gives the same draws on every device.

        Returns:
            `[D]`.

        Raises:
            ValueError: `n` below 1.
        """
        if n < 1:
            raise ValueError(f"mean_latent: n must be at least 1, got {n}.")
        stream = torch.Generator().manual_seed(seed)
        total = torch.zeros(self.style_dim, dtype=torch.float64)
        for start in range(0, n, 4096):
            z = torch.randn(min(4096, n - start), self.style_dim, generator=stream)
            total += self.mapping(z).sum(0).cpu().double()
        return (total / n).to(self._like())

    def truncate(self, w: Tensor, truncation_psi: float, latent_avg: Tensor) -> Tensor:
        """Pull `w` towards the mean: `latent_avg + truncation_psi · (w − latent_avg)`.

        Args:
            w: `[batch, D]` or `[batch, L, D]`.
            truncation_psi: 1 keeps `w`, 0 gives the mean.
            latent_avg: `[D]`, `[1, D]` or `[L, D]`.

        Returns:
            A tensor like `w`.

        Raises:
            ValueError: `latent_avg` of a shape that does not fit.

        Source: StyleGAN (Karras et al. 2019), appendix B.
        """
        average = latent_avg.to(w)
        if average.shape not in ((self.style_dim,), (1, self.style_dim), w.shape[1:]):
            raise ValueError(
                f"truncate: latent_avg {list(latent_avg.shape)} must be [{self.style_dim}], one row, or "
                f"like a code {list(w.shape[1:])}; take it from mean_latent or from the checkpoint."
            )
        return torch.lerp(average.expand_as(w), w, truncation_psi)

    def style_mix(self, first: Tensor, second: Tensor, index: int) -> Tensor:
        """Take rows before `index` from one code and the rest from another.

        Args:
            first: `[batch, D]` or `[batch, L, D]`.
            second: the same batch.
            index: 0..L, the first row that comes from `second`.

        Returns:
            `[batch, L, D]`.

        Raises:
            ValueError: an index outside 0..L, or codes of a wrong shape.

        Source: StyleGAN (Karras et al. 2019), section 3.1, mixing regularisation.
        """
        if not 0 <= index <= self.n_latent:
            raise ValueError(f"style_mix: index must lie in 0..{self.n_latent}, got {index}.")
        a, b = self.broadcast(first), self.broadcast(second)
        return torch.cat((a[:, :index], b[:, index:]), dim=1)

    def broadcast(self, w: Tensor) -> Tensor:
        """Repeat `w` `[batch, D]` to W+ `[batch, L, D]`; a W+ code is checked and returned.

        Raises:
            ValueError: any other shape.
        """
        if w.ndim == 2 and w.shape[1] == self.style_dim:
            return w[:, None].expand(-1, self.n_latent, -1)
        if w.ndim != 3 or w.shape[1:] != (self.n_latent, self.style_dim):
            raise ValueError(
                f"generator: a code must be [batch, {self.n_latent}, {self.style_dim}] (W+) or "
                f"[batch, {self.style_dim}] (w) for size {self.size}, got {list(w.shape)}."
            )
        return w

    def make_noise(self, batch: int = 1, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw all noise maps, standard normal: a list of `[batch, 1, r, r]` in layer order.

        The draw happens on the generator's device (the CPU without one) and is then moved, so
        that a seed means the same everywhere.
        """
        like = self._like()
        source = torch.device("cpu") if generator is None else generator.device
        sides = [4] + [r for r in self.resolutions[1:] for _ in range(2)]
        return [torch.randn(batch, 1, r, r, generator=generator, device=source).to(like) for r in sides]

    def forward(
        self,
        wplus: Tensor,
        *,
        noise: Noise = "buffer",
        structure: Tensor | None = None,
        blend: Blend | None = None,
        blend_image: Mapping[int, Blend] | None = None,
        generator: torch.Generator | None = None,
        return_features: bool = True,
        resolution: int | None = None,
    ) -> GeneratorOutput:
        """Synthesise images.

        Args:
            wplus: `[batch, L, D]`, or `w` `[batch, D]` for all rows.
            noise: "buffer" the stored maps, "random" new ones, "none", or a list of L − 1 maps
                `[batch or 1, 1, r, r]` (None in it: no noise in that layer).
            structure: `[batch or 1, C_4, 4, 4]` in place of the learned constant.
            blend: called as `blend(r, hidden)` in every up-sampling block (r = 8, 16, ... S), between
                its two convolutions, with hidden `[batch, C_r, r, r]`; returns the tensor of the same
                shape to go on with.
            blend_image: resolution → what is called alike after that block, with the RGB image so far,
                `[batch, 3, r, r]`.
            generator: random stream for `noise="random"`.
            return_features: False lets go of each block's hidden tensor at once, which at 1024 px
                spares hundreds of megabytes.
            resolution: side of a block to stop at; its RGB sum is the image. None goes on to the last.

        Returns:
            The image and the hidden tensors.

        Raises:
            ValueError: a code, structure, noise or blended tensor of a wrong shape, an unknown noise
                mode, or a resolution without a block.
        """
        if resolution is not None and resolution not in self.resolutions[1:]:
            raise ValueError(
                f"generator: resolution {resolution} has no block; choose one of {self.resolutions[1:]}."
            )
        rows = self.broadcast(wplus).to(self._like()).unbind(1)
        batch = wplus.shape[0]
        maps = self._noise_maps(noise, batch, generator)
        hidden = self._start(structure, batch)
        hidden = self.conv1(hidden, rows[0], maps[0])
        image = self.to_rgb1(hidden, rows[1])
        features = {4: hidden} if return_features else {}
        for j, r in enumerate(self.resolutions[1:]):
            hidden = self.convs[2 * j](hidden, rows[2 * j + 1], maps[2 * j + 1])
            if blend is not None:
                hidden = _blended(blend, r, hidden)
            hidden = self.convs[2 * j + 1](hidden, rows[2 * j + 2], maps[2 * j + 2])
            image = self.to_rgbs[j](hidden, rows[2 * j + 3], image)
            if blend_image is not None and r in blend_image:
                image = _blended(blend_image[r], r, image)
            if return_features:
                features[r] = hidden
            if r == resolution:
                break
        return GeneratorOutput(image, features)

    def _like(self) -> Tensor:
        """A parameter, to take device and dtype from."""
        return self.input.input

    def _start(self, structure: Tensor | None, batch: int) -> Tensor:
        """The 4×4 tensor that synthesis starts from, in the memory format that is fast everywhere."""
        constant: Tensor = self.input.input
        if structure is not None:
            if (
                structure.ndim != 4
                or structure.shape[0] not in (1, batch)
                or structure.shape[1:] != constant.shape[1:]
            ):
                raise ValueError(
                    f"generator: structure {list(structure.shape)} must be [{batch} or 1, "
                    f"{', '.join(str(n) for n in constant.shape[1:])}]."
                )
            constant = structure.to(constant)
        return constant.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)

    def _noise_maps(
        self, noise: Noise, batch: int, generator: torch.Generator | None
    ) -> Sequence[Tensor | None]:
        """One map per styled convolution."""
        if isinstance(noise, str):
            if noise == "buffer":
                return [self.noises.get_buffer(f"noise_{n}") for n in range(self.num_noises)]
            if noise == "random":
                return self.make_noise(batch, generator)
            if noise == "none":
                return [None] * self.num_noises
            raise ValueError(
                f"generator: unknown noise {noise!r}; choose 'buffer', 'random' or 'none', or pass a list."
            )
        if len(noise) != self.num_noises:
            raise ValueError(
                f"generator: {len(noise)} noise maps given, size {self.size} takes {self.num_noises}."
            )
        for n, noise_map in enumerate(noise):
            r = 2 ** ((n + 5) // 2)
            if noise_map is not None and (
                noise_map.ndim != 4
                or noise_map.shape[0] not in (1, batch)
                or noise_map.shape[1:] != (1, r, r)
            ):
                raise ValueError(
                    f"generator: noise map {n} is {list(noise_map.shape)}, it must be "
                    f"[{batch} or 1, 1, {r}, {r}]."
                )
        return noise


class _Constant(nn.Module):
    """The learned 4×4 tensor; key `input` `[1, channels, 4, 4]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


def resolutions_of(size: int) -> list[int]:
    """Sides of the blocks of a network for `size`: 4, 8, ... size; raises ValueError for a bad size."""
    _check_size(size)
    return [2**k for k in range(2, size.bit_length())]


def check_channels(size: int, channels: Mapping[int, int] | None, channel_multiplier: int) -> dict[int, int]:
    """The channel table to build with.

    Args:
        size: side of the image.
        channels: a table of one's own (keys may be text, as JSON has them), or None.
        channel_multiplier: for the published table, where `channels` is None.

    Returns:
        Resolution → channels, for 4..size.

    Raises:
        ValueError: a bad size, or a table that lacks a resolution or has a number below 1.
    """
    if channels is None:
        return channels_for(size, channel_multiplier)
    table = {int(r): int(c) for r, c in channels.items()}
    resolutions = resolutions_of(size)
    missing = [r for r in resolutions if table.get(r, 0) < 1]
    if missing:
        raise ValueError(
            f"channels: a network of size {size} needs at least one channel at {missing}, "
            f"the table has {table}."
        )
    return {r: table[r] for r in resolutions}


def _blended(blend: Blend, resolution: int, hidden: Tensor) -> Tensor:
    result = blend(resolution, hidden)
    if not isinstance(result, Tensor) or result.shape != hidden.shape:
        description = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(
            f"generator: blend({resolution}, hidden) must return a tensor of shape {list(hidden.shape)}, "
            f"got {description}."
        )
    return result


def _check_size(size: int) -> None:
    if not isinstance(size, int) or size < 8 or size & (size - 1):
        raise ValueError(f"size must be a power of two from 8 on (256, 512, 1024, ...), got {size!r}.")
