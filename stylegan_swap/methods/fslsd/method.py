"""FSLSD as a method: pSp codes, a landmark direction, and a decoder that blends in feature space.

Between ``api`` (photographs) and ``models.fslsd`` (tensors). Source: Xu et al. 2022, "High-resolution Face
Swapping via Latent Semantics Disentanglement", CVPR. Its weights carry no licence and are not part of this
library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion import Latents
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.tensors import points_of
from stylegan_swap.methods.base.memory import outlasts_memory
from stylegan_swap.methods.base.network_method import INPUT_SIZE, PublishedMethod, one_per_face
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.methods.fslsd.point_maps import point_maps

# How far the face mask grows, as a share of the side: 50 pixels at 1024.
GROWTH = 50 / 1024
OUR_POINTS = 68

PointDetector = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FSLSDPerson:
    """Identity photos: codes ``[n, L, D]`` and landmarks ``[n, K, 2]`` in pixels of 256."""

    wplus: Tensor
    points: Tensor

    def __len__(self) -> int:
        return len(self.wplus)


class FSLSDMethod(PublishedMethod[FSLSDNetwork, FSLSDPerson]):
    """FSLSD behind the ``Method`` protocol.

    Its decoder makes the whole picture. With ``parity`` all of it is the result; otherwise what lies
    away from the face is left to the photo.

    Args:
        model: the network.
        points: finds the landmarks that the weights know, on faces ``[batch, 3, 256, 256]`` in [-1, 1], as
            ``[batch, K, 2]`` pixels. None uses the library's 68, which published weights do not read.
        **options: see ``PublishedMethod``.
    """

    name = "fslsd"
    paper = (
        "Xu et al., High-resolution Face Swapping via Latent Semantics Disentanglement, CVPR 2022, with "
        "Richardson et al., Encoding in Style, CVPR 2021"
    )
    fetch = (
        "fetch CELEBA-HQ-1024.pt from github.com/cnnlstm/FSLSD_HiRes and psp_ffhq_encode.pt from "
        "github.com/eladrich/pixel2style2pixel (or run `stylegan-swap download fslsd-1024 psp-ffhq-encode`), "
        "bring them into one folder with `stylegan-swap convert`, and build FSLSDMethod.from_pretrained("
        "folder, points=...) with a detector of their 106 landmarks"
    )
    config_class = FSLSDConfig
    network_class = FSLSDNetwork

    def __init__(self, model: FSLSDNetwork, *, points: PointDetector | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        self.points = points

    @outlasts_memory
    def prepare(self, x_id: Tensor, landmarks: Tensor | None = None) -> FSLSDPerson:
        """See ``Method.prepare``."""
        return FSLSDPerson(self.invert(x_id).wplus, self._points(x_id, landmarks))

    def combine(self, prepared: list[FSLSDPerson]) -> FSLSDPerson:
        """The mean of the codes, and the mean of the landmarks that belong to them."""
        wplus = torch.cat([person.wplus for person in prepared])
        points = torch.cat([person.points for person in prepared])
        return FSLSDPerson(wplus.mean(0, keepdim=True), points.mean(0, keepdim=True))

    @outlasts_memory
    def invert(self, x: Tensor) -> Latents:
        """Codes of aligned faces ``[batch, 3, s, s]``, RGB in [-1, 1]."""
        with torch.no_grad(), self._precision():
            wplus = self.model.invert(self._encoder_input(x)).float()
        self._require(("the encoder", wplus))
        return Latents(wplus)

    @outlasts_memory
    def swap_aligned(
        self,
        prepared: FSLSDPerson,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> AlignedSwap:
        """See ``Method.swap_aligned``; at ``structure`` 0 the edit that removes hair still acts.

        Raises:
            ValueError: the number of people is neither 1 nor the batch size.
            UnsupportedOptionError: the weights read landmarks that nothing here finds.
        """
        one_per_face(len(prepared), len(x_attr))
        x_attr = x_attr.detach().to(self.device, torch.float32)
        landmarks = self._known(x_attr, landmarks)
        here = self._points(x_attr, landmarks)
        # The identity's maps first, then the attribute's.
        both = torch.cat([prepared.points.to(here).expand_as(here), here], 1)
        maps = point_maps(both, INPUT_SIZE)
        attribute = self.invert(x_attr).wplus
        mask = dilated(self._hard_mask(x_attr, landmarks))
        with torch.no_grad(), self._precision():
            output = self.model(
                prepared.wplus.to(attribute).expand_as(attribute),
                attribute,
                self.model.landmark_encoder(maps),
                x_attr,
                mask,
                structure=structure,
                noise=self._noise(len(x_attr), seed),
            )
        self._require(("the swapper", output.wplus), ("the decoder", output.image))
        image = output.image.float().clamp(-1, 1)
        return AlignedSwap(image, self._reach(x_attr, landmarks), output.wplus.float())

    def _known(self, x: Tensor, landmarks: Tensor | None) -> Tensor | None:
        """The 68 landmarks, predicted once where something will ask for them."""
        if landmarks is not None or (self.parity and self.parser is not None and self.points is not None):
            return landmarks
        return torch.from_numpy(np.stack(points_of(x, None)))

    def _points(self, x: Tensor, landmarks: Tensor | None) -> Tensor:
        """The landmarks that the network reads, ``[batch, K, 2]`` in pixels of 256."""
        wanted = self.model.config.points
        if self.points is not None:
            found = self.points(self._encoder_input(x)).detach().to(self.device, torch.float32)
        elif wanted == OUR_POINTS:
            known = torch.from_numpy(np.stack(points_of(x, landmarks)))
            scaled = (known.float() + 0.5) * (INPUT_SIZE / x.shape[-1]) - 0.5
            found = scaled.to(self.device)
        else:
            raise UnsupportedOptionError(
                f"these weights of {self.name!r} read {wanted} landmarks per face, the library finds "
                f"{OUR_POINTS}: build FSLSDMethod.from_pretrained(..., points=detector) with a detector "
                "of theirs"
            )
        if found.shape != (len(x), wanted, 2):
            raise ValueError(f"points must be [{len(x)}, {wanted}, 2], got {tuple(found.shape)}")
        return found

    def _reach(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        if self.parity:
            return torch.ones_like(x_attr[:, :1])
        size = x_attr.shape[-1]
        masks = [torch.from_numpy(reach_mask(face, size)) for face in points_of(x_attr, landmarks)]
        return torch.stack(masks)[:, None].to(x_attr)


def dilated(mask: Tensor) -> Tensor:
    """Grow a mask ``[batch, 1, S, S]`` by a square of 50/1024 of its side, zeros beyond the border.

    Where the square's side is even it reaches one pixel further to the left and up, as OpenCV's does.
    """
    side = max(1, round(GROWTH * mask.shape[-1]))
    before, after = side // 2, (side - 1) // 2
    return F.max_pool2d(F.pad(mask, (before, after, before, after)), side, 1)
