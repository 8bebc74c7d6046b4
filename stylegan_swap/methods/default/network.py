"""SwapNetwork: encoder, swapper, attribute encoder and generator put together.

This is the way of the design's first section between align and paste: photo → detect → align →
**encoder → swapper → generator** → paste. Its state dict has the prefixes ``generator.``, ``encoder.``,
``swapper.`` and ``attributes.``, ``detail.`` where the identity photo itself is read, and ``prior.`` where
random people can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inversion.latents import Latents
from inversion.light import LightEncoder
from stylegan_swap.faces.geometry.landmark_warp import landmark_nodes
from stylegan_swap.methods.default.attributes import AttributeEncoder
from stylegan_swap.methods.default.config import NetworkConfig
from stylegan_swap.methods.default.detail import DetailPhoto, IdentityDetail
from stylegan_swap.nn.blocks.code_swapper import PRESETS, CodeSwapper
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.resize import resize
from stylegan_swap.nn.stylegan2.generator import Generator, Noise
from stylegan_swap.nn.stylegan2.prior import CodePrior

__all__ = ["IdentityCodes", "NetworkConfig", "SwapNetwork", "SwapOutput"]


@dataclass(frozen=True)
class IdentityCodes:
    """A person, ready to be put into any number of attribute photos.

    Attributes:
        embedding: standardised identity embedding, ``[batch, 128]``.
        wplus: codes of the identity photo, ``[batch, L, D]``; None for a person without one.
        photo: the photo itself with its landmarks; None where only the codes are to be used.
    """

    embedding: Tensor
    wplus: Tensor | None = None
    photo: DetailPhoto | None = None

    def __len__(self) -> int:
        return self.embedding.shape[0]

    def mean(self) -> IdentityCodes:
        """Return one person, ``[1, …]``, from several photographs of them in a batch.

        The codes are averaged; of the photos the most typical is kept, the one nearest to the mean embedding.
        """
        wplus = None if self.wplus is None else self.wplus.mean(0, keepdim=True)
        embedding, photo = self.embedding.mean(0, keepdim=True), self.photo
        if photo is not None:
            typical = int((self.embedding - embedding).square().sum(1).argmin())
            photo = photo[typical : typical + 1]
        return IdentityCodes(embedding, wplus, photo)

    def without_photo(self) -> IdentityCodes:
        """Return the embedding alone."""
        return replace(self, wplus=None, photo=None)

    def expand(self, batch: int) -> IdentityCodes:
        """Return one person repeated for ``batch`` attribute photos.

        Raises:
            ValueError: if there are several people and not ``batch`` of them.
        """
        if len(self) == batch:
            return self
        if len(self) != 1:
            raise ValueError(
                f"{len(self)} identities do not go with {batch} attribute photos: one, or as many."
            )
        wplus = None if self.wplus is None else self.wplus.expand(batch, -1, -1)
        photo = None if self.photo is None else self.photo.expand(batch)
        return IdentityCodes(self.embedding.expand(batch, -1), wplus, photo)


@dataclass(frozen=True)
class SwapOutput:
    """Result of :meth:`SwapNetwork.forward`.

    Attributes:
        image: ``[batch, 3, S, S]``, RGB, nominally in [-1, 1] but not clamped.
        mask: face mask of the attribute photo, ``[batch, 1, S, S]`` in 0..1, 1 = swapped face.
        mask_logits: the same before the sigmoid, for binary cross-entropy.
        wplus: mixed codes, ``[batch, L, D]``.
        identity_nodes: the map that carried the identity photo, ``[batch, 2, 33, 33]`` of ``landmark_nodes``;
            not finite where landmarks are missing, None where no photo was carried.
    """

    image: Tensor
    mask: Tensor
    mask_logits: Tensor
    wplus: Tensor
    identity_nodes: Tensor | None = None


class SwapNetwork(nn.Module):
    """The assembled swap network of a :class:`NetworkConfig`.

    Args:
        config: what to build.
        identity: recogniser that drives the swapper and is the encoder's trunk; None loads dlib's.
            It is frozen, follows the network to devices, and is not in the state dict.

    Raises:
        MissingDependencyError: if ``identity`` is None and dlib's weights are not installed.
        ValueError: if the configuration's policy does not fit its swapper.
    """

    identity: DlibIdentity

    def __init__(self, config: NetworkConfig, identity: DlibIdentity | None = None) -> None:
        super().__init__()
        self.config = config
        identity = DlibIdentity() if identity is None else identity
        # Shared with the encoder, which moves it; past nn.Module's own __setattr__ it is no submodule.
        object.__setattr__(self, "identity", identity)
        length, width = config.n_latent, config.style_dim
        self.generator = Generator(config.size, width, config.n_mlp, channels=config.channels)
        self.encoder = LightEncoder(identity, length, width, config.encoder_width)
        preset = PRESETS[config.swapper]
        self.swapper = CodeSwapper(
            config.policy or preset.policy(length),
            width,
            preset.cells,
            edit=preset.edit,
            banded_gates=preset.banded_gates,
            embedding_dim=identity.embedding_dim,
            residual_drop=config.residual_drop,
        )
        self.attributes = AttributeEncoder(config.size, config.channels, config.attribute_width)
        if config.detail_width:
            self.detail = IdentityDetail(config.size, config.channels, config.detail_width)
        if config.prior_rank:
            self.prior = CodePrior(length, width, config.prior_rank)

    def channels_last(self) -> SwapNetwork:
        """Store all convolution weights channels-last, the faster layout on CPU and tensor cores.

        ``to(memory_format=torch.channels_last)`` fails on the generator, whose published weights have
        five dimensions.
        """
        for parameter in (*self.parameters(), *self.identity.parameters()):
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self

    def invert(self, x: Tensor) -> Latents:
        """Return the codes of aligned photos ``[batch, 3, s, s]``, RGB in [-1, 1], of any side s."""
        return self.encoder(resize(x, self.config.encoder_size))

    def identity_codes(
        self,
        x_id: Tensor,
        landmarks: Tensor | None = None,
        usable: Tensor | None = None,
        glasses: Tensor | None = None,
    ) -> IdentityCodes:
        """Return the persons in aligned photos ``[batch, 3, s, s]``, RGB in [-1, 1], of any side s.

        Costs one pass of recogniser and encoder; do it once per person.

        Args:
            x_id: the photos.
            landmarks: ``[batch, 68, 2]`` in pixels of ``x_id``; None: only the codes can enter a swap.
            usable: ``[batch, 1, s, s]`` in 0..1, what of the photo itself may enter; None: all.
            glasses: bool ``[batch]``, who wears some: they are no part of the person, so the embedding is
                made bare and the photo's own codes are left out; None: nobody.
        """
        x = resize(x_id, self.config.encoder_size)
        features, embedding = self.identity.describe(x)
        wplus = self.encoder(x, features).wplus
        if glasses is not None:
            glasses = glasses.to(embedding.device)
            bare = self.identity.with_glasses(embedding, torch.zeros_like(glasses))
            embedding = torch.where(glasses[:, None], bare, embedding)
            wplus = wplus.masked_fill(glasses.view(-1, 1, 1), 0)
        photo = None
        if landmarks is not None and self.config.detail_width:
            usable = torch.ones_like(x_id[:, :1]) if usable is None else usable.to(x_id)
            image = resize(torch.cat([x_id, usable], 1), self.config.size)
            scale = self.config.size / x_id.shape[-1]
            photo = DetailPhoto(image, (landmarks.to(x_id.device) + 0.5) * scale - 0.5)
        return IdentityCodes(self.identity.standardise(embedding), wplus, photo)

    def forward(
        self,
        x_id: Tensor | IdentityCodes,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float | Tensor = 1.0,
        appearance: float | Tensor = 0.0,
        noise: Noise = "buffer",
        mask: Tensor | None = None,
        resolution: int | None = None,
    ) -> SwapOutput:
        """Put the person of ``x_id`` into the photo ``x_attr``.

        Args:
            x_id: aligned photos ``[batch, 3, s, s]``, RGB in [-1, 1], or what
                :meth:`identity_codes` made of them; one person serves a whole batch.
            x_attr: aligned photos ``[batch, 3, s, s]``, RGB in [-1, 1]; resized to S where s ≠ S.
            landmarks: ``[batch, 68, 2]`` in pixels of ``x_attr``; None gives blank heat maps, which
                costs accuracy of gaze and expression.
            structure: dial 0..1 over the identity rows, number or ``[batch]``; 1 = the identity's.
            appearance: dial 0..1 over the colour rows; 0 = the attribute photo's.
            noise: as in :class:`Generator`.
            mask: face mask ``[batch, 1, S, S]`` to blend with instead of the predicted one.
            resolution: side of the generator's block to stop at, for training that starts small; the
                image then has that side, the mask still S.

        Raises:
            ValueError: if shapes or batch sizes do not fit.
        """
        batch, side = x_attr.shape[0], x_attr.shape[-1]
        person = (x_id if isinstance(x_id, IdentityCodes) else self.identity_codes(x_id)).expand(batch)
        latents = self.invert(x_attr)
        wplus = self.swapper(
            person.wplus, latents.wplus, person.embedding, structure=structure, appearance=appearance
        )
        size = self.config.size
        if landmarks is not None and side != size:
            landmarks = (landmarks + 0.5) * (size / side) - 0.5
        x_attr = resize(x_attr, size)
        features = self.attributes(x_attr, landmarks)
        if mask is None:
            mask = features.mask if self.config.mask_gradient else features.mask.detach()
        detail: dict[int, Tensor] = {}
        identity_nodes = None
        if person.photo is not None and landmarks is not None and self.config.detail_width:
            dial = torch.as_tensor(structure, device=x_attr.device).reshape(-1, 1, 1, 1)
            nodes, usable = landmark_nodes(person.photo.landmarks, landmarks, size, x_attr.device)
            identity_nodes = nodes.masked_fill(~usable.view(-1, 1, 1, 1), float("nan"))
            views = features.small, features.windows
            entries = self.detail(person.photo, views, landmarks, (nodes, usable))
            detail = {r: entry * dial.to(entry.dtype) for r, entry in entries.items()}
        blend = self.attributes.blender(features, mask, detail)
        image = self.generator(
            wplus,
            noise=noise,
            structure=latents.structure,
            blend=blend,
            blend_image=blend.image_hooks,
            return_features=False,
            resolution=resolution,
        ).image
        return SwapOutput(image, features.mask, features.mask_logits, wplus, identity_nodes)


def parameter_count(network: nn.Module) -> int:
    """Return the number of parameters; of a SwapNetwork without its borrowed recogniser."""
    return sum(p.numel() for p in network.parameters())


def stored_bytes(network: nn.Module, dtype: torch.dtype = torch.float16) -> int:
    """Return the size of the state dict when its floating-point tensors are stored as ``dtype``."""
    return sum(
        t.numel() * (dtype.itemsize if t.is_floating_point() else t.element_size())
        for t in network.state_dict().values()
    )
