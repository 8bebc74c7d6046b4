"""Label orders of face parsers: the classes agree where the numbers do not."""

from __future__ import annotations

import pytest
import torch

from stylegan_swap.faces.masks.parsing import (
    FACE,
    LABELS,
    REGIONS,
    class_mask,
    face_mask,
    numbers_of,
)


def test_both_orders_number_the_same_nineteen_classes():
    for table in LABELS.values():
        assert sorted(table.values()) == list(range(19))
        assert table.keys() == LABELS["maskgan"].keys()
    assert set(FACE) < LABELS["maskgan"].keys()
    assert {name for region in REGIONS.values() for name in region} < set(FACE)


def test_the_published_lists():
    # MegaFS's and FSLSD's own lists, mouth last.
    assert set(numbers_of(FACE, "bisenet")) == {1, 2, 3, 4, 5, 6, 10, 12, 13, 11}
    assert set(numbers_of(FACE, "maskgan")) == {1, 2, 3, 4, 5, 6, 7, 11, 12, 10}
    regions = [set(numbers_of(region, "maskgan")) for region in REGIONS.values()]
    assert regions == [{11, 12}, {2}, {6, 7}, {4, 5}]


def test_a_map_means_the_same_in_both_orders():
    labels = torch.arange(19).reshape(1, 1, 19)
    other = torch.tensor(numbers_of(LABELS["maskgan"], "bisenet")).reshape(1, 1, 19)
    assert other[0, 0, 2] == 10 and other[0, 0, 13] == 17  # nose, hair
    back = torch.tensor(numbers_of(LABELS["bisenet"], "maskgan"))
    assert torch.equal(back[other], labels)
    assert torch.equal(face_mask(labels, "maskgan"), face_mask(other, "bisenet"))
    assert face_mask(labels, "maskgan").shape == (1, 1, 1, 19)
    # The trap: read in the wrong order an ear comes in and the lower lip is missing.
    wrong = face_mask(other, "maskgan")[0, 0, 0]
    assert wrong[LABELS["maskgan"]["left_ear"]] == 1 and wrong[LABELS["maskgan"]["lower_lip"]] == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"label order 'celeba': say 'maskgan' or 'bisenet'"):
        face_mask(torch.zeros(1, 2, 2), "celeba")
    with pytest.raises(ValueError, match="unknown classes"):
        class_mask(torch.zeros(1, 2, 2), ["chin"], "maskgan")
    with pytest.raises(ValueError, match="height, width"):
        face_mask(torch.zeros(2, 2), "maskgan")
