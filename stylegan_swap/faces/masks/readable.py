"""Which pixels of an identity photo tell who somebody is: not their glasses, nor their open mouth.

On the road photo → detect → align → **encoder** → swapper → generator → paste: what the default network reads
of the identity photo itself (``models.detail``) is masked here, in training as in use.
"""

from __future__ import annotations

import numpy as np

from stylegan_swap.faces.masks.glasses import bare_face
from stylegan_swap.faces.masks.mask import inner_mouth_mask

# How far teeth may show beyond the landmarks of the inner lips, as a share of the crop's side.
MOUTH_MARGIN = 0.012


def readable_face(image: np.ndarray, landmarks: np.ndarray, glasses: bool | None = None) -> np.ndarray:
    """What of an identity photo may enter a swap: float32 ``[S, S]`` in 0..1.

    Whether the mouth is open is the attribute photo's affair: teeth carried onto closed lips would stay there
    as light specks.

    Args:
        image: aligned crop, float32 ``[S, S, 3]`` in 0..255.
        landmarks: ``[68, 2]`` in crop pixels.
        glasses: whether glasses are worn; None looks.
    """
    mouth = inner_mouth_mask(landmarks, image.shape[0], MOUTH_MARGIN)
    return bare_face(image, landmarks, glasses) * (1 - np.clip(mouth, 0, 1))
