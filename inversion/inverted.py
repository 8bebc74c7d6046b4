"""The result of inverting one photograph, by an encoder, by projection or by pivotal tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from inversion.latents import Latents


@dataclass(frozen=True)
class Inversion(Latents):
    """Codes of one photograph; everywhere :class:`Latents` are taken, these are as well.

    Attributes:
        noise: projected noise maps ``[1, 1, r, r]`` in layer order, or None for the generator's own.
        tuned: parameters of the generator that pivotal tuning changed, by name; the codes mean this photo
            only together with them. None: the generator as it is.
        reconstruction: what codes, noise and tuned weights draw, ``[1, 3, S, S]``, RGB in [-1, 1], or None.
        photo: the aligned photograph, likewise.
        psnr: peak signal-to-noise ratio of both in dB over the whole crop, or None.
        distance: of both to a face recogniser, or None; by dlib's, one person's photos are 0.2 to 0.5 apart.

    Raises:
        ValueError: see :class:`Latents`; or there is not exactly one code.
    """

    noise: tuple[Tensor, ...] | None = None
    tuned: Mapping[str, Tensor] | None = None
    reconstruction: Tensor | None = field(default=None, repr=False)
    photo: Tensor | None = field(default=None, repr=False)
    psnr: float | None = None
    distance: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self) != 1:
            raise ValueError(f"an inversion is of one photograph, got {len(self)} codes.")

    def to(self, target: torch.device | torch.dtype | str) -> Inversion:
        """Return the same on another device or in another dtype."""
        codes = super().to(target)

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(target)

        return replace(
            self,
            wplus=codes.wplus,
            structure=codes.structure,
            noise=None if self.noise is None else tuple(noise_map.to(target) for noise_map in self.noise),
            tuned=None if self.tuned is None else {k: v.to(target) for k, v in self.tuned.items()},
            reconstruction=moved(self.reconstruction),
            photo=moved(self.photo),
        )


def peak_signal_to_noise(image: Tensor, target: Tensor) -> float:
    """PSNR in dB of two image batches in [-1, 1]: 10·log10(4 / mean square difference); ∞ for equal ones.

    Raises:
        ValueError: the shapes differ.
    """
    if image.shape != target.shape:
        raise ValueError(f"PSNR compares equal shapes, got {list(image.shape)} and {list(target.shape)}.")
    error = float((image.double() - target.double()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(4 / error)
