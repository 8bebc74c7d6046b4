"""``swap()`` and ``Swapper``: what goes in, what comes out, and what must stay as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_swap import StyleganSwapWarning, Swapper, swap
from stylegan_swap.errors import (
    FaceSelectionError,
    ImageReadError,
    ImageWriteError,
    NoFaceError,
    StyleganSwapError,
    UnsupportedOptionError,
)
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import Photo, read_photo

# Rows and width of the codes of the tiny network: 2·log2(64) − 2 and its preset's.
ROWS, WIDTH = 10, 64


@pytest.fixture(scope="module")
def warp() -> Swapper:
    return Swapper.from_pretrained("warp", device="cpu")


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture(params=["warp", "tiny"])
def swapper(request) -> Swapper:
    return request.getfixturevalue(request.param)


def pixels_of(result) -> np.ndarray:
    return np.asarray(result.image)


def difference(result, attribute) -> np.ndarray:
    """Mean over the channels of the absolute difference, in grey levels, [H, W]."""
    return np.abs(pixels_of(result)[..., :3].astype(int) - attribute).mean(axis=2)


def test_all_kinds_of_sources_give_the_same(astronaut, hopper, astronaut_path, hopper_path):
    results = [
        swap(str(astronaut_path), str(hopper_path), method="warp"),
        swap(astronaut_path, hopper_path, method="warp"),
        swap(Image.fromarray(astronaut), Image.fromarray(hopper), method="warp"),
        swap(astronaut, hopper, method="warp"),
        swap(read_photo(astronaut), Photo(hopper), method="warp"),
    ]
    for result in results:
        assert result.image.size == (512, 600)
        assert result.image.mode == "RGB"
        assert np.array_equal(pixels_of(result), pixels_of(results[0]))
    assert difference(results[0], hopper).max() > 20


def test_pixels_outside_the_mask_are_untouched(swapper, astronaut, hopper):
    result = swapper(astronaut, hopper)
    assert result.mask.dtype == np.float32
    assert result.mask.shape == hopper.shape[:2]
    assert result.mask.min() == 0
    assert 0.5 < result.mask.max() <= 1
    outside = result.mask == 0
    assert 0.5 < outside.mean() < 0.99
    assert np.array_equal(pixels_of(result)[outside], hopper[outside])
    assert (difference(result, hopper)[~outside] > 0).mean() > 0.8


def test_transparency_is_kept_exactly(swapper, astronaut, hopper):
    alpha = np.random.default_rng(0).integers(0, 256, hopper.shape[:2], dtype=np.uint8)
    result = swapper(astronaut, Image.fromarray(np.dstack([hopper, alpha])))
    assert result.image.mode == "RGBA"
    assert np.array_equal(pixels_of(result)[..., 3], alpha)
    assert np.array_equal(pixels_of(result)[..., :3], pixels_of(swapper(astronaut, hopper)))


def test_a_loss_in_saving_is_noted_once(tmp_path, warp, astronaut, hopper):
    result = warp(astronaut, np.dstack([hopper, np.full(hopper.shape[:2], 128, np.uint8)]))
    result.save(tmp_path / "one.jpg")
    result.save(tmp_path / "two.jpg")
    assert ["transparency" in note for note in result.notes] == [True]


def test_fields_of_a_swapped_face(swapper, astronaut, hopper, hopper_face):
    result = swapper(astronaut, hopper)
    network = swapper.method.name == "default"
    side = 64 if network else 256
    [face] = result.faces
    assert np.array_equal(face.box, hopper_face.box)
    assert np.array_equal(face.landmarks, hopper_face.landmarks)
    assert face.landmarks.shape == (68, 2)
    assert face.aligned.shape == (3, side, side)
    assert face.aligned.dtype == torch.float32
    assert face.aligned.min() >= -1
    assert face.aligned.max() <= 1
    # Not an image of 0..255 or 0..1 by mistake: both halves of the range are used.
    assert face.aligned.min() < -0.5
    assert face.aligned.max() > 0.5
    assert face.mask.shape == (1, side, side)
    assert 0 <= face.mask.min() < face.mask.max() <= 1
    assert face.alignment.size == side
    if network:
        assert face.wplus.shape == (ROWS, WIDTH)
        assert face.wplus.isfinite().all()
    else:
        assert face.wplus is None
    assert 0 < face.distance < 1.5
    assert -1 <= face.similarity <= 1
    assert result.method == swapper.method.name
    assert result.seed is None


def test_distance_measures_the_person_not_the_photo(warp, astronaut, hopper):
    """A photo swapped with itself is the same person; with the other one's it comes nearer than before."""
    itself = warp(hopper, hopper).faces[0]
    assert itself.distance < 0.4
    assert itself.similarity > 0.7
    person = warp.prepare(astronaut)
    other = warp.prepare(hopper)
    apart = float(torch.linalg.vector_norm(person.embedding - other.embedding))
    assert apart > 0.6
    # Hopper's glasses stay in her photo and hide some of the astronaut; the other way nothing does.
    assert warp(other, astronaut).faces[0].distance < 0.5
    assert warp(person, hopper).faces[0].distance < apart


