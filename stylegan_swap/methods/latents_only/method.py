"""Published generators and encoders: they invert and generate, and say what a swap would need besides.

Between ``api`` (photographs) and the networks of ``convert`` (tensors): StyleGAN2 generators of rosinality,
NVIDIA and PTI, and pSp's and e4e's checkpoints, which hold an encoder and its generator.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from inversion import Latents, as_latent_avg
from inversion.psp import INPUT_SIZE, PSPBase
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.memory import outlasts_memory
from stylegan_swap.methods.base.network_method import channels_last, resized, synthesised
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.weights.store import LoadedWeights
from stylegan_swap.weights.stylegan_formats.converted import load_converted

_TO_SWAP = (
    "to swap, give weights of a whole system: method 'default', a network trained from these "
    "(`stylegan-swap train swap --start FILE`), or MegaFS, FSLSD or RAFSwap (docs/published.md)"
)


class LatentsOnlyMethod:
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
    options: frozenset[str] = frozenset()

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
        self.device, self.dtype, self.origin = torch.device(device), dtype, origin
        self.generator, self.encoder = generator, encoder
        for network in (generator, encoder):
            if network is not None:
                channels_last(network.to(self.device)).eval().requires_grad_(False)
        if generator is not None:
            generator.for_inference()
        if generator is not None and latent_avg is not None:
            try:
                latent_avg = as_latent_avg(latent_avg, generator.n_latent, generator.style_dim)
            except ValueError as error:
                raise CheckpointError(f"{origin}: {error} Give another file.") from error
        self.latent_avg = latent_avg
        self.size: int | None = INPUT_SIZE if generator is None else generator.size

    @property
    def prior(self) -> None:
        """Random people come from the generator's mapping network."""
        return None

    @classmethod
    def from_pretrained(
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype
    ) -> LatentsOnlyMethod:
        """Build it from what ``stylegan-swap convert`` wrote, or ``convert`` holds in memory.

        Raises:
            CheckpointError: no weights were given, or they hold neither a generator nor an encoder.
        """
        if weights is None:
            raise CheckpointError(f"method {cls.name!r} needs weights: give a published file or a folder")
        found = load_converted(weights)
        parts: dict[str, Any] = {
            part: found.build(part) if part in found.parts else None for part in ("generator", "encoder")
        }
        return cls(**parts, latent_avg=found.latent_avg, origin=found.format, device=device, dtype=dtype)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name and hash of the networks: codes of others mean nothing here."""
        digest = hashlib.sha256()
        for network in (self.encoder, self.generator):
            for tensor in () if network is None else network.state_dict().values():
                digest.update(tensor.float().cpu().numpy().tobytes())
        return f"{self.name}:{digest.hexdigest()[:16]}"

    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> NoReturn:
        """Refuse: there is nothing that swaps.

        Raises:
            UnsupportedOptionError: always, with what to do.
        """
        have = " and ".join(
            part
            for part, network in (("an encoder", self.encoder), ("a generator", self.generator))
            if network is not None
        )
        can = " and ".join(
            what
            for what, network in (("invert", self.encoder), ("generate", self.generator))
            if network is not None
        )
        raise UnsupportedOptionError(
            f"these weights ({self.origin}) hold {have} and nothing that swaps: they can {can}; {_TO_SWAP}"
        )

    def combine(self, prepared: list[Any]) -> NoReturn:
        """Refuse, as :meth:`prepare`."""
        self.prepare(torch.empty(0))

    def swap_aligned(
        self,
        prepared: Any,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """Refuse, as :meth:`prepare`."""
        self.prepare(x_attr)

    @outlasts_memory
    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1].

        Raises:
            UnsupportedOptionError: there is no encoder, or one that reads no photographs.
        """
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
        with torch.no_grad(), self._precision():
            small = resized(x.detach().to(self.device, torch.float32), INPUT_SIZE, antialias=True)
            latents = self.encoder(small).to(torch.float32)
        require_finite(self.origin, ("the encoder", latents.wplus), dtype=self.dtype)
        return latents

    @outlasts_memory
    def generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Faces ``[n, 3, S, S]``, RGB in [-1, 1], from codes or from ``n`` random ones.

        Raises:
            UnsupportedOptionError: there is no generator, or the codes are those of another network.
        """
        if self.generator is None:
            raise UnsupportedOptionError(
                f"these weights ({self.origin}) are an encoder alone, which cannot generate: give the "
                "checkpoint that its authors published, with the generator in it"
            )
        with torch.no_grad(), self._precision():
            image = synthesised(self.generator, latents, n, truncation_psi, seed, latent_avg=self.latent_avg)
        require_finite(self.origin, ("the generator", image), dtype=self.dtype)
        return image.clamp(-1, 1)

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)
