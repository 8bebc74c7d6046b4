"""Projection: the code, and the noise maps, that make a generator draw one photograph, by optimisation.

The slow alternative to an encoder, or its refinement. Source: StyleGAN2 (Karras et al. 2020), appendix D;
over W+ as in Image2StyleGAN (Abdal et al. 2019). Generator and perceptual distance come as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from inversion.inverted import Inversion
from inversion.latents import Latents

COMPARED_SIDE = 256  # pixels; larger images are compared at this side, by the mean of each square
SMALLEST_NOISE_SIDE = 8  # up to which noise maps are not halved any more
# The noise on the code starts at this share of the codes' spread and is gone after this share of the steps.
CODE_NOISE, CODE_NOISE_UNTIL = 0.05, 0.75

Distance = Callable[[Tensor, Tensor], Tensor]


class SynthesisNetwork(Protocol):
    """A generator as projection needs it; ``stylegan_swap.nn.stylegan2.generator.Generator`` is one.

    Attributes:
        n_latent: rows L of a W+ code.
        style_dim: width D of a row.
    """

    style_dim: int

    @property
    def n_latent(self) -> int:
        """See the attributes."""
        ...

    def make_noise(self, batch: int = 1, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw all noise maps ``[batch, 1, r, r]``, in layer order."""
        ...

    def __call__(self, wplus: Tensor, *, noise: Any = ..., structure: Tensor | None = None) -> Any:
        """Synthesise; the result has ``image`` ``[batch, 3, S, S]``."""
        ...


def code_statistics(
    mapping: Callable[[Tensor], Tensor], style_dim: int, n: int = 10_000, seed: int = 0
) -> tuple[Tensor, float]:
    """Mean w̄ ``[D]`` of random codes, and their spread σ = √(Σ‖w − w̄‖²/n): where projection starts.

    Args:
        mapping: ``[batch, D]`` standard normal → w ``[batch, D]``.
        style_dim: width D.
        n: how many codes.
        seed: of the draws.
    """
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        codes = mapping(torch.randn(n, style_dim, generator=stream)).cpu().double()
        average = codes.mean(0)
        spread = (codes - average).square().sum(1).mean().sqrt()
    return average.float(), float(spread)


