"""Identity of the result after changes that no human eye minds: the robust form of ``identity``.

A network trained against a recogniser can hide its answer in faint patterns. Small changes that leave the
person to every human eye destroy such patterns, so the result is scored again after each of them. Defined in
``docs/evaluation/identity.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import MIRRORED
from stylegan_swap.metrics.identity import DlibRecogniser, Recogniser, columns_of_recogniser
from stylegan_swap.metrics.sample import Column, Sample, View, look

# Every change happens on the result's FFHQ crop of this side, so that it means the same in every photo.
CROP_SIZE = 256  # px
BLUR_SIGMA = 2.0  # px
JPEG_QUALITY = 60
LOW_PASS_SIZE = 48  # px


def blurred(view: View) -> View:
    """Gaussian blur of σ 2 px."""
    return _changed(view, cv2.GaussianBlur(view.pixels, (0, 0), BLUR_SIGMA))


def compressed(view: View) -> View:
    """JPEG at quality 60, colour sub-sampled as OpenCV does."""
    _, data = cv2.imencode(".jpg", view.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return _changed(view, np.ascontiguousarray(decoded[..., ::-1]))


def grey(view: View) -> View:
    """Luma in all three channels."""
    return _changed(view, cv2.cvtColor(cv2.cvtColor(view.pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def flipped(view: View) -> View:
    """Mirrored, with the landmarks renumbered."""
    points = view.face[MIRRORED].copy()
    points[:, 0] = view.pixels.shape[1] - 1 - points[:, 0]
    return View(np.ascontiguousarray(view.pixels[:, ::-1]), points, view.name, view.person)


def found_again(view: View) -> View:
    """The same pixels, the face detected afresh."""
    return look(view.pixels, view.name, view.person)


def low_passed(view: View) -> View:
    """Reduced to 48 px by areas and enlarged again by cubics."""
    side = (view.pixels.shape[1], view.pixels.shape[0])
    small = cv2.resize(view.pixels, (LOW_PASS_SIZE, LOW_PASS_SIZE), interpolation=cv2.INTER_AREA)
    return _changed(view, cv2.resize(small, side, interpolation=cv2.INTER_CUBIC))


CHANGES: Mapping[str, Callable[[View], View]] = {
    "blur": blurred,
    "jpeg": compressed,
    "grey": grey,
    "flip": flipped,
    "found_again": found_again,
    "low_pass": low_passed,
}


class RobustIdentityMeasure:
    """Distance to the identity photo after six changes of the result.

    Columns: ``id_distance_worst`` the largest and ``id_distance_mean`` the mean of the six distances;
    ``id_distance_gap`` that mean minus the distance of the unchanged crop, which is large where the
    identity was only a texture. A face that is not found again counts with the recogniser's furthest.

    Args:
        recogniser: dlib's unless given; with another one the headings end in its name.
    """

    def __init__(self, recogniser: Recogniser | None = None) -> None:
        self.recogniser = DlibRecogniser() if recogniser is None else recogniser
        worst = self.recogniser.furthest
        self.columns = columns_of_recogniser(
            self.recogniser.name,
            Column("id_distance_worst", "lower", worst, floor=0.39),
            Column("id_distance_mean", "lower", worst, floor=0.28),
            Column("id_distance_gap", "lower", worst, floor=0.05),
        )

    def distances(self, sample: Sample) -> dict[str, float]:
        """Name of the change → distance to the identity photo; ``"none"`` for the unchanged crop."""
        identity = self.recogniser.embed(sample.identity)
        crop = aligned_view(sample.result)
        views = {"none": crop, **{name: change(crop) for name, change in CHANGES.items()}}
        return {
            name: self.recogniser.furthest
            if view.landmarks is None
            else self.recogniser.distance(self.recogniser.embed(view), identity)
            for name, view in views.items()
        }

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value per column."""
        distances = self.distances(sample)
        plain = distances.pop("none")
        mean = float(np.mean(list(distances.values())))
        values = (max(distances.values()), mean, mean - plain)
        return {column.name: value for column, value in zip(self.columns, values, strict=True)}


def aligned_view(view: View, size: int = CROP_SIZE) -> View:
    """The FFHQ crop of a view as a view: uint8 ``[size, size, 3]`` with its landmarks."""
    alignment = view.alignment(size)
    pixels = np.clip(np.rint(alignment.crop(view.pixels)), 0, 255).astype(np.uint8)
    return View(pixels, alignment.to_crop(view.face), view.name, view.person)


def _changed(view: View, pixels: np.ndarray) -> View:
    return View(pixels, view.landmarks, view.name, view.person)
