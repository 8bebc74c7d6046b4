"""``swap()`` and ``Swapper``: the road of a photograph, and faces inverted, generated and edited."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from inversion import Inversion, Latents
from stylegan_swap.editing.direction import Direction
from stylegan_swap.editing.faces import generate, invert
from stylegan_swap.editing.photo import (
    CodeEdit,
    Edits,
    code_edit,
    edit_photo,
    edit_step,
    named_direction,
    stored_directions,
)
from stylegan_swap.faces.masks.mask_options import MaskOptions
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.registry import method_names
from stylegan_swap.swapping.people import People
from stylegan_swap.swapping.result import Person, SwapResult
from stylegan_swap.swapping.swapper import FaceChoice, PhotoSwapper


def swap(
    identity: PhotoSource | Sequence[PhotoSource] | Mapping[Any, Any],
    attribute: PhotoSource,
    *,
    method: str = "default",
    face: FaceChoice = "largest",
    identity_face: FaceChoice = "largest",
    structure: float = 1.0,
    appearance: float = 0.0,
    seed: int | None = None,
    match_colour: bool = False,
    detail: float = 1.0,
    options: Mapping[str, Any] | None = None,
    edit: Edits | None = None,
    refine: int = 0,
    mask: str | MaskOptions = "predicted",
    device: str = "auto",
    dtype: str = "auto",
    landmarks: str = "dlib",
) -> SwapResult:
    """Put the face of one photo into another.

    Args:
        identity: who; a path, bytes of a picture file, a binary file object, a PIL image or a uint8 RGB array
            (OpenCV's are BGR: give ``array[..., ::-1]``), or several photos of one person. Or a mapping for
            several people: a photo of whom to replace, or a face number → the identity.
        attribute: where: pose, expression, light and background are kept.
        method: ``"default"`` (the weights that ship), another name of ``list_methods()``, or a folder or file
            with weights.
        face: of the attribute photo: ``"largest"``, ``"all"``, a number from the left, or a photo of
            the person to replace.
        identity_face: which face of the identity photo, in the same words except ``"all"``.
        structure: 0..1, how far the identity rows of W+ go to the identity person, and places and shapes
            of eyes, brows, nose and mouth.
        appearance: 0..1, how far the colour rows go there.
        seed: draws fresh noise maps for the generator; None keeps the stored ones.
        match_colour: bring the result's skin to the photo's in Lab before pasting; ``warp`` does so anyway.
        detail: 0..1, how much of the detail finer than the network's pixels is added from both photos.
        options: what else the method declares, by name; see ``Method.options``.
        edit: what to change in the swapped face, as ``{"smile": 1.5}``; see ``Swapper.edit``.
        refine: steps in which a copy of the network is tuned to this person; see docs/inversion.md for what
            it gives and costs.
        mask: ``"predicted"``, ``"hull"``, ``"inner"``, ``"box"``, or ``MaskOptions``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        dtype: ``"auto"``, ``"float32"``, ``"bfloat16"``, ``"float16"``.
        landmarks: ``"dlib"`` or ``"face-alignment"``.

    Raises:
        StyleganSwapError: with the cause and the remedy; see ``stylegan_swap.errors``.
    """
    build = _cached_swapper if method in method_names() else Swapper.from_pretrained
    swapper = build(method, device=device, dtype=dtype, landmarks=landmarks)
    # Read first: a wrong path is told before the work on the identity.
    photo = read_photo(attribute)
    several = isinstance(identity, Mapping)
    prepare: Any = swapper.prepare_people if several else swapper.prepare
    return swapper(
        prepare(identity, face=identity_face, refine=refine, seed=seed or 0),
        photo,
        face=face,
        structure=structure,
        appearance=appearance,
        seed=seed,
        match_colour=match_colour,
        detail=detail,
        options=options,
        edit=edit,
        mask=mask,
    )


class Swapper(PhotoSwapper):
    """A method on a device: swaps faces in photographs, inverts, generates and edits them.

    Safe to share between threads. Arguments and what it can do with photographs: see ``PhotoSwapper``.
    """

    def __call__(
        self,
        person: Person | People | PhotoSource | Mapping[Any, Any],
        attribute: PhotoSource,
        *,
        edit: Edits | None = None,
        **options: Any,
    ) -> SwapResult:
        """Swap; arguments as in ``swap``, with a prepared person, prepared people or a photo.

        ``refine`` here tunes for this one call; ``prepare(..., refine=n)`` does so once for all.

        Raises:
            FaceSelectionError: of several people, somebody is not in the photo; see docs/masks.md.
            StyleganSwapError: with the cause and the remedy; see ``stylegan_swap.errors``.
        """
        step = None if edit is None else edit_step(self, self.code_edit(edit))
        return super().__call__(person, attribute, then=step, **options)

    @functools.cached_property
    def directions(self) -> dict[str, Direction]:
        """The directions that lie beside the network's weights, by name; empty where there are none.

        Raises:
            CheckpointError: the file is damaged, or was made for other weights; says what to do.
        """
        return stored_directions(self.method)

    def code_edit(self, edits: Edits) -> CodeEdit:
        """One function from codes to codes for named edits.

        Raises:
            UnsupportedOptionError: there is no such direction; names those there are. Or the method has no
                latent space.
        """
        return code_edit(self.method, edits, lambda name: named_direction(self.directions, name))

    def edit(self, photo: PhotoSource, edits: Edits, *, face: FaceChoice = "largest") -> SwapResult:
        """Edit a face in a photo; whose it is stays.

        The face is inverted, moved along the directions, and synthesised before and after. What differs is
        brought into the photo: landmarks move as they moved between both pictures, and the change of
        appearance is added. The photo's own detail stays, at the photo's own resolution; nothing changes
        where the generator changed nothing.

        Args:
            photo: a path, PIL image or uint8 RGB array.
            edits: strength by name of ``directions`` or by ``Direction``, or a function from codes to codes.
            face: ``"largest"``, ``"all"``, a number from the left, or a photo of the person.

        Returns:
            As of a swap: ``faces[i].wplus`` are the edited codes, ``faces[i].distance`` is to the photo.

        Raises:
            UnsupportedOptionError: there is no such direction, or the method has no latent space.
            StyleganSwapError: others, with the cause and the remedy; see ``stylegan_swap.errors``.
        """
        return edit_photo(self, photo, self.code_edit(edits), face)

    def invert(
        self, image: PhotoSource, *, face: FaceChoice = "largest", steps: int = 0, pti: int = 0, seed: int = 0
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
        return invert(self, image, face, steps=steps, pti=pti, seed=seed)

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
        return generate(self.method, latents, n, truncation_psi, seed)


@functools.lru_cache(maxsize=2)
def _cached_swapper(method: str, device: str, dtype: str, landmarks: str) -> Swapper:
    return Swapper.from_pretrained(method, device=device, dtype=dtype, landmarks=landmarks)
