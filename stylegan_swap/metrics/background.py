"""The background of a swap: PSNR, SSIM and share of changed pixels outside the mask; and the mask itself.

Formulas and calibration: ``docs/evaluation/image.md``.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from stylegan_swap.faces.geometry.align import Alignment, resample
from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.metrics.sample import Column, Sample

# Pixels of the 256-px aligned crop by which the mask is grown: the feather of a method that tells its
# mask only roughly, and JPEG blocks that reach over the edge.
DILATION = 4.0
SCALE = 256  # px, side of the aligned crop
# An unchanged background has no finite PSNR. One channel of one pixel off by one in a background of 100 x 100
# pixels is 93 dB, so nothing that can be seen is cut off.
HIGHEST_PSNR = 100.0  # dB
_SSIM_WINDOW = 11  # px


class Background:
    """PSNR, SSIM and share of changed pixels outside the dilated mask, between result and attribute photo.

    PSNR and SSIM are taken in photo pixels inside the square of the FFHQ crop, so that they do not depend on
    how much scenery is round the face; the share of changed pixels is over the whole photo. The result must
    come straight from the method, before it is marked or saved as JPEG.

    SSIM: Wang et al., Image Quality Assessment (2004), Gaussian window of 1.5 px, scikit-image.

    Args:
        dilation: pixels of the 256-px aligned crop by which the mask is grown.
    """

    columns = (
        Column("background_psnr", "higher", 0.0, "dB"),
        Column("background_ssim", "higher", 0.0),
        Column("background_changed", "lower", 1e6, "ppm"),
    )

    def __init__(self, dilation: float = DILATION) -> None:
        self.dilation = dilation

    def __call__(self, sample: Sample) -> dict[str, float]:
        """Compare the backgrounds.

        Returns:
            PSNR in dB, 0 to 100 (100 = identical); SSIM, at most 1; changed pixels per million.

        Raises:
            ValueError: result and attribute photo differ in size, or no background is left to compare.
        """
        original, result = sample.attribute.pixels, sample.result.pixels
        if original.shape != result.shape:
            raise ValueError(
                f"{sample.result.name or 'the result'}: {result.shape} is not the attribute photo's size "
                f"{original.shape}; compare the result before it is cropped or resized"
            )
        outside = background(sample, self.dilation)
        if not outside.any():
            raise ValueError(
                f"{sample.result.name or 'the result'}: the mask covers the photo, no background is left"
            )
        near = outside & _crop_square(sample)
        # A face that fills its photo has background elsewhere only.
        near = near if near.any() else outside
        window = _bounds(near)
        return {
            "background_psnr": masked_psnr(original, result, near),
            "background_ssim": masked_ssim(original[window], result[window], near[window]),
            "background_changed": 1e6 * float((original != result).any(-1)[outside].mean()),
        }


def swap_mask(sample: Sample, alignment: Alignment) -> np.ndarray:
    """Where the swap is on the attribute photo's aligned crop.

    Args:
        sample: the swap; without a mask the hull of the attribute face stands for it.
        alignment: of the attribute face, at any size.

    Returns:
        float32 ``[size, size]`` in 0..1.
    """
    size = alignment.size
    if sample.mask is None:
        return hull_mask(alignment.to_crop(sample.attribute.face), size)
    return resample(sample.mask.astype(np.float32), alignment.matrix, (size, size))


def background(sample: Sample, dilation: float = DILATION) -> np.ndarray:
    """The pixels of the attribute photo that lie outside the dilated mask, bool ``[H, W]``.

    Without a mask it is the hull of the attribute face that is dilated.

    Args:
        sample: the swap.
        dilation: in pixels of the 256-px aligned crop.

    Raises:
        ValueError: no face was found in the attribute photo.
    """
    alignment = sample.attribute.alignment(SCALE)
    if sample.mask is None:
        shape = sample.attribute.pixels.shape[1], sample.attribute.pixels.shape[0]
        inside = resample(swap_mask(sample, alignment), alignment.inverse, shape) > 0
    else:
        inside = sample.mask > 0
    if not inside.any():
        return ~inside
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    return distance > dilation / alignment.scale


def masked_psnr(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """PSNR in dB of two uint8 ``[H, W, 3]`` over the pixels of a mask, at most ``HIGHEST_PSNR``."""
    error = float(np.square(first[mask].astype(np.float64) - second[mask]).mean())
    if error == 0:
        return HIGHEST_PSNR
    return min(HIGHEST_PSNR, 10 * float(np.log10(255**2 / error)))


def masked_ssim(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """Mean SSIM over the pixels of a mask, -1 to 1; 1 where the pictures are too small for its window.

    Outside the mask both are made equal first, so the swap itself does not leak in through the window.

    Args:
        first: uint8 ``[H, W, 3]``.
        second: uint8 ``[H, W, 3]``.
        mask: bool ``[H, W]``.
    """
    second = np.where(mask[..., None], second, first)
    if min(first.shape[:2]) < _SSIM_WINDOW:
        return 1.0 if np.array_equal(first, second) else 0.0
    _, similarity = structural_similarity(
        first,
        second,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[mask].mean())


def _crop_square(sample: Sample) -> np.ndarray:
    """The FFHQ square of the attribute face, bool ``[H, W]``."""
    last = SCALE - 1
    corners = sample.attribute.alignment(SCALE).to_photo(
        np.array([[0, 0], [last, 0], [last, last], [0, last]])
    )
    canvas = np.zeros(sample.attribute.pixels.shape[:2], np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(corners).astype(np.int32), 1)
    return canvas > 0


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """The smallest window that holds a mask, with a margin for the window of SSIM."""
    margin = _SSIM_WINDOW
    rows, columns = (
        slice(max(int(line[0]) - margin, 0), int(line[-1]) + margin + 1)
        for line in (np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0)))
    )
    return rows, columns
