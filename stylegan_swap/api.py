"""``swap()`` and ``Swapper``: the whole way of a photograph, in order.

identity photo → detect → align → prepare ─┐
attribute photo → detect → align ──────────┴→ swap_aligned → fine detail → paste into the attribute photo.

Each step is one call into ``images``, ``faces`` or a method of ``methods``; nothing else happens here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_swap.editing.faces import InvertsAndGenerates
from stylegan_swap.editing.photo import Edits, EditsPhotos
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.detection.select import select_faces
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment, free_side
from stylegan_swap.faces.geometry.reshape import reshaped
from stylegan_swap.faces.masks.mask_options import MaskOptions, paste_mask
from stylegan_swap.faces.paste import paste_back
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import Photo, PhotoSource, read_photo
from stylegan_swap.methods.base.protocol import AlignedSwap, Method
from stylegan_swap.methods.registry import list_methods
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.swapping.find_method import find_method
from stylegan_swap.swapping.finish.detail import FinePhoto, add_fine_detail
from stylegan_swap.swapping.options import checked_dials, checked_refine, checked_seed
from stylegan_swap.swapping.people import (
    People,
    Replacements,
    choose,
    prepare_people,
    refined,
    require_method,
)
from stylegan_swap.swapping.result import IDENTITY_SIZE, Person, SwappedFace, SwapResult, describe_face

FaceChoice: TypeAlias = "str | int | PhotoSource"
_LANDMARKS = ("dlib", "face-alignment")


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
    edit: Edits | None = None,
    refine: int = 0,
    mask: str | MaskOptions = "predicted",
    device: str = "auto",
    dtype: str = "auto",
    landmarks: str = "dlib",
) -> SwapResult:
    """Put the face of one photo into another.

    Args:
        identity: who; a path, PIL image or uint8 RGB array, or several photos of one person. Or a mapping for
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
    build = _cached_swapper if method in list_methods() else Swapper.from_pretrained
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
        edit=edit,
        mask=mask,
    )