def test_where_the_default_weights_are_missing_the_classical_method_says_so(
    without_default_weights, astronaut, hopper
):
    with pytest.warns(StyleganSwapWarning, match="default weights are missing") as caught:
        swapper = Swapper.from_pretrained()
    assert caught[0].filename == __file__
    result = swapper(astronaut, hopper)
    assert result.method == "warp"
    assert [note for note in result.notes if "'warp' method was used" in note]


def test_a_method_asked_for_gives_no_warning(recwarn, warp, astronaut, hopper):
    for method in ("warp", "default"):
        assert Swapper.from_pretrained(method).method.name == method
    assert not [w for w in recwarn if issubclass(w.category, StyleganSwapWarning)]
    assert warp(astronaut, hopper).notes == []


def test_several_photos_of_one_person(swapper, astronaut, hopper):
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    alone, other = swapper.prepare(astronaut), swapper.prepare(mirrored)
    both = swapper.prepare([astronaut, mirrored])
    assert both.embedding.shape == (1, 128)
    torch.testing.assert_close(both.embedding, (alone.embedding + other.embedding) / 2)
    assert not torch.allclose(alone.embedding, other.embedding, atol=0.01)
    assert len(both.names) == 2
    result = swapper(both, hopper)
    assert difference(result, hopper)[result.mask > 0].mean() > 5
    assert swapper.prepare((astronaut, mirrored)).embedding.equal(both.embedding)
    if swapper.method.name == "default":
        mean = (alone.prepared.wplus + other.prepared.wplus) / 2
        torch.testing.assert_close(both.prepared.wplus, mean)


def test_no_identity_photo_is_refused(warp):
    with pytest.raises(UnsupportedOptionError, match="no identity photo"):
        warp.prepare([])


def test_all_faces_are_swapped(warp, astronaut, two_faces):
    result = warp(astronaut, two_faces, face="all")
    assert [face.box[0] < 512 for face in result.faces] == [True, False]
    for columns, face in zip((slice(0, 512), slice(512, 1024)), result.faces, strict=True):
        assert difference(result, two_faces)[:, columns].max() > 20
        x0, y0, x1, y1 = face.box.astype(int)
        assert result.mask[y0:y1, x0:x1].max() > 0.9
    outside = result.mask == 0
    assert np.array_equal(pixels_of(result)[outside], two_faces[outside])


