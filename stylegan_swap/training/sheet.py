"""What training shows and measures of a swap: fixed pairs of people, always the same.

The full comparison of methods is ``stylegan-swap evaluate``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.masks.glasses import readable_face
from stylegan_swap.faces.masks.mask import hull_mask, reach_mask
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.metrics.expression import SPREAD, expression_features
from stylegan_swap.nn.recognisers.protocol import IdentityNetwork
from stylegan_swap.training.data.photos import Photos

if TYPE_CHECKING:
    from stylegan_swap.training.pair_stage import Swapped

SHOWN, MEASURED, AT_ONCE = 12, 48, 8
LANDMARK_SIDE = 256

Swap = Callable[[dict[str, Tensor]], "Swapped"]


class PairSheet:
    """Pairs of different people, drawn once, for pictures and numbers along a training run.

    Args:
        photos: people to pair; those of another split than the training's.
        size: side of the network's images.
        seed: of the draw.
    """

    def __init__(self, photos: Photos, size: int, seed: int = 0) -> None:
        self.photos = photos
        self.size = size
        self.pairs = _pairs(photos, MEASURED, seed)

    def draw(self, swap: Swap, device: torch.device) -> np.ndarray:
        """Two pairs per row, each as identity, attribute, network's image, composite and mask.

        Args:
            swap: makes images, masks and composites of side ``size`` from a batch of :meth:`batches`.
            device: where it runs.

        Returns:
            uint8 ``[H, W, 3]``.
        """
        tiles = []
        for batch in self.batches(SHOWN, device):
            swapped = swap(batch)
            grey = (swapped.mask * 2 - 1).expand(-1, 3, -1, -1)
            results = (swapped.image.clamp(-1, 1), swapped.composite.clamp(-1, 1), grey)
            strips = torch.cat([batch["identity"], batch["attribute"], *results], 3)
            tiles += [np.rint(strip).astype(np.uint8) for strip in to_pixels(strips.cpu())]
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 2)
        return np.concatenate([np.concatenate(tiles[i : i + 2], 1) for i in range(0, len(tiles), 2)], 0)

    def measure(self, swap: Swap, recogniser: IdentityNetwork, device: torch.device) -> dict[str, float]:
        """Mean distances to both people, share nearer to the identity, expression error.

        The expression is left out where dlib's landmarks are not installed. Arguments as in :meth:`draw`.
        """
        rows: dict[str, list[float]] = {"distance": [], "distance_attribute": [], "nearer": []}
        for batch in self.batches(MEASURED, device):
            composites = swap(batch).composite.clamp(-1, 1)
            result = recogniser.embed(composites)
            to_identity, to_attribute = (
                recogniser.distance(result, recogniser.embed(batch[name]))
                for name in ("identity", "attribute")
            )
            rows["distance"] += to_identity.tolist()
            rows["distance_attribute"] += to_attribute.tolist()
            rows["nearer"] += (to_identity < to_attribute).float().tolist()
            for composite, attribute in zip(composites.cpu(), batch["attribute"].cpu(), strict=True):
                error = _expression_error(composite, attribute)
                if error is not None:
                    rows.setdefault("expression_error", []).append(error)
        return {name: float(np.mean(values)) for name, values in rows.items()}

    def batches(self, count: int, device: torch.device) -> Iterator[dict[str, Tensor]]:
        """The first ``count`` pairs, eight at a time, under the names of ``SwapDraws``.

        ``identity_glasses`` says who wears some, ``mask`` is the hull of the attribute's face and ``reach``
        how far a composite may go, both ``[batch, 1, S, S]``.
        """
        for start in range(0, min(count, len(self.pairs)), AT_ONCE):
            chunk = self.pairs[start : min(start + AT_ONCE, count)]
            identities, attributes = [i for i, _ in chunk], [i for _, i in chunk]
            identity_points, points = self._landmarks(identities), self._landmarks(attributes)
            arrays = {
                "identity_landmarks": identity_points,
                "identity_usable": np.stack(
                    [self._usable(i, p) for i, p in zip(identities, identity_points, strict=True)]
                )[:, None],
                "identity_glasses": np.array([self.photos.wears_glasses(i) for i in identities]),
                "attribute_landmarks": points,
                "mask": np.stack([hull_mask(face, self.size) for face in points])[:, None],
                "reach": np.stack([reach_mask(face, self.size) for face in points])[:, None],
            }
            batch = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
            yield batch | {
                "identity": self._photos(identities).to(device),
                "attribute": self._photos(attributes).to(device),
            }

    def _photos(self, numbers: list[int]) -> Tensor:
        return torch.cat([from_pixels(self.photos.resized(i, self.size)) for i in numbers])

    def _landmarks(self, numbers: list[int]) -> np.ndarray:
        return np.stack([self.photos.landmarks(i, self.size) for i in numbers])

    def _usable(self, number: int, landmarks: np.ndarray) -> np.ndarray:
        pixels = self.photos.resized(number, self.size).astype(np.float32)
        return readable_face(pixels, landmarks, self.photos.wears_glasses(number))


def _expression_error(result: Tensor, attribute: Tensor) -> float | None:
    """Root mean square of the nine differences over their spread; None where no face can be read."""
    try:
        features = []
        for x in (result, attribute):
            large = F.interpolate(x[None], (LANDMARK_SIDE,) * 2, mode="bicubic", align_corners=False)
            features.append(expression_features(landmarks_of_crop(to_pixels(large)[0])))
    except (ImportError, RuntimeError, ValueError):
        return None
    return float(np.sqrt(np.mean(((features[0] - features[1]) / SPREAD) ** 2)))


def _pairs(photos: Photos, count: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of photos of two people; of one where there is no other."""
    draw = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        first = int(draw.integers(len(photos)))
        strangers = [i for i in range(len(photos)) if photos.person(i) != photos.person(first)]
        pairs.append((first, int(draw.choice(strangers)) if strangers else first))
    return pairs
