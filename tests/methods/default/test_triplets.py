"""The items of the swap: what each kind promises, the same for any order and process, never aligned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset, default_collate

from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.training.data.draws import FaceDraws
from stylegan_swap.training.data.likeness import Likeness
from stylegan_swap.training.data.pairs import CROSS, REVERSE, SAME
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.data.triplets import DrawOptions, SwapDraws

SIZE = 64
PLAIN = DrawOptions(occluded=0.0, degraded=0.0, light=0.0)


@pytest.fixture(scope="module")
def draws(few_photos):
    return SwapDraws(few_photos, SIZE, seed=3)


@pytest.fixture(scope="module")
def items(draws):
    return [draws[index] for index in range(60)]


def test_items_have_the_shapes_they_promise(items):
    batch = default_collate(items)
    for name in ("identity", "attribute", "target"):
        assert batch[name].shape == (60, 3, SIZE, SIZE) and batch[name].dtype == torch.float32
        assert batch[name].min() >= -1 and batch[name].max() <= 1
        assert batch[name].std() > 0.2
    for name in ("attribute_landmarks", "target_landmarks"):
        assert batch[name].shape == (60, 68, 2) and batch[name].dtype == torch.float32
    assert batch["mask"].shape == (60, 1, SIZE, SIZE) and batch["mask"].dtype == torch.float32
    assert batch["has_target"].dtype == torch.bool
    for name in ("identity_photo", "attribute_photo", "kind"):
        assert batch[name].shape == (60,) and batch[name].dtype == torch.int64
    assert set(batch["kind"].tolist()) == {REVERSE, SAME, CROSS}


def test_kinds_are_what_they_say(items, few_photos):
    for item in items:
        kind = int(item["kind"])
        people = [few_photos.person(int(item[f"{name}_photo"])) for name in ("identity", "attribute")]
        assert (people[0] == people[1]) == (kind != CROSS)
        assert bool(item["has_target"]) == (kind != CROSS)
        trust = float(item["trust"])
        assert trust in ((0.0, 0.5) if kind == CROSS else (1.0,))
        changed = kind == REVERSE or trust == 0.5
        assert torch.equal(item["attribute"], item["target"]) == (not changed)
        assert torch.equal(item["attribute_landmarks"], item["target_landmarks"]) == (not changed)


def test_cross_pairs_of_like_pose_are_answered_by_a_morph_towards_the_identity(few_photos):
    plain = dataclasses.replace(PLAIN, shares=(0.0, 0.0, 1.0))
    draws = SwapDraws(few_photos, SIZE, seed=1, options=plain)
    # Everybody's pose, with and without glasses: who may be imitated, and by whom, is decided by these alone.
    draws.likeness.pose = np.zeros_like(draws.likeness.pose)
    draws.likeness.suited = np.arange(len(few_photos))
    imitated = [item for item in (draws[i] for i in range(12)) if item["trust"] > 0]
    assert imitated
    for item in imitated:
        difference = (item["target"] - item["attribute"]).abs().mean(0)
        assert difference[item["mask"][0] > 0.5].mean() > 5 * difference[:4].mean() + 0.02
        assert not few_photos.wears_glasses(int(item["attribute_photo"]))
    draws.likeness.pose[:, 0] = 40.0 * np.arange(len(few_photos))
    assert not any(draws[i]["trust"] for i in range(12))
    none = SwapDraws(few_photos, SIZE, seed=1, options=dataclasses.replace(plain, imitation=0.0))
    assert not any(none[i]["trust"] for i in range(12))


def test_an_item_depends_on_seed_and_index_alone(draws, items, few_photos):
    other = SwapDraws(few_photos, SIZE, seed=3)
    for index in (41, 7, 7, 0):
        for name, value in other[index].items():
            assert torch.equal(value, items[index][name]), name
    assert not torch.equal(SwapDraws(few_photos, SIZE, seed=4)[0]["attribute"], items[0]["attribute"])
    assert len(draws) > 10**9


def test_other_processes_make_the_same_items(draws, items):
    loader = DataLoader(Subset(draws, range(12)), batch_size=4, num_workers=2, multiprocessing_context="fork")
    for number, batch in enumerate(loader):
        for name, value in batch.items():
            assert torch.equal(value, default_collate([item[name] for item in items[4 * number :][:4]])), name


def test_attribute_and_target_differ_in_the_face_only(few_photos):
    draws = SwapDraws(few_photos, SIZE, seed=1, options=dataclasses.replace(PLAIN, shares=(1.0, 0.0, 0.0)))
    for index in range(12):
        item = draws[index]
        change = (item["attribute"] - item["target"]).abs().mean(0)
        face = item["mask"][0] > 0.5
        assert change[face].mean() > 5 * change[:6].mean() and change[face].mean() > 0.02
        # 0.15 of the side is where the fall-off ends; the farthest row from the face is the first.
        assert change[0].max() < 0.02


def test_without_changes_the_target_is_the_photo(few_photos):
    draws = SwapDraws(few_photos, SIZE, seed=1, options=dataclasses.replace(PLAIN, shares=(0.0, 0.0, 1.0)))
    found = 0
    for index in range(16):
        item = draws[index]
        number = int(item["attribute_photo"])
        photo = torch.from_numpy(few_photos.resized(number, SIZE)).permute(2, 0, 1) / 127.5 - 1
        found += any((candidate - item["target"]).abs().max() < 0.02 for candidate in (photo, photo.flip(-1)))
    # A third is moved a little, as detectors do.
    assert 6 <= found <= 15


def test_the_identity_view_is_never_aligned_with_the_target(few_photos):
    """Laid over each other they differ by more than the light, also mirrored: nothing can be pasted."""
    options = dataclasses.replace(PLAIN, shares=(0.5, 0.5, 0.0), covered_identity=0.0)
    single = Photos([few_photos.crops[0], few_photos.crops[2]])
    draws = SwapDraws(single, SIZE, seed=2, options=options)
    for index in range(30):
        item = draws[index]
        face = item["mask"][0] > 0.5
        detail = [_detail(view) for view in (item["identity"], item["identity"].flip(-1), item["target"])]
        for view in detail[:2]:
            assert np.corrcoef(view[face], detail[2][face])[0, 1] < 0.9


def _detail(image: torch.Tensor) -> torch.Tensor:
    """Fine structure, which survives a change of light and shows every shift."""
    gray = image.mean(0, keepdim=True)[None]
    low = torch.nn.functional.avg_pool2d(gray, 5, 1, 2, count_include_pad=False)
    return (gray - low)[0, 0]


def test_the_mask_is_the_face_without_what_covers_it(few_photos):
    free = SwapDraws(few_photos, SIZE, options=PLAIN)
    covered = SwapDraws(few_photos, SIZE, options=dataclasses.replace(PLAIN, occluded=1.0))
    smaller = 0
    for index in range(20):
        item = free[index]
        hull = hull_mask(item["attribute_landmarks"].numpy(), SIZE)
        if few_photos.wears_glasses(int(item["attribute_photo"])):
            # The frames are in front of the face: a few per cent of it.
            assert 0.7 * hull.sum() < item["mask"].sum() < 0.99 * hull.sum()
        else:
            np.testing.assert_array_equal(item["mask"][0].numpy(), hull)
        other = covered[index]
        hull = hull_mask(other["attribute_landmarks"].numpy(), SIZE)
        assert np.all(other["mask"][0].numpy() <= hull)
        smaller += other["mask"][0].sum() < hull.sum() - 1
    assert smaller >= 18


def test_occluders_lie_on_both(few_photos):
    """Where something covers the face, attribute and target show the same thing."""
    options = dataclasses.replace(PLAIN, shares=(1.0, 0.0, 0.0), occluded=1.0)
    draws = SwapDraws(few_photos, SIZE, seed=5, options=options)
    for index in range(10):
        item = draws[index]
        hull = torch.from_numpy(hull_mask(item["attribute_landmarks"].numpy(), SIZE))
        # Thin frames and strands cover few pixels wholly; elsewhere the faces shine through.
        hidden = hull - item["mask"][0]
        assert hidden.max() > 0.3
        change = (item["attribute"] - item["target"]).abs().amax(0)
        assert torch.all(change <= 2 * (1 - hidden) + 0.02)


def test_partners_are_other_people(few_photos):
    likeness = Likeness(few_photos)
    for index in range(30):
        number = index % len(few_photos)
        partners = likeness.partners(number, 2, np.random.default_rng(index))
        people = [few_photos.person(one) for one in (number, *partners)]
        assert len(partners) in (1, 2) and len(set(people)) == len(people)


def test_partners_have_a_similar_expression(astronaut_crop, hopper_crop):
    """The smiling face is preferred to the closed mouth for a smiling face."""
    crops = [dataclasses.replace(astronaut_crop, person=f"a{number}") for number in range(4)]
    crops += [dataclasses.replace(hopper_crop, person=f"h{number}", glasses=False) for number in range(4)]
    likeness = Likeness(Photos(crops))
    chosen = [likeness.partners(0, 1, np.random.default_rng(seed))[0] for seed in range(20)]
    assert all(number < 4 for number in chosen)


def test_single_faces(few_photos):
    draws = FaceDraws(few_photos, SIZE, seed=1)
    seen, flipped = set(), 0
    for index in range(40):
        item = draws[index]
        number = int(item["photo"])
        photo = torch.from_numpy(few_photos.resized(number, SIZE)).permute(2, 0, 1) / 127.5 - 1
        mirrored = not torch.allclose(item["image"], photo, atol=1e-5)
        if mirrored:
            torch.testing.assert_close(item["image"], photo.flip(-1))
        points = item["landmarks"]
        assert points.shape == (68, 2) and points[36, 0] < points[45, 0]
        expected = few_photos.landmarks(number, SIZE)
        assert np.allclose(points.numpy(), expected) != mirrored
        seen.add(number)
        flipped += mirrored
        again = draws[index]
        assert all(torch.equal(again[name], item[name]) for name in item)
    assert seen == set(range(4)) and 8 < flipped < 32
    upright = FaceDraws(few_photos, SIZE, seed=1, flip=False)
    for index in range(8):
        photo = few_photos.resized(int(upright[index]["photo"]), SIZE)
        torch.testing.assert_close(
            upright[index]["image"], torch.from_numpy(photo).permute(2, 0, 1) / 127.5 - 1
        )


@pytest.mark.faces
@pytest.mark.slow
def test_no_validation_person_is_drawn(faces_folder, tmp_path):
    import csv

    with (faces_folder / "manifest.csv").open(encoding="utf-8") as file:
        kept_back = {row["person"] for row in csv.DictReader(file) if row["split"] == "val"}
    photos = Photos.from_folder(faces_folder, cache=tmp_path / "train.faces")
    assert not kept_back & set(photos.people())
    draws = SwapDraws(photos, SIZE)
    for index in range(20):
        item = draws[index]
        for name in ("identity_photo", "attribute_photo"):
            assert photos.person(int(item[name])) not in kept_back
