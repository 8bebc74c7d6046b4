"""Editing codes: directions in W and W+, interpolation and style mixing.

Beside the road photo → detect → align → encoder → swapper → generator → paste: codes come from the encoder
and go on to the generator; here they are moved in between. ``photo_editing`` does the same with a photograph.
"""

from stylegan_swap.editing.direction import Direction, conditioned, coordinate, edit, place
from stylegan_swap.editing.direction_file import (
    generator_fingerprint,
    load_own_directions,
    save_directions,
)
from stylegan_swap.editing.fit import fit_directions
from stylegan_swap.editing.mixing import interpolate, mix
from stylegan_swap.editing.published import load_directions
from stylegan_swap.editing.sefa import factorise

__all__ = [
    "Direction",
    "conditioned",
    "coordinate",
    "edit",
    "factorise",
    "fit_directions",
    "generator_fingerprint",
    "interpolate",
    "load_directions",
    "load_own_directions",
    "mix",
    "place",
    "save_directions",
]
