"""Landmarks over time: less noise, little lag, and the mouth still speaks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import mouth_opening
from stylegan_swap.video.smoothing import LandmarkSmoother

RATE = 30


@pytest.fixture(scope="module")
def truth(astronaut_face) -> np.ndarray:
    """Two seconds of a head that moves, rolls and speaks, [60, 68, 2]."""
    face = astronaut_face.landmarks.astype(np.float64)
    frames = []
    for number in range(60):
        time = number / RATE
        points = face.copy()
        points[[65, 66, 67, 55, 56, 57, 58, 59], 1] += 6 * (1 + math.sin(2 * math.pi * 2 * time))
        turn = np.exp(1j * 0.2 * math.sin(2 * math.pi * 0.4 * time))
        z = (points[:, 0] + 1j * points[:, 1] - 220 - 120j) * turn * (1 + 0.1 * time)
        z += 220 + 120j + 40 * math.sin(2 * math.pi * 0.3 * time)
        frames.append(np.stack([z.real, z.imag], 1))
    return np.array(frames)


def smoothed(frames: np.ndarray) -> np.ndarray:
    smoother = LandmarkSmoother()
    return np.array([smoother(points, number / RATE) for number, points in enumerate(frames)])


def trembling(frames: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(np.diff(frames - truth, 2, axis=0)).mean())


def test_noise_shrinks_and_the_face_stays_in_place(truth):
    noisy = truth + np.random.default_rng(0).standard_normal(truth.shape) * 0.6
    result = smoothed(noisy)
    assert result.dtype == np.float32 and result.shape == truth.shape
    assert trembling(result, truth) < 0.4 * trembling(noisy, truth)
    eyes = np.linalg.norm(truth[:, 42:48].mean(1) - truth[:, 36:42].mean(1), axis=1).mean()
    assert np.abs((result - truth)[10:].mean(1)).max() < 0.06 * eyes


def test_the_mouth_follows(truth):
    wanted = np.array([mouth_opening(points) for points in truth])
    found = np.array([mouth_opening(points) for points in smoothed(truth)])
    assert np.corrcoef(found[5:], wanted[5:])[0, 1] > 0.95
    assert 0.75 < found[5:].std() / wanted[5:].std() < 1.05


def test_half_a_turn_is_no_jump(truth):
    """A head upside down crosses the angle where 180 becomes -180 degrees."""
    frames = []
    for number, points in enumerate(np.repeat(truth[:1], 30, axis=0)):
        z = (points[:, 0] + 1j * points[:, 1]) * np.exp(1j * (math.pi - 0.3 + 0.02 * number))
        frames.append(np.stack([z.real, z.imag], 1))
    result = smoothed(np.array(frames))
    steps = np.linalg.norm(np.diff(result, axis=0), axis=2).mean(1)
    assert steps[5:].max() < 2.0 * np.median(steps[5:])


def test_a_restored_smoother_goes_on_exactly(truth):
    expected = smoothed(truth)
    first, second = LandmarkSmoother(), LandmarkSmoother()
    for number in range(30):
        first(truth[number], number / RATE)
    second.restore(first.state())
    for number in range(30, 60):
        assert np.array_equal(second(truth[number], number / RATE), expected[number])
