"""Make of a photo one of somebody else with the same pose, expression and light. For reverse triplets.

The inside of the face moves towards the shape of one to three other people and takes their texture. What
the expression consists of stays: opening of mouth and lids, corners of the lips, the direction of the eyes.
After Bitouk et al., Face Swapping (SIGGRAPH 2008) and the reverse triplets of MobileFSGAN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stylegan_swap.faces.detection.landmarks import INNER_LIPS, JAW, LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import similarity, transformed
from stylegan_swap.faces.geometry.thin_plate import ThinPlate, border_points, moved
from stylegan_swap.faces.masks.mask import eye_masks, feathered, hull_mask, inner_mouth_mask
from stylegan_swap.faces.pixels.colour import is_gray

# The jaw follows the new shape by this share only: hair and background touch it.
JAW_SHARE = 0.35
# Width of the edge of the new texture, and of the fall-off of the deformation outside the hull,
# in shares of the picture's side.
FEATHER = 0.09
FALL_OFF = 0.14
FOREHEAD = 0.45
# Side at which the light is compared, and how much of its local differences is taken over.
_LIGHT_SIDE = 32
_LIGHT_SHARE = 0.75
# The inner lip that belongs to each point of the outer lips (48-59).
_INNER_OF_OUTER = np.array([60, 60, 61, 62, 63, 64, 64, 64, 65, 66, 67, 60])
_OUTER_LIPS = np.arange(48, 60)


@dataclass(frozen=True, eq=False)
class Portrait:
    """An aligned face: float32 ``[S, S, 3]`` in 0..255 and landmarks ``[68, 2]`` in its pixels."""

    image: np.ndarray
    landmarks: np.ndarray


def morphed(
    face: Portrait,
    partners: Sequence[Portrait],
    weights: np.ndarray,
    *,
    shape: float,
    texture: float,
) -> Portrait:
    """Move a face towards other people.

    Args:
        face: the photo; pose, expression, light and everything around the face stay its.
        partners: one to three people, best of a similar pose and expression; same side as the photo.
        weights: share of each partner, adds up to 1.
        shape: 0 keeps the face's proportions, 1 takes the partners'.
        texture: 0 keeps the skin, brows and lips, 1 takes the partners'.

    Returns:
        The new face and its landmarks. Outside the hull of the face nothing changes but by the smooth
        fall-off of the deformation; farther away than that, not at all.
    """
    size = face.image.shape[0]
    landmarks = np.asarray(face.landmarks, np.float64)
    similarities = [similarity(partner.landmarks[:48], landmarks[:48]) for partner in partners]
    blended = sum(
        weight * transformed(partner.landmarks, fit)
        for weight, partner, fit in zip(weights, partners, similarities, strict=True)
    )
    target = blended_shape(landmarks, np.asarray(blended), shape)
    border = border_points(size)
    spline = ThinPlate(np.concatenate([target, border]), size, 1e-5)
    sources = [np.concatenate([landmarks, border])]
    for partner, fit in zip(partners, similarities, strict=True):
        backward = cv2.invertAffineTransform(fit)
        sources.append(np.concatenate([partner.landmarks, transformed(border, backward)]))
    fields = spline.displacements(np.stack(sources) - spline.points * size)
    warped = _own_moved(face.image, fields[0], target)
    if texture <= 0:
        return Portrait(warped, target.astype(np.float32))
    lit_partners = [
        _lit(moved(p.image, field), warped, target) for p, field in zip(partners, fields[1:], strict=True)
    ]
    painted = _mixed(warped, lit_partners, weights, texture)
    mask = feathered(hull_mask(target, size, FOREHEAD), FEATHER * size)
    mask *= 1 - _opening(target, size)
    image = warped + mask[..., None] * (painted - warped)
    return Portrait(np.clip(image, 0, 255), target.astype(np.float32))


def blended_shape(face: np.ndarray, partner: np.ndarray, share: float) -> np.ndarray:
    """Landmarks between two faces that keep the expression of the first.

    Args:
        face: ``[68, 2]``.
        partner: ``[68, 2]`` in the same frame and of about the same pose.
        share: 0 to 1.

    Returns:
        float64 ``[68, 2]``: eyes as open, in proportion to their width, as in ``face``; the lips' opening and
        corners its, at the place and of the width between the two.
    """
    result = face + share * (partner - face)
    result[JAW] = face[JAW] + JAW_SHARE * share * (partner[JAW] - face[JAW])
    for eye in (LEFT_EYE, RIGHT_EYE):
        corners = np.array([0, 3])
        fit = similarity(face[eye][corners], result[eye][corners])
        result[eye] = transformed(face[eye], fit)
    _place_mouth(result, face, partner, share)
    return result


def _place_mouth(result: np.ndarray, face: np.ndarray, partner: np.ndarray, share: float) -> None:
    """The own inner lips at the new place and scale, with lips as thick as the blend."""
    eye_distance = np.linalg.norm(result[RIGHT_EYE].mean(0) - result[LEFT_EYE].mean(0))
    scale = eye_distance / np.linalg.norm(face[RIGHT_EYE].mean(0) - face[LEFT_EYE].mean(0))
    inner, other_inner = face[INNER_LIPS], partner[INNER_LIPS]
    centre = inner.mean(0) + share * (other_inner.mean(0) - inner.mean(0))
    across = (face[54] - face[48]) / np.linalg.norm(face[54] - face[48])
    # Width tells people apart, but a smile widens the mouth as well: half of the difference is taken.
    width = np.linalg.norm(partner[54] - partner[48]) / np.linalg.norm(face[54] - face[48])
    stretch = 1 + 0.5 * share * (np.clip(width, 0.8, 1.25) - 1)
    offsets = inner - inner.mean(0)
    along = (offsets @ across)[:, None] * across
    result[INNER_LIPS] = centre + stretch * along + scale * (offsets - along)
    thickness = face[_OUTER_LIPS] - face[_INNER_OF_OUTER]
    other_thickness = partner[_OUTER_LIPS] - partner[_INNER_OF_OUTER]
    thickness = thickness + share * (other_thickness - thickness)
    # The corners of the lips belong to the expression.
    thickness[[0, 6]] = stretch * (face[[48, 54]] - face[[60, 64]])
    result[_OUTER_LIPS] = result[_INNER_OF_OUTER] + thickness


def _own_moved(image: np.ndarray, field: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The photo itself in the new shape; the deformation fades out around the face."""
    size = image.shape[0]
    outside = (hull_mask(target, size) < 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 5)
    fade = np.clip(1 - distance / (FALL_OFF * size), 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    # Where nothing moves, a map of whole numbers gives back the very pixels.
    return np.clip(moved(image, field * fade[..., None]), 0, 255)


def _skin(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Weights of the pixels whose colours are compared: inside the face, no eyes, no open mouth."""
    mask = feathered(hull_mask(landmarks, size, 0.3), 0.06 * size)
    return mask * (1 - np.maximum(eye_masks(landmarks, size, 0.02), inner_mouth_mask(landmarks, size, 0.02)))


def _opening(landmarks: np.ndarray, size: int) -> np.ndarray:
    """What only the photo's own person can show: the eyeballs and the inside of the mouth."""
    opened = np.maximum(eye_masks(landmarks, size), inner_mouth_mask(landmarks, size))
    return cv2.GaussianBlur(opened, (0, 0), max(0.004 * size, 0.4))


def _lit(image: np.ndarray, reference: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Give a warped partner the photo's skin colour and light: ratios of the low frequencies."""
    size = image.shape[0]
    # Frequencies this low fit on few pixels.
    skin = _skin((landmarks + 0.5) * (_LIGHT_SIDE / size) - 0.5, _LIGHT_SIDE)
    if skin.sum() < 1:
        return image
    if is_gray(reference):
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    image_lab, reference_lab = (
        cv2.resize(picture, (_LIGHT_SIDE, _LIGHT_SIDE), interpolation=cv2.INTER_AREA) * skin[..., None]
        for picture in (image, reference)
    )
    low_seen, low_wanted, low = (
        cv2.GaussianBlur(picture, (0, 0), 0.11 * _LIGHT_SIDE) for picture in (image_lab, reference_lab, skin)
    )
    total = skin.sum()
    mean_seen, mean_wanted = image_lab.sum((0, 1)) / total, reference_lab.sum((0, 1)) / total
    # Six grey levels are added to both, or dark pixels would decide; far from any skin the means count.
    black = 6 * low[..., None] + 0.02 * 6
    local = (low_wanted + 0.02 * mean_wanted + black) / (low_seen + 0.02 * mean_seen + black)
    overall = (mean_wanted + 6) / (mean_seen + 6)
    ratio = np.clip(overall * np.power(local / overall, _LIGHT_SHARE), 0.35, 2.8)
    lit = image * cv2.resize(ratio.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    # Highlights roll off instead of burning out in one channel after the other.
    peak = np.maximum(np.maximum(np.maximum(lit[..., 0], lit[..., 1]), lit[..., 2]), 1)
    rolled = np.minimum(peak, 255 - 55 * np.exp(np.minimum((200 - peak) / 55, 0)))
    return lit * (rolled / peak)[..., None]


def _mixed(face: np.ndarray, partners: list[np.ndarray], weights: np.ndarray, texture: float) -> np.ndarray:
    """Blend low frequencies by share, but take the fine structure of one person: contours never double."""
    sigma = 0.02 * face.shape[0]
    strongest = int(np.argmax(weights))
    mean = partners[0] if len(partners) == 1 else sum(w * o for w, o in zip(weights, partners, strict=True))
    low = cv2.GaussianBlur(face + texture * (np.asarray(mean, np.float32) - face), (0, 0), sigma)
    step = np.clip((texture - 0.35) / 0.3, 0, 1)
    detail = face + step * step * (3 - 2 * step) * (partners[strongest] - face)
    return low + detail - cv2.GaussianBlur(detail, (0, 0), sigma)
