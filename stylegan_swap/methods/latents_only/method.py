"""Published generators and encoders: they invert and generate, and say what a swap would need besides.

StyleGAN2 generators of rosinality, NVIDIA and PTI, and pSp's and e4e's checkpoints, which hold an encoder and
its generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from inversion import Latents, as_latent_avg
from inversion.psp import PSPBase
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.base.network_method import INPUT_SIZE, LatentMethod
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.store import LoadedWeights
from stylegan_swap.weights.stylegan_formats.converted import load_converted

_TO_SWAP = (
    "to swap, give weights of a whole system: method 'default', a network trained from these "
    "(`stylegan-swap train swap --start FILE`), or MegaFS, FSLSD or RAFSwap (docs/published.md)"
)


class LatentNetworks(nn.Module):
    """A generator, an encoder, or both.

    Args:
        generator: makes faces of codes, or None.
        encoder: makes codes of faces, or None.
    """

    def __init__(self, generator: Generator | None, encoder: PSPBase | None) -> None:
        super().__init__()
        self.generator, self.encoder = generator, encoder


class LatentsOnlyMethod(LatentMethod[LatentNetworks, Any]):
    """A generator, an encoder, or both, behind the ``Method`` protocol; swapping is refused.

    Args:
        generator: makes faces of codes, or None.
        encoder: makes codes of faces, or None.
        latent_avg: average code of the checkpoint ``[D]``, ``[1, D]`` or ``[L, D]``, which truncation pulls
            to; None draws it.
        origin: the format that the weights come from, for messages.
        device: where they run.
        dtype: the precision they run in.

    Raises:
        CheckpointError: there is neither.
    """

    name = "latents-only"
    paper = "the paper of the weights"
    fetch = ": give a published file or a folder"
    options = ()

    def __init__(
        self,
        generator: Generator | None,
        encoder: PSPBase | None,
        latent_avg: Tensor | None = None,
        *,
        origin: str = "a file",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if generator is None and encoder is None:
            raise CheckpointError(f"{origin}: holds neither a generator nor an encoder; give another file")
        self.size, self.origin = INPUT_SIZE, origin
        super().__init__(LatentNetworks(generator, encoder), device=device, dtype=dtype)
        self.person_parts = tuple(part for part in ("encoder", "generator") if getattr(self, part))  # type: ignore[misc]
        if generator is not None and latent_avg is not None:
            try:
                latent_avg = as_latent_avg(latent_avg, generator.n_latent, generator.style_dim)
            except ValueError as error:
                raise CheckpointError(f"{origin}: {error} Give another file.") from error
        self.latent_avg = latent_avg

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype
    ) -> LatentsOnlyMethod:
        """Build it from what ``stylegan-swap convert`` wrote, or ``convert`` holds in memory.

        Raises:
            CheckpointError: no weights were given, or they hold neither a generator nor an encoder.
        """
        if weights is None:
            raise CheckpointError(f"method {cls.name!r} needs weights{cls.fetch}")
        converted = load_converted(weights)
        parts: dict[str, Any] = {
            part: converted.build(part) if part in converted.parts else None
            for part in ("generator", "encoder")
        }
        average = converted.latent_avg
        return cls(**parts, latent_avg=average, origin=converted.format, device=device, dtype=dtype)

    @property
    def generator(self) -> Generator | None:
        """The generator, where the weights hold one."""
        return self.network.generator

    @property
    def encoder(self) -> PSPBase | None:
        """The encoder, where the weights hold one."""
        return self.network.encoder

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> NoReturn:
        """Refuse: there is nothing that swaps.

        Raises:
            UnsupportedOptionError: always, with what to do.
        """
        parts = [("an encoder", "invert", self.encoder), ("a generator", "generate", self.generator)]
        content = " and ".join(part for part, _, network in parts if network is not None)
        can = " and ".join(verb for _, verb, network in parts if network is not None)
        raise UnsupportedOptionError(
            f"these weights ({self.origin}) hold {content} and nothing that swaps: they can {can}; {_TO_SWAP}"
        )

    def combine(self, prepared: list[Any]) -> NoReturn:
        """Refuse, as ``prepare``."""
        self._prepare(torch.empty(0), None)

    def swap_aligned(
        self,
        prepared: Any,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> NoReturn:
        """Refuse, as ``prepare``."""
        self._prepare(x_attr, landmarks)

    def _swap(
        self, person: Any, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> NoReturn:
        self._prepare(x_attr, landmarks)

    def _invert(self, x: Tensor) -> Latents:
        if self.encoder is None:
            raise UnsupportedOptionError(
                f"these weights ({self.origin}) are a generator alone, which cannot invert: give a "
                "checkpoint of pSp or e4e (`stylegan-swap download e4e-ffhq-encode`), which has an encoder"
            )
        if self.encoder.input_nc != 3:
            raise UnsupportedOptionError(
                f"the encoder of these weights ({self.origin}) reads pictures of {self.encoder.input_nc} "
                "channels (sketches or label maps), no photographs: give one trained on faces"
            )
        with self.precision():
            latents = self.encoder(self._encoder_input(x)).to(torch.float32)
        self._require_finite(("the encoder", latents.wplus))
        return latents

    def _generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        if self.generator is None:
            raise UnsupportedOptionError(
                f"these weights ({self.origin}) are an encoder alone, which cannot generate: give the "
                "checkpoint that its authors published, with the generator in it"
            )
        return super()._generate(latents, n, truncation_psi, seed)
