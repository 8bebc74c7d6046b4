"""``Swapper.edit`` and ``Swapper.with_edits``: a face in a photograph, edited in latent space.

Road: photo → detect → align → **edit** → paste, or photo → … → swap → **edit** → paste. What happens between
align and paste is ``methods.edited``; here edits get their names, and the network its directions.
"""

from __future__ import annotations

import copy
import difflib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from inversion import Latents
from stylegan_swap.editing.direction import Direction, edit
from stylegan_swap.editing.direction_file import DIRECTIONS_FILE, check_network, load_own_directions
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.images import PhotoSource, read_photo
from stylegan_swap.methods.edited import EditedMethod, PhotoEditor
from stylegan_swap.methods.protocol import Method
from stylegan_swap.result import SwapResult

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

CodeEdit: TypeAlias = Callable[[Latents], Latents]
#: {"smile": 1.5}, {direction: 1.5}, or any function from codes to codes.
Edits: TypeAlias = "Mapping[str | Direction, float] | CodeEdit"


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

    def with_edits(self, edits: Edits) -> Swapper:
        """This swapper, with every result edited: the person is swapped in first, then smiles, turns, ages.

        Args:
            edits: strength by name of ``directions`` or by ``Direction``, or a function from codes to codes.

        Raises:
            UnsupportedOptionError: there is no such direction, or the method has no latent space.
        """
        return self._with(EditedMethod(self.method, self.code_edit(edits)))

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
            edits: as in ``with_edits``.
            face: ``"largest"``, ``"all"``, a number from the left, or a photo of the person.

        Returns:
            As of a swap: ``faces[i].wplus`` are the edited codes, ``faces[i].distance`` is to the photo.

        Raises:
            StyleganSwapError: with the cause and the remedy; see ``stylegan_swap.errors``.
        """
        editor = self._with(PhotoEditor(self.method, self.code_edit(edits)))
        source = read_photo(photo)
        person = editor.prepare(source, face="largest" if isinstance(face, str) and face == "all" else face)
        return editor(person, source, face=face)

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

    def _with(self, method: Method) -> Swapper:
        other = copy.copy(cast("Swapper", self))
        other.method = method
        return other


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