def test_a_number_chooses_and_leaves_the_other_alone(warp, astronaut, hopper, two_faces):
    for number, columns, others in (
        (0, slice(0, 512), slice(512, 1024)),
        (1, slice(512, 1024), slice(0, 512)),
    ):
        person = hopper if number == 0 else astronaut
        result = warp(person, two_faces, face=number)
        assert len(result.faces) == 1
        assert np.array_equal(pixels_of(result)[:, others], two_faces[:, others])
        assert difference(result, two_faces)[:, columns].max() > 20
    # The largest is Hopper's, the second from the left.
    assert warp(astronaut, two_faces).faces[0].box == pytest.approx(result.faces[0].box, abs=2)


def test_numpy_numbers_choose_too(warp, astronaut, two_faces):
    chosen = warp(astronaut, two_faces, face=np.int64(1))
    assert np.array_equal(pixels_of(chosen), pixels_of(warp(astronaut, two_faces, face=1)))


def test_a_number_out_of_range(warp, astronaut, two_faces):
    for number in (2, -1):
        with pytest.raises(FaceSelectionError, match=f"face {number} .*2 faces.*0 to 1"):
            warp(astronaut, two_faces, face=number)


def test_a_reference_photo_chooses_the_person(warp, astronaut, hopper, two_faces, astronaut_path):
    by_photo = warp(hopper, two_faces, face=astronaut)
    assert by_photo.faces[0].box[0] < 512
    assert np.array_equal(pixels_of(by_photo), pixels_of(warp(hopper, two_faces, face=0)))
    by_path = warp(hopper, two_faces, face=str(astronaut_path))
    assert np.array_equal(pixels_of(by_path), pixels_of(by_photo))
    assert warp(astronaut, two_faces, face=hopper).faces[0].box[0] > 512
    with pytest.raises(FaceSelectionError, match="none of the 1 faces looks like"):
        warp(hopper, astronaut, face=hopper)


def test_which_face_of_the_identity_photo(warp, astronaut, hopper, two_faces):
    alone = {"astronaut": warp.prepare(astronaut).embedding, "hopper": warp.prepare(hopper).embedding}
    for choice, name in ((0, "astronaut"), (1, "hopper"), ("largest", "hopper"), (astronaut, "astronaut")):
        found = warp.prepare(two_faces, face=choice).embedding
        nearest = min(alone, key=lambda key: float((alone[key] - found).norm()))
        assert nearest == name, choice if isinstance(choice, str | int) else "reference photo"
    result = swap(two_faces, hopper, identity_face=0, method="warp")
    assert difference(result, pixels_of(warp(astronaut, hopper))).mean() < 1
    with pytest.raises(UnsupportedOptionError, match="one identity is one face"):
        warp.prepare(two_faces, face="all")


def test_prepared_once_swaps_often(swapper, astronaut, hopper, two_faces):
    person = swapper.prepare(astronaut)
    first = pixels_of(swapper(person, hopper))
    assert np.array_equal(first, pixels_of(swapper(astronaut, hopper)))
    swapper(person, two_faces)
    assert np.array_equal(first, pixels_of(swapper(person, hopper)))


def test_swap_is_the_swapper(tiny, tiny_checkpoint, astronaut, hopper):
    result = swap(astronaut, hopper, method=str(tiny_checkpoint), structure=0.3, appearance=0.6, seed=4)
    same = tiny(tiny.prepare(astronaut), hopper, structure=0.3, appearance=0.6, seed=4)
    assert np.array_equal(pixels_of(result), pixels_of(same))
    assert result.seed == 4


def test_a_person_of_another_method_is_refused(warp, tiny, astronaut, hopper):
    with pytest.raises(
        UnsupportedOptionError, match=r"prepared by 'warp', this is 'default:[0-9a-f]{16}': prepare it again"
    ):
        tiny(warp.prepare(astronaut), hopper)


@pytest.mark.parametrize("option", [{"structure": 0.5}, {"appearance": 0.5}, {"seed": 1}])
def test_warp_refuses_dials_before_reading_anything(warp, option):
    with pytest.raises(UnsupportedOptionError, match=f"'warp' has no option '{next(iter(option))}'"):
        warp("missing.png", "missing.png", **option)


