"""Change light, colour and quality of a photo: alike for attribute and target, otherwise for identity.

Used by ``triplets``. A change is drawn once and can be applied to any number of pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.faces.pixels.colour import LUMA

_GRAY = np.array(LUMA, np.float32)


@dataclass(frozen=True)
class Photometric:
    """One change of light, colour and quality.

    Attributes:
        gain: factor of each channel (exposure and colour temperature).
        gamma: exponent of the tone curve.
        side_light: direction in radians and strength of a gradient of light across the picture.
        saturation: 1 leaves colours, 0 makes gray.
        shrink: the picture is shrunk by this factor and enlarged again.
        blur: standard deviation in pixels.
        noise: standard deviation in grey levels; ``noise_seed`` makes it the same for every picture.
        jpeg: quality, 0 for none.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    side_light: tuple[float, float] = (0.0, 0.0)
    saturation: float = 1.0
    shrink: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    noise_seed: int = 0
    jpeg: int = 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Change a picture, float32 ``[S, S, 3]`` in 0..255."""
        result = self._coloured(image)
        size = image.shape[0]
        if self.shrink < 1:
            side = max(8, round(size * self.shrink))
            small = cv2.resize(result, (side, side), interpolation=cv2.INTER_AREA)
            result = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
        if self.blur > 0:
            result = cv2.GaussianBlur(result, (0, 0), self.blur)
        if self.noise > 0:
            field = np.random.default_rng(self.noise_seed).standard_normal(image.shape, np.float32)
            result = result + self.noise * field
        result = np.clip(result, 0, 255)
        if self.jpeg:
            # Red and blue are swapped for the codec, which treats them almost alike.
            pixels = np.rint(result).astype(np.uint8)
            encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg])[1]
            result = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32)
        return result

    def _coloured(self, image: np.ndarray) -> np.ndarray:
        result = np.array(image, np.float32)
        if self.gamma != 1:
            curve = (255 * (np.arange(256) / 255) ** self.gamma).astype(np.float32)
            pixels = np.clip(np.rint(result), 0, 255).astype(np.uint8)
            result = np.asarray(cv2.LUT(pixels, curve), np.float32)
        direction, strength = self.side_light
        if strength:
            axis = np.linspace(-1, 1, image.shape[0], dtype=np.float32)
            slope = math.cos(direction) * axis[None, :] + math.sin(direction) * axis[:, None]
            result *= np.exp(strength * slope)[..., None]
        # Exposure and temperature first, then the way towards gray: together one matrix.
        matrix = (self.saturation * np.eye(3) + (1 - self.saturation) * _GRAY) * np.asarray(self.gain)
        return np.clip(cv2.transform(result, matrix.astype(np.float32)), 0, 255)


def draw_photometric(rng: np.random.Generator, *, size: int, strength: float, degraded: float) -> Photometric:
    """Draw a change.

    Args:
        rng: its only source.
        size: side of the pictures; blur is drawn in its proportion.
        strength: 1 for clearly visible changes of light and colour, 0.4 for mild ones.
        degraded: probability that the quality suffers (blur, enlargement, noise, JPEG).
    """
    exposure, warmth, tint, gamma, saturation = rng.normal(0, 1, 5)
    lit, gray, direction, slope = rng.random(4)
    worse = rng.random(5)
    seed = int(rng.integers(2**31))
    log_gain = strength * np.array(
        [0.13 * exposure + 0.08 * warmth, 0.13 * exposure + 0.04 * tint, 0.13 * exposure - 0.08 * warmth]
    )
    red, green, blue = np.exp(np.clip(log_gain, -0.5, 0.35))
    bad = worse[0] < degraded
    vivid = float(np.clip(1 + 0.2 * strength * saturation, 0.3, 1.3))
    return Photometric(
        gain=(float(red), float(green), float(blue)),
        gamma=float(np.exp(np.clip(0.16 * strength * gamma, -0.4, 0.4))),
        side_light=(2 * math.pi * direction, 0.5 * strength * slope if lit < 0.4 * strength else 0.0),
        saturation=0.0 if gray < 0.08 * strength else vivid,
        shrink=float(1 - 0.65 * rng.random()) if bad and worse[1] < 0.3 else 1.0,
        blur=float(size / 128 * (0.3 + 0.9 * rng.random())) if bad and worse[2] < 0.3 else 0.0,
        noise=float(1 + 7 * rng.random()) if bad and worse[3] < 0.4 else 0.0,
        noise_seed=seed,
        jpeg=int(rng.integers(35, 92)) if bad and worse[4] < 0.6 else 0,
    )


def draw_similarity(rng: np.random.Generator, size: int, degrees: float, share: float) -> np.ndarray:
    """A random turn, scale and shift of the picture about its centre, ``[2, 3]``.

    Args:
        rng: its only source.
        size: side of the picture.
        degrees: largest rotation.
        share: largest change of scale, and largest shift as a share of the side.
    """
    angle, scale, across, down = rng.uniform(-1, 1, 4)
    centre = (size - 1) / 2
    turned = cv2.getRotationMatrix2D((centre, centre), degrees * float(angle), 1 + share * float(scale))
    return np.asarray(turned) + share * size * np.array([[0, 0, across], [0, 0, down]])
