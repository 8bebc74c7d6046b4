"""The compiled kernels as Python calls them: loaded, checked, and tried once before they are trusted.

Road: beside it. `library_for` is what the operations use; which library is in use is decided in `dispatch`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.build import Recipe, build, find_built
from cuda_ops.toolchain import BuildError

_FUNCTIONS = {
    arguments.Epilogue: "cuda_ops_epilogue",
    arguments.EpilogueBackward: "cuda_ops_epilogue_backward",
    arguments.EpilogueDouble: "cuda_ops_epilogue_double",
    arguments.Fir: "cuda_ops_fir",
    arguments.ToRgb: "cuda_ops_to_rgb",
    arguments.MaskBlend: "cuda_ops_mask_blend",
    arguments.MaskBlendBackward: "cuda_ops_mask_blend_backward",
}


class Library:
    """A loaded library.

    Args:
        path: the file.
        key: key of the recipe it must have been built by; None takes any.

    Raises:
        BuildError: the file is no such library.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        self.path = path
        try:
            self._c = ctypes.CDLL(str(path))
            self._c.cuda_ops_key.restype = ctypes.c_char_p
            self._c.cuda_ops_error_text.restype = ctypes.c_char_p
            self.key = self._c.cuda_ops_key().decode()
            sizes = [self._c.cuda_ops_size(n) for n in range(len(arguments.STRUCTURES))]
            for name in _FUNCTIONS.values():
                getattr(self._c, name).argtypes = (ctypes.c_void_p,)
        except (OSError, AttributeError) as error:
            raise BuildError(f"{path}: cannot be loaded ({error}); delete it and build again") from None
        if key is not None and self.key != key:
            raise BuildError(f"{path}: was built by recipe {self.key}, not {key}; delete it and build again")
        if sizes != [ctypes.sizeof(structure) for structure in arguments.STRUCTURES]:
            raise BuildError(
                f"{path}: its argument lists are others than Python's; delete it and build again"
            )
        self.device_type = "cpu" if self._c.cuda_ops_is_host() else "cuda"

    def call(self, given: ctypes.Structure) -> None:
        """Run the function that takes this argument list; on a GPU it is only queued.

        Raises:
            RuntimeError: the launch fails.
        """
        name = _FUNCTIONS[type(given)]
        code = getattr(self._c, name)(ctypes.addressof(given))
        if code:
            text = self._c.cuda_ops_error_text(code).decode()
            raise RuntimeError(f"{name}: {text} (error {code}); STYLEGAN_SWAP_OPS=torch does without it.")

    def tiles(self, place: arguments.Place, channels: int, pixels: int) -> tuple[int, int]:
        """Number of partial sums per channel and per pixel that a backward function leaves."""
        counts = (ctypes.c_int64 * 2)()
        self._c.cuda_ops_tiles(ctypes.byref(place), ctypes.c_int64(channels), ctypes.c_int64(pixels), counts)
        return counts[0], counts[1]

    def check(self, device: torch.device) -> None:
        """Run one small kernel and compare: a driver too old or code for another GPU shows here.

        Raises:
            BuildError: it does not run, or is wrong.
        """
        x = torch.linspace(-1, 1, 2 * 8 * 9, device=device).reshape(2, 8, 3, 3)
        y = torch.full_like(x, torch.nan)
        ending = arguments.Ending(slope=0.25, gain=2.0, limit=1.5)
        given = arguments.Epilogue(
            arguments.place_of(x, False, False), *x.shape, x.data_ptr(), y.data_ptr(), ending
        )
        try:
            self.call(given)
            right = bool(torch.equal(y, (torch.where(x > 0, x, x * 0.25) * 2.0).clamp(-1.5, 1.5)))
        except RuntimeError as error:
            raise BuildError(f"{self.path}: a trial run failed: {error}") from None
        if not right:
            raise BuildError(
                f"{self.path}: a trial run on {device} gave wrong numbers; delete it and build again"
            )


_Loaded = TypeVar("_Loaded")


def load_built(recipe: Recipe, folder: Path | None = None) -> Library:
    """The library of a recipe, built if need be; one that does not load is built once more.

    Raises:
        BuildError: it cannot be built or loaded.
    """
    return loaded(recipe, Library, folder)


def loaded(recipe: Recipe, load: Callable[[Path, str], _Loaded], folder: Path | None = None) -> _Loaded:
    """What `load` makes of a recipe's library and key, under the rules of `load_built`.

    Raises:
        BuildError: it cannot be built or loaded.
    """
    cached = find_built(recipe, folder)
    if cached is not None:
        try:
            return load(cached, recipe.key)
        except BuildError:
            # Whole but unusable, such as from another machine that shares the cache.
            (cached.parent / "build.json").unlink(missing_ok=True)
    return load(build(recipe, folder), recipe.key)


_in_use: dict[str, Library] = {}


def use_library(library: Library) -> None:
    """Make a library the one for its type of device."""
    _in_use[library.device_type] = library


def library_for(x: Tensor) -> Library:
    """The library for the device of `x`.

    Raises:
        RuntimeError: none is in use.
    """
    found = _in_use.get(x.device.type)
    if found is None:
        raise RuntimeError(
            f"cuda_ops: the fused operations are not loaded for {x.device.type}; the functions of cuda_ops "
            "choose by themselves, call those, or `cuda_ops.dispatch.kernels_ready()` first."
        )
    return found