def project(
    generator: SynthesisNetwork,
    target: Tensor,
    distance: Distance,
    *,
    start: Latents | Tensor,
    spread: float,
    space: str = "w+",
    steps: int = 1000,
    lr: float = 0.1,
    noise_weight: float = 1e5,
    pixel_weight: float = 0.0,
    optimise_noise: bool = True,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Find the code and the noise maps with which a generator draws a photograph.

    Loss: ``distance`` at up to 256 pixels + ``noise_weight`` · ``noise_regularize`` + ``pixel_weight`` · mean
    squared difference. Adam (0.9, 0.999); the rate rises over the first 5 % and falls over the last 25 % of
    the steps; noise on the code fades over the first 75 %; the maps are normalised after each step.

    Args:
        generator: gets no gradient and is not changed.
        target: the aligned photograph, ``[1, 3, S, S]``, RGB in [-1, 1].
        distance: images, images → ``[batch]``, differentiable in the first: LPIPS in the paper.
        start: w̄ ``[D]`` or ``[1, D]``, a W+ code ``[1, L, D]``, or an encoder's codes with their structure.
        spread: σ of the generator's codes, see ``code_statistics``; scales the noise on the code.
        space: ``"w"`` one row for all layers, ``"w+"`` a row per layer. A W+ start in ``"w"`` begins at its
            mean row.
        steps: how many; the paper's are 1000.
        lr: largest learning rate; the paper's 0.1 suits w̄ as a start, an encoder's codes want less.
        noise_weight: of the noise term.
        pixel_weight: of the pixel term; 0 in the paper.
        optimise_noise: False keeps the generator's stored noise and optimises the code alone.
        seed: of first noise maps and noise on the code; draws are the same on every device.
        on_step: called with the number of steps done and the loss.

    Returns:
        Codes, noise maps (None without ``optimise_noise``), ``reconstruction``; ``photo`` is the target.

    Raises:
        ValueError: a space, a shape or a number that is none.
    """
    if space not in ("w", "w+"):
        raise ValueError(f"project: space must be 'w' or 'w+', got {space!r}.")
    if steps < 1 or not lr > 0 or not spread >= 0:
        raise ValueError(
            "project: steps must be at least 1, lr above 0 and spread not negative, "
            f"got {steps}, {lr}, {spread}."
        )
    if target.ndim != 4 or target.shape[:2] != (1, 3) or target.shape[2] != target.shape[3]:
        raise ValueError(f"project: the target must be one image [1, 3, S, S], got {list(target.shape)}.")
    target = target.detach().float()
    structure = start.structure if isinstance(start, Latents) else None
    first = _first_code(start, generator, space).to(target)
    code = first.clone().requires_grad_()
    stream = torch.Generator().manual_seed(seed)
    noise: list[Tensor] = []
    if optimise_noise:
        noise = [noise_map.to(target).requires_grad_() for noise_map in generator.make_noise(1, stream)]
    optimiser = torch.optim.Adam([code, *noise], lr=lr, betas=(0.9, 0.999))
    reduced_target = compared(target)

    def draw(w: Tensor) -> Tensor:
        rows = w if w.shape[1] > 1 else w.expand(-1, generator.n_latent, -1)
        maps = list(noise) if optimise_noise else "buffer"
        image: Tensor = generator(rows, noise=maps, structure=structure).image
        if image.shape != target.shape:
            raise ValueError(
                f"project: the generator draws {list(image.shape)}, the target is {list(target.shape)}."
            )
        return image.float()

    for step in range(steps):
        progress = step / steps
        optimiser.param_groups[0]["lr"] = projection_rate(progress, lr)
        strength = spread * CODE_NOISE * max(0.0, 1 - progress / CODE_NOISE_UNTIL) ** 2
        trial = code + strength * torch.randn(code.shape, generator=stream).to(code)
        image = draw(trial)
        loss = distance(compared(image), reduced_target).mean()
        if pixel_weight:
            loss = loss + pixel_weight * (image - target).square().mean()
        if optimise_noise and noise_weight:
            loss = loss + noise_weight * noise_regularize(noise)
        gradients = torch.autograd.grad(loss, [code, *noise])
        for tensor, gradient in zip([code, *noise], gradients, strict=True):
            tensor.grad = gradient
        optimiser.step()
        noise_normalize([noise_map.detach() for noise_map in noise])
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))
    with torch.no_grad():
        final = code.detach()
        reconstruction = draw(final)
    wplus = final if space == "w+" else final.expand(-1, generator.n_latent, -1).clone()
    maps = tuple(noise_map.detach() for noise_map in noise) if optimise_noise else None
    return Inversion(wplus, structure, maps, None, reconstruction.clamp(-1, 1), target)


def noise_regularize(noises: Sequence[Tensor]) -> Tensor:
    """How much noise maps tell of the picture: squared correlation with their neighbours, at every scale.

    Without it, optimised noise takes the picture over and the code is left with nothing.

    Args:
        noises: maps ``[batch, 1, r, r]``.

    Returns:
        A scalar; the expected value for white noise is about 0.
    """
    total = torch.zeros((), device=noises[0].device) if noises else torch.zeros(())
    for noise in noises:
        while True:
            for axis in (2, 3):
                total = total + (noise * noise.roll(1, axis)).mean().square()
            if noise.shape[2] <= SMALLEST_NOISE_SIDE:
                break
            noise = F.avg_pool2d(noise, 2)
    return total


@torch.no_grad()
def noise_normalize(noises: Sequence[Tensor]) -> None:
    """Give every noise map mean 0 and deviation 1 again, in place; after each step of the optimiser."""
    for noise in noises:
        mean, deviation = noise.mean(), noise.std()
        noise.sub_(mean).div_(deviation)


def projection_rate(progress: float, lr: float, fall: float = 0.25, rise: float = 0.05) -> float:
    """Learning rate of projection: a linear rise at the start, half a cosine wave down at the end.

    Args:
        progress: share of the steps done, 0..1.
        lr: the rate in between.
        fall: share of the steps that the fall takes.
        rise: share of the steps that the rise takes.
    """
    down = min(1.0, (1 - progress) / fall)
    return lr * (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, progress / rise)


def compared(image: Tensor) -> Tensor:
    """Images as the perceptual distance sees them: reduced to 256 pixels by areas where they are larger."""
    return F.adaptive_avg_pool2d(image, COMPARED_SIDE) if image.shape[-1] > COMPARED_SIDE else image


def _first_code(start: Latents | Tensor, generator: SynthesisNetwork, space: str) -> Tensor:
    """``[1, 1, D]`` in w, ``[1, L, D]`` in w+."""
    code = (start.wplus if isinstance(start, Latents) else start).detach().float()
    shape: Sequence[int] = code.shape
    length, width = generator.n_latent, generator.style_dim
    if tuple(shape) in ((width,), (1, width)):
        row = code.reshape(1, 1, width)
        return row if space == "w" else row.expand(1, length, width)
    if tuple(shape) != (1, length, width):
        raise ValueError(
            f"project: the start must be [{width}], [1, {width}] or [1, {length}, {width}], "
            f"got {list(shape)}."
        )
    return code.mean(1, keepdim=True) if space == "w" else code
