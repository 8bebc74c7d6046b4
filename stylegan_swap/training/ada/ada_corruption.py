"""ADA's corruptions: frequency bands raised and lowered, noise, a hole. None of them is in the default.

Beside the road, under ``ada``. Karras et al. (2020), "Training generative adversarial networks with
limited data", appendix B.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.training.ada.ada_draws import Draws

ITEMS = ("imgfilter", "noise", "cutout")

BAND_GAIN = 1.0
NOISE = 0.1
HOLE = 0.5
BANDS = 4
# Mean power of photographs in the bands, lowest frequencies first: 1/f, so the lowest has most.
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
# Daubechies' wavelet of two vanishing moments; its products cut the spectrum into octaves.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)


def band_filters() -> Tensor:
    """Filters ``[4, 43]``, float32, that cut an axis into octaves and add up to the image itself.

    Built from the top: every step inserts zeros into all filters, which moves their bands an octave down,
    takes the mirror images above the half band away, and gives the half above to a new band.
    """
    low = np.array(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    low_power, high_power = (np.convolve(taps, taps[::-1]) / 2 for taps in (low, high))
    bands = [np.ones(1)] + [np.zeros(1)] * (BANDS - 1)
    for new in range(1, BANDS):
        bands = [np.convolve(_zeros_between(band), low_power) for band in bands]
        start = (len(bands[new]) - len(high_power)) // 2
        bands[new][start : start + len(high_power)] += high_power
    return torch.from_numpy(np.stack(bands)).float()


def draw_bands(draws: Draws) -> Tensor | None:
    """Draw the gains of the bands, ``[batch, 4]``, float64, CPU; None where all are 1.

    Each band's change is followed by a common factor that keeps the expected power of a photograph.
    """
    power = torch.tensor(POWER, dtype=torch.float64)
    gains = torch.ones(draws.batch, BANDS, dtype=torch.float64)
    for band in range(BANDS):
        change = torch.ones_like(gains)
        name = f"imgfilter_{band}"
        change[:, band] = draws.chosen(name, torch.exp2(draws.normal(name) * BAND_GAIN), 1.0)
        gains = gains * change / (power * change.square()).sum(1, keepdim=True).sqrt()
    return None if torch.allclose(gains, torch.ones_like(gains), rtol=0, atol=1e-12) else gains


def weigh_bands(images: Tensor, gains: Tensor, bands: Tensor) -> Tensor:
    """Filter every image by its own gains.

    Args:
        images: ``[batch, channels, S, S]`` with S above 21.
        gains: ``[batch, 4]`` of :func:`draw_bands`.
        bands: of :func:`band_filters`, on the device of the images.

    Returns:
        Like ``images``.

    Raises:
        ValueError: images smaller than the filter reaches.
    """
    batch, channels, height, width = images.shape
    reach = bands.shape[1] // 2
    if min(height, width) <= reach:
        raise ValueError(
            f"ADA's imgfilter reaches {reach} px and needs larger images than {height}x{width}; "
            "leave it out at this size."
        )
    gains = gains.to(images.dtype).to(images.device, non_blocking=True)
    taps = (gains @ bands.to(images.dtype)).repeat_interleave(channels, 0)[:, None]
    # One group per image and channel: every image has a filter of its own.
    flat = F.pad(images, [reach] * 4, mode="reflect").reshape(
        1, batch * channels, height + 2 * reach, width + 2 * reach
    )
    flat = F.conv2d(flat, taps.unsqueeze(2), groups=batch * channels)
    flat = F.conv2d(flat, taps.unsqueeze(3), groups=batch * channels)
    return flat.reshape(images.shape)


def draw_noise(draws: Draws) -> Tensor | None:
    """Draw the strength of the noise, float64 ``[batch]``, CPU; None where all are 0."""
    strength = draws.chosen("noise", draws.normal("noise").abs() * NOISE, 0.0)
    return strength if bool(strength.any()) else None


def add_noise(images: Tensor, strength: Tensor) -> Tensor:
    """Add noise of strength ``[batch]`` of :func:`draw_noise`, drawn on the device of the images."""
    strength = strength.to(images.dtype).to(images.device, non_blocking=True)
    return images + torch.randn_like(images) * strength.view(-1, 1, 1, 1)


def draw_hole(draws: Draws) -> tuple[Tensor, Tensor] | None:
    """Draw holes: sides ``[batch]`` and centres ``[batch, 2]`` (x, y), as shares; None for no hole."""
    side = draws.chosen("cutout", torch.full((draws.batch,), HOLE, dtype=torch.float64), 0.0)
    centre = torch.stack([(draws.uniform(f"cutout_{axis}") + 1) / 2 for axis in "xy"], 1)
    return (side, centre) if bool(side.any()) else None


def cut_hole(images: Tensor, side: Tensor, centre: Tensor) -> Tensor:
    """Set a square of every image to 0, mid-grey, by what :func:`draw_hole` says."""
    size = images.shape[-1]
    pixels = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    outside_x, outside_y = ((pixels - centre[:, axis, None]).abs() >= side[:, None] / 2 for axis in (0, 1))
    keep = (outside_x[:, None, None, :] | outside_y[:, None, :, None]).to(images.dtype)
    return images * keep.to(images.device, non_blocking=True)


def _zeros_between(taps: np.ndarray) -> np.ndarray:
    wide = np.zeros(2 * len(taps) - 1)
    wide[::2] = taps
    return wide
