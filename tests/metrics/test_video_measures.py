"""Video measures: closed forms for jitter, mouth and flicker, and that a frozen or trembling face loses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stylegan_swap.faces.detection.landmarks import LEFT_EYE, RIGHT_EYE
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.metrics.sample import View
from stylegan_swap.metrics.video import (
    COLUMNS,
    backward_flow,
    flicker,
    hull,
    identity_stability,
    landmark_jitter,
    mouth_motion,
)

BLANK = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def clip(hopper, hopper_face) -> list[View]:
    """Six frames of 256 px in which the face slides by two and one pixels, its landmarks exact."""
    alignment = ffhq_alignment(hopper_face.landmarks, 288)
    crop = np.rint(alignment.crop(hopper)).astype(np.uint8)
    points = alignment.to_crop(hopper_face.landmarks)
    frames = []
    for t in range(6):
        x, y = 24 - 2 * t, 20 - t
        frames.append(View(np.ascontiguousarray(crop[y : y + 256, x : x + 256]), points - np.float32([x, y])))
    return frames


def unit(view: View) -> float:
    return float(np.linalg.norm(view.landmarks[RIGHT_EYE].mean(0) - view.landmarks[LEFT_EYE].mean(0)))


def with_points(clip: list[View], change) -> list[View]:
    return [View(view.pixels, change(t, view.landmarks.copy())) for t, view in enumerate(clip)]


def with_pixels(clip: list[View], change) -> list[View]:
    def bytes_of(t, pixels):
        return np.clip(np.rint(change(t, pixels.astype(np.float32))), 0, 255).astype(np.uint8)

    return [View(bytes_of(t, view.pixels), view.landmarks) for t, view in enumerate(clip)]


def missing(clip: list[View], *frames: int) -> list[View]:
    return [View(view.pixels, None if t in frames else view.landmarks) for t, view in enumerate(clip)]


# ---- landmark jitter


def test_jitter_has_its_closed_form(clip):
    assert landmark_jitter(clip, clip) == 0
    assert landmark_jitter(with_points(clip, lambda t, p: p + 5), clip) == pytest.approx(0, abs=1e-5)
    # One frame off by e: the second differences of the triples are e, -2e, e.
    jump = with_points(clip, lambda t, p: p + (3.0 if t == 3 else 0.0) * np.float32([1, 0]))
    expected = (3 + 6 + 3) / 4 / unit(clip[0])
    assert landmark_jitter(jump, clip) == pytest.approx(expected, rel=1e-4)


def test_jitter_of_noise_is_rayleighs_mean(clip):
    long = clip * 30
    noise = np.random.default_rng(0).normal(0, 1, (len(long), 68, 2))
    found = [
        landmark_jitter(with_points(long, lambda t, p, s=s: p + s * noise[t]), long)
        for s in (0.0, 0.2, 0.5, 1.0)
    ]
    assert found == sorted(found) and found[0] == 0
    assert found[-1] == pytest.approx(math.sqrt(6) * math.sqrt(math.pi / 2) / unit(clip[0]), rel=0.03)


def test_jitter_and_missed_frames(clip):
    assert landmark_jitter(missing(clip, 0), clip) == pytest.approx(1 / 4)
    assert landmark_jitter(missing(clip, 0), missing(clip, 0)) == 0
    assert math.isnan(landmark_jitter(clip, missing(clip, 2, 3)))


# ---- identity


class ByBrightness:
    """A recogniser whose descriptor is the first pixel."""

    name, same_person, furthest = "brightness", None, 9.0

    def embed(self, view):
        return np.array([float(view.pixels[0, 0, 0])])

    def distance(self, a, b):
        return float(abs(a - b).sum())

    def cosine(self, a, b):
        return 1 - float(abs(a - b).sum()) / 100


def test_identity_stability_is_step_and_deviation():
    def frame(value, found=True):
        return View(np.full((4, 4, 3), value, np.uint8), np.zeros((68, 2), np.float32) if found else None)

    measured = identity_stability([frame(v) for v in (10, 20, 40)], frame(10), ByBrightness())
    assert measured["identity_step"] == 15
    assert measured["identity_deviation"] == pytest.approx(np.std([1, 0.9, 0.7]))
    missed = identity_stability([frame(10), frame(10, False), frame(10)], frame(10), ByBrightness())
    assert missed["identity_step"] == 9 and missed["identity_deviation"] == pytest.approx(np.std([1, -1, 1]))


# ---- flicker


def test_the_flow_of_a_sliding_picture(clip):
    flow, seen = backward_flow(clip[0].pixels, clip[1].pixels)
    face = hull(clip[1])
    assert seen[face].mean() > 0.9
    np.testing.assert_allclose(np.median(flow[face], axis=0), [-2, -1], atol=0.1)


def test_what_was_not_there_before_is_not_followed(clip):
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    assert backward_flow(noise, clip[1].pixels)[1].mean() < 0.4
    entering = np.roll(clip[0].pixels, 40, axis=1)
    assert backward_flow(clip[0].pixels, entering)[1][:, :20].mean() < 0.6


def test_a_copy_and_a_constant_change_do_not_flicker(clip):
    assert flicker(clip, clip) == {"flicker": 0.0, "warping_excess": 0.0}
    brighter = with_pixels(clip, lambda t, x: np.minimum(x, 235) + 20)
    darker = with_pixels(clip, lambda t, x: np.minimum(x, 235))
    assert flicker(brighter, darker)["flicker"] == pytest.approx(0, abs=1e-3)


def test_flicker_is_the_size_of_the_change_of_brightness(clip):
    muted = with_pixels(clip, lambda t, x: 0.7 * x + 20)
    found = []
    for amount in (0, 2, 5, 10):
        # Every second frame brighter: each pair of frames differs by the amount.
        found.append(flicker(with_pixels(muted, lambda t, x, a=amount: np.rint(x) + a * (t % 2)), muted))
    assert [row["flicker"] for row in found] == pytest.approx([0, 2, 5, 10], abs=1e-3)
    excess = [row["warping_excess"] for row in found]
    assert excess == sorted(excess) and excess[0] == 0 < excess[-1] < 10


def test_only_the_mask_counts(clip):
    corner = np.zeros((256, 256), np.float32)
    corner[-40:, -40:] = 1
    changed = with_pixels(clip, lambda t, x: np.where(corner[..., None] > 0, x, x + 30 * (t % 2)))
    assert (
        flicker(changed, clip, [corner] * len(clip))["flicker"] < 1.0 < 10 < flicker(changed, clip)["flicker"]
    )
    nothing = flicker(changed, clip, [0 * corner] * len(clip))
    assert math.isnan(nothing["flicker"]) and math.isnan(nothing["warping_excess"])


def test_a_texture_that_sticks_to_the_screen_flickers(clip):
    noise = np.random.default_rng(0).normal(0, 12, (256, 256, 3))
    muted = with_pixels(clip, lambda t, x: 0.7 * x + 30)
    stuck = with_pixels(muted, lambda t, x: x + noise)
    moving = with_pixels(muted, lambda t, x: x + np.roll(noise, (t, 2 * t), axis=(0, 1)))
    assert flicker(stuck, muted)["flicker"] > 5 * flicker(moving, muted)["flicker"]


# ---- mouth


def speaking(clip: list[View], openings) -> list[View]:
    """Frames whose mouth opens by so many distances between the eyes."""

    def opened(t, points):
        points[66] = points[62] + [0, openings[t % len(openings)] * unit(clip[0])]
        return points

    return with_points(clip, opened)


SPEECH = np.array([0.02, 0.15, 0.3, 0.1, 0.05, 0.25])


def test_the_same_mouth_agrees_and_a_frozen_one_does_not(clip):
    attribute = speaking(clip, SPEECH)
    same = mouth_motion(attribute, attribute)
    assert same == {name: pytest.approx(1) for name in ("mouth_correlation", "mouth_agreement")}
    frozen = mouth_motion(speaking(clip, [0.1]), attribute)
    assert frozen == {
        "mouth_correlation": pytest.approx(0, abs=1e-3),
        "mouth_agreement": pytest.approx(0, abs=1e-3),
    }
    against = mouth_motion(speaking(clip, 0.4 - SPEECH), attribute)
    assert against["mouth_correlation"] == pytest.approx(-1)


def test_amplitude_counts_for_the_agreement_only(clip):
    attribute = speaking(clip, SPEECH)
    for share in (1.0, 0.5, 0.1):
        found = mouth_motion(speaking(clip, 0.05 + share * SPEECH), attribute)
        assert found["mouth_correlation"] == pytest.approx(1, abs=1e-4)
        assert found["mouth_agreement"] == pytest.approx(2 * share / (1 + share**2), abs=1e-3)


def test_mouths_and_missed_frames(clip):
    attribute = speaking(clip, SPEECH)
    some = mouth_motion(missing(attribute, 2), attribute)
    # The missed frame is a mouth at its mean: its product is 0.
    seen = np.delete(SPEECH, 2) - np.delete(SPEECH, 2).mean()
    clip_motion = SPEECH - SPEECH.mean()
    together = seen @ np.delete(clip_motion, 2)
    expected = 2 * together / (seen @ seen + clip_motion @ clip_motion)
    assert some["mouth_agreement"] == pytest.approx(expected, abs=1e-3)
    assert mouth_motion(missing(attribute, *range(6)), attribute)["mouth_agreement"] == 0
    assert mouth_motion(attribute, missing(attribute, 2))["mouth_agreement"] == pytest.approx(1)
    silent = speaking(clip, [0.1, 0.101])
    assert math.isnan(mouth_motion(attribute, silent)["mouth_correlation"])
    assert math.isnan(mouth_motion(attribute, missing(attribute, *range(6)))["mouth_agreement"])


# ---- what is refused


def test_clips_that_do_not_fit_are_refused(clip):
    for measure in (landmark_jitter, flicker, mouth_motion):
        with pytest.raises(ValueError, match="equally long and have at least"):
            measure(clip, clip[:-1])
        with pytest.raises(ValueError, match="at least"):
            measure(clip[:1], clip[:1])
    with pytest.raises(ValueError, match="equally long"):
        flicker(clip, clip, [np.ones((256, 256))])
    with pytest.raises(ValueError, match=r"frame 1 .* differ in size"):
        flicker(clip, [View(view.pixels[:-1], view.landmarks) for view in clip])
    with pytest.raises(ValueError, match="at least 2 frames"):
        identity_stability(clip[:1], clip[0], ByBrightness())


def test_the_columns_name_what_the_functions_return(clip):
    speech = speaking(clip, SPEECH)
    found = {
        **identity_stability(speech, speech[0], ByBrightness()),
        "landmark_jitter": landmark_jitter(speech, speech),
        **flicker(speech, speech),
        **mouth_motion(speech, speech),
    }
    assert list(found) == [column.name for column in COLUMNS]
