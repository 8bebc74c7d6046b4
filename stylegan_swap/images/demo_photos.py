"""Two public-domain portraits that ship in the wheels of scikit-image and matplotlib."""

from __future__ import annotations

from stylegan_swap.images.photo import Photo, read_photo


def demo_photos() -> tuple[Photo, Photo]:
    """The two portraits, read from the installed packages."""
    import matplotlib.cbook
    import skimage.data

    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    return read_photo(skimage.data.astronaut()), read_photo(str(hopper))
