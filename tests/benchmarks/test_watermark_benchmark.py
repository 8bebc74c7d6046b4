"""The benchmark of the watermark attacks what it says it attacks, and counts what it says it counts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

import watermark  # noqa: E402


def test_attacks_take_what_they_say(hopper):
    left, right, top, bottom, round_about = (watermark.cropped(hopper, side) for side in range(5))
    assert left.shape == right.shape == (600, 461, 3)
    assert top.shape == bottom.shape == (540, 512, 3)
    assert round_about.shape == (540, 462, 3)
    assert np.array_equal(left, hopper[:, 51:]) and np.array_equal(top, hopper[60:])
    assert watermark.half(hopper).shape == (300, 256, 3)
    assert np.abs(watermark.jpeg(hopper).astype(int) - hopper).max() > 10
    shapes = {
        name: attack(hopper, 0).shape for name, attack in watermark.ATTACKS.items() if name.startswith("crop")
    }
    assert shapes["crop 10 % + half + JPEG 75"] == (300, 230, 3)


def test_one_photograph(tmp_path, hopper, monkeypatch):
    Image.fromarray(hopper).save(tmp_path / "a.png")
    values = watermark.measure((1, str(tmp_path / "a.png")))
    small, own = "area of 225 × 275", "own size, larger than 225 × 275"
    assert values[own, "found: JPEG 75"] == values[small, "found: half size"] == [True]
    assert values[small, "PSNR"][0] >= 40
    assert values["unmarked, own size", "found: none"] == [False]
    assert not any(size.startswith("4000") for size, _ in values)
    # One who marks nothing finds nothing.
    monkeypatch.setattr(watermark, "embed_watermark", np.copy)
    blind = watermark.measure((1, str(tmp_path / "a.png")))
    assert blind[own, "found: none"] == [False]
    rows = {(size, quantity): rest for size, quantity, *rest in watermark.table({(own, "x"): [0, 1, 1, 1]})}
    assert rows[own, "x"] == [4, "0.7500", "0.0000", "1.0000"]