def test_aligned_faces_of_photos(swapper, astronaut, hopper, astronaut_face, hopper_face):
    side = swapper.method.size or 256
    crops, points = [], []
    for photo, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        alignment = ffhq_alignment(face.landmarks, side)
        crops.append(from_pixels(alignment.crop(photo)))
        points.append(torch.from_numpy(alignment.to_crop(face.landmarks)))
    y, mask = swapper.swap_aligned(torch.cat(crops), torch.cat(crops).flip(0), torch.stack(points).flip(0))
    assert y.shape == (2, 3, side, side)
    assert mask.shape == (2, 1, side, side)
    # The second of the batch is Hopper into the astronaut's photo: the photo's own way gives the same.
    result = swapper(hopper, astronaut)
    [face] = result.faces
    assert face.aligned.shape == y[1].shape
    apart = ((face.aligned - y[1]).abs() * mask[1]).sum() / (3 * mask[1].sum())
    # Landmarks of the identity are predicted on the crop, a little off.
    assert apart < 0.1
    wrong_way = ((face.aligned - y[0]).abs() * mask[1]).sum() / (3 * mask[1].sum())
    assert wrong_way > 2 * apart


def test_warp_has_no_latent_space(warp, astronaut):
    with pytest.raises(UnsupportedOptionError, match="'warp' cannot invert, it has no generator"):
        warp.invert(astronaut)
    with pytest.raises(UnsupportedOptionError, match="'warp' cannot generate, it has no generator"):
        warp.generate()


def test_nothing_is_written_over_an_input(tmp_path, warp, astronaut, hopper):
    path = tmp_path / "attribute.png"
    Image.fromarray(hopper).save(path)
    before = path.read_bytes()
    for source in (path, str(path), read_photo(path)):
        result = warp(astronaut, source)
        with pytest.raises(ImageWriteError, match="is one of the input pictures"):
            result.save(path, overwrite=True)
    with Image.open(path) as opened:
        results = [warp(astronaut, opened), warp(opened, astronaut), warp(path, astronaut)]
    for result in results:
        with pytest.raises(ImageWriteError, match="is one of the input pictures"):
            result.save(path, overwrite=True)
    assert path.read_bytes() == before
    result.save(tmp_path / "out.png", mark=False)
    with Image.open(tmp_path / "out.png") as saved:
        assert np.array_equal(np.asarray(saved), pixels_of(result))


def test_a_missing_attribute_photo_is_told_before_the_identity_is_prepared(monkeypatch, astronaut):
    def too_early(*_, **__):
        raise AssertionError("the identity was prepared first")

    monkeypatch.setattr(Swapper, "prepare", too_early)
    with pytest.raises(ImageReadError, match=r"missing\.jpg: no such file"):
        swap(astronaut, "missing.jpg", method="warp")


def test_no_face_names_the_photo_and_what_was_tried(warp, astronaut, tmp_path):
    path = tmp_path / "wall.png"
    Image.new("RGB", (200, 150), (120, 130, 140)).save(path)
    for arguments in ((path, astronaut), (astronaut, path)):
        with pytest.raises(NoFaceError, match=r"wall\.png: no face was found \(tried Cent.*HOG, .*MMOD"):
            warp(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"method": "wrap"}, "'wrap'.*warp"),
        ({"landmarks": "openpose"}, "openpose"),
    ],
)
def test_unknown_choices_are_told_before_reading(options, message):
    with pytest.raises(StyleganSwapError, match=message):
        swap("missing.png", "missing.png", **{"method": "warp", **options})


def test_colours_can_be_matched_when_pasting(tiny, astronaut, hopper):
    plain, matched = tiny(astronaut, hopper), tiny(astronaut, hopper, match_colour=True)
    assert difference(plain, pixels_of(matched)).max() > 5
    outside = matched.mask == 0
    assert np.array_equal(pixels_of(matched)[outside], hopper[outside])
