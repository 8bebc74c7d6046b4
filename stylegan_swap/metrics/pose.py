"""Head pose of the result and of the attribute photo. Defined in ``docs/evaluation/pose-expression.md``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from stylegan_swap.faces.geometry.head_pose import Pose, head_pose, turned
from stylegan_swap.metrics.sample import Column, Sample, View


def geodesic(first: Pose, second: Pose) -> float:
    """Angle of the rotation that carries one pose into the other, degrees in 0..180."""
    return math.degrees(Rotation.from_matrix(first.rotation.T @ second.rotation).magnitude())


def frontal_bias(views: Iterable[View]) -> dict[str, float]:
    """Each person's frontal bias: the pitch that their frontal photographs seem to have, degrees.

    A frontal photo has pitch 0 by definition, so what ``head_pose`` finds there is the shape of the face
    (a long nose or a short chin looks like nodding). The mean over the person's photos.

    Args:
        views: photographs known to be frontal, ``person`` set. Best not the attribute photo that is
            judged with them: its own small nod would count as shape.

    Raises:
        ValueError: a view without a person or a face.
    """
    pitches: dict[str, list[float]] = {}
    for view in views:
        if not view.person:
            raise ValueError(f"{view.name or 'a view'}: a frontal bias needs a person's name")
        pitches.setdefault(view.person, []).append(head_pose(view.face).pitch)
    return {person: float(np.mean(values)) for person, values in pitches.items()}


class PoseMeasure:
    """Difference between the head poses of result and attribute photo, degrees.

    Columns: ``pose_error`` the geodesic angle; ``yaw_error``, ``pitch_error``, ``roll_error`` the absolute
    differences of each. With ``bias`` also ``pitch_error_corrected``, which allows for the new face shape:
    |(pitch(result) − bias(identity person)) − (pitch(attribute) − bias(attribute person))|; NaN where one
    of the two people has no known bias (averages leave NaN out).

    If one of the two poses is a flipped solution, the worst values are returned.

    Args:
        bias: person → frontal bias in degrees, as ``frontal_bias`` finds it.
    """

    def __init__(self, bias: Mapping[str, float] | None = None) -> None:
        self.bias = bias
        columns = (
            Column("pose_error", "lower", 180.0, "°", floor=0.47),
            Column("yaw_error", "lower", 180.0, "°", floor=0.16),
            Column("pitch_error", "lower", 180.0, "°", floor=0.37),
            Column("roll_error", "lower", 180.0, "°", floor=0.14),
        )
        corrected = (Column("pitch_error_corrected", "lower", 180.0, "°", floor=4.0),)
        self.columns: tuple[Column, ...] = columns if bias is None else columns + corrected

    def __call__(self, sample: Sample) -> dict[str, float]:
        """One value per column, degrees."""
        result, attribute = head_pose(sample.result.face), head_pose(sample.attribute.face)
        if result.flipped or attribute.flipped:
            return {column.name: column.worst for column in self.columns}
        values = {
            "pose_error": geodesic(result, attribute),
            "yaw_error": abs(turned(result.yaw - attribute.yaw)),
            "pitch_error": abs(turned(result.pitch - attribute.pitch)),
            "roll_error": abs(turned(result.roll - attribute.roll)),
        }
        if self.bias is not None:
            shape = self.bias.get(sample.identity.person, math.nan) - self.bias.get(
                sample.attribute.person, math.nan
            )
            values["pitch_error_corrected"] = abs(turned(result.pitch - attribute.pitch - shape))
        return values
