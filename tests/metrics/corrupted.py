"""Swaps with a fault of known kind and grade, for the tests of the measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from stylegan_swap.metrics.sample import Sample, View

Fault = Callable[[np.ndarray, np.ndarray], np.ndarray]


def swapped(sample: Sample, pixels: np.ndarray) -> Sample:
    """The sample with another result; its face is where the attribute photo has it."""
    rounded = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return replace(sample, result=View(rounded, sample.attribute.landmarks))


def corrupted(sample: Sample, fault: Fault) -> Sample:
    """The sample with a fault in its result; the fault sees float pixels and the mask ``[H, W, 1]``."""
    assert sample.mask is not None
    return swapped(sample, fault(sample.result.pixels.astype(np.float64), sample.mask[..., None]))


def untouched(sample: Sample) -> Sample:
    """The sample with the attribute photo as its result."""
    return swapped(sample, sample.attribute.pixels)


def noisy(deviation: float) -> Fault:
    """White noise inside the mask."""
    return lambda p, m: p + m * np.random.default_rng(0).normal(0, deviation, p.shape)


def blurred(sigma: float) -> Fault:
    """A Gaussian blur inside the mask, in photo pixels."""
    return lambda p, m: p * (1 - m) + m * cv2.GaussianBlur(p, (0, 0), sigma)
