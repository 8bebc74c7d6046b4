"""FSLSD as a method: pSp codes, a landmark direction, and a decoder that blends in feature space.

Source: Xu et al. 2022, "High-resolution Face Swapping via Latent Semantics Disentanglement", CVPR. Its
weights carry no licence and are not part of this library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from stylegan_swap.methods.base.network_method import INPUT_SIZE, LatentMethod, stacked_masks
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.methods.fslsd.point_maps import point_maps

# How far the face mask grows, as a share of the side: 50 pixels at 1024.
GROWTH = 50 / 1024
LIBRARY_POINTS = 68

PointDetector = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FSLSDPerson:
    """Identity photos: codes ``[n, L, D]`` and landmarks ``[n, K, 2]`` in pixels of 256."""

    wplus: Tensor
    points: Tensor

    def __len__(self) -> int:
        return len(self.wplus)


class FSLSDMethod(LatentMethod[FSLSDNetwork, FSLSDPerson]):
    """FSLSD behind the ``Method`` protocol.

    Its decoder makes the whole picture. With ``parity`` all of it is the result; otherwise what lies
    away from the face is left to the photo. At ``structure`` 0 the edit that removes hair still acts.

    Args:
        network: the network.
        points: finds the landmarks that the weights know, on faces ``[batch, 3, 256, 256]`` in [-1, 1], as
            ``[batch, K, 2]`` pixels. None uses the library's 68, which published weights do not read.
        **arguments: see ``NetworkMethod``.
    """

    name = "fslsd"
    paper = (
        "Xu et al., High-resolution Face Swapping via Latent Semantics Disentanglement, CVPR 2022, with "
        "Richardson et al., Encoding in Style, CVPR 2021"
    )
    fetch = (
        ", which are not this library's to ship: fetch CELEBA-HQ-1024.pt from github.com/cnnlstm/FSLSD_HiRes "
        "and psp_ffhq_encode.pt from github.com/eladrich/pixel2style2pixel (or run `stylegan-swap download "
        "fslsd-1024 psp-ffhq-encode`), bring them into one folder with `stylegan-swap convert`, and build "
        "FSLSDMethod.from_pretrained(folder, points=...) with a detector of their 106 landmarks"
    )
    config_class, network_class = FSLSDConfig, FSLSDNetwork

    def __init__(
        self, network: FSLSDNetwork, *, points: PointDetector | None = None, **arguments: Any
    ) -> None:
        super().__init__(network, **arguments)
        self.points = points

    def _prepare(self, x_id: Tensor, landmarks: Tensor | None) -> FSLSDPerson:
        return FSLSDPerson(self._invert(x_id).wplus, self._network_points(x_id, landmarks))

    def _invert(self, x: Tensor) -> Latents:
        with self.precision():
            wplus = self.network.invert(self._encoder_input(x)).float()
        self._require_finite(("the encoder", wplus))
        return Latents(wplus)

    def _swap(
        self, person: FSLSDPerson, x_attr: Tensor, landmarks: Tensor | None, options: Mapping[str, Any]
    ) -> AlignedSwap:
        x_attr = x_attr.to(self.device, torch.float32)
        # Heat maps: the identity's first, then the attribute's.
        landmarks = self._predicted_once(x_attr, landmarks)
        points = self._network_points(x_attr, landmarks)
        maps = point_maps(torch.cat([person.points.to(points).expand_as(points), points], 1), INPUT_SIZE)
        # Codes and mask of the attribute face.
        attribute = self._invert(x_attr).wplus
        mask = dilated(self._hard_mask(x_attr, landmarks))
        with self.precision():
            output = self.network(
                person.wplus.to(attribute).expand_as(attribute),
                attribute,
                self.network.landmark_encoder(maps),
                x_attr,
                mask,
                structure=options["structure"],
                noise=self._noise(options["seed"]),
            )
        self._require_finite(("the swapper", output.wplus), ("the decoder", output.image))
        image = output.image.float().clamp(-1, 1)
        return AlignedSwap(image, self._reach(x_attr, landmarks), output.wplus.float())

    def _predicted_once(self, x: Tensor, landmarks: Tensor | None) -> Tensor | None:
        """The 68 landmarks, predicted where something will ask for them."""
        if landmarks is not None or (self.parity and self.parser is not None and self.points is not None):
            return landmarks
        return torch.from_numpy(np.stack(points_of(x, None)))

    def _network_points(self, x: Tensor, landmarks: Tensor | None) -> Tensor:
        """The landmarks that the network reads, ``[batch, K, 2]`` in pixels of 256.

        Raises:
            UnsupportedOptionError: the weights read landmarks that nothing here finds.
            ValueError: the detector gave another number.
        """
        count = self.network.config.points
        if self.points is not None:
            points = self.points(self._encoder_input(x)).detach().to(self.device, torch.float32)
        elif count == LIBRARY_POINTS:
            library_points = torch.from_numpy(np.stack(points_of(x, landmarks)))
            points = ((library_points.float() + 0.5) * (INPUT_SIZE / x.shape[-1]) - 0.5).to(self.device)
        else:
            raise UnsupportedOptionError(
                f"these weights of {self.name!r} read {count} landmarks per face, the library finds "
                f"{LIBRARY_POINTS}: build FSLSDMethod.from_pretrained(..., points=detector) with a detector "
                "of theirs"
            )
        if points.shape != (len(x), count, 2):
            raise ValueError(f"points must be [{len(x)}, {count}, 2], got {tuple(points.shape)}")
        return points

    def _reach(self, x_attr: Tensor, landmarks: Tensor | None) -> Tensor:
        if self.parity:
            return torch.ones_like(x_attr[:, :1])
        size = x_attr.shape[-1]
        return stacked_masks([reach_mask(face, size) for face in points_of(x_attr, landmarks)]).to(x_attr)


def dilated(mask: Tensor) -> Tensor:
    """Grow a mask ``[batch, 1, S, S]`` by a square of 50/1024 of its side, zeros beyond the border.

    Where the square's side is even it reaches one pixel further to the left and up, as OpenCV's does.
    """
    side = max(1, round(GROWTH * mask.shape[-1]))
    leading, trailing = side // 2, (side - 1) // 2
    return F.max_pool2d(F.pad(mask, (leading, trailing, leading, trailing)), side, 1)
