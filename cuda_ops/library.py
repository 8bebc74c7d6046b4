"""The compiled kernels as Python calls them: loaded, checked, and tried once before they are trusted.

`library_for` is what the operations use; `dispatch` decides which library is in use. `open_library` and
`load_with` serve the kernels for CPU tensors too, see `cpu_library`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from cuda_ops import arguments
from cuda_ops.build import Recipe, build, find_built, open_intact
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
_DESCRIPTORS = Path("/proc/self/fd")
_Loaded = TypeVar("_Loaded")


def operation(schema: str) -> Callable[[Callable[..., Any]], Any]:
    """Define `cuda_ops::schema`; the decorated function runs it, on GPUs and with `host_kernels` on CPUs."""
    name = f"cuda_ops::{schema[: schema.index('(')]}"
    torch.library.define(name, schema[schema.index("(") :], tags=(torch.Tag.pt2_compliant_tag,))
    return torch.library.impl(name, ("cpu", "cuda"))


class Library:
    """A loaded library.

    Args:
        path: the file.
        key: key of the recipe it must have been built by; None takes any.

    Raises:
        BuildError: the file is no such library.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        def sizes_of(library: ctypes.CDLL) -> list[int]:
            return [library.cuda_ops_size(n) for n in range(len(arguments.STRUCTURES))]

        self.path = path
        self._c = open_library(path, key, "cuda_ops", _FUNCTIONS.values(), sizes_of, arguments.STRUCTURES)
        self._c.cuda_ops_error_text.restype = ctypes.c_char_p
        self.key = self._c.cuda_ops_key().decode()
        self.device_type = "cpu" if self._c.cuda_ops_is_host() else "cuda"

    def call(self, argument_list: ctypes.Structure) -> None:
        """Run the function that takes this argument list; on a GPU it is only queued.

        Raises:
            RuntimeError: the launch fails.
        """
        name = _FUNCTIONS[type(argument_list)]
        code = getattr(self._c, name)(ctypes.addressof(argument_list))
        if code:
            text = self._c.cuda_ops_error_text(code).decode()
            raise RuntimeError(f"{name}: {text} (error {code}); STYLEGAN_SWAP_OPS=torch does without it.")

    def tiles(self, launch: arguments.Launch, channels: int, pixels: int) -> tuple[int, int]:
        """Number of partial sums per channel and per pixel that a backward function leaves."""
        counts = (ctypes.c_int64 * 2)()
        self._c.cuda_ops_tiles(ctypes.byref(launch), ctypes.c_int64(channels), ctypes.c_int64(pixels), counts)
        return counts[0], counts[1]

    def check(self, device: torch.device) -> None:
        """Run one small kernel and compare: a driver too old or code for another GPU shows here.

        Raises:
            BuildError: it does not run, or is wrong.
        """
        x = torch.linspace(-1, 1, 2 * 8 * 9, device=device).reshape(2, 8, 3, 3)
        y = torch.full_like(x, torch.nan)
        ending = arguments.Ending(slope=0.25, gain=2.0, limit=1.5)
        launch = arguments.launch_of(x, False, False)
        try:
            self.call(arguments.Epilogue(launch, *x.shape, x.data_ptr(), y.data_ptr(), ending))
            right = bool(torch.equal(y, (torch.where(x > 0, x, x * 0.25) * 2.0).clamp(-1.5, 1.5)))
        except RuntimeError as error:
            raise BuildError(f"{self.path}: a trial run failed: {error}") from None
        if not right:
            raise BuildError(
                f"{self.path}: a trial run on {device} gave wrong numbers; delete it and build again"
            )


def _load(path: Path, built: bool) -> ctypes.CDLL:
    """Load a file; one of the cache by the descriptor that was checked, so that no other takes its place."""
    if not built or not _DESCRIPTORS.is_dir():
        return ctypes.CDLL(str(path))
    descriptor = open_intact(path)
    try:
        # Never closed: the loader takes a second file under the same name for the first.
        return ctypes.CDLL(str(_DESCRIPTORS / str(descriptor)))
    except OSError:
        os.close(descriptor)
        raise


def open_library(
    path: Path,
    key: str | None,
    prefix: str,
    functions: Iterable[str],
    sizes_of: Callable[[ctypes.CDLL], list[int]],
    structures: Sequence[type[ctypes.Structure]],
) -> ctypes.CDLL:
    """Load a library of kernels and see that it is the one that Python's argument lists fit.

    Args:
        path: the file.
        key: key of the recipe it must have been built by; None takes any.
        prefix: what its functions' names begin with.
        functions: names of those that take the address of an argument list.
        sizes_of: asks the library for the sizes of its argument lists in bytes.
        structures: Python's argument lists, in the same order.

    Raises:
        BuildError: it does not load, or is another library.
    """
    try:
        library = _load(path, key is not None)
        key_of = getattr(library, f"{prefix}_key")
        key_of.restype = ctypes.c_char_p
        built_by = key_of().decode()
        sizes = sizes_of(library)
        for name in functions:
            getattr(library, name).argtypes = (ctypes.c_void_p,)
    except (OSError, AttributeError) as error:
        raise BuildError(f"{path}: cannot be loaded ({error}); delete it and build again") from None
    if key not in (None, built_by):
        raise BuildError(
            f"{path}: of other sources, was built by recipe {built_by}, not {key}; delete it and build again"
        )
    if sizes != [ctypes.sizeof(structure) for structure in structures]:
        raise BuildError(f"{path}: its argument lists are others than Python's; delete it and build again")
    return library


def load_built(recipe: Recipe, folder: Path | None = None) -> Library:
    """The library of a recipe, built if need be; one that does not load is built once more.

    Raises:
        BuildError: it cannot be built or loaded.
    """
    return load_with(Library, recipe, folder)


def load_with(load: Callable[[Path, str], _Loaded], recipe: Recipe, folder: Path | None = None) -> _Loaded:
    """What `load` makes of a recipe's library and key, under the rules of `load_built`."""
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
    library = _in_use.get(x.device.type)
    if library is None:
        raise RuntimeError(
            f"cuda_ops: the fused operations are not loaded for {x.device.type}; the functions of cuda_ops "
            "choose by themselves, call those, or `cuda_ops.dispatch.kernels_ready()` first."
        )
    return library
