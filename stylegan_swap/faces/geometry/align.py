"""FFHQ alignment: the map between a photograph and the upright square crop every network sees.

Second step of the road, after ``detect``; its inverse carries the result back in ``paste``.
Source of the rule: Karras et al., StyleGAN (CVPR 2019), the FFHQ data set's alignment from eyes and mouth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE

FREE_SIDES = (256, 512, 1024)
ALIASED_BELOW = 0.8  # output pixels per input pixel; a picture shrunk further is low-passed first


@dataclass(frozen=True, eq=False)
class Alignment:
    """An affine map, mostly a similarity, from photo pixels to crop pixels.

    Pixel centres have integer coordinates on both sides.

    Attributes:
        matrix: float64 ``[2, 3]``, photo → crop.
        size: side of the square crop in pixels.
    """

    matrix: np.ndarray
    size: int

    @property
    def scale(self) -> float:
        """Crop pixels per photo pixel, the mean of both directions."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix[:, :2]))))

    @property
    def inverse(self) -> np.ndarray:
        """float64 ``[2, 3]``, crop → photo; the exact inverse of ``matrix``."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack([linear, -linear @ self.matrix[:, 2]])

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Carry points ``[n, 2]`` from photo to crop pixels."""
        return (np.asarray(points, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Carry points ``[n, 2]`` from crop to photo pixels."""
        inverse = self.inverse
        return (np.asarray(points, np.float64) @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)

    def crop(self, pixels: np.ndarray) -> np.ndarray:
        """Cut the aligned face out of a photo; what lies outside is reflected.

        ``pixels``: uint8 ``[H, W, 3]``. Returns float32 ``[size, size, 3]`` in 0..255.
        """
        return resample(pixels, self.matrix, (self.size, self.size), border=cv2.BORDER_REFLECT_101)

    def resized(self, size: int) -> Alignment:
        """The same crop at another side length."""
        factor = size / self.size
        matrix = self.matrix * factor
        matrix[:, 2] += 0.5 * factor - 0.5
        return Alignment(matrix, size)


def ffhq_side(landmarks: np.ndarray) -> float:
    """Side of the FFHQ crop of a face, in photo pixels."""
    horizontal, _ = _ffhq_axes(landmarks)
    return 2 * float(np.hypot(*horizontal))


def ffhq_alignment(landmarks: np.ndarray, size: int) -> Alignment:
    """The FFHQ crop of a face.

    ``landmarks``: ``[68, 2]`` in photo pixels; ``size``: side of the crop in pixels.

    Raises:
        ValueError: eyes and mouth fall into one point.
    """
    horizontal, centre = _ffhq_axes(landmarks)
    half = float(np.hypot(*horizontal))
    if not math.isfinite(half) or half < 1.0:
        raise ValueError(f"the landmarks span no face (crop side {2 * half:.2f} px)")
    scale = size / (2 * half)
    across = horizontal / half
    down = np.array([-across[1], across[0]])
    linear = scale * np.stack([across, down])
    # Photo landmarks mark pixel centres; the crop's corner is half a pixel before its first centre.
    corner = centre - horizontal - half * down
    return Alignment(np.column_stack([linear, -linear @ corner - 0.5]), size)


def laid_onto(points: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Carry points by the least-squares similarity that lays other points onto a target (Umeyama, 1991).

    ``points``: ``[n, 2]``; ``source``: ``[m, 2]`` in the same picture; ``target``: ``[m, 2]``, where they are
    to lie. Returns float64 ``[n, 2]``.

    Raises:
        ValueError: the source's points lie in one place, or are not finite.
    """
    source = np.asarray(source, np.float64)
    spread = float(np.square(source - source.mean(0)).sum())
    if not spread > 1e-12 * max(1.0, float(np.abs(source).max())) ** 2:
        raise ValueError("the points lie in one place, so nothing can be laid onto them")
    return transformed(np.asarray(points, np.float64), similarity(source, target))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares similarity (scale, rotation, shift), ``[2, 3]``, that carries points onto others.

    Source: Umeyama, Least-Squares Estimation of Transformation Parameters (PAMI 1991), in the plane.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    centre, wanted = source.mean(0), target.mean(0)
    # In the plane a rotation with scale is a multiplication by one complex number.
    x, y = source - centre, target - wanted
    first, second = x[:, 0] + 1j * x[:, 1], y[:, 0] + 1j * y[:, 1]
    factor = np.vdot(first, second) / max(float(np.vdot(first, first).real), 1e-12)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, wanted - linear @ centre])


