"""The classifier two-sample test on made-up crops: alike, with a patch, and its rules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.metrics.two_sample import Classifier, TwoSampleConfig, two_sample_test

SIDE = 48
QUICK = TwoSampleConfig.quick()


def crops(count: int, seed: int) -> torch.Tensor:
    """Clouds of colour with some grain, ``[count, 3, 48, 48]``."""
    generator = torch.Generator().manual_seed(seed)
    clouds = F.interpolate(
        torch.randn(count, 3, 6, 6, generator=generator), size=(SIDE, SIDE), mode="bicubic"
    )
    return (0.5 * clouds + 0.05 * torch.randn(clouds.shape, generator=generator)).clamp(-1, 1)


def people(count: int) -> list[str]:
    """Two crops of each person."""
    return [f"person {i // 2}" for i in range(count)]


@pytest.fixture(scope="module")
def patched():
    swaps = crops(240, 1)
    # Off the middle line, where mirroring in training makes two places of it.
    swaps[:, 0, 8:16, 30:38] += 0.6
    return two_sample_test(swaps, crops(240, 2), people(240), people(240), config=QUICK)


def test_alike_cannot_be_told_apart():
    found = two_sample_test(crops(240, 1), crops(240, 2), people(240), people(240), config=QUICK)
    assert found.low <= 0.5 <= found.high
    assert found.by_person.low <= 0.5 <= found.by_person.high
    assert found.p_value > 0.05
    # 120 people, 40 % held out: 48 people with two crops of each kind.
    assert (found.train_crops, found.test_crops) == (288, 192)


def test_a_patch_is_found(patched):
    assert patched.accuracy > 0.9
    assert patched.low > 0.85
    assert patched.p_value < 1e-6
    row, column = np.unravel_index(patched.heat.argmax(), patched.heat.shape)
    assert 4 <= row <= 20
    assert 26 <= column <= 42


def test_heat_adds_up_to_the_logits():
    """The map's mean is the logit, exactly: where it looks is not an estimate."""
    torch.manual_seed(0)
    classifier = Classifier(4).eval()
    x = crops(3, 5)
    assert classifier.evidence(x).shape == (3, 1, SIDE // 8, SIDE // 8)
    by_head = classifier.head(classifier.body(x).mean((2, 3)))[:, 0]
    torch.testing.assert_close(classifier(x), by_head, rtol=1e-5, atol=1e-6)


def test_it_is_seeded(patched):
    config = replace(QUICK, epochs=2)
    a, b = crops(40, 1), crops(40, 2)
    state = torch.random.get_rng_state()
    first = two_sample_test(a, b, people(40), people(40), config=config, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    again = two_sample_test(a, b, people(40), people(40), config=config, seed=3)
    assert first.accuracy == again.accuracy
    assert np.array_equal(first.heat, again.heat)


def test_a_person_learnt_by_heart_does_not_help():
    """Each person has a pattern of their own and a fixed kind; only a split by crop could profit."""
    patterns = crops(60, 7)
    swaps = (patterns[:30].repeat_interleave(4, 0) + 0.02 * crops(120, 8)).clamp(-1, 1)
    photos = (patterns[30:].repeat_interleave(4, 0) + 0.02 * crops(120, 9)).clamp(-1, 1)
    names = [f"person {i // 4}" for i in range(240)]
    found = two_sample_test(swaps, photos, names[:120], names[120:], config=QUICK)
    assert found.accuracy < 0.8
    assert found.by_person.high - found.by_person.low > found.high - found.low


def test_crops_that_show_both_parts_are_left_out():
    """In pairs of two people, with 40 % held out, only pairs that lie on one side count."""
    pairs = [(f"person {i % 30}", f"person {(i + 1) % 30}") for i in range(60)]
    config = replace(QUICK, epochs=1)
    found = two_sample_test(crops(60, 1), crops(60, 2), pairs, people(60), config=config)
    assert found.train_crops + found.test_crops < 100
    grouped = [(f"person {i}", f"person {i ^ 1}") for i in range(60)]
    assert two_sample_test(crops(60, 1), crops(60, 2), grouped, people(60), config=config).test_crops > 0


def test_bfloat16_and_larger_crops_work():
    config = replace(QUICK, epochs=1, precision=torch.bfloat16)
    large = F.interpolate(crops(24, 1), size=(96, 96))
    found = two_sample_test(large, large.clone(), people(24), people(24), config=config)
    assert found.heat.shape == (48, 48)
    # The same crops on both sides: what is right for one copy is wrong for the other.
    assert found.accuracy == 0.5


def test_what_cannot_be_split_is_refused():
    few = crops(6, 1)
    with pytest.raises(ValueError, match="one name"):
        two_sample_test(few, few, people(5), people(6), config=QUICK)
    with pytest.raises(ValueError, match="give more people"):
        two_sample_test(few, few, ["a"] * 6, ["a"] * 6, config=QUICK)
