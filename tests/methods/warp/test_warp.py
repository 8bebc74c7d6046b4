"""The classical swap: where landmarks go, whose colours are kept, and what of the photo stays."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_swap.faces.detection.landmarks import MIRRORED, landmarks_of_crop, mouth_opening
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.masks.glasses import frame_mask
from stylegan_swap.faces.masks.mask import hull_mask, inner_mouth_mask
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.warp import method as warp
from stylegan_swap.methods.warp.method import AlignedFace, WarpMethod, warp_face, warp_swap
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity

VAL_PAIRS = Path(__file__).parents[3] / "benchmarks" / "val_pairs.csv"


NAME = "warp"


def test_it_works_at_any_side_and_has_no_codes(method, swapped):
    assert method.size is None and method.options == () and swapped.wplus is None


def cut(pixels, face, size=256) -> AlignedFace:
    alignment = ffhq_alignment(face.landmarks, size)
    return AlignedFace(alignment.crop(pixels), alignment.to_crop(face.landmarks))


@pytest.fixture(scope="module")
def collins(astronaut, astronaut_face) -> AlignedFace:
    return cut(astronaut, astronaut_face)


@pytest.fixture(scope="module")
def grace(hopper, hopper_face) -> AlignedFace:
    return cut(hopper, hopper_face)


@pytest.fixture(scope="module")
def distance():
    network = DlibIdentity()

    @torch.no_grad()
    def measure(first, second):
        one, other = (network.embed(from_pixels(image)) for image in (first, second))
        return float(network.distance(one, other))

    return measure


def blend(identity: AlignedFace, attribute: AlignedFace) -> np.ndarray:
    image, mask = warp_swap(identity, attribute)
    return image * mask[..., None] + attribute.image * (1 - mask[..., None])


def mirrored(face: AlignedFace) -> AlignedFace:
    points = face.landmarks[MIRRORED].copy()
    points[:, 0] = face.image.shape[1] - 1 - points[:, 0]
    return AlignedFace(np.ascontiguousarray(face.image[:, ::-1]), points)


def turned_head(face: AlignedFace, shift: float) -> AlignedFace:
    """The same face looking aside: the middle of it shifted, the jaw's ends where they were."""
    points = face.landmarks.copy()
    weight = np.ones(68)
    weight[:17] = np.cos(np.linspace(-np.pi / 2, np.pi / 2, 17))
    points[:, 0] += shift * weight
    return AlignedFace(warp_face(face, points, face.image.shape[0])[0], points)


# ---- geometry


def test_mirroring_the_landmarks_twice_changes_nothing(grace):
    assert sorted(MIRRORED) == list(range(68))
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(68))
    predicted = landmarks_of_crop(mirrored(grace).image)
    assert np.linalg.norm(predicted - mirrored(grace).landmarks, axis=1).mean() < 3


@pytest.mark.parametrize("way", ["collins on grace", "grace on collins"])
def test_the_warped_face_has_the_given_landmarks(collins, grace, way):
    identity, target = (collins, grace) if way.startswith("collins") else (grace, collins)
    warped, known = warp_face(identity, target.landmarks, 256)
    found = landmarks_of_crop(warped)
    start = np.linalg.norm(identity.landmarks - target.landmarks, axis=1)
    errors = np.linalg.norm(found - target.landmarks, axis=1)
    # At 256 px dlib itself is off by one to two pixels.
    assert errors.mean() < 2.6 < start.mean() and errors[17:].mean() < 2.2
    assert known[hull_mask(target.landmarks, 256) > 0.5].min() > 0.99


def test_every_landmark_shows_what_lay_under_it(collins, grace):
    """Independently of any predictor: paint the identity's coordinates, warp, read them at the landmarks."""
    x, y = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32))
    painted = AlignedFace(np.dstack([x, y, np.zeros_like(x)]), collins.landmarks)
    warped, _ = warp_face(painted, grace.landmarks, 256)
    read = np.array([warped[round(float(v)), round(float(u)), :2] for u, v in grace.landmarks])
    errors = np.linalg.norm(read - collins.landmarks, axis=1)
    # Rounding to whole pixels and the rounded creases of the triangles; of the closed mouth's inner lips,
    # which lie on each other, no more than that they are near.
    assert errors.mean() < 1 and errors[:60].max() < 2.5 and errors.max() < 6


