"""The exported network: its inputs and outputs, and their values from two aligned faces.

``methods.default``'s preparation on pixels stays outside the file: :func:`feed_of` does it here, programs in
other languages do the same or leave it out; docs/export.md says what that costs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cuda_ops.layers import EqualizedConv2d
from stylegan_swap.faces.masks.glasses import readable_face, wears_glasses
from stylegan_swap.faces.tensors import points_of, to_pixels
from stylegan_swap.methods.default.network import SwapNetwork
from stylegan_swap.methods.default.shaped_attribute import with_features_of

POINTS = 68
# Vector width of the convolutions of ONNX Runtime on processors with AVX-512. Channels that fill no whole
# vectors send it down a path ten times as slow.
VECTOR = 16


@dataclass(frozen=True)
class Port:
    """An input or output of the file.

    Attributes:
        name: as in the file.
        shape: with S for the side of the network's images.
        kind: "float32" or "bool".
        about: meaning and range; stands in the file too.
    """

    name: str
    shape: tuple[int | str, ...]
    kind: str
    about: str

    def sized(self, side: int) -> list[int]:
        """The shape in numbers."""
        return [side if isinstance(length, str) else length for length in self.shape]


_CROP = "FFHQ-aligned crop, RGB in [-1, 1]"
_LANDMARKS = "68 iBUG landmarks (x, y) in crop pixels, centre of the first at 0; NaN where unknown"
_IMAGE, _ONE = (1, 3, "S", "S"), (1, 1, "S", "S")

INPUTS = (
    Port("identity", _IMAGE, "float32", f"who: {_CROP}"),
    Port("identity_landmarks", (1, POINTS, 2), "float32", _LANDMARKS),
    Port(
        *("identity_usable", _ONE, "float32"),
        "0..1, what of the identity crop may be read pixel by pixel: 0 on glasses and between the lips; "
        "all 1 where that is not known",
    ),
    Port("identity_glasses", (1,), "bool", "whether the identity wears glasses, which are then left out"),
    Port("attribute", _IMAGE, "float32", f"pose, expression, light and background: {_CROP}"),
    Port("attribute_landmarks", (1, POINTS, 2), "float32", _LANDMARKS),
    Port("structure", (1,), "float32", "0..1, how far the shape goes to the identity: 1 is usual"),
    Port("appearance", (1,), "float32", "0..1, how far the colours go to the identity: 0 is usual"),
)
OUTPUTS = (
    Port("image", _IMAGE, "float32", "swapped face, RGB in [-1, 1], pixel on pixel with the attribute crop"),
    Port("mask", _ONE, "float32", "0..1, where the face is; limit it to the landmarks' hull before pasting"),
)


class SwapGraph(nn.Module):
    """A copy of a swap network behind the ports above.

    The noise maps are the stored ones. Convolutions get channels of zeros where that fills the vectors of
    ONNX Runtime; the result is the same.

    Args:
        network: the network; it is not changed.
    """

    def __init__(self, network: SwapNetwork) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).float().cpu().eval().requires_grad_(False)
        # Neither is part of the network's own parameters; here they belong into the file.
        self.trunk = self.network.identity
        self.side = network.config.size
        for module in self.network.modules():
            if isinstance(module, EqualizedConv2d):
                _fill_vectors(module)

    def forward(
        self,
        identity: Tensor,
        identity_landmarks: Tensor,
        identity_usable: Tensor,
        identity_glasses: Tensor,
        attribute: Tensor,
        attribute_landmarks: Tensor,
        structure: Tensor,
        appearance: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Swap; see ``INPUTS`` and ``OUTPUTS``."""
        person = self.network.identity_codes(identity, identity_landmarks, identity_usable, identity_glasses)
        output = self.network(
            person, attribute, attribute_landmarks, structure=structure, appearance=appearance
        )
        return output.image.clamp(-1.0, 1.0), output.mask

    def example(self, seed: int = 0) -> tuple[Tensor, ...]:
        """Inputs of the right shapes: soft blots, and landmarks in a ring."""
        random = torch.Generator().manual_seed(seed)

        def blots() -> Tensor:
            coarse = torch.rand(1, 3, 8, 8, generator=random) * 2 - 1
            return F.interpolate(coarse, (self.side, self.side), mode="bilinear", align_corners=False)

        def ring() -> Tensor:
            angle = torch.arange(POINTS) * (2 * torch.pi / POINTS)
            circle = torch.stack([angle.cos(), angle.sin()], 1) * (
                0.2 + 0.02 * torch.rand(1, generator=random)
            )
            jitter = 0.01 * torch.rand(POINTS, 2, generator=random)
            return ((0.5 + circle + jitter) * self.side)[None]

        full = torch.ones(1)
        usable = torch.ones(1, 1, self.side, self.side)
        return blots(), ring(), usable, full < 0, blots(), ring(), full, 0 * full


def _fill_vectors(convolution: EqualizedConv2d) -> None:
    """Zeros up to whole vectors of input channels, in the weight and in front of it."""
    channels = convolution.weight.shape[1]
    extra = -channels % VECTOR
    if channels <= VECTOR or not extra:
        return
    room = (0, 0, 0, 0, 0, extra)
    convolution.weight = nn.Parameter(F.pad(convolution.weight, room), requires_grad=False)
    convolution.register_forward_pre_hook(lambda _, inputs: (F.pad(inputs[0], room), *inputs[1:]))


def feed_of(
    x_id: Tensor,
    x_attr: Tensor,
    id_landmarks: Tensor | None = None,
    attr_landmarks: Tensor | None = None,
    *,
    structure: float = 1.0,
    appearance: float = 0.0,
) -> dict[str, np.ndarray]:
    """The inputs of ``onnxruntime.InferenceSession.run`` by name, from two aligned faces.

    The attribute face is given the features of the identity, as ``swap_aligned`` does with networks that read
    the identity photo, such as the default.

    Both faces are FFHQ-aligned, ``[1, 3, S, S]``, RGB in [-1, 1], S the file's side; their landmarks are
    ``[1, 68, 2]`` in pixels, predicted where not given; the others as in ``swap``.

    Raises:
        ValueError: not one square face each, or of different sides.
    """
    if x_id.ndim != 4 or x_id.shape != x_attr.shape or x_id.shape[2] != x_id.shape[3] or len(x_id) != 1:
        raise ValueError(
            f"an exported file takes two faces [1, 3, S, S], got {list(x_id.shape)} and {list(x_attr.shape)}"
        )
    face, points = to_pixels(x_id)[0], points_of(x_id, id_landmarks)[0]
    glasses = wears_glasses(face, points)
    attr_points = torch.from_numpy(points_of(x_attr, attr_landmarks)[0])[None]
    id_points = torch.from_numpy(points)[None]
    shaped, attr_points = with_features_of(id_points, x_attr, attr_points, structure)[:2]
    return {
        "identity": x_id.detach().float().cpu().numpy(),
        "identity_landmarks": points[None].astype(np.float32),
        "identity_usable": readable_face(face, points, glasses)[None, None].astype(np.float32),
        "identity_glasses": np.array([glasses]),
        "attribute": shaped.detach().float().cpu().numpy(),
        "attribute_landmarks": attr_points.float().numpy(),
        "structure": np.array([structure], np.float32),
        "appearance": np.array([appearance], np.float32),
    }
