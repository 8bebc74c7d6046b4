"""Opens the photographs of a configuration: a folder, or a packed file.

``stage`` calls it on first use; ``photos`` does the reading.
"""

from __future__ import annotations

from stylegan_swap.training.config import DataSettings
from stylegan_swap.training.data.photos import Photos

PACKED_SUFFIX = ".faces"


def open_photos(data: DataSettings) -> Photos:
    """The photographs of ``data.folder``.

    Raises:
        StyleganSwapError: as ``Photos`` raises it.
    """
    if data.folder.suffix == PACKED_SUFFIX:
        return Photos.from_pack(data.folder)
    return Photos.from_folder(data.folder, split=data.split, side=data.crop_side, cache=data.cache)
