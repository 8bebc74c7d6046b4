"""Bring one face's colours to another's, in CIE Lab.

Per-channel mean and spread after Reinhard et al., Color Transfer between Images (2001), over the pixels
of a mask only.
"""

from __future__ import annotations

import cv2
import numpy as np

from stylegan_swap.faces.pixels.blur import octaves

# Weights of red, green and blue in luma, ITU-R BT.601.
LUMA = (0.299, 0.587, 0.114)
_WEIGHTS = np.array(LUMA, np.float32)
# Gaussians that bound the octaves in which eyes, lips and folds show, in pixels that a network resolves.
_FINE, _COARSE = 0.8, 2.4
_BOUNDS = np.array([0, -127, -127], np.float32), np.array([100, 127, 127], np.float32)
_SAMPLED_SIDE = 256  # pixels along a side above which colours are measured on a sample of them


def luma(image: np.ndarray) -> np.ndarray:
    """Luma of RGB ``[H, W, 3]``, float32 ``[H, W]`` in the same range."""
    return cv2.transform(np.asarray(image, np.float32), _WEIGHTS[None])


def with_luma(image: np.ndarray) -> np.ndarray:
    """RGB ``[H, W, 3]`` and its luma as a fourth channel, float32 ``[H, W, 4]``."""
    return cv2.transform(np.asarray(image, np.float32), np.vstack([np.eye(3, dtype=np.float32), _WEIGHTS]))


def structure_band(grey: np.ndarray, unit: float) -> np.ndarray:
    """The finest structure that a network draws: what a picture shows between two scales.

    ``grey``: ``[H, W]``; ``unit``: pixels for each that the network resolves. Returns float32 ``[H, W]``
    about 0.
    """
    return octaves(grey, (_FINE * unit, _COARSE * unit))[0]


def match_colour(image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give an image the lightness and the skin colour of a reference, both measured under a mask.

    Lightness is shifted and stretched. Colour is *scaled*, not shifted: a shift that suits the skin would
    tint teeth, the white of the eyes and grey hair with its complement; scaled, what is neutral stays
    neutral, and a black-and-white reference gives a black-and-white result.

    ``image``, ``reference`` and the result are float32 ``[H, W, 3]``, RGB in 0..255; ``mask``, float32
    ``[H, W]``, weighs the pixels that are compared (skin). Where it is empty, the image itself is returned.
    """
    if mask.sum() < 1:
        return image
    lab = to_lab(image)
    # A mean and a spread need no more pixels than these.
    step = max(1, min(mask.shape) // _SAMPLED_SIDE)
    if mask[::step, ::step].sum() < 1:
        step = 1
    sampled = mask[::step, ::step]
    mean, deviation = _statistics(lab[::step, ::step], sampled)
    target_mean, target_deviation = _statistics(to_lab(reference[::step, ::step]), sampled)
    # The bounds keep a flat or a harshly lit face from being stretched into noise.
    stretch = np.clip(target_deviation[0] / max(float(deviation[0]), 1e-3), 0.65, 1.35)
    lightness = (lab[..., :1] - mean[0]) * stretch + target_mean[0]
    factor = np.clip(target_mean[1:] * mean[1:] / (mean[1:] ** 2 + 4.0), 0.0, 1.4)
    # What scaling cannot give is added where there is colour, or everywhere to a black-and-white image.
    colour = lab[..., 1:] * factor + (target_mean[1:] - mean[1:] * factor) * colourfulness(lab, mask)
    return from_lab(np.concatenate([lightness, colour], axis=-1))


def colourfulness(lab: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Saturation of each pixel relative to the skin's: 0.35 (neutral: teeth, white of the eye) to 1.

    ``lab``: float32 ``[H, W, 3]``; ``mask``: float32 ``[H, W]``, weights of the skin. Returns float32
    ``[H, W, 1]``; 1 everywhere on a black-and-white image.
    """
    saturation = np.hypot(lab[..., 1], lab[..., 2])
    typical = float((saturation * mask).sum() / max(float(mask.sum()), 1.0))
    if typical < 3.0:
        return np.ones((*lab.shape[:2], 1), np.float32)
    return np.clip(0.35 + 0.65 * saturation / typical, 0, 1)[..., None].astype(np.float32)


def is_gray(image: np.ndarray) -> bool:
    """Whether a picture ``[S, S, 3]`` in 0..255 is black and white, up to what JPEG adds."""
    small = cv2.resize(image.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA)
    return float(np.ptp(small, axis=-1).mean()) < 4.0


def to_lab(image: np.ndarray) -> np.ndarray:
    """RGB in 0..255 to Lab (L 0..100), float32."""
    bounded = np.asarray(image, np.float32) / 255
    return cv2.cvtColor(np.clip(bounded, 0, 1, out=bounded), cv2.COLOR_RGB2Lab)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Lab to RGB in 0..255, float32, clipped."""
    image = cv2.cvtColor(np.clip(lab, *_BOUNDS).astype(np.float32, copy=False), cv2.COLOR_Lab2RGB)
    np.clip(image, 0, 1, out=image)
    image *= 255
    return image


def _statistics(lab: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = weights.sum()
    mean = (lab * weights[..., None]).sum((0, 1)) / total
    variance = (np.square(lab - mean) * weights[..., None]).sum((0, 1)) / total
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
