"""The landmarks stage: teaches LandmarkNet where dlib sees the 68 points of a face.

Above the road; the ``swap`` stage uses what comes out, since dlib's own predictor has no gradient. The
labels move along with everything that is done to a photograph: turned heads, other expressions, morphs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.metrics.expression import SPREAD, expression_features
from stylegan_swap.nn.perception.landmark_net import INPUT_SIZE, WIDTHS, LandmarkNet, target_maps
from stylegan_swap.training.config import DataSettings, FilePath, Settings, TrainConfig
from stylegan_swap.training.data.landmark_draws import LandmarkDraws
from stylegan_swap.training.data.open_photos import open_photos
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.stage import Stage
from stylegan_swap.weights.store import save_weights

SHOWN, MEASURED = 12, 64


class LandmarkOptions(Settings):
    """Options of the landmarks stage.

    Attributes:
        learning_rate: Adam's at the start; it falls to 2 % along a cosine over ``run.images``.
        sigma: radius of a target in cells of the 64×64 map.
        point_weight: weight of the distance of the points, in cells, beside the cross-entropy of the maps.
        validation: photographs of other people, a folder (its split ``val``) or a packed file; None
            measures on those of the training.
    """

    learning_rate: float = Field(0.002, gt=0)
    sigma: float = Field(1.0, gt=0)
    point_weight: float = Field(0.5, ge=0)
    validation: FilePath | None = None


class LandmarkStage(Stage):
    """Training of :class:`LandmarkNet`.

    Args:
        config: with ``stage: landmarks``; its options are :class:`LandmarkOptions`.
        photos: training photographs; None opens those of the configuration.
    """

    def __init__(self, config: TrainConfig, photos: Photos | None = None) -> None:
        super().__init__(config.run, config.data)
        self.options = config.options_as(LandmarkOptions)
        if photos is not None:
            self.photos = photos
        self.network = LandmarkNet().to(memory_format=torch.channels_last)

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream of faces with their points."""
        return LandmarkDraws(self.photos, INPUT_SIZE, self.seed)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam."""
        return {"network": torch.optim.Adam(self.network.parameters(), self.options.learning_rate)}

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The network."""
        return {"network": self.network}

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the heat maps, and the distance of their means from the labels."""
        progress = min(float(self.images_seen) / self.run_settings.images, 1.0)
        self.set_learning_rate(
            "network", self.options.learning_rate * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
        )
        points = (batch["landmarks"] + 0.5) / batch["image"].shape[-1]
        output = self.network(batch["image"].contiguous(memory_format=torch.channels_last))
        # Points that augmentation moved out of the picture have no cell.
        inside = ((points > 0) & (points < 1)).all(2).float()
        target = target_maps(points.clamp(0, 1), self.options.sigma)
        entropy = -(target * output.log_maps).sum((2, 3))
        distance = 64 * (output.points - points).square().sum(2).add(1e-8).sqrt()
        loss = ((entropy + self.options.point_weight * distance) * inside).sum() / inside.sum().clamp_min(1)
        self.minimise(loss, "network")
        return {"loss": loss.detach(), "cells": (distance * inside).sum().detach() / inside.sum()}

    def export(self, folder: Path) -> None:
        """Write the averaged network; ``landmark_weights`` reads it."""
        save_weights(folder, self.ema["network"].state_dict(), {"widths": list(WIDTHS)})

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Error on fixed photographs, unaugmented.

        ``error`` in percent of the distance between the eyes, ``expression`` the root mean square
        error of the nine expression measures in units of their spread.
        """
        photos = self._validation()
        errors, expressions = [], []
        for index, points in self._found(photos, min(MEASURED, len(photos))):
            truth = photos.landmarks(index, INPUT_SIZE)
            eyes = np.linalg.norm(truth[36:42].mean(0) - truth[42:48].mean(0))
            errors.append(100 * np.linalg.norm(points - truth, axis=1).mean() / eyes)
            difference = (expression_features(points) - expression_features(truth)) / SPREAD
            expressions.append(np.sqrt(np.mean(difference**2)))
        return {"error": float(np.mean(errors)), "expression": float(np.mean(expressions))}

    @torch.no_grad()
    def contact_sheet(self) -> np.ndarray:
        """Photographs with their points: green the label, red what the network sees."""
        photos = self._validation()
        tiles = []
        for index, predicted in self._found(photos, min(SHOWN, len(photos))):
            tile = cv2.resize(photos.resized(index, INPUT_SIZE), (2 * INPUT_SIZE,) * 2)
            for points, colour in (
                (photos.landmarks(index, INPUT_SIZE), (0, 255, 0)),
                (predicted, (255, 0, 0)),
            ):
                for x, y in 2 * points + 0.5:
                    cv2.circle(tile, (round(float(x)), round(float(y))), 1, colour, -1)
            tiles.append(tile)
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
        return np.concatenate([np.concatenate(tiles[i : i + 4], 1) for i in range(0, len(tiles), 4)], 0)

    def _found(self, photos: Photos, count: int) -> list[tuple[int, np.ndarray]]:
        """Number of a photo and the points seen in it, float32 ``[68, 2]`` in pixels of 128."""
        network = cast(LandmarkNet, self.ema["network"])
        indices = np.linspace(0, len(photos) - 1, count).round().astype(int)
        x = torch.cat([from_pixels(photos.resized(int(i), INPUT_SIZE)) for i in indices]).to(self.device)
        points = torch.cat([network(part).pixels(INPUT_SIZE) for part in x.split(16)])
        return [(int(i), p.cpu().numpy()) for i, p in zip(indices, points, strict=True)]

    def _validation(self) -> Photos:
        if self.options.validation is None:
            return self.photos
        return open_photos(DataSettings(folder=self.options.validation, split="val", side=self.photos.side))
