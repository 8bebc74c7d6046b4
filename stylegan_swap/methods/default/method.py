"""The project's own network as a method: encoder, swapper, attribute encoder and generator in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from inversion import Latents
from stylegan_swap.faces.masks.glasses import frame_mask, readable_face, wears_glasses
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.pixels.colour import LUMA, is_gray
from stylegan_swap.faces.tensors import points_of, to_pixels
from stylegan_swap.methods.base.network_method import LatentMethod
from stylegan_swap.methods.base.options import APPEARANCE, DETAIL, SEED, STRUCTURE
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.default.detail import DetailPhoto
from stylegan_swap.methods.default.network import IdentityCodes, NetworkConfig, SwapNetwork
from stylegan_swap.methods.default.refine import RefinedPerson, refine_person
from stylegan_swap.methods.default.shaped_attribute import with_features_of
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.stylegan2.prior import CodePrior
from stylegan_swap.weights.store import load_state


class DefaultMethod(LatentMethod[SwapNetwork, IdentityCodes]):
    """``SwapNetwork`` behind the ``Method`` protocol."""

    name = "default"
    paper = "this project"
    fetch = ": give a folder or file, or use method 'warp'"
    options = (STRUCTURE, APPEARANCE, SEED, DETAIL)
    recogniser = "dlib"
    config_class, network_class = NetworkConfig, SwapNetwork
    person_parts = ("encoder", "swapper")

    def __init__(self, network: SwapNetwork, **arguments: Any) -> None:
        super().__init__(network, **arguments)
        self.network.channels_last()

    @classmethod
    def _built(cls, config: NetworkConfig, state: Mapping[str, Tensor], source: str) -> SwapNetwork:
        # Building draws random weights, which the stored ones replace: the caller's draws stay theirs.
        with torch.random.fork_rng(devices=[]):
            network = SwapNetwork(config)
        load_state(network, state, source)
        return network

    @property
    def identity(self) -> DlibIdentity:
        """The recogniser inside the network."""
        return self.network.identity

    @property
    def prior(self) -> CodePrior | None:
        """The distribution of codes that random people are drawn from, where the network stores one."""
        return self.network.prior if self.network.config.prior_rank else None

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> IdentityCodes:
        faces = list(zip(to_pixels(x_id), points_of(x_id, landmarks), strict=True))
        glasses_worn = [wears_glasses(*face) for face in faces]
        readable = [readable_face(*face, glasses) for face, glasses in zip(faces, glasses_worn, strict=True)]
        with self.precision():
            codes = self.network.identity_codes(
                x_id.to(self.device),
                torch.from_numpy(np.stack([points for _, points in faces])),
                torch.from_numpy(np.stack(readable))[:, None],
                torch.tensor(glasses_worn),
            )
        self._require_finite(("the recogniser", codes.embedding), ("the encoder", codes.wplus))
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

    def _swap(
        self,
        person: IdentityCodes,
        x_attr: Tensor,
        landmarks: Tensor | None,
        options: Mapping[str, Any],
    ) -> AlignedSwap:
        # Move the attribute face's features to where the identity person has them.
        points = torch.from_numpy(np.stack(points_of(x_attr, landmarks)))
        photo = person.expand(len(x_attr)).photo
        features = None if photo is None else photo.landmarks
        shaped = with_features_of(features, x_attr, points, options["structure"])
        # Swap, with the person's own network where it was tuned.
        tuned = person.network if isinstance(person, RefinedPerson) else None
        with self.precision():
            output = (tuned or self.network)(
                person,
                shaped.image.to(self.device),
                shaped.landmarks.to(self.device),
                structure=options["structure"],
                appearance=options["appearance"],
                noise=self._noise(options["seed"]),
            )
        self._require_finite(
            ("the swapper", output.wplus), ("the generator", output.image), ("the mask head", output.mask)
        )
        # Keep the mask near the face, and black and white photos black and white.
        image = _uncoloured(output.image.float().clamp(-1, 1), x_attr)
        mask = output.mask.float() * _reach(x_attr, points, image)
        return AlignedSwap(
            image,
            mask,
            output.wplus.float(),
            landmarks=None if shaped.landmarks is points else shaped.landmarks,
            spline_points=shaped.spline_points,
            spline_weights=shaped.spline_weights,
            identity_nodes=output.identity_nodes,
        )

    def _invert(self, x: Tensor) -> Latents:
        with self.precision():
            latents = self.network.invert(x.to(self.device)).to(torch.float32)
        self._require_finite(("the encoder", latents.wplus))
        return latents


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