def test_an_identity_crop_of_another_size(collins, grace, astronaut, astronaut_face):
    large = cut(astronaut, astronaut_face, 512)
    first, second = blend(collins, grace), blend(large, grace)
    inside = hull_mask(grace.landmarks, 256) > 0.5
    assert first.shape == second.shape and np.abs(first - second)[inside].mean() < 4


def test_a_face_that_looks_the_other_way_is_mirrored(grace):
    left, right = turned_head(grace, -18), turned_head(grace, 18)
    assert warp._turn(left.landmarks) < -0.2 and warp._turn(right.landmarks) > 0.2
    assert warp._facing_alike(left, left) is left and warp._facing_alike(right, right) is right
    chosen = warp._facing_alike(left, right)
    assert warp._turn(chosen.landmarks) == pytest.approx(-warp._turn(left.landmarks), abs=1e-3)
    np.testing.assert_array_equal(chosen.image, left.image[:, ::-1])
    np.testing.assert_array_equal(chosen.landmarks, mirrored(left).landmarks)
    assert warp._facing_alike(grace, right) is grace or abs(warp._turn(grace.landmarks)) > 0.1


def test_of_several_photos_the_one_that_looks_the_same_way_is_taken(collins, grace):
    method = WarpMethod()
    views = [turned_head(grace, shift) for shift in (0, 20)]
    prepared = [
        method.prepare(from_pixels(view.image), torch.from_numpy(view.landmarks)[None].float())
        for view in views
    ]
    person = method.combine(prepared)
    for shift, expected in ((0, 0), (20, 1), (-20, 1)):
        target = turned_head(collins, shift)
        arguments = from_pixels(target.image), torch.from_numpy(target.landmarks)[None].float()
        result = method.swap_aligned(person, *arguments).image
        assert torch.equal(result, method.swap_aligned(prepared[expected], *arguments).image)
        assert not torch.equal(result, method.swap_aligned(prepared[1 - expected], *arguments).image)


def test_a_large_identity_photo_does_not_alias(collins):
    board = np.repeat((np.indices((1024, 1024)).sum(0) % 2 * 255.0)[..., None], 3, -1).astype(np.float32)
    landmarks = (collins.landmarks + 0.5) / 2 - 0.5
    # Exactly eight times: without a low-pass every sample would fall on pixels of one colour.
    identity = AlignedFace(board, landmarks * 8)
    warped, _ = warp_face(identity, landmarks, 128)
    inside = hull_mask(landmarks, 128) > 0.5
    assert warped[inside].std() < 2 and warped[inside].mean() == pytest.approx(127.5, abs=1)


# ---- what becomes of the picture


@pytest.mark.parametrize("who", ["collins", "grace"])
def test_a_face_swapped_with_itself_hardly_changes(request, who):
    face = request.getfixturevalue(who)
    image, mask = warp_swap(face, face)
    error = np.square((image - face.image) / 255)[mask > 0.5].mean()
    assert (mask > 0.5).mean() > 0.15 and -10 * np.log10(error) > 45


def test_the_mask_stays_inside_the_hull_and_covers_the_features(collins, grace):
    _, mask = warp_swap(grace, collins)
    assert mask.dtype == np.float32 and not mask[hull_mask(collins.landmarks, 256) == 0].any()
    assert mask.max() <= 1
    for part in (slice(36, 48), slice(30, 36), slice(48, 55)):
        x, y = collins.landmarks[part].mean(0).round().astype(int)
        assert mask[y, x] > 0.9


@pytest.mark.parametrize("covered", ["attribute", "identity"])
def test_what_covers_the_edge_of_a_face_is_no_skin(collins, grace, covered):
    """A blue cap down to the brows: it stays on the attribute person, and does not come along."""
    faces = {"attribute": collins, "identity": grace}
    plain = warp_swap(faces["identity"], faces["attribute"])[1]
    face = faces[covered]
    capped = face.image.copy()
    capped[: int(face.landmarks[17:27, 1].min()) - 3] = (30, 60, 200)
    faces[covered] = AlignedFace(capped, face.landmarks)
    mask = warp_swap(faces["identity"], faces["attribute"])[1]
    above = slice(0, int(collins.landmarks[17:27, 1].min()) - 6)
    assert plain[above].sum() > 100 and mask[above].sum() < 0.3 * plain[above].sum()
    eyes = slice(int(collins.landmarks[37, 1]), int(collins.landmarks[41, 1]))
    assert mask[eyes, int(collins.landmarks[27, 0])].mean() > 0.9


