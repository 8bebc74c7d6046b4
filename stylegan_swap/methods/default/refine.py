"""One person, better met: a copy of the network is tuned to them before their face goes into photos.

Between ``methods.default`` and ``models.network``, on the road photo → detect → align → encoder → swapper →
**generator** → paste. Pivotal tuning (Roich et al., ACM TOG 2022; ``inversion.pivotal``) bends a generator
until a fixed code draws one photo. A swap draws no such photo but the person in another's pose and light. So
here the pivot is the person (embedding, codes, photo), and the tuned copy is asked for swaps: in faces that
do not exist the recogniser has to find the person through random views, while coarse pixels stay those of the
untuned swap; and moved, mirrored views of the person's own photo, swapped with it, have to stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import MIRRORED, landmarks_of_crop
from stylegan_swap.faces.tensors import to_pixels
from stylegan_swap.losses.features import feature_loss
from stylegan_swap.losses.identity import RandomView, identity_loss
from stylegan_swap.methods.default.network import IdentityCodes, SwapNetwork, SwapOutput

# What is tuned. Mask, attributes and encoder stay: what is outside the face cannot change.
PARTS = ("generator",)
RATE = 2e-3
WARM_UP = 5
# Faces that do not exist which the person is put into, and how various they are.
FACES, VARIETY = 12, 1.0
# Every so many steps the person's own photo is the answer.
OWN_PHOTO_EVERY = 3
IDENTITY, PIXELS, FEATURES = 6.0, 5.0, 2.0
# What is coarser than this side, light and shape, is kept twice: as such and with everything finer. With
# nothing to keep the finer, the recogniser is content with speckles.
COARSE_SIDE, KEEP_COARSE, KEEP_FINE = 32, 5.0, 5.0
# The mapping network has no part in a swap, and louder noise is no likeness.
UNTOUCHED = ("style.", "noise.weight")
MOVE, SCALE, TURN = 0.04, 0.05, 0.08


@dataclass(frozen=True)
class RefinedPerson(IdentityCodes):
    """A person with a network of their own.

    Attributes:
        network: the shipped one with tuned copies of some parts; shares all others.
    """

    network: SwapNetwork | None = None


def refine_person(
    network: SwapNetwork,
    person: IdentityCodes,
    steps: int,
    *,
    seed: int = 0,
    lr: float = RATE,
    on_step: Callable[[int, RefinedPerson], None] | None = None,
) -> RefinedPerson:
    """Tune a private copy of a network to one person.

    Args:
        network: frozen; stays as it is, bit by bit.
        person: one, ``[1, …]``, from ``identity_codes``; tuned already: tuned further. Without a photo
            only the recogniser is asked.
        steps: how many.
        seed: of the faces, views and noise; the same gives the same person up to rounding.
        lr: of Adam.
        on_step: called with the number of steps done and the person so far, whose network goes on changing.

    Raises:
        ValueError: several people at once.
    """
    if len(person) != 1:
        raise ValueError(f"refine_person: one person at a time, got {len(person)}.")
    untuned = person.network if isinstance(person, RefinedPerson) and person.network else network
    tuned = with_private_parts(untuned)
    parameters = [
        parameter
        for part in PARTS
        for name, parameter in tuned.get_submodule(part).named_parameters()
        if not name.startswith(UNTOUCHED) and not name.endswith(UNTOUCHED)
    ]
    optimiser = torch.optim.Adam(parameters, lr=lr, betas=(0.9, 0.99))
    person_fields = {field.name: getattr(person, field.name) for field in fields(IdentityCodes)}
    refined = RefinedPerson(**person_fields, network=tuned)
    tuning = _Tuning(untuned, person, seed)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / WARM_UP)
        own_photo = person.photo is not None and step % OWN_PHOTO_EVERY == OWN_PHOTO_EVERY - 1
        loss = tuning.own_photo(tuned) if own_photo else tuning.somebody(tuned)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        if on_step is not None:
            on_step(step + 1, refined)
    for part in PARTS:
        tuned.get_submodule(part).requires_grad_(False).zero_grad(set_to_none=True)
    return refined


def with_private_parts(network: SwapNetwork) -> SwapNetwork:
    """The same network, but with copies of its ``PARTS`` that ask for gradients; the rest is shared."""
    private = copy.copy(network)
    private._modules = dict(network._modules)
    for part in PARTS:
        private._modules[part] = copy.deepcopy(network.get_submodule(part)).requires_grad_(True)
    return private


class _Tuning:
    """The terms of one person's tuning.

    Args:
        before: the untuned network.
        person: who.
        seed: of all draws.
    """

    def __init__(self, untuned: SwapNetwork, person: IdentityCodes, seed: int) -> None:
        self._before, self._person = untuned, person
        self._stream = torch.Generator().manual_seed(seed)
        recogniser = untuned.identity
        self._wanted = person.embedding.float() * recogniser.std + recogniser.mean
        self._faces = StrangerFaces(untuned, seed)
        self._untuned: dict[int, SwapOutput] = {}

    def somebody(self, tuned: SwapNetwork) -> Tensor:
        """The person in the photo of somebody who does not exist."""
        row = int(torch.randint(FACES, (), generator=self._stream))
        face, points = self._faces[row]
        if row not in self._untuned:
            with torch.no_grad():
                self._untuned[row] = self._before(self._person, face, points)
        untuned = self._untuned[row]
        output, composite = self._swapped(tuned, face, points)
        embedding = tuned.identity.embed(self._view()(composite))
        difference = (output.image - untuned.image) * untuned.mask
        coarse = F.adaptive_avg_pool2d(difference, COARSE_SIDE).abs().mean()
        fidelity = (
            KEEP_COARSE * coarse + KEEP_FINE * difference.abs().mean()
        ) / untuned.mask.mean().clamp_min(1e-3)
        return IDENTITY * identity_loss(tuned.identity, embedding, self._wanted).mean() + fidelity

    def own_photo(self, tuned: SwapNetwork) -> Tensor:
        """The person in a moved, perhaps mirrored view of their own photo, which is the answer."""
        photo = self._person.photo
        assert photo is not None
        view, points = moved_view(photo.image, photo.landmarks, self._stream)
        face, usable = view[:, :3], view[:, 3:]
        output, composite = self._swapped(tuned, face, points)
        # Glasses are no part of the answer: there the swap itself stands in.
        answer = usable * face + (1 - usable) * composite.detach()
        look = self._view()
        features, embedding = tuned.identity.describe(look(composite))
        with torch.no_grad():
            target_features = tuned.identity.features(look(answer))
        mask = output.mask.detach() * usable
        pixel_difference = (
            (output.image - face).abs().mean(1, keepdim=True) * mask
        ).sum() / mask.sum().clamp_min(1e-3)
        likeness = identity_loss(tuned.identity, embedding, self._wanted).mean()
        return (
            IDENTITY * likeness
            + PIXELS * pixel_difference
            + FEATURES * feature_loss(features[:3], target_features[:3]).mean()
        )

    def _swapped(self, tuned: SwapNetwork, face: Tensor, points: Tensor) -> tuple[SwapOutput, Tensor]:
        """The swap, and what of it a user would see."""
        noise = tuned.generator.make_noise(1, self._stream)
        output = tuned(self._person, face, points, noise=noise)
        mask = output.mask.detach()
        return output, mask * output.image + (1 - mask) * face

    def _view(self) -> RandomView:
        return RandomView(1, self._wanted.device, self._stream)


class StrangerFaces:
    """People who do not exist, with landmarks, each drawn when first asked for.

    Args:
        network: whose generator draws them.
        seed: who they are; the same on every device.
    """

    def __init__(self, network: SwapNetwork, seed: int) -> None:
        self._network = network
        if network.config.prior_rank:
            self._codes = network.prior.sample(FACES, VARIETY, seed)
        else:
            z = torch.randn(FACES, network.config.style_dim, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                self._codes = network.generator.broadcast(network.generator.mapping(z))
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """A face ``[1, 3, S, S]`` in [-1, 1] and its landmarks ``[1, 68, 2]``."""
        if number not in self._known:
            with torch.no_grad():
                code = self._codes[number : number + 1]
                face = self._network.generator(code, return_features=False).image.float().clamp(-1, 1)
            points = torch.from_numpy(landmarks_of_crop(to_pixels(face)[0])).float()
            self._known[number] = face, points[None].to(face.device)
        return self._known[number]


def moved_view(image: Tensor, landmarks: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """A face and its landmarks after a small random similarity, and mirrored in half of the draws.

    Args:
        image: ``[1, C, S, S]``.
        landmarks: ``[1, 68, 2]`` in its pixels.
        stream: source of the draws, on the CPU.
    """
    across, down, scale, turn, mirror = (torch.rand(5, generator=stream) * 2 - 1).tolist()
    size = image.shape[-1]
    if mirror > 0:
        image, landmarks = image.flip(3), landmarks[:, torch.from_numpy(MIRRORED.copy())].clone()
        landmarks[..., 0] = size - 1 - landmarks[..., 0]
    factor, angle = 1 + SCALE * scale, TURN * turn
    cos, sin = factor * float(np.cos(angle)), factor * float(np.sin(angle))
    # From the view's coordinates, -1..1, to the image's, as affine_grid wants it.
    linear = landmarks.new_tensor([[cos, -sin], [sin, cos]])
    shift = landmarks.new_tensor([MOVE * across, MOVE * down])
    grid = F.affine_grid(torch.cat([linear, shift[:, None]], 1)[None], list(image.shape), align_corners=False)
    view = F.grid_sample(image, grid.to(image), padding_mode="border", align_corners=False)
    points = (landmarks + 0.5) * (2 / size) - 1
    points = (points - shift) @ torch.linalg.inv(linear).t()
    return view, (points + 1) * (size / 2) - 0.5
