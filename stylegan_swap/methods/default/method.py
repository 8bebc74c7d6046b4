"""The project's own network as a method: encoder, swapper, attribute encoder and generator in one call.

Between ``api`` (photographs) and ``models.network`` (tensors).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from inversion import Latents
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.faces.masks.glasses import frame_mask, wears_glasses
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.masks.readable import readable_face
from stylegan_swap.faces.pixels.colour import LUMA, is_gray
from stylegan_swap.faces.tensors import points_of, to_pixels
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.memory import outlasts_memory
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.default.detail import DetailPhoto
from stylegan_swap.methods.default.network import IdentityCodes, NetworkConfig, SwapNetwork
from stylegan_swap.methods.default.refine import RefinedPerson, refine_person
from stylegan_swap.methods.default.shaped_attribute import with_features_of
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.weights.store import LoadedWeights, load_state, load_weights


class DefaultMethod:
    """``SwapNetwork`` behind the ``Method`` protocol."""

    name = "default"
    paper = "this project"
    options = frozenset({"structure", "appearance", "seed", "detail", "refine"})

    def __init__(
        self, network: SwapNetwork, *, device: torch.device, dtype: torch.dtype, weights: Path | None = None
    ) -> None:
        self.network = network.to(device).channels_last().eval().requires_grad_(False)
        self.network.generator.for_inference()
        self.device, self.dtype, self.weights = device, dtype, weights
        self.size: int | None = network.config.size

    @classmethod
    def from_pretrained(
        cls, weights: Path | LoadedWeights | None, *, device: torch.device, dtype: torch.dtype
    ) -> DefaultMethod:
        """Rebuild the network from ``config.json`` and fill it, strictly.

        Raises:
            CheckpointError: no weights were given, or they do not fit the configuration.
        """
        if weights is None:
            raise CheckpointError(
                "method 'default' needs weights: give a folder or file, or use method 'warp'"
            )
        state, config = load_weights(weights)
        try:
            # Building draws random weights, which the stored ones replace: the caller's draws stay theirs.
            with torch.random.fork_rng(devices=[]):
                network = SwapNetwork(NetworkConfig.from_dict(config))
        except (CheckpointError, ValueError) as error:
            raise CheckpointError(f"{weights}: {error}") from error
        except (RuntimeError, MemoryError) as error:
            raise CheckpointError(
                f"{weights}: a network of the size in its config.json cannot be built here "
                f"({' '.join(str(error).split())[:200]}); use a smaller one"
            ) from error
        load_state(network, state, str(weights))
        place = None if isinstance(weights, LoadedWeights) else weights
        return cls(network, device=device, dtype=dtype, weights=place)

    @property
    def generator(self) -> Generator:
        """The StyleGAN2 generator inside."""
        return self.network.generator

    @property
    def prior(self) -> CodePrior | None:
        """The distribution of codes that random people are drawn from, where the network stores one."""
        return self.network.prior if self.network.config.prior_rank else None

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name and hash of the networks that make codes: people prepared with others mean nothing here."""
        digest = hashlib.sha256()
        for part in (self.network.encoder, self.network.swapper):
            for tensor in part.state_dict().values():
                digest.update(tensor.float().cpu().numpy().tobytes())
        return f"{self.name}:{digest.hexdigest()[:16]}"

    @outlasts_memory
    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> IdentityCodes:
        """See ``Method.prepare``; without landmarks they are predicted on the crops."""
        faces = list(zip(to_pixels(x_id), points_of(x_id, landmarks), strict=True))
        worn = [wears_glasses(*face) for face in faces]
        readable = [readable_face(*face, glasses) for face, glasses in zip(faces, worn, strict=True)]
        with torch.no_grad(), self._precision():
            codes = self.network.identity_codes(
                x_id.to(self.device),
                torch.from_numpy(np.stack([points for _, points in faces])),
                torch.from_numpy(np.stack(readable))[:, None],
                torch.tensor(worn),
            )
        self._require(("the recogniser", codes.embedding), ("the encoder", codes.wplus))
        return codes

    def combine(self, prepared: list[IdentityCodes]) -> IdentityCodes:
        """The mean embedding and codes of several photos of one person, and the most typical photo."""
        wplus = [codes.wplus for codes in prepared if codes.wplus is not None]
        photos = [codes.photo for codes in prepared if codes.photo is not None]
        embedding = torch.cat([codes.embedding for codes in prepared])
        photo = DetailPhoto.joined(photos) if len(photos) == len(prepared) else None
        return IdentityCodes(embedding, torch.cat(wplus) if wplus else None, photo).mean()

    def refine(self, prepared: IdentityCodes, steps: int, seed: int = 0) -> RefinedPerson:
        """Tune a copy of the network to one person; see ``stylegan_swap.methods.default.refine``."""
        return refine_person(self.network, prepared, steps, seed=seed)

    @outlasts_memory
    def swap_aligned(
        self,
        prepared: IdentityCodes,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; without landmarks they are predicted on the crops."""
        points = torch.from_numpy(np.stack(points_of(x_attr, landmarks)))
        photo = prepared.expand(len(x_attr)).photo
        features = None if photo is None else photo.landmarks
        shaped, there = with_features_of(features, x_attr, points, structure)
        with torch.no_grad(), self._precision():
            own = prepared.network if isinstance(prepared, RefinedPerson) else None
            output = (own or self.network)(
                prepared,
                shaped.to(self.device),
                there.to(self.device),
                structure=structure,
                appearance=appearance,
                noise="buffer" if seed is None else self._fresh_noise(len(x_attr), seed),
            )
        self._require(
            ("the swapper", output.wplus), ("the generator", output.image), ("the mask head", output.mask)
        )
        image = _uncoloured(output.image.float().clamp(-1, 1), x_attr)
        mask = output.mask.float() * _reach(x_attr, points, image)
        return AlignedSwap(image, mask, output.wplus.float(), None if there is points else there)

    @outlasts_memory
    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, S, S]``, RGB in [-1, 1]."""
        with torch.no_grad(), self._precision():
            latents = self.network.invert(x.to(self.device)).to(torch.float32)
        self._require(("the encoder", latents.wplus))
        return latents

    @outlasts_memory
    def generate(self, latents: Latents | None, n: int, truncation_psi: float, seed: int) -> Tensor:
        """Faces ``[n, 3, S, S]``, RGB in [-1, 1], from codes or from random ones.

        Args:
            latents: codes to synthesise; None draws ``n`` from the stored distribution of codes, or from
                the generator's mapping network where there is none.
            n: how many faces to draw.
            truncation_psi: 0 gives the average face, 1 the full variety (StyleGAN, section B).
            seed: of the random codes.

        Raises:
            UnsupportedOptionError: the codes are those of another network.
        """
        generator = self.network.generator
        with torch.no_grad(), self._precision():
            if latents is None and self.network.config.prior_rank:
                return self._drawn(self.network.prior.sample(n, truncation_psi, seed))
            if latents is None:
                # Drawn on the CPU: the same seed gives the same people on every device.
                z = torch.randn(n, generator.style_dim, generator=torch.Generator().manual_seed(seed))
                w = generator.truncate(
                    generator.mapping(z.to(self.device)), truncation_psi, generator.mean_latent(4096, 0)
                )
                return self._drawn(w)
            own, given = [generator.n_latent, generator.style_dim], list(latents.wplus.shape[1:])
            if given != own:
                raise UnsupportedOptionError(
                    f"the codes are {given} per face, this network's are {own}: give the weights they go with"
                )
            structure = None if latents.structure is None else latents.structure.to(self.device)
            own = [generator.channels[4], 4, 4]
            if structure is not None and list(structure.shape[1:]) != own:
                raise UnsupportedOptionError(
                    f"the structure of the codes is {list(structure.shape[1:])} per face, this network's "
                    f"is {own}: give the weights they go with"
                )
            return self._drawn(latents.wplus.to(self.device), structure)

    def _drawn(self, wplus: Tensor, structure: Tensor | None = None) -> Tensor:
        image = self.network.generator(wplus, structure=structure).image.float()
        self._require(("the code", wplus), ("the generator", image))
        return image.clamp(-1, 1)

    def _require(self, *stages: tuple[str, Tensor | None]) -> None:
        require_finite(self.name, *stages, dtype=self.dtype)

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _fresh_noise(self, batch: int, seed: int) -> list[Tensor]:
        return self.network.generator.make_noise(batch, torch.Generator().manual_seed(seed))


def _reach(x_attr: Tensor, landmarks: Tensor, like: Tensor) -> Tensor:
    """How far the predicted mask may go: no error of the network is pasted far from the face.

    Nor are the frames of glasses covered: half of them would be left.
    """
    size = like.shape[-1]
    masks = []
    for face, points in zip(to_pixels(x_attr), landmarks.numpy(), strict=True):
        mask = reach_mask((points + 0.5) * (size / x_attr.shape[-1]) - 0.5, size)
        if wears_glasses(face, points):
            frames = cv2.resize(frame_mask(face, points), (size, size), interpolation=cv2.INTER_LINEAR)
            mask = mask * (1 - frames)
        masks.append(torch.from_numpy(mask))
    return torch.stack(masks)[:, None].to(like)


def _uncoloured(image: Tensor, x_attr: Tensor) -> Tensor:
    """The image in shades of grey where the attribute photo is black and white."""
    gray = torch.tensor([is_gray(face) for face in to_pixels(x_attr)], device=image.device)
    if not gray.any():
        return image
    luma = (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(image)
    return torch.where(gray.view(-1, 1, 1, 1), luma, image)
