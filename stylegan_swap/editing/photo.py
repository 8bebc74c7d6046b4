"""``Swapper.edit``, and ``edit=`` of a swap: faces in a photograph, edited in latent space.

Road: photo → detect → **align → edit → paste**, for a swap once more after its paste. What happens between
align and paste is ``methods.edited``; here edits get their names, and the network its directions.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image

from inversion import Latents
from stylegan_swap.editing.carried_edit import edited_face
from stylegan_swap.editing.direction import Direction, edit
from stylegan_swap.editing.direction_file import DIRECTIONS_FILE, check_network, load_own_directions
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment, free_side
from stylegan_swap.faces.paste import paste_back
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.base.protocol import AlignedSwap, Method
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.swapping.result import SwapResult, describe_face

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

CodeEdit: TypeAlias = Callable[[Latents], Latents]
#: {"smile": 1.5}, {direction: 1.5}, or any function from codes to codes.
Edits: TypeAlias = "Mapping[str | Direction, float] | CodeEdit"
Done: TypeAlias = tuple[Face, Alignment, AlignedSwap]


class EditsPhotos:
    """What a ``Swapper`` can do with directions; a base class of it, nothing by itself."""

    method: Method

    @functools.cached_property
    def directions(self) -> dict[str, Direction]:
        """The directions that lie beside the network's weights, by name; empty where there are none.

        Raises:
            CheckpointError: the file is damaged, or was made for other weights; says what to do.
        """
        weights = getattr(self.method, "weights", None)
        file = None if weights is None else Path(weights).with_name(DIRECTIONS_FILE)
        if file is None or not file.is_file():
            return {}
        found = load_own_directions(file)
        check_network(found, cast(Any, self.method).generator, file)
        return found

    def edit(
        self, photo: PhotoSource, edits: Edits, *, face: str | int | PhotoSource = "largest"
    ) -> SwapResult:
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
        apply = self._usable(edits)
        swapper, source = cast("Swapper", self), read_photo(photo)
        chosen = swapper._select(source, face)
        pixels, mask, done = _edit_faces(self.method, apply, source.pixels, chosen)
        faces = [
            swapper._swapped_face(
                describe_face(swapper._identity, source.pixels, alignment), pixels, found, alignment, edited
            )
            for found, alignment, edited in done
        ]
        image = Image.fromarray(pixels if source.alpha is None else np.dstack([pixels, source.alpha]))
        notes = [*source.notes, *swapper._notes]
        sources = (source.name,)
        name = self.method.name
        return SwapResult(image, faces, mask, name, None, notes, source.credit, sources, Kind.EDITED)

    def _edit_swapped(
        self, apply: CodeEdit, pixels: np.ndarray, mask: np.ndarray, done: list[Done]
    ) -> tuple[np.ndarray, np.ndarray, list[Done]]:
        """Edit the faces of a swap that is pasted already; as it was, but edited."""
        moved = [_as_swapped(*parts) for parts in done]
        pixels, changed, edited = _edit_faces(self.method, apply, pixels, moved)
        # Landmarks of a result are those of the attribute photo.
        edited = [(found, *rest[1:]) for (found, *_), rest in zip(done, edited, strict=True)]
        return pixels, np.maximum(mask, changed), edited

    def _usable(self, edits: Edits) -> CodeEdit:
        if not hasattr(self.method, "invert") or not hasattr(self.method, "generate"):
            raise UnsupportedOptionError(
                f"method {self.method.name!r} cannot edit, it has no generator: give weights of a network"
            )
        return self.code_edit(edits)

    def code_edit(self, edits: Edits) -> CodeEdit:
        """One function from codes to codes for named edits.

        Raises:
            UnsupportedOptionError: there is no such direction; names those there are.
        """
        if not isinstance(edits, Mapping):
            return edits
        steps = [(self._direction(key), float(strength)) for key, strength in edits.items()]

        def apply(latents: Latents) -> Latents:
            for direction, strength in steps:
                latents = edit(latents, direction, strength)
            return latents

        return apply

    def _direction(self, key: str | Direction) -> Direction:
        if isinstance(key, Direction):
            return key
        return named_direction(self.directions, key)


def _as_swapped(found: Face, alignment: Alignment, swapped: AlignedSwap) -> Face:
    """The face with its landmarks where a swap has put the features."""
    if swapped.landmarks is None:
        return found
    return dataclasses.replace(found, landmarks=alignment.to_photo(swapped.landmarks[0].cpu().numpy()))


def _edit_faces(
    method: Method, apply: CodeEdit, pixels: np.ndarray, faces: list[Face]
) -> tuple[np.ndarray, np.ndarray, list[Done]]:
    """Edit faces of a photo one after the other; the new photo, what changed, and the crops."""
    mask, done = np.zeros(pixels.shape[:2], np.float32), []
    for found in faces:
        alignment = ffhq_alignment(found.landmarks, free_side(found.landmarks))
        points = torch.from_numpy(alignment.to_crop(found.landmarks))[None]
        edited = edited_face(method, from_pixels(alignment.crop(pixels)), points, apply)
        pixels, changed = paste_back(
            pixels, to_pixels(edited.image)[0], edited.mask[0, 0].cpu().numpy(), alignment
        )
        mask = np.maximum(mask, changed)
        done.append((found, alignment, edited))
    return pixels, mask, done


def named_direction(known: Mapping[str, Direction], name: str) -> Direction:
    """The direction of that name.

    Raises:
        UnsupportedOptionError: there is none; names those there are.
    """
    if name in known:
        return known[name]
    if not known:
        raise UnsupportedOptionError(
            f"{name}: no directions lie beside these weights; give a file of them, or fit them with "
            "`stylegan-swap directions fit`"
        )
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(list(known)[:12]) + (", …" if len(known) > 12 else "")
    raise UnsupportedOptionError(
        f"there is no direction {name!r}{f' (nearest: {near[0]})' if near else ''}; there are: {listed}"
    )
