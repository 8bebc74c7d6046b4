"""RAFSwap's region tokens: one vector per facial region and scale, refined by a transformer, sent to pixels.

On the road photo → detect → align → **encoder** → swapper → generator → paste these are the parts of the
region-aware encoder that carry the identity's lips, nose, brows and eyes into the attribute's features (Xu et
al. 2022, "Region-Aware Face Swapping", CVPR). Parameter names and shapes are those of the published code.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RegionTokenizer(nn.Module):
    """The mean of a feature map over each region, made a token.

    Args:
        in_channels: channels C of the map.
        dim: width of a token.
    """

    def __init__(self, in_channels: int, dim: int = 512) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(in_channels, dim))

    def forward(self, feature: Tensor, regions: Tensor) -> Tensor:
        """Return tokens ``[batch, n, dim]``.

        Args:
            feature: ``[batch, C, h, w]``.
            regions: ``[batch, n, s, s]``, 0 and 1. The mean over an empty region is 0.
        """
        masks = shrunk(regions, feature)
        total = torch.einsum("bchw,bnhw->bnc", feature, masks)
        return self.fc(total / masks.sum((2, 3)).clamp(min=1)[..., None])


class Attention(nn.Module):
    """Self-attention with one projection to queries, keys and values (Vaswani et al. 2017)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, n, dim]`` to the same shape."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a GELU in its tanh form between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, n, dim]`` to the same shape."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class TransformerBlock(nn.Module):
    """Pre-norm transformer block without positions: the tokens are a set (Dosovitskiy et al. 2021).

    Args:
        dim: width of a token.
        heads: attention heads; they divide ``dim``.

    Raises:
        ValueError: if they do not.
    """

    def __init__(self, dim: int = 512, heads: int = 8) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads must divide the width of a token, got {heads} for {dim}.")
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, 4 * dim)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, n, dim]`` to the same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class RegionProjector(nn.Module):
    """Sends tokens back to the pixels of the regions: each pixel attends to all of them.

    Args:
        dim: channels of the feature map and width of a token.
    """

    def __init__(self, dim: int = 512) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, dim, bias=False)
        self.linear2 = nn.Linear(dim, dim, bias=False)
        self.linear3 = nn.Linear(dim, dim)

    def forward(self, feature: Tensor, tokens: Tensor, regions: Tensor) -> Tensor:
        """Return the feature map with the tokens added, shaped as ``feature``.

        The published code mixes up samples of a batch (it repeats features class by class and masks sample
        by sample); here every sample is masked by its own regions, which is the same for one at a time.

        Args:
            feature: ``[batch, dim, h, w]``.
            tokens: ``[batch, n, dim]``.
            regions: ``[batch, n, s, s]``, 0 and 1, of the feature's photo.
        """
        return self.attend(feature * shrunk(regions, feature).mean(1, keepdim=True), feature, tokens)

    def attend(self, masked: Tensor, feature: Tensor, tokens: Tensor) -> Tensor:
        """The attention behind the masking; a pixel whose masked feature is 0 gets nothing."""
        queries = self.linear1(masked.flatten(2).transpose(1, 2))
        affinity = queries @ self.linear2(tokens).transpose(1, 2)
        # A sparse softmax: exact zeros stay out of it and stay zero.
        absent = affinity == 0
        weight = (affinity * feature.shape[1] ** -0.5).masked_fill(absent, -torch.inf).softmax(2)
        weight = weight.masked_fill(absent, 0)
        sent = weight @ self.linear3(tokens)
        return feature + sent.transpose(1, 2).unflatten(2, (feature.shape[2], feature.shape[3]))


def shrunk(regions: Tensor, feature: Tensor) -> Tensor:
    """Regions ``[batch, n, s, s]`` at the size of a feature map, by nearest samples."""
    size = (feature.shape[2], feature.shape[3])
    return F.interpolate(regions.to(feature), size=size, mode="nearest")
