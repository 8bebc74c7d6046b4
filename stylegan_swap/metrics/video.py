"""Steadiness and motion of a swapped clip: measures over frames, beside those of single pictures.

Every function takes two or more clips: lists of ``View``, one per frame, landmarks found in each frame by
itself. All but identity are relative to the attribute clip, so that its own motion costs nothing; a face that
is steady because it is frozen shows in ``mouth_motion``. Defined in ``docs/evaluation/video.md``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE, mouth_opening
from stylegan_swap.faces.masks.mask import hull_points
from stylegan_swap.metrics.identity import FURTHEST, Recogniser
from stylegan_swap.metrics.sample import Column, View

COLUMNS: tuple[Column, ...] = (
    Column("identity_step", "lower", FURTHEST, floor=0.05),
    Column("identity_deviation", "lower", 1.0, floor=0.001),
    Column("landmark_jitter", "lower", 1.0, "eye distances", floor=0.014),
    Column("flicker", "lower", 255.0, "grey levels", floor=2.5),
    Column("warping_excess", "lower", 255.0, "grey levels", floor=0.0),
    Column("mouth_correlation", "higher", -1.0),
    Column("mouth_agreement", "higher", -1.0),
)
# A mouth that moves less than this (standard deviation, in eye distances) is silent: dlib's noise is 0.005.
SILENT_MOUTH = 0.015


def identity_stability(result: Sequence[View], identity: View, recogniser: Recogniser) -> dict[str, float]:
    """Does it stay one person?

    - ``identity_step``: mean over t of the distance between the descriptors of frames t − 1 and t (VIDD; Tu
      et al., Image-to-Video Generation via 3D Facial Dynamics, 2021). A pair with a frame without a face
      counts with the recogniser's furthest.
    - ``identity_deviation``: standard deviation over t of the centred cosine to the identity photo, a frame
      without a face counting as -1.

    Raises:
        ValueError: fewer than two frames, or no face in the identity photo.
    """
    _require_frames(2, result)
    person = recogniser.embed(identity)
    vectors = [None if view.landmarks is None else recogniser.embed(view) for view in result]
    steps = [
        recogniser.furthest if previous is None or current is None else recogniser.distance(previous, current)
        for previous, current in itertools.pairwise(vectors)
    ]
    cosines = [-1.0 if vector is None else recogniser.cosine(vector, person) for vector in vectors]
    return {"identity_step": float(np.mean(steps)), "identity_deviation": float(np.std(cosines))}


def landmark_jitter(result: Sequence[View], attribute: Sequence[View]) -> float:
    """How much the face trembles beyond the motion of the clip, in distances between the eyes.

    Mean over frames and landmarks of |Δ²y − Δ²x| / D: Δ² the second difference over time of a landmark in
    pixels, y the result's, x the attribute clip's, D the median distance between the eyes of the latter.
    Landmarks are not aligned first: a face that trembles as a whole trembles. A constant offset costs
    nothing. Triples with a result frame without a face count 1; those with an attribute frame without one
    are left out (NaN if none is left).

    Raises:
        ValueError: fewer than three frames, or clips of different lengths.
    """
    _require_frames(3, result, attribute)
    size = _eye_distance(attribute)
    values = []
    for t in range(1, len(result) - 1):
        original, swapped = _triple(attribute, t), _triple(result, t)
        if original is None:
            continue
        if swapped is None:
            values.append(1.0)
            continue
        difference = swapped - original
        second = difference[0] - 2 * difference[1] + difference[2]
        values.append(float(np.linalg.norm(second, axis=1).mean()) / size)
    return float(np.mean(values)) if values else math.nan


def flicker(
    result: Sequence[View], attribute: Sequence[View], masks: Sequence[np.ndarray] | None = None
) -> dict[str, float]:
    """How much the face's brightness changes along the clip's own motion, in grey levels 0..255.

    With w the previous frame carried along the optical flow of the *attribute* clip x (DIS; Kroeger et al.,
    ECCV 2016) and y the result, over the mask's pixels that the flow does not occlude:

    - ``flicker``: mean |(y_t − w(y_{t−1})) − (x_t − w(x_{t−1}))|;
    - ``warping_excess``: mean |y_t − w(y_{t−1})| − mean |x_t − w(x_{t−1})| (Lai et al., Learning Blind Video
      Temporal Consistency, ECCV 2018); below 0 the result is smoother than the clip.

    Pixels count as occluded where the forward flow and the backward flow do not cancel
    (Sundaram et al., ECCV 2010): |f + b|² ≥ 0.01 (|f|² + |b|²) + 0.5.

    Args:
        result: swapped frames, pixels uint8 RGB ``[H, W, 3]``, as large as the attribute frames.
        attribute: the original frames.
        masks: where the face was changed, ``[H, W]`` in 0..1 per frame; the hull of the attribute frame's
            landmarks unless given. Frames without either are left out.

    Returns:
        The means over all frame pairs; NaN if no pixel could be followed.

    Raises:
        ValueError: fewer than two frames, clips of different lengths, or frames of different sizes.
    """
    _require_frames(2, result, attribute, *([] if masks is None else [masks]))
    rows = []
    for t in range(1, len(result)):
        mask = hull(attribute[t]) if masks is None else np.asarray(masks[t]) > 0.5
        frames = [view.pixels for view in (attribute[t - 1], attribute[t], result[t - 1], result[t])]
        if len({frame.shape for frame in frames} | {(*mask.shape, 3)}) > 1:
            raise ValueError(
                f"flicker: frame {t} of the result, of the attribute clip and its mask differ in size"
            )
        if mask.any():
            rows.append(_pair_flicker(frames, mask))
    defined = [row for row in rows if row is not None]
    means = np.mean(defined, axis=0) if defined else np.full(2, math.nan)
    return {"flicker": float(means[0]), "warping_excess": float(means[1])}


def mouth_motion(result: Sequence[View], attribute: Sequence[View]) -> dict[str, float]:
    """Does the mouth open when the clip's mouth opens?

    With m the opening of the inner mouth in eye distances, about its mean over the frames:

    - ``mouth_correlation``: Σ m_y·m_x / √(Σ m_y² · Σ m_x²); 0 for a frozen mouth;
    - ``mouth_agreement``: 2 Σ m_y·m_x / (Σ m_y² + Σ m_x²), which also asks for the same amplitude (Lin's
      concordance, 1989, about each clip's own mean, since lips differ between people).

    A result frame without a face counts as a mouth that does not move. Frames of the attribute clip without
    a face are left out; NaN where its mouth moves less than 0.015 eye distances, which is silence.

    Raises:
        ValueError: fewer than three frames, or clips of different lengths.
    """
    _require_frames(3, result, attribute)
    pairs = [(y.landmarks, x.landmarks) for y, x in zip(result, attribute, strict=True)]
    defined = [(y, x) for y, x in pairs if x is not None]
    x_mouth = np.array([mouth_opening(x) for _, x in defined])
    y_mouth = np.array([math.nan if y is None else mouth_opening(y) for y, _ in defined])
    if len(defined) < 3 or float(np.std(x_mouth)) < SILENT_MOUTH:
        return {"mouth_correlation": math.nan, "mouth_agreement": math.nan}
    # Both about their own means; frames without a face lie at the mean.
    centre = float(np.nanmean(y_mouth)) if np.isfinite(y_mouth).any() else 0.0
    y_mouth = np.nan_to_num(y_mouth - centre, nan=0.0)
    x_mouth = x_mouth - x_mouth.mean()
    product, y_power, x_power = (
        float(a @ b) for a, b in ((y_mouth, x_mouth), (y_mouth,) * 2, (x_mouth,) * 2)
    )
    # Rounding alone must not look like motion.
    correlation = product / math.sqrt(y_power * x_power) if y_power > 1e-12 * x_power else 0.0
    return {"mouth_correlation": correlation, "mouth_agreement": 2 * product / (y_power + x_power)}


def hull(view: View) -> np.ndarray:
    """The face of a frame with its forehead, bool ``[H, W]``; empty where no face was found."""
    canvas = np.zeros(view.pixels.shape[:2], np.uint8)
    if view.landmarks is not None:
        outline = cv2.convexHull(np.rint(hull_points(view.landmarks)).astype(np.int32))
        cv2.fillConvexPoly(canvas, outline, 1)
    return canvas > 0


def backward_flow(previous: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow from a frame back to the previous one, and where it can be trusted.

    Args:
        previous: uint8 RGB ``[H, W, 3]``.
        current: the next frame, of the same size.

    Returns:
        float32 ``[H, W, 2]``, the offset from (x, y) of ``current`` to ``previous``, and bool ``[H, W]``,
        True where forward and backward flow agree and the target lies inside the frame.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (previous, current)]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = grey[0].shape
    # The third argument receives the result; zeros are also where the estimator starts.
    back = np.asarray(estimator.calc(grey[1], grey[0], np.zeros((height, width, 2), np.float32)))
    forth = np.asarray(estimator.calc(grey[0], grey[1], np.zeros((height, width, 2), np.float32)))
    returned = carried(forth, back)
    gap = np.sum((back + returned) ** 2, -1)
    motion = np.sum(back**2, -1) + np.sum(returned**2, -1)
    x, y = _grid(height, width) + back.transpose(2, 0, 1)
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return back, inside & (gap < 0.01 * motion + 0.5)


def carried(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A frame carried along a backward flow, bilinear, float32 of the frame's shape."""
    x, y = (_grid(*flow.shape[:2]) + flow.transpose(2, 0, 1)).astype(np.float32)
    return cv2.remap(frame.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _pair_flicker(frames: list[np.ndarray], mask: np.ndarray) -> tuple[float, float] | None:
    """Flicker and warping excess of one pair (x previous, current, y previous, current), near the mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    margin = 16 + max(len(rows), len(columns)) // 4
    window = tuple(slice(max(0, int(w[0]) - margin), int(w[-1]) + 1 + margin) for w in (rows, columns))
    x_previous, x_current, y_previous, y_current = (np.ascontiguousarray(frame[window]) for frame in frames)
    flow, visible = backward_flow(x_previous, x_current)
    counted = mask[window] & visible
    if not counted.any():
        return None
    x_change = (x_current - carried(x_previous, flow))[counted]
    y_change = (y_current - carried(y_previous, flow))[counted]
    excess = np.abs(y_change).mean() - np.abs(x_change).mean()
    return float(np.abs(y_change - x_change).mean()), float(excess)


def _grid(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def _eye_distance(clip: Sequence[View]) -> float:
    faces = [view.landmarks for view in clip if view.landmarks is not None]
    distances = [np.linalg.norm(p[RIGHT_EYE].mean(0) - p[LEFT_EYE].mean(0)) for p in faces]
    return max(float(np.median(distances)), 1e-6) if distances else 1.0


def _triple(clip: Sequence[View], t: int) -> np.ndarray | None:
    """Landmarks of the frames t - 1, t, t + 1, ``[3, 68, 2]``, or None if one shows no face."""
    faces = [view.landmarks for view in clip[t - 1 : t + 2] if view.landmarks is not None]
    return np.stack(faces).astype(np.float64) if len(faces) == 3 else None


def _require_frames(fewest: int, *clips: Sequence[object]) -> None:
    lengths = {len(clip) for clip in clips}
    if len(lengths) > 1 or min(lengths) < fewest:
        raise ValueError(
            f"clips of {sorted(lengths)} frames: they must be equally long and have at least {fewest} frames"
        )
