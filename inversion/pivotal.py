"""Pivotal tuning: a copy of the generator learns to draw one photograph exactly from a fixed code.

The code, the pivot, comes from an encoder or from ``projector``. Source: Roich et al., Pivotal Tuning for
Latent-based Editing of Real Images (ACM TOG 2022), sections 3.1 to 3.3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from inversion.inverted import Inversion
from inversion.latents import Latents
from inversion.projector import Distance, compared

# Parameters of a StyleGAN2 generator that turn z into w; with the code fixed they have no part in the image.
_MAPPING = "style."


def pivotal_tuning(
    generator: nn.Module,
    target: Tensor,
    pivot: Latents,
    distance: Distance,
    *,
    steps: int = 350,
    lr: float = 3e-4,
    pixel_weight: float = 1.0,
    perceptual_weight: float = 1.0,
    enough: float | None = None,
    locality_weight: float = 0.0,
    locality_radius: float = 30.0,
    sample: Callable[[int], Tensor] | None = None,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Tune a copy of a generator to draw one photograph from a fixed code.

    Loss: ``pixel_weight`` · mean squared difference + ``perceptual_weight`` · ``distance``, and with a
    ``locality_weight`` the same two terms between the tuned and the untouched generator at a code near the
    pivot, times that weight, so that other faces stay as they were. Adam over all parameters behind the code.

    Args:
        generator: called as ``generator(wplus, noise=…, structure=…).image``; it is copied, never changed.
        target: the aligned photograph, ``[1, 3, S, S]``, RGB in [-1, 1].
        pivot: the code; an :class:`Inversion`'s noise maps are used, else the generator's stored ones.
        distance: images, images → ``[batch]``, differentiable in the first: LPIPS in the paper.
        steps: at most so many; the paper's are 350.
        lr: of Adam; the paper's.
        pixel_weight: of the pixel term.
        perceptual_weight: of the distance.
        enough: stop once ``distance`` is at most this (0.06 of LPIPS in the official code); None: never.
        locality_weight: of the regularisation, 0.1 in the official code; 0 leaves it out.
        locality_radius: how far from the pivot the other code lies, in the norm of W+; never beyond the
            random code on whose side it lies.
        sample: a seed → a random code ``[1, D]`` or ``[1, L, D]``; needed for the regularisation.
        seed: of the random codes.
        on_step: called with the number of steps done and the loss.

    Returns:
        The pivot with ``tuned``, ``reconstruction`` and ``photo``.

    Raises:
        ValueError: not one photograph, a number that is none, or regularisation without ``sample``.
    """
    if target.ndim != 4 or len(target) != 1 or len(pivot) != 1:
        raise ValueError(
            f"pivotal_tuning: one photograph and one code, got {list(target.shape)} and {len(pivot)} codes."
        )
    if steps < 1 or not lr > 0:
        raise ValueError(f"pivotal_tuning: steps must be at least 1 and lr above 0, got {steps} and {lr}.")
    if locality_weight and sample is None:
        raise ValueError("pivotal_tuning: the locality term needs sample=, random codes of the generator.")
    tuned = private_copy(generator)
    names = [name for name, _ in tuned.named_parameters() if not name.startswith(_MAPPING)]
    parameters = [tuned.get_parameter(name) for name in names]
    device = parameters[0].device
    pivot, target = pivot.to(device), target.detach().to(device).float()
    noise: Any = "buffer"
    if isinstance(pivot, Inversion) and pivot.noise is not None:
        noise = list(pivot.noise)
    optimiser = torch.optim.Adam(parameters, lr=lr)

    def draw(network: nn.Module, wplus: Tensor, maps: Any) -> Tensor:
        image: Tensor = network(wplus, noise=maps, structure=pivot.structure).image
        return image.float()

    def terms(image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        if image.shape != reference.shape:
            raise ValueError(
                f"pivotal_tuning: the generator draws {list(image.shape)}, the target is "
                f"{list(reference.shape)}."
            )
        return (image - reference).square().mean(), distance(compared(image), compared(reference)).mean()

    for step in range(steps):
        pixel, perceptual = terms(draw(tuned, pivot.wplus, noise), target)
        if enough is not None and float(perceptual.detach()) <= enough:
            break
        loss = pixel_weight * pixel + perceptual_weight * perceptual
        if locality_weight and sample is not None:
            near = nearby(pivot.wplus, sample(seed + step).to(pivot.wplus), locality_radius)
            with torch.no_grad():
                untouched = draw(generator, near, "none")
            pixel, perceptual = terms(draw(tuned, near, "none"), untouched)
            loss = loss + locality_weight * (pixel_weight * pixel + perceptual_weight * perceptual)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))
    with torch.no_grad():
        image = draw(tuned, pivot.wplus, noise).clamp(-1, 1)
    weights = {name: tuned.get_parameter(name).detach() for name in names}
    inversion = pivot if isinstance(pivot, Inversion) else Inversion(pivot.wplus, pivot.structure)
    return replace(inversion, tuned=weights, reconstruction=image, photo=target)


def nearby(pivot: Tensor, code: Tensor, radius: float) -> Tensor:
    """The code at ``radius`` from the pivot towards another: w_p + α (w_z − w_p)/‖w_z − w_p‖₂ (eq. 5).

    Args:
        pivot: ``[1, L, D]``.
        code: ``[1, D]`` or ``[1, L, D]``.
        radius: α; where the other code is nearer than that, it is returned itself.
    """
    code = code[:, None].expand_as(pivot) if code.ndim == 2 else code
    direction = code - pivot
    length = direction.norm()
    return pivot + direction * (radius / length.clamp_min(1e-8)).clamp_max(1.0)


def private_copy(generator: nn.Module) -> nn.Module:
    """A copy whose parameters ask for gradients, whatever the original's do."""
    return copy.deepcopy(generator).requires_grad_(True)


def with_tuned(generator: nn.Module, tuned: Mapping[str, Tensor]) -> nn.Module:
    """A copy of a generator with the weights that pivotal tuning found, frozen and ready to draw.

    Args:
        generator: the one that was tuned; it stays as it is.
        tuned: of the :class:`Inversion`.

    Raises:
        ValueError: they are another generator's.
    """
    parameters = dict(generator.named_parameters())
    wrong = [k for k, v in tuned.items() if k not in parameters or parameters[k].shape != v.shape]
    if wrong:
        raise ValueError(f"the tuned weights are another generator's: {wrong[0]} and {len(wrong) - 1} more.")
    network = copy.deepcopy(generator).requires_grad_(False)
    for name, value in tuned.items():
        parameter = network.get_parameter(name)
        parameter.data = value.detach().to(parameter, copy=True)
    return network
