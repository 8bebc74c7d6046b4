"""Faces in a photograph, edited in latent space: alone, or after a swap has pasted them.

What happens between aligning and pasting is ``carried_edit``; here edits get their names, and the network its
directions.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch

from inversion import Latents
from stylegan_swap.editing.carried_edit import edited_face
from stylegan_swap.editing.direction import Direction, edit
from stylegan_swap.editing.direction_file import DIRECTIONS_FILE, check_network, load_own_directions
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.paste import paste_back
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.base.protocol import FromFile, Method, generator_of, latents_of
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.swapping.result import PastedFace, PastedPhoto, SwapResult, describe_face
from stylegan_swap.swapping.swapper import FaceChoice, PhotoStep, PhotoSwapper

CodeEdit: TypeAlias = Callable[[Latents], Latents]
#: {"smile": 1.5}, {direction: 1.5}, or any function from codes to codes.
Edits: TypeAlias = "Mapping[str | Direction, float] | CodeEdit"


def edit_photo(swapper: PhotoSwapper, source: PhotoSource, edit: CodeEdit, face: FaceChoice) -> SwapResult:
    """Edit faces of a photo; see ``Swapper.edit``."""
    photo = read_photo(source)
    edited = edit_faces(swapper.method, edit, photo.pixels, swapper.choose_faces(photo, face))
    references = [
        describe_face(swapper.recogniser, photo.pixels, face.landmarks) for face, _, _ in edited.faces
    ]
    return swapper.result(
        photo,
        edited,
        references,
        notes=[*photo.notes, *swapper.notes],
        sources=(photo.name,),
        kind=Kind.EDITED,
    )


def edit_step(swapper: PhotoSwapper, edit: CodeEdit) -> PhotoStep:
    """The step that edits the faces of a swap once they are pasted."""

    def edited(pasted: PastedPhoto) -> PastedPhoto:
        # Features are looked for where the swap has put them; a result's landmarks are the attribute photo's.
        swapped = [_as_swapped(face) for face in pasted.faces]
        edit_result = edit_faces(swapper.method, edit, pasted.pixels, swapped)
        faces = [
            new._replace(face=old.face) for old, new in zip(pasted.faces, edit_result.faces, strict=True)
        ]
        return PastedPhoto(edit_result.pixels, np.maximum(pasted.mask, edit_result.mask), faces)

    return edited


def edit_faces(method: Method, edit: CodeEdit, pixels: np.ndarray, faces: Sequence[Face]) -> PastedPhoto:
    """Edit faces of a photo, uint8 ``[H, W, 3]``, one after the other."""
    mask, pasted = np.zeros(pixels.shape[:2], np.float32), []
    for face in faces:
        alignment = method.crop.align(face.landmarks, method.crop.free_side(face.landmarks))
        points = torch.from_numpy(alignment.to_crop(face.landmarks))[None]
        edited = edited_face(method, from_pixels(alignment.crop(pixels)), points, edit)
        weights = edited.mask[0, 0].cpu().numpy()
        pixels, changed_mask = paste_back(pixels, to_pixels(edited.image)[0], weights, alignment)
        mask = np.maximum(mask, changed_mask)
        pasted.append(PastedFace(face, alignment, edited))
    return PastedPhoto(pixels, mask, pasted)


def code_edit(method: Method, edits: Edits, find: Callable[[str], Direction]) -> CodeEdit:
    """One function from codes to codes for edits.

    ``method``: whose codes they are; ``edits``: strength by name or by direction, or such a function;
    ``find``: the direction of a name.

    Raises:
        UnsupportedOptionError: the method has no latent space.
    """
    latents_of(method, "edit")
    if not isinstance(edits, Mapping):
        return edits
    steps = [
        (key if isinstance(key, Direction) else find(key), float(strength)) for key, strength in edits.items()
    ]

    def apply(latents: Latents) -> Latents:
        for direction, strength in steps:
            latents = edit(latents, direction, strength)
        return latents

    return apply


def stored_directions(method: Method) -> dict[str, Direction]:
    """The directions that lie beside a network's weights, by name; empty where there are none.

    Raises:
        CheckpointError: the file is damaged, or was made for other weights; says what to do.
    """
    weights = method.weights if isinstance(method, FromFile) else None
    generator = generator_of(method)
    if weights is None or generator is None:
        return {}
    file = weights.with_name(DIRECTIONS_FILE)
    if not file.is_file():
        return {}
    directions = load_own_directions(file)
    check_network(directions, generator, file)
    return directions


def named_direction(directions: Mapping[str, Direction], name: str) -> Direction:
    """The direction of that name.

    Raises:
        UnsupportedOptionError: there is none; names those there are.
    """
    if name in directions:
        return directions[name]
    if not directions:
        raise UnsupportedOptionError(
            f"{name}: no directions lie beside these weights; give a file of them, or fit them with "
            "`stylegan-swap directions fit`"
        )
    near = difflib.get_close_matches(name, directions, n=1)
    listed = ", ".join(list(directions)[:12]) + (", …" if len(directions) > 12 else "")
    raise UnsupportedOptionError(
        f"there is no direction {name!r}{f' (nearest: {near[0]})' if near else ''}; there are: {listed}"
    )


def _as_swapped(pasted: PastedFace) -> Face:
    """The face with its landmarks where a swap has put the features."""
    face, alignment, swapped = pasted
    if swapped.landmarks is None:
        return face
    return replace(face, landmarks=alignment.to_photo(swapped.landmarks[0].cpu().numpy()))
