"""Face swapping in StyleGAN's latent space: ``from stylegan_swap import swap``.

Importing this package is free: names are resolved on first use, so neither torch nor dlib is loaded here.
The road of a photograph starts in ``api.py``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stylegan_swap._version import __version__

if TYPE_CHECKING:
    from inversion import Latents
    from stylegan_swap.api import Swapper, swap
    from stylegan_swap.errors import StyleganSwapError, StyleganSwapWarning
    from stylegan_swap.faces.masks.mask_options import MaskOptions
    from stylegan_swap.methods.registry import list_methods
    from stylegan_swap.swapping.people import People
    from stylegan_swap.swapping.result import Person, SwappedFace, SwapResult
    from stylegan_swap.video.run import VideoResult, swap_video

_HOME = {
    "swap": "stylegan_swap.api",
    "Swapper": "stylegan_swap.api",
    "SwapResult": "stylegan_swap.swapping.result",
    "SwappedFace": "stylegan_swap.swapping.result",
    "Person": "stylegan_swap.swapping.result",
    "People": "stylegan_swap.swapping.people",
    "MaskOptions": "stylegan_swap.faces.masks.mask_options",
    "Latents": "inversion",
    "StyleganSwapError": "stylegan_swap.errors",
    "StyleganSwapWarning": "stylegan_swap.errors",
    "list_methods": "stylegan_swap.methods.registry",
    "swap_video": "stylegan_swap.video.run",
    "VideoResult": "stylegan_swap.video.run",
}

__all__ = [
    "Latents",
    "MaskOptions",
    "People",
    "Person",
    "StyleganSwapError",
    "StyleganSwapWarning",
    "SwapResult",
    "SwappedFace",
    "Swapper",
    "VideoResult",
    "__version__",
    "list_methods",
    "swap",
    "swap_video",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'stylegan_swap' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
