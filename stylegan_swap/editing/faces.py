"""Faces and codes of one network, without a swap: a photograph's codes, and faces drawn from codes."""

from __future__ import annotations

import warnings

import numpy as np
from PIL import Image

from inversion import Inversion, Latents
from stylegan_swap.editing.invert import invert_face, quality_note, redraw
from stylegan_swap.errors import StyleganSwapWarning, UnsupportedOptionError
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.options import checked_seed
from stylegan_swap.methods.base.protocol import Method, latents_of
from stylegan_swap.swapping.options import checked_steps
from stylegan_swap.swapping.swapper import FaceChoice, PhotoSwapper


def invert(
    swapper: PhotoSwapper, source: PhotoSource, face: FaceChoice, *, steps: int, pti: int, seed: int
) -> Inversion:
    """The codes of a face in a photo; see ``Swapper.invert``.

    Raises:
        UnsupportedOptionError: the method has no latent space, or a number of steps is none.
    """
    method, seed = latents_of(swapper.method, "invert"), checked_seed(seed)
    steps, pti = checked_steps("steps", steps), checked_steps("pti", pti)
    photo = read_photo(source)
    alignment = swapper.align(swapper.choose_faces(photo, face)[0].landmarks)
    crop = from_pixels(alignment.crop(photo.pixels))
    inversion = invert_face(
        method, method.invert(crop), crop, swapper.recogniser, steps=steps, pti=pti, seed=seed
    )
    if note := quality_note(inversion):
        warnings.warn(f"{photo.name}: {note}", StyleganSwapWarning, stacklevel=3)
    return inversion


def generate(
    method: Method, latents: Latents | None, n: int, truncation_psi: float, seed: int
) -> list[Image.Image]:
    """Faces from codes, or of new people; see ``Swapper.generate``.

    Raises:
        UnsupportedOptionError: the method has no generator.
        NonFiniteError: it gave NaN or infinity.
    """
    if n < 1:
        raise UnsupportedOptionError(f"n must be at least 1, got {n}")
    drawer = latents_of(method, "generate")
    if isinstance(latents, Inversion):
        faces = redraw(drawer, latents)
    else:
        faces = drawer.generate(latents, n, truncation_psi, checked_seed(seed))
    # Of a method without a check of its own, and of codes that somebody brought.
    require_finite(method.name, ("the generator", faces))
    return [Image.fromarray(np.rint(pixels).astype(np.uint8)) for pixels in to_pixels(faces)]
