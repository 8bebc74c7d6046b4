"""From a name, a folder or a file to a method that is ready: what ``Swapper.from_pretrained`` does."""

from __future__ import annotations

import os
import warnings

from stylegan_swap.errors import StyleganSwapWarning
from stylegan_swap.methods.base.protocol import Costly, Method
from stylegan_swap.methods.base.published_files.open import downloaded_weights, open_weights
from stylegan_swap.methods.registry import (
    build_method,
    generator_side,
    method_names,
    method_of,
    method_spec,
)
from stylegan_swap.nn.device import choose_device, choose_dtype
from stylegan_swap.weights.store import default_weights_available, published_weights, registered_weights


def find_method(name: str | os.PathLike[str], device: str, dtype: str) -> tuple[Method, list[str]]:
    """Build a method, and say what the user should know about it.

    ``name``: of a method or of registered weights, or a folder or file with weights; ``device``: see
    ``choose_device``; ``dtype``: see ``choose_dtype``.

    Raises:
        CheckpointError: the weights are missing, damaged or do not fit, or make no faces.
        UnsupportedOptionError: the name, device or dtype is not to be had.
    """
    target_device, precision = choose_device(device), choose_dtype(dtype)
    notes: list[str] = []
    if name == "default" and not default_weights_available():
        notes.append(
            "the default weights are missing from this installation: the classical 'warp' method was "
            "used; install stylegan-swap again"
        )
        # As if the caller of Swapper.from_pretrained were warned.
        warnings.warn(notes[0], StyleganSwapWarning, stacklevel=3)
        name = "warp"
    is_method = isinstance(name, str) and name in method_names()
    if not is_method and _is_no_path(name) and name not in {*registered_weights(), *published_weights()}:
        method_spec(str(name))  # raises, and says which methods there are
    weights = None
    location = name if not is_method or name in registered_weights() else None
    if location is None and method_spec(str(name)).needs_weights:
        # Others publish them; where they were not downloaded the method says what to fetch.
        location = downloaded_weights(str(name))
    if location is not None:
        weights, conversion_notes = open_weights(location)
        notes += conversion_notes
        precision = choose_dtype(dtype, target_device, generator_side(weights))
    method_name = str(name) if is_method or weights is None else method_of(weights)
    method = build_method(method_name, weights, target_device, precision)
    if isinstance(method, Costly):
        notes.append(f"{method.name} takes about {method.seconds_per_face:.0f} s per face on {target_device}")
    return method, notes


def _is_no_path(name: str | os.PathLike[str]) -> bool:
    """Whether it can only have been meant as a name: one word, and nothing of that name lies here."""
    return isinstance(name, str) and name.replace("-", "").isidentifier() and not os.path.exists(name)