def test_the_attribute_persons_glasses_stay(collins, grace):
    swapped, frames = blend(collins, grace), frame_mask(grace.image, grace.landmarks)
    change = np.abs(swapped - grace.image).mean(-1)
    assert change[frames > 0.95].mean() < 2
    inside = (warp_swap(collins, grace)[1] > 0.9) & (frames < 0.05)
    assert change[inside].mean() > 10


def test_no_frames_are_kept_on_a_face_without_glasses(collins, grace):
    assert not warp._kept_glasses(grace, collins).any()
    assert not warp._kept_glasses(grace, grace).any()
    assert warp._kept_glasses(collins, grace).any()


def test_an_open_mouth_stays_when_the_identitys_is_closed(collins, grace):
    assert mouth_opening(collins.landmarks) > 0.1 > warp.OPEN_MOUTH > mouth_opening(grace.landmarks)
    teeth = inner_mouth_mask(collins.landmarks, 256) > 0.9
    assert teeth.sum() > 200
    change = np.abs(blend(grace, collins) - collins.image).mean(-1)
    assert change[teeth].mean() < 1
    # With an open mouth of the identity's own the mouth is swapped like everything else.
    _, mask = warp_swap(mirrored(collins), collins)
    assert mask[teeth].mean() > 0.9


def test_a_black_and_white_photo_stays_black_and_white(collins, grace):
    weights = np.float32([0.299, 0.587, 0.114])
    for identity, target in ((collins, grace), (grace, collins)):
        gray = AlignedFace(np.repeat((target.image @ weights)[..., None], 3, -1), target.landmarks)
        image, mask = warp_swap(identity, gray)
        assert np.ptp(image, axis=-1)[mask > 0].max() < 2
        assert np.ptp(identity.image, axis=-1).max() > 50


@pytest.mark.parametrize("factor", [0.6, 1.15])
def test_the_light_is_the_attribute_photos(collins, grace, factor):
    lit = AlignedFace(np.clip(collins.image * factor, 0, 255), collins.landmarks)
    image, mask = warp_swap(grace, lit)
    weights = mask / mask.sum()
    means = [(picture * weights[..., None]).sum((0, 1)) for picture in (image, lit.image)]
    assert np.abs(means[0] - means[1]).max() < 10


def test_light_from_one_side_is_taken_over(collins, grace):
    ramp = np.linspace(0.5, 1.1, 256, dtype=np.float32)[None, :, None]
    shaded = AlignedFace(collins.image * ramp, collins.landmarks)
    image, mask = warp_swap(grace, shaded)
    inside = mask > 0.8
    middle = int(collins.landmarks[30, 0])
    left, right = inside.copy(), inside.copy()
    left[:, middle:], right[:, :middle] = False, False
    plain, _ = warp_swap(grace, collins)
    ratios = [np.log(p[right].mean() / p[left].mean()) for p in (image, plain, shaded.image, collins.image)]
    # The part of the added shading that arrives; 0 without relighting.
    assert 0.45 < (ratios[0] - ratios[1]) / (ratios[2] - ratios[3]) < 1.05


def test_the_person_comes_nearer(collins, grace, distance):
    apart = distance(collins.image, grace.image)
    assert apart > 0.6
    swapped = blend(grace, collins)
    assert distance(swapped, grace.image) < 0.5 < distance(swapped, collins.image)
    # Behind glasses that stay less of a face can be swapped: nearer than before is all that is promised.
    swapped = blend(collins, grace)
    assert distance(swapped, collins.image) < apart - 0.02
    assert distance(swapped, grace.image) > 0.4


# ---- licensed photographs


@pytest.mark.faces
@pytest.mark.slow
def test_validation_pairs(faces_folder, distance):
    from stylegan_swap.api import Swapper
    from stylegan_swap.faces.detection.detect import detect_faces, largest_face
    from stylegan_swap.images.photo import read_photo

    with open(VAL_PAIRS, newline="") as file:
        pairs = list(csv.DictReader(file))[:12]
    swapper = Swapper.from_pretrained("warp", device="cpu")

    def face_of(pixels):
        return cut(pixels, largest_face(detect_faces(pixels))).image

    nearer = 0
    for pair in pairs:
        identity, attribute = (
            read_photo(faces_folder / pair[key]).pixels for key in ("identity", "attribute")
        )
        result = np.asarray(swapper(identity, attribute).image)
        assert result.shape == attribute.shape and (result != attribute).any()
        swapped = face_of(result)
        nearer += distance(swapped, face_of(identity)) < distance(swapped, face_of(attribute))
    assert len(pairs) == 12 and nearer >= 9
