"""What an edit does to the faces that the generator draws: calibration and validation of directions.

Second half of ``from_folder``. Pose and expression are read off the drawn face's landmarks; a label of a
manifest off its dlib descriptor, by a ridge regression fitted on descriptors of photographs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inversion import Latents
from stylegan_swap.editing.direction import Direction, edit
from stylegan_swap.editing.fitting.labels import MEASURED, measure_face
from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.tensors import to_pixels

BATCH = 16
_SIDE = 256
# Faces that leave the range of these strengths are drawn from codes no photograph has.
CALIBRATED_AT = (-1.5, 1.5)
VALIDATED_AT = (-2.0, -1.0, 1.0, 2.0)
# Change of the drawn face, in σ for 1 σ asked, below which it does not show the attribute at all.
WEAKEST = 0.05


class Judge:
    """Measures faces drawn from codes.

    Args:
        method: with ``generate``.
        identity: dlib's recognition network, ``DlibIdentity``.
    """

    def __init__(self, method: Any, identity: Any) -> None:
        self.method, self.identity = method, identity
        self._by_descriptor: dict[str, Any] = {}

    def learn(self, descriptors: np.ndarray, labels: Mapping[str, np.ndarray]) -> None:
        """Learn to read labels off descriptors ``[n, 128]`` of photographs; NaN where a label is unknown."""
        from sklearn.linear_model import RidgeCV

        for name, label in labels.items():
            labelled = np.isfinite(label)
            self._by_descriptor[name] = RidgeCV(alphas=np.logspace(-3, 1, 9)).fit(
                descriptors[labelled], label[labelled]
            )

    def measure(self, codes: Tensor) -> tuple[dict[str, np.ndarray], Tensor]:
        """Values by name, ``[n]`` each, and descriptors ``[n, 128]`` of faces drawn from ``[n, L, D]``."""
        rows, descriptors = [], []
        for part in codes.split(BATCH):
            faces = self.method.generate(Latents(part), len(part), 1.0, 0).cpu()
            large = F.interpolate(faces, (_SIDE, _SIDE), mode="bicubic", align_corners=False).clamp(-1, 1)
            rows += [measure_face(landmarks_of_crop(crop)) for crop in to_pixels(large)]
            descriptors.append(describe(self.identity, faces))
        embeddings = torch.cat(descriptors)
        values = {name: np.array([row[name] for row in rows]) for name in MEASURED}
        for name, model in self._by_descriptor.items():
            values[name] = model.predict(embeddings.numpy())
        return values, embeddings


def describe(identity: Any, faces: Tensor) -> Tensor:
    """Dlib's descriptors ``[n, 128]`` of aligned faces ``[n, 3, s, s]``, RGB in [-1, 1]."""
    with torch.no_grad():
        return identity.embed(faces.to(identity.mean.device)).float().cpu()


def calibrated(
    direction: Direction, judge: Judge, codes: Tensor, deviation: float
) -> tuple[Direction, float]:
    """Scale a direction so that a strength of 1 changes what is drawn by one standard deviation.

    The direction's name is one that the judge measures; ``codes``, ``[n, L, D]``, are of the photographs it
    was fitted on; ``deviation`` is the attribute's standard deviation among them.

    Returns:
        The direction, and the change in σ that a strength of 1 made before. Where that is below 0.05, the
        direction comes back as it is: the generator does not show the attribute.
    """
    low, high = (
        judge.measure(edit(Latents(codes), direction, at).wplus)[0][direction.name] for at in CALIBRATED_AT
    )
    slope = float((high - low).mean()) / (CALIBRATED_AT[1] - CALIBRATED_AT[0]) / deviation
    if not slope > WEAKEST:
        return direction, slope
    return replace(direction, scale=direction.scale / slope), slope


@dataclass(frozen=True)
class Validation:
    """What a direction does to drawn faces of people it was not fitted on.

    Attributes:
        correlation: of strength and measured change, over all faces and −2, −1, 1 and 2 σ.
        slope: measured change over the change asked for; 1 is right.
        leak: the largest change of another measured attribute for 1 σ, in its own σ.
        leaks_to: which.
        identity: mean distance of dlib's descriptors between the faces at +2 σ and unedited.
    """

    correlation: float
    slope: float
    leak: float
    leaks_to: str
    identity: float


def validate(
    direction: Direction,
    judge: Judge,
    codes: Tensor,
    deviations: Mapping[str, float],
    baseline: tuple[dict[str, np.ndarray], Tensor],
) -> Validation:
    """Edit faces by 1 and 2 σ both ways and measure all attributes.

    Args:
        direction: to be judged, a strength of 1 being 1 σ.
        judge: measures.
        codes: ``[n, L, D]`` of people it was not fitted on.
        deviations: standard deviation of every measured attribute among the photographs.
        baseline: what the judge measures of ``codes`` themselves.
    """
    name = direction.name
    baseline_labels, embeddings = baseline
    requested, changes, identity = [], [], 0.0
    for at in VALIDATED_AT:
        values, edited = judge.measure(edit(Latents(codes), direction, at).wplus)
        requested.append(np.full(len(codes), at))
        changes.append({key: (values[key] - baseline_labels[key]) / deviations[key] for key in deviations})
        if at == max(VALIDATED_AT):
            identity = float((edited - embeddings).norm(dim=1).mean())
    strength = np.concatenate(requested)
    response = np.concatenate([change[name] for change in changes])
    slopes = {
        key: float(np.polyfit(strength, np.concatenate([change[key] for change in changes]), 1)[0])
        for key in deviations
    }
    side_effects = {key: abs(value) for key, value in slopes.items() if key != name}
    worst = max(side_effects, key=lambda key: side_effects[key]) if side_effects else ""
    return Validation(
        float(np.corrcoef(strength, response)[0, 1]),
        slopes[name],
        side_effects.get(worst, 0.0),
        worst,
        identity,
    )
