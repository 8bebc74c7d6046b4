"""Sharpness of the swapped face against its surroundings: edge detail and band spectra, free of added noise.

Formulas, calibration and why noise does not count: ``docs/evaluation/image.md``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.metrics.background import swap_mask
from stylegan_swap.metrics.boundary import luma
from stylegan_swap.metrics.sample import Column, Sample

# Gaussians that bound the octave bands, in pixels of the photo: about 1/3 to 1/6 cycles per pixel, and so on.
SCALES = (0.7, 1.4, 2.8, 5.6, 11.2)
# Which band is detail and which one tells where the edges are.
_FINE, _COARSE = 0, 2
# The share of pixels that counts as edges, and the share that counts as flat.
_SHARE = 0.25
# The photo's own scale is kept, but not beyond what a crop of that side holds.
_SMALLEST, _LARGEST = 128, 1024  # px
# Squared grey levels: quantisation to 8 bit is 1/12; below that there is nothing to compare.
_FLOOR = 1 / 12
_FEWEST = 400  # pixels


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Power of luma in octave bands over some part of a picture, finest band first.

    Attributes:
        total: mean power, squared grey levels, float64 ``[bands]``.
        edges: power at edges less power on flat parts: what structure adds, float64 ``[bands]``.
        flat: mean power on flat parts: grain and pores, float64 ``[bands]``.
    """

    total: np.ndarray
    edges: np.ndarray
    flat: np.ndarray

    @property
    def sharpness(self) -> float:
        """Fine over coarse amplitude of edges; the contrast of the edges cancels."""
        return float(np.sqrt((self.edges[_FINE] + _FLOOR) / (self.edges[_COARSE] + _FLOOR)))

    @property
    def grain(self) -> float:
        """Amplitude of the finest band on flat parts, grey levels."""
        return float(np.sqrt(self.flat[_FINE] + _FLOOR))


class Sharpness:
    """Sharpness, spectrum and grain inside the mask against outside, relative to the attribute photo.

    With q(picture) = value inside / value outside the mask, each ratio is q(result) / q(attribute photo): 1 =
    as well matched to its surroundings as the real face was. ``spectrum_error`` is the RMS of that ratio of
    edge power over the octave bands, in dB. At the photo's own scale up to crops of 1024 px, so that a swap
    of few pixels pasted into a large photo reads below 1.
    """

    # The floor: a smile of the same person, same light (docs/evaluation/image.md).
    columns = (
        Column("sharpness", "one", 10.0),
        Column("spectrum_error", "lower", 20.0, "dB", 0.4),
        Column("grain", "one", 10.0),
    )

    def __call__(self, sample: Sample) -> dict[str, float]:
        """Compare the four regions; 1, 0 and 1 where inside or outside has too few pixels."""
        side = _SMALLEST / sample.attribute.alignment(_SMALLEST).scale
        size = round(float(np.clip(side, _SMALLEST, _LARGEST)))
        mask = swap_mask(sample, sample.attribute.alignment(size))
        inside, outside = regions(mask)
        if min(inside.sum(), outside.sum()) < _FEWEST:
            return {"sharpness": 1.0, "spectrum_error": 0.0, "grain": 1.0}
        (sharpness, decibels, grain), (original_sharpness, original_decibels, original_grain) = (
            _inside_against_outside(spectrum(crop, inside), spectrum(crop, outside))
            for crop in (sample.result_in_place(size), sample.attribute.crop(size))
        )
        return {
            "sharpness": sharpness / original_sharpness,
            "spectrum_error": float(np.sqrt(np.square(decibels - original_decibels).mean())),
            "grain": grain / original_grain,
        }


def regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Well inside and well outside a mask: a margin of 2 % of the side keeps the seam out of both.

    Args:
        mask: float32 ``[S, S]`` in 0..1.

    Returns:
        Two bool ``[S, S]``.
    """
    margin = 0.02 * mask.shape[0]
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5) > margin
    outside = cv2.distanceTransform((mask <= 0).astype(np.uint8), cv2.DIST_L2, 5) > margin
    return inside, outside


def octave_bands(image: np.ndarray) -> np.ndarray:
    """Differences of Gaussians of luma, finest first.

    The filters are round, so their mean power is the radially averaged power spectrum in octaves.

    Args:
        image: RGB ``[H, W, 3]`` in 0..255.

    Returns:
        float32 ``[4, H, W]``, grey levels.
    """
    grey = luma(image)
    levels = [cv2.GaussianBlur(grey, (0, 0), s, borderType=cv2.BORDER_REFLECT_101) for s in SCALES]
    return np.stack([fine - coarse for fine, coarse in itertools.pairwise(levels)])


def spectrum(image: np.ndarray, mask: np.ndarray) -> Spectrum:
    """Band spectra of a part of a picture, noise told apart from structure.

    White noise adds the same power to a fine band everywhere; real detail adds it where the coarse picture
    has edges. So the quarter of the pixels with the most energy in a coarse band is compared with the quarter
    with the least, and what both have in common drops out.

    Args:
        image: RGB ``[H, W, 3]`` in 0..255.
        mask: bool ``[H, W]``, not empty.
    """
    energy = np.square(octave_bands(image).astype(np.float64))
    # Locally averaged: at the very edge a band passes through zero. The band and not the gradient: shading is
    # steep, but no edge.
    coarse = cv2.GaussianBlur(energy[_COARSE], (0, 0), SCALES[_COARSE])[mask]
    power = energy[:, mask]
    weak, strong = np.quantile(coarse, [_SHARE, 1 - _SHARE])
    flat = power[:, coarse <= weak].mean(1)
    edges = power[:, coarse >= strong].mean(1) - flat
    return Spectrum(power.mean(1), np.maximum(edges, 0.0), flat)


def _inside_against_outside(inside: Spectrum, outside: Spectrum) -> tuple[float, np.ndarray, float]:
    """Inside over outside: ratio of sharpness, edge power in dB per band, ratio of grain."""
    decibels = 10 * np.log10((inside.edges + _FLOOR) / (outside.edges + _FLOOR))
    return inside.sharpness / outside.sharpness, decibels, inside.grain / outside.grain