def transformed(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply an affine map ``[2, 3]`` to points ``[n, 2]``."""
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def resample(
    pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int], *, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """Apply an affine map without aliasing: cubic when enlarging, low-passed first when shrinking.

    ``pixels``: ``[H, W]`` or ``[H, W, C]``, uint8 or float32; ``matrix``: ``[2, 3]``, input → output pixels;
    ``size``: width and height of the output; ``border``: OpenCV border mode for what lies outside the input.

    Returns:
        float32 of the output size, clipped to the range of the input.
    """
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    source, local = _needed_region(pixels, matrix, size)
    source = source.astype(np.float32)
    if scale < ALIASED_BELOW:
        source = _low_passed(source, scale)
    flags = cv2.INTER_CUBIC if scale > 1.0 else cv2.INTER_LINEAR
    result = cv2.warpAffine(source, local, size, flags=flags, borderMode=border)
    return np.clip(result, float(source.min()), float(source.max())) if source.size else result


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Resample a square image to another side, pixel centres in the middle of pixels."""
    source, factor = image.astype(np.float32), side / image.shape[0]
    if factor == 1:
        return source
    low, high = float(source.min()), float(source.max())
    way = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_LINEAR
    if factor < ALIASED_BELOW:
        source = _low_passed(source, factor)
    result = cv2.resize(source, (side, side), interpolation=way)
    return np.clip(result, low, high, out=result)


def enlarged_points(points: np.ndarray, side: int, new_side: int) -> np.ndarray:
    """Where points ``[N, 2]`` of a square image lie after ``enlarged`` to another side."""
    return (points + 0.5) * (new_side / side) - 0.5


def _low_passed(source: np.ndarray, scale: float) -> np.ndarray:
    """What is about to be scaled, without what it would alias."""
    # A Gaussian whose cut-off is the output's Nyquist frequency.
    sigma = 0.42 * math.sqrt(1 / scale**2 - 1)
    return cv2.GaussianBlur(source, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)


def _needed_region(
    pixels: np.ndarray, matrix: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Only the part of a large photo that the crop shows, with room for reflection and filters."""
    height, width = pixels.shape[:2]
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size[0], 0], [0, size[1]], [size[0], size[1]]], np.float64)
    seen = corners @ inverse[:, :2].T + inverse[:, 2]
    margin = 0.05 * float(np.max(np.ptp(seen, axis=0))) + 8
    low = np.floor(seen.min(0) - margin).astype(int)
    high = np.ceil(seen.max(0) + margin).astype(int)
    # What is reflected at the photo's border must be in the region too.
    bounds = np.array([width, height])
    low, high = np.minimum(low, 2 * bounds - high - 1), np.maximum(high, 1 - low)
    low, high = np.clip(low, 0, bounds - 1), np.clip(high, 1, bounds)
    local = np.array(matrix, np.float64)
    local[:, 2] += local[:, :2] @ low
    return np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0]]), local


def _ffhq_axes(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the crop's horizontal axis and the crop's centre, both in photo pixels."""
    points = np.asarray(landmarks, np.float64)
    left_eye, right_eye = points[LEFT_EYE].mean(0), points[RIGHT_EYE].mean(0)
    eyes = (left_eye + right_eye) / 2
    eye_to_eye = right_eye - left_eye
    eye_to_mouth = (points[48] + points[54]) / 2 - eyes
    axis = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    length = float(np.hypot(*axis))
    reach = max(2.0 * float(np.hypot(*eye_to_eye)), 1.8 * float(np.hypot(*eye_to_mouth)))
    horizontal = axis * (reach / length) if length > 1e-6 else np.zeros(2)
    return horizontal, eyes + 0.1 * eye_to_mouth
