"""Who meets whom: the shares of the kinds, sharp photos, glasses, and no person with themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stylegan_swap.training.data.pairs import CROSS, REVERSE, SAME, Pairs, photo_weights
from stylegan_swap.training.data.photos import Photos

SHARES = (0.45, 0.15, 0.40)


@pytest.fixture(scope="module")
def crowd(astronaut_crop) -> Photos:
    """Forty people, eight of them sharp and with two photos, every fifth with glasses."""
    crops = []
    for person in range(40):
        sharp = person < 8
        for photo in range(1 + sharp):
            crops.append(
                dataclasses.replace(
                    astronaut_crop,
                    name=f"{person}-{photo}",
                    person=str(person),
                    sharp_side=800.0 if sharp else 209.0,
                    glasses=person % 5 == 0,
                )
            )
    return Photos(crops)


@pytest.fixture(scope="module")
def drawn(crowd):
    pairs = Pairs(crowd, SHARES, 0.25)
    return [pairs.draw(np.random.default_rng([0, index])) for index in range(3000)]


def test_kinds_have_their_shares(drawn):
    kinds = np.array([pair.kind for pair in drawn])
    np.testing.assert_allclose([(kinds == kind).mean() for kind in (REVERSE, SAME, CROSS)], SHARES, atol=0.03)


def test_kinds_are_what_they_say(drawn, crowd):
    for pair in drawn:
        same = crowd.person(pair.identity) == crowd.person(pair.attribute)
        assert same == (pair.kind != CROSS)
        if pair.kind != CROSS and crowd.sharp_side(pair.attribute) > 400:
            # There is another photo of this person, so that one is taken.
            assert pair.identity != pair.attribute


def test_nobody_with_glasses_is_morphed(drawn, crowd):
    worn = {kind: [crowd.wears_glasses(p.attribute) for p in drawn if p.kind == kind] for kind in range(3)}
    assert not any(worn[REVERSE])
    assert 0.1 < np.mean(worn[SAME]) < 0.35 and 0.1 < np.mean(worn[CROSS]) < 0.35


def test_all_people_are_met(drawn, crowd):
    assert {crowd.person(pair.attribute) for pair in drawn} == set(crowd.people())
    assert {pair.identity for pair in drawn} == set(range(len(crowd)))


def test_people_weigh_alike_but_for_sharpness(crowd):
    even, sharp = photo_weights(crowd, 0.0), photo_weights(crowd, 0.5)
    assert even.sum() == pytest.approx(1) and sharp.sum() == pytest.approx(1)
    per_person = [even[numbers].sum() for numbers in crowd.people().values()]
    np.testing.assert_allclose(per_person, 1 / 40)
    assert sharp[:16].sum() == pytest.approx(0.5)
    np.testing.assert_allclose(sharp[16:], sharp[16])
    # Nothing is taken away from sharp photos that have more than their share.
    np.testing.assert_allclose(photo_weights(crowd, 0.1), even)


def test_one_person_makes_no_pairs(astronaut_crop):
    alone = Photos([astronaut_crop])
    with pytest.raises(ValueError, match="at least two people"):
        Pairs(alone, SHARES, 0.25)
    pair = Pairs(alone, (0.0, 1.0, 0.0), 0.25).draw(np.random.default_rng(0))
    assert (pair.kind, pair.identity, pair.attribute) == (SAME, 0, 0)


def test_two_people_always_find_each_other(astronaut_crop, hopper_crop):
    pairs = Pairs(Photos([astronaut_crop, hopper_crop]), (0.0, 0.0, 1.0), 0.25)
    for index in range(50):
        pair = pairs.draw(np.random.default_rng(index))
        assert {pair.identity, pair.attribute} == {0, 1}
