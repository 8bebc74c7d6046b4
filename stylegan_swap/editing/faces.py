"""``Swapper.invert`` and ``Swapper.generate``: faces and codes of one network, without a swap.

Beside the road: photo → detect → align → **encoder**, and **generator** → picture. ``invert`` has the work.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from inversion import Inversion, Latents
from stylegan_swap.editing.invert import invert_face, quality_note, redraw
from stylegan_swap.errors import StyleganSwapWarning, UnsupportedOptionError
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.base.finite import require_finite
from stylegan_swap.methods.base.protocol import Method
from stylegan_swap.swapping.options import checked_seed, checked_steps, latent_space

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper


class InvertsAndGenerates:
    """What a ``Swapper`` can do with its network's codes; a base class of it, nothing by itself."""

    method: Method

    def invert(
        self,
        image: PhotoSource,
        *,
        face: str | int | PhotoSource = "largest",
        steps: int = 0,
        pti: int = 0,
        seed: int = 0,
    ) -> Inversion:
        """The W+ codes of a face in a photo, ``[1, L, D]``, and how well they redraw it.

        Args:
            image: the photo.
            face: which face; see ``swap``.
            steps: of projection that go on from the encoder's codes (StyleGAN2, appendix D).
            pti: steps of pivotal tuning after that; the codes then go with ``tuned`` weights.
            seed: of both.

        Raises:
            UnsupportedOptionError: the method has no latent space, or a number of steps is none.
        """
        swapper = cast("Swapper", self)
        invert, seed = latent_space(self.method, "invert"), checked_seed(seed)
        steps, pti = checked_steps("steps", steps), checked_steps("pti", pti)
        photo = read_photo(image)
        found = swapper._select(photo, face)[0]
        crop = from_pixels(ffhq_alignment(found.landmarks, swapper._crop_side(found)).crop(photo.pixels))
        done = invert_face(
            cast(Any, self.method), invert(crop), crop, swapper._identity, steps=steps, pti=pti, seed=seed
        )
        if note := quality_note(done):
            warnings.warn(f"{photo.name}: {note}", StyleganSwapWarning, stacklevel=2)
        return done

    def generate(
        self, latents: Latents | None = None, *, n: int = 1, truncation_psi: float = 0.7, seed: int = 0
    ) -> list[Image.Image]:
        """Synthesise faces: from codes, or new people.

        Args:
            latents: codes, as ``invert`` returns them; None draws ``n`` people.
            n: how many.
            truncation_psi: 0 gives the average face, 1 the full variety.
            seed: of the people drawn.

        Raises:
            UnsupportedOptionError: the method has no generator.
            NonFiniteError: it gave NaN or infinity.
        """
        if n < 1:
            raise UnsupportedOptionError(f"n must be at least 1, got {n}")
        generate = latent_space(self.method, "generate")
        if isinstance(latents, Inversion):
            faces = redraw(cast(Any, self.method), latents)
        else:
            faces = generate(latents, n, truncation_psi, checked_seed(seed))
        # Of a method without a check of its own, and of codes that somebody brought.
        require_finite(self.method.name, ("the generator", faces))
        return [Image.fromarray(np.rint(pixels).astype(np.uint8)) for pixels in to_pixels(faces)]