class Swapper(InvertsAndGenerates, EditsPhotos):
    """A method on a device, with everything round it. Safe to share between threads.

    Args:
        method: the method; ``from_pretrained`` finds it by name.
        landmarks: ``"dlib"`` or ``"face-alignment"``.
        notes: what to tell the user with every result.

    Raises:
        UnsupportedOptionError: there is no such landmark backend.
    """

    def __init__(self, method: Method, *, landmarks: str = "dlib", notes: Sequence[str] = ()) -> None:
        if landmarks not in _LANDMARKS:
            raise UnsupportedOptionError(
                f"unknown landmark backend {landmarks!r}: choose {' or '.join(_LANDMARKS)}"
            )
        self.method = method
        self._landmarks = landmarks
        self._notes = tuple(notes)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "default",
        *,
        device: str = "auto",
        dtype: str = "auto",
        landmarks: str = "dlib",
    ) -> Swapper:
        """Build a swapper by method name, or from a folder or file with weights, ours or published ones.

        Files of MegaFS, FSLSD and RAFSwap give those methods; a generator or an encoder of another project
        gives a swapper that inverts and generates, and says what a swap would need. They are converted in
        memory each time, which ``notes`` says. Where the default weights are missing from the installation,
        ``"default"`` falls back to ``"warp"``, with a warning.

        Raises:
            CheckpointError: the weights are missing, damaged or do not fit, or make no faces.
            UnsupportedOptionError: the name, device or dtype is not to be had.
        """
        method, notes = find_method(name, device, dtype)
        return cls(method, landmarks=landmarks, notes=notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell the user about the weights, one line each; every result repeats it."""
        return self._notes

    def prepare(
        self,
        identity: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        refine: int = 0,
        seed: int = 0,
    ) -> Person:
        """Do once what depends on the identity alone.

        Args:
            identity: one photo, or several of the same person.
            face: which face of the photo; see ``swap``.
            refine: steps in which a copy of the network is tuned to this person, kept with the person.
            seed: of that tuning.

        Raises:
            NoFaceError, FaceSelectionError, FaceTooSmallError, ImageReadError: see ``stylegan_swap.errors``.
        """
        if isinstance(face, str) and face == "all":
            raise UnsupportedOptionError(
                "one identity is one face: choose 'largest', a number or a reference photo"
            )
        refine = checked_refine(self.method, refine)
        sources = identity if isinstance(identity, (list, tuple)) else [cast("PhotoSource", identity)]
        if not sources:
            raise UnsupportedOptionError("no identity photo was given: give one, or several of one person")
        prepared, embeddings, fine, names, notes = [], [], [], [], []
        for source in sources:
            photo = read_photo(source)
            found = self._select(photo, face)[0]
            alignment = ffhq_alignment(found.landmarks, self._crop_side(found))
            crop, points = from_pixels(alignment.crop(photo.pixels)), _points(alignment, found)
            prepared.append(self.method.prepare(crop, points))
            embeddings.append(describe_face(self._identity, photo.pixels, alignment))
            fine.append(FinePhoto.cut(photo.pixels, found.landmarks, alignment))
            names.append(photo.name)
            notes += [f"{photo.name}: {note}" for note in photo.notes]
        whole = prepared[0] if len(prepared) == 1 else self.method.combine(prepared)
        if refine:
            whole = cast(Any, self.method).refine(whole, refine, checked_seed(seed))
        each = torch.cat(embeddings)
        embedding = each.mean(0, keepdim=True)
        typical = fine[int((each - embedding).square().sum(1).argmin())]
        return Person(whole, embedding, self.method.fingerprint, tuple(names), tuple(notes), typical)

    def prepare_people(
        self,
        replacements: Replacements,
        *,
        missing: str = "error",
        face: FaceChoice = "largest",
        refine: int = 0,
        seed: int = 0,
    ) -> People:
        """Do once what depends on who becomes whom alone, for several people of the same photos.

        Args:
            replacements: a photo of the person to replace, or a face number from the left → the identity: a
                prepared person, a photo or several. A mapping, or pairs.
            missing: ``"error"`` where a photo lacks somebody, or ``"skip"`` to go on with the others.
            face: of the identity photos, as in ``prepare``.
            refine: as there.
            seed: as there.

        Raises:
            StyleganSwapError: as in ``prepare``.
        """

        def prepare(who: Any) -> Person:
            return who if isinstance(who, Person) else self.prepare(who, face=face, refine=refine, seed=seed)

        return prepare_people(
            replacements, missing, prepare=prepare, embed=self._describe, landmarks=self._landmarks
        )

    def __call__(
        self,
        person: Person | People | PhotoSource | Mapping[Any, Any],
        attribute: PhotoSource,
        *,
        face: FaceChoice = "largest",
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
        match_colour: bool = False,
        detail: float = 1.0,
        edit: Edits | None = None,
        refine: int = 0,
        mask: str | MaskOptions = "predicted",
    ) -> SwapResult:
        """Swap; arguments as in ``swap``, with a prepared person, prepared people or a photo.

        ``refine`` here tunes for this one call; ``prepare(..., refine=n)`` does so once for all.

        Raises:
            FaceSelectionError: of several people, somebody is not in the photo; see docs/masks.md.
            StyleganSwapError: with the cause and the remedy; see ``stylegan_swap.errors``.
        """
        dials = checked_dials(self.method, structure, appearance, seed, detail)
        options = MaskOptions.of(mask)
        apply = None if edit is None else self._usable(edit)
        refine = checked_refine(self.method, refine)
        photo = read_photo(attribute)
        if isinstance(person, Mapping):
            person = self.prepare_people(person)
        elif not isinstance(person, Person | People):
            person = self.prepare(person)
        require_method(person, self.method.fingerprint)
        if refine:
            person = refined(person, self.method, refine, dials["seed"] or 0)
        chosen, others, notes = choose(
            person, photo, face, select=self._select, embed=self._describe, landmarks=self._landmarks
        )
        pixels, whole_mask = photo.pixels, np.zeros(photo.pixels.shape[:2], np.float32)
        done: list[tuple[Face, Alignment, AlignedSwap]] = []
        for found, becomes in chosen:
            alignment = ffhq_alignment(found.landmarks, self._crop_side(found))
            crop, points = from_pixels(alignment.crop(photo.pixels)), _points(alignment, found)
            swapped = self.method.swap_aligned(becomes.prepared, crop, points, **dials)
            bystanders = [alignment.to_crop(other.landmarks) for other in others]
            predicted = swapped.mask[0, 0].cpu().numpy()
            weights = paste_mask(options, predicted, points[0].numpy(), bystanders)
            swapped = swapped._replace(mask=torch.from_numpy(weights)[None, None])
            pixels, changed = self._pasted(becomes, pixels, found, alignment, swapped, detail, match_colour)
            whole_mask = np.maximum(whole_mask, changed)
            done.append((found, alignment, swapped))
        if apply is not None:
            pixels, whole_mask, done = self._edit_swapped(apply, pixels, whole_mask, done)
        faces = [
            self._swapped_face(becomes.embedding, pixels, *parts)
            for (_, becomes), parts in zip(chosen, done, strict=True)
        ]
        image = Image.fromarray(pixels if photo.alpha is None else np.dstack([pixels, photo.alpha]))
        notes = [*person.notes, *photo.notes, *self._notes, *notes]
        names = (photo.name, *person.names)
        return SwapResult(image, faces, whole_mask, self.method.name, seed, notes, photo.credit, names)

    def swap_aligned(
        self,
        x_id: Tensor,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Swap a batch of FFHQ-aligned faces.

        Args:
            x_id: ``[batch, 3, s, s]`` (or one for all), RGB in [-1, 1].
            x_attr: ``[batch, 3, S, S]``, RGB in [-1, 1].
            landmarks: of ``x_attr``, ``[batch, 68, 2]`` in crop pixels; predicted where not given.
            structure: see ``swap``.
            appearance: see ``swap``.
            seed: see ``swap``.

        Returns:
            The swapped faces ``[batch, 3, S, S]`` and the masks ``[batch, 1, S, S]``.
        """
        dials = checked_dials(self.method, structure, appearance, seed)
        result = self.method.swap_aligned(self.method.prepare(x_id), x_attr, landmarks, **dials)
        return result.image, result.mask

    @functools.cached_property
    def _identity(self) -> DlibIdentity:
        network = getattr(self.method, "network", None)
        return network.identity if network is not None else DlibIdentity()

    def _select(self, photo: Photo, which: FaceChoice) -> list[Face]:
        wanted: str | int | Photo
        if isinstance(which, int | np.integer):
            wanted = int(which)
        elif isinstance(which, str) and which in ("largest", "all"):
            wanted = which
        else:
            wanted = read_photo(which)
        return select_faces(photo, wanted, landmarks=self._landmarks, embed=self._describe)

    def _describe(self, photo: Photo, found: Face) -> np.ndarray:
        alignment = ffhq_alignment(found.landmarks, IDENTITY_SIZE)
        return describe_face(self._identity, photo.pixels, alignment)[0].cpu().numpy()

    def _crop_side(self, found: Face) -> int:
        if self.method.size is not None:
            return self.method.size
        return free_side(found.landmarks)

    def _pasted(
        self,
        person: Person,
        pixels: np.ndarray,
        found: Face,
        alignment: Alignment,
        swapped: AlignedSwap,
        detail: float,
        colour: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        image, mask = to_pixels(swapped.image)[0], swapped.mask[0, 0].cpu().numpy()
        if detail and "detail" in self.method.options:
            # What is finer is looked for where the method has put it.
            points = swapped.landmarks
            there = found.landmarks if points is None else alignment.to_photo(points[0].cpu().numpy())
            shaped = reshaped(pixels, found.landmarks, there)
            image, alignment = add_fine_detail(image, shaped, there, alignment, person.photo, detail)
        return paste_back(pixels, image, mask, alignment, colour=colour)

    def _swapped_face(
        self, wanted: Tensor, pixels: np.ndarray, found: Face, alignment: Alignment, swapped: AlignedSwap
    ) -> SwappedFace:
        wplus = None if swapped.wplus is None else swapped.wplus[0]
        return SwappedFace(
            found.box,
            found.landmarks,
            swapped.image[0],
            swapped.mask[0],
            wplus,
            alignment,
            pixels,
            self._identity,
            wanted,
        )


@functools.lru_cache(maxsize=2)
def _cached_swapper(method: str, device: str, dtype: str, landmarks: str) -> Swapper:
    return Swapper.from_pretrained(method, device=device, dtype=dtype, landmarks=landmarks)


def _points(alignment: Alignment, found: Face) -> Tensor:
    return torch.from_numpy(alignment.to_crop(found.landmarks))[None]
