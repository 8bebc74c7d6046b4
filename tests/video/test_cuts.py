"""Cuts between scenes are seen, motion is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from video_clips import astronaut_half, empty, hopper_half, panned

from stylegan_swap.video.cuts import CutDetector


def test_a_cut_between_two_portraits(astronaut, hopper):
    frames = [astronaut_half(astronaut)] * 4 + [hopper_half(hopper)] * 3 + empty(2, 256, 256)
    detector = CutDetector()
    assert [detector(frame) for frame in frames] == [n in (4, 7) for n in range(9)]


@pytest.mark.parametrize("step", [1, 6, 12])
def test_a_pan_is_no_cut(astronaut, step):
    detector = CutDetector()
    assert not any(detector(frame) for frame in panned(astronaut, 12, width=300, step=step))


def test_a_flicker_of_light_is_no_cut(astronaut):
    detector = CutDetector()
    frame = astronaut_half(astronaut)
    assert not any(detector(np.clip(frame * gain, 0, 255).astype(np.uint8)) for gain in (1, 0.95, 1.03, 0.97))


def test_a_restored_detector_goes_on(astronaut, hopper):
    first, second = CutDetector(), CutDetector()
    first(astronaut_half(astronaut))
    second.restore(first.state())
    assert second(hopper_half(hopper))
    assert second.state() != first.state()
