"""What training shows and measures of a swap network: fixed pairs, always the same.

Used by the ``swap`` stage; the full comparison with other methods is ``stylegan-swap evaluate``.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
from stylegan_swap.faces.masks.mask import reach_mask
from stylegan_swap.faces.masks.readable import readable_face
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.methods.default.network import SwapNetwork
from stylegan_swap.metrics.expression import SPREAD, expression_features
from stylegan_swap.nn.resize import resize
from stylegan_swap.training.data.photos import Photos

SHOWN, MEASURED = 12, 48


class SwapSheet:
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

    def draw(self, network: SwapNetwork, resolution: int | None = None) -> np.ndarray:
        """Two pairs per row, each as identity, attribute, network's image, composite and mask.

        Args:
            network: makes the swaps.
            resolution: side of the generator's block to stop at; None for the last.

        Returns:
            uint8 ``[H, W, 3]``.
        """
        pairs = self.pairs[:SHOWN]
        tiles = []
        for identity, attribute, image, composite, mask in self._swapped(network, pairs, resolution):
            grey = (mask * 2 - 1).expand(3, -1, -1)
            strip = torch.cat([identity, attribute, image.clamp(-1, 1), composite.clamp(-1, 1), grey], 2)
            tiles.append(np.rint(to_pixels(strip[None])[0]).astype(np.uint8))
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 2)
        return np.concatenate([np.concatenate(tiles[i : i + 2], 1) for i in range(0, len(tiles), 2)], 0)

    @torch.no_grad()
    def measure(self, network: SwapNetwork, resolution: int | None = None) -> dict[str, float]:
        """Mean distances to both people, share nearer to the identity, expression error.

        The expression is left out where dlib's landmarks are not installed.
        """
        recogniser = network.identity
        rows: dict[str, list[float]] = {"distance": [], "distance_attribute": [], "nearer": []}
        for identity, attribute, _, composite, _ in self._swapped(network, self.pairs, resolution):
            faces = torch.stack([identity, attribute, composite.clamp(-1, 1)])
            one, other, result = recogniser.embed(faces.to(recogniser.mean.device))
            to_identity = float(recogniser.distance(result, one))
            to_attribute = float(recogniser.distance(result, other))
            rows["distance"].append(to_identity)
            rows["distance_attribute"].append(to_attribute)
            rows["nearer"].append(float(to_identity < to_attribute))
            error = _expression_error(composite, attribute)
            if error is not None:
                rows.setdefault("expression_error", []).append(error)
        return {name: float(np.mean(values)) for name, values in rows.items()}

    @torch.no_grad()
    def _swapped(
        self, network: SwapNetwork, pairs: list[tuple[int, int]], resolution: int | None
    ) -> list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
        device = next(network.parameters()).device
        results = []
        for start in range(0, len(pairs), 8):
            chunk = pairs[start : start + 8]
            identity = torch.cat([self._photo(i) for i, _ in chunk]).to(device)
            attribute = torch.cat([self._photo(i) for _, i in chunk]).to(device)
            own = torch.from_numpy(np.stack([self._landmarks(i) for i, _ in chunk])).float()
            usable = torch.from_numpy(np.stack([self._usable(i) for i, _ in chunk]))[:, None]
            glasses = torch.tensor([self.photos.wears_glasses(i) for i, _ in chunk])
            person = network.identity_codes(identity, own.to(device), usable.to(device), glasses)
            landmarks = np.stack([self._landmarks(i) for _, i in chunk])
            points = torch.from_numpy(landmarks).float().to(device)
            output = network(person, attribute, points, resolution=resolution)
            reach = np.stack([reach_mask(face, self.size) for face in landmarks])
            mask = output.mask.float() * torch.from_numpy(reach)[:, None].to(device)
            image = resize(output.image.float(), self.size)
            composite = mask * image + (1 - mask) * attribute
            parts = (identity, attribute, image, composite, mask)
            results += list(zip(*(part.cpu().unbind(0) for part in parts), strict=True))
        return results

    def _photo(self, index: int) -> Tensor:
        return from_pixels(self.photos.resized(index, self.size))

    def _usable(self, index: int) -> np.ndarray:
        pixels = self.photos.resized(index, self.size).astype(np.float32)
        return readable_face(pixels, self._landmarks(index), self.photos.wears_glasses(index))

    def _landmarks(self, index: int) -> np.ndarray:
        return self.photos.landmarks(index, self.size)


def _expression_error(result: Tensor, attribute: Tensor) -> float | None:
    """Root mean square of the nine differences over their spread; None where no face can be read."""
    side = 256
    try:
        features = []
        for x in (result, attribute):
            large = F.interpolate(x[None].clamp(-1, 1), (side, side), mode="bicubic", align_corners=False)
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
        others = [i for i in range(len(photos)) if photos.person(i) != photos.person(first)]
        pairs.append((first, int(draw.choice(others)) if others else first))
    return pairs
