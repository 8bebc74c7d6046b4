"""A face in a photograph → its codes: the encoder's, then projection and pivotal tuning where asked for.

Between ``api`` (photographs) and the package ``inversion`` (tensors): chooses the start, the perceptual term
and the rates, and measures how well the codes redraw the photo. Draws the face back from them as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from inversion import (
    Inversion,
    Latents,
    code_statistics,
    peak_signal_to_noise,
    pivotal_tuning,
    project,
    with_tuned,
)
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.losses.perceptual import PerceptualLoss
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.protocol import HasLatents
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.nn.stylegan2.prior import CodePrior

# dlib's threshold for one person.
POOR = 0.6
# From the encoder's codes; the paper's 0.1 is for a start from the mean code.
PROJECTION_RATE = 0.05
# Squared differences say more about light and colour than the perceptual term, which is blind to both.
PROJECTION_PIXELS = 5.0
# For some tens of steps instead of the paper's 350 with 3e-4.
TUNING_RATE = 2e-3
TUNING_PIXELS = 5.0


def invert_face(
    method: HasLatents,
    latents: Latents,
    photo: Tensor,
    identity: DlibIdentity,
    *,
    steps: int = 0,
    pti: int = 0,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> Inversion:
    """Refine an encoder's codes and measure what they draw.

    The perceptual term is LPIPS where its backbone's file lies (``models.lpips``), else dlib's features.

    Args:
        method: whose generator draws; not changed.
        latents: the encoder's codes of the photo.
        photo: the aligned face ``[1, 3, S, S]``, RGB in [-1, 1].
        identity: recogniser for the measure and the perceptual term.
        steps: of projection over W+ and noise maps, starting at the encoder's codes; 0: none.
        pti: steps of pivotal tuning after that; 0: none.
        seed: of the noise of projection; pivotal tuning draws nothing.
        on_step: called with the number of steps done and the loss.

    Raises:
        UnsupportedOptionError: steps are asked for and there is no generator.
    """
    generator, prior = method.generator, method.prior
    if generator is None:
        if steps or pti:
            raise UnsupportedOptionError(
                "projection and pivotal tuning (steps=, pti=) draw the face, and these weights are an "
                "encoder without its generator: give a file that holds both"
            )
        return Inversion(latents.wplus, latents.structure, photo=photo.detach().cpu().float())
    device = generator.input.input.device
    photo = photo.detach().to(device, torch.float32)
    inversion = Inversion(latents.wplus, latents.structure).to(device).to(torch.float32)
    if steps or pti:
        perceptual = PerceptualLoss(identity)
        if steps:
            inversion = project(
                generator,
                photo,
                perceptual,
                start=inversion,
                spread=_spread(generator, prior),
                steps=steps,
                lr=PROJECTION_RATE,
                pixel_weight=PROJECTION_PIXELS,
                seed=seed,
                on_step=on_step,
            )
        if pti:
            inversion = pivotal_tuning(
                generator,
                photo,
                inversion,
                perceptual,
                steps=pti,
                lr=TUNING_RATE,
                pixel_weight=TUNING_PIXELS,
                on_step=on_step,
            )
    image = inversion.reconstruction if steps or pti else redraw(method, inversion)
    assert image is not None
    with torch.no_grad():
        distance = identity.distance(
            *identity.embed(torch.cat([image, photo]).to(identity.mean.device)).chunk(2)
        )
    return replace(
        inversion.to("cpu"),
        reconstruction=image.cpu(),
        photo=photo.cpu(),
        psnr=peak_signal_to_noise(image, photo),
        distance=float(distance),
    )


@torch.no_grad()
def redraw(method: HasLatents, inversion: Inversion) -> Tensor:
    """The face ``[1, 3, S, S]`` in [-1, 1] of an inversion, with its noise and tuned weights.

    Raises:
        UnsupportedOptionError: it belongs to another network.
        NonFiniteError: codes or picture hold NaN or infinity.
    """
    generator = method.generator
    if generator is None:
        raise UnsupportedOptionError("these weights have no generator: give the file of one")
    codes = inversion.to(generator.input.input.device)
    try:
        network = generator if codes.tuned is None else with_tuned(generator, codes.tuned)
        noise: Any = "buffer" if codes.noise is None else list(codes.noise)
        image: Tensor = network(
            codes.wplus, noise=noise, structure=codes.structure, return_features=False
        ).image
    except ValueError as error:
        raise UnsupportedOptionError(f"{error} Give the weights that these codes go with.") from error
    require_finite("the codes", ("their W+ rows", codes.wplus), ("the generator", image))
    return image.float().clamp(-1, 1)


def quality_note(inversion: Inversion) -> str | None:
    """What a user should know of codes that show somebody else; None where they do not."""
    if inversion.distance is None or inversion.distance <= POOR:
        return None
    return (
        f"the codes redraw the face poorly (distance {inversion.distance:.2f} to the photo's, up to {POOR} "
        f"passes for the same person; PSNR {inversion.psnr:.1f} dB): projection or pivotal tuning come "
        "nearer (steps=, pti=; on the command line --steps, --pti)"
    )


def _spread(generator: Generator, prior: CodePrior | None) -> float:
    """How far a row of a random code lies from the average one, in the mean."""
    if prior is not None:
        return math.sqrt(float(prior.factor.square().sum((0, 2)).mean()))
    return code_statistics(generator.mapping, generator.style_dim, 4096)[1]
