"""``Swapper.edit`` and ``edit=`` of a swap: what changes, what does not, and where directions are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from inversion import Latents
from stylegan_swap import Swapper, swap
from stylegan_swap.editing import Direction, generator_fingerprint, save_directions
from stylegan_swap.editing import photo as photo_editing
from stylegan_swap.editing.carried_edit import edited_face
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.faces.geometry.face_shape import shaped_landmarks
from stylegan_swap.faces.geometry.landmark_warp import warp_to_landmarks
from stylegan_swap.faces.tensors import from_pixels


@pytest.fixture(scope="module")
def swapper(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu", dtype="float32")


def a_direction(swapper: Swapper, scale: float = 1.0, name: str = "colour") -> Direction:
    generator = swapper.method.generator
    vector = torch.randn(1, generator.style_dim, generator=torch.Generator().manual_seed(5))
    return Direction(name, vector, scale, network=generator_fingerprint(generator))


@pytest.fixture
def with_directions(tiny_checkpoint, swapper, tmp_path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_checkpoint, folder)
    one = a_direction(swapper, 3.0)
    save_directions(folder / "directions.safetensors", {"colour": one})
    return folder


def test_an_edit_of_nothing_leaves_every_pixel(swapper, astronaut):
    result = swapper.edit(astronaut, {a_direction(swapper): 0.0})
    assert np.array_equal(np.asarray(result.image), astronaut)
    assert not result.mask.any()
    assert result.faces[0].distance == pytest.approx(0, abs=1e-4)


def test_an_edit_changes_the_face_alone(swapper, astronaut, astronaut_face):
    result = swapper.edit(astronaut, {a_direction(swapper): 4.0})
    pixels = np.asarray(result.image)
    changed = np.any(pixels != astronaut, axis=2)
    assert changed.any()
    assert not changed[result.mask == 0].any()
    left, top, right, bottom = astronaut_face.box
    side = right - left
    rows, columns = np.nonzero(result.mask)
    assert rows.min() > top - side
    assert rows.max() < bottom + side
    assert columns.min() > left - side
    assert columns.max() < right + side
    inverted = swapper.invert(astronaut).wplus
    moved = result.faces[0].wplus - inverted[0]
    assert moved.shape == inverted.shape[1:]
    # The edit is read off a crop of another side, so the inversion differs a little.
    expected = 4.0 * a_direction(swapper).vector.expand_as(moved)
    assert float((moved - expected).norm() / expected.norm()) < 0.3


def test_all_faces_or_one(swapper, two_faces):
    one = a_direction(swapper)
    assert len(swapper.edit(two_faces, {one: 3.0}, face="all").faces) == 2
    left = swapper.edit(two_faces, {one: 3.0}, face=0)
    assert not np.any(np.asarray(left.image)[:, 600:] != two_faces[:, 600:])
    assert np.any(np.asarray(left.image)[:, :500] != two_faces[:, :500])


def test_a_function_of_codes_is_an_edit(swapper, hopper):
    seen = []

    def mirror(latents: Latents) -> Latents:
        seen.append(latents.wplus.shape)
        return Latents(-latents.wplus, latents.structure)

    assert swapper.edit(hopper, mirror).mask.any()
    generator = swapper.method.generator
    assert seen == [(1, generator.n_latent, generator.style_dim)]


def test_named_directions_lie_beside_the_weights(with_directions, astronaut):
    swapper = Swapper.from_pretrained(with_directions, device="cpu", dtype="float32")
    assert list(swapper.directions) == ["colour"]
    named = swapper.edit(astronaut, {"colour": 2.0})
    given = swapper.edit(astronaut, {swapper.directions["colour"]: 2.0})
    assert np.array_equal(np.asarray(named.image), np.asarray(given.image))
    with pytest.raises(UnsupportedOptionError, match=r"'color' \(nearest: colour\); there are: colour"):
        swapper.edit(astronaut, {"color": 2.0})


def test_without_directions_the_error_says_how_to_get_them(swapper, astronaut):
    assert swapper.directions == {}
    with pytest.raises(UnsupportedOptionError, match="stylegan-swap directions fit"):
        swapper.edit(astronaut, {"smile": 1.0})


def test_directions_of_other_weights_are_refused(with_directions, astronaut):
    swapper = Swapper.from_pretrained(with_directions, device="cpu", dtype="float32")
    with torch.no_grad():
        swapper.method.generator.conv1.activate.bias.add_(0.5)
    with pytest.raises(CheckpointError, match="fit them again with `stylegan-swap directions fit"):
        swapper.edit(astronaut, {"colour": 2.0})


def test_an_edit_finds_features_where_the_swap_has_put_them(
    with_directions, astronaut, astronaut_face, hopper, monkeypatch
):
    seen = []

    def spy(method, x, landmarks, apply, original=photo_editing.edited_face):
        seen.append(landmarks[0].numpy())
        return original(method, x, landmarks, apply)

    monkeypatch.setattr(photo_editing, "edited_face", spy)
    swapper = Swapper.from_pretrained(with_directions, device="cpu", dtype="float32")
    person = swapper.prepare(hopper)
    result = swapper(person, astronaut, edit={"colour": 1.0})
    points = result.faces[0].alignment.to_photo(seen[0])
    wanted = shaped_landmarks(person.photo.landmarks, astronaut_face.landmarks)
    assert np.abs(wanted - astronaut_face.landmarks).max() > 2
    # The person's photo is cut twice, at the photo's scale and at the network's 64 pixels.
    np.testing.assert_allclose(points, wanted, atol=1.0)
    np.testing.assert_array_equal(result.faces[0].landmarks, astronaut_face.landmarks)


def test_a_swap_is_edited_after_it_was_made(with_directions, astronaut, hopper, monkeypatch):
    swapper = Swapper.from_pretrained(with_directions, device="cpu", dtype="float32")
    person = swapper.prepare(hopper)
    plain = swapper(person, astronaut)
    edited = swapper(person, astronaut, edit={"colour": 5.0})
    nothing = swapper(person, astronaut, edit={"colour": 0.0})
    assert np.array_equal(np.asarray(nothing.image), np.asarray(plain.image))
    assert np.any(np.asarray(edited.image) != np.asarray(plain.image))
    assert not np.any((np.asarray(edited.image) != astronaut).any(2) & (edited.mask == 0))
    # Editing the finished swap is the same; detail would be added to one before the edit, to the other after.
    bare = swapper(person, astronaut, detail=0.0)
    edits_faces, faces = photo_editing.edit_faces, []

    def spy(method, apply, pixels, chosen):
        faces.extend(chosen)
        return edits_faces(method, apply, pixels, chosen)

    monkeypatch.setattr(photo_editing, "edit_faces", spy)
    both = swapper(person, astronaut, edit={"colour": 5.0}, detail=0.0)
    # What these weights draw is no face to be found again.
    monkeypatch.setattr(swapper, "choose_faces", lambda *_: faces[:1])
    after = swapper.edit(bare.image, {"colour": 5.0})
    assert np.array_equal(np.asarray(after.image), np.asarray(both.image))
    assert not np.array_equal(np.asarray(both.image), np.asarray(bare.image))
    # Whom it is compared with is the person swapped in.
    assert torch.equal(edited.faces[0].reference, plain.faces[0].reference)
    options = {"method": str(with_directions), "device": "cpu", "dtype": "float32"}
    once = swap(hopper, astronaut, edit={"colour": 5.0}, **options)
    assert np.array_equal(np.asarray(once.image), np.asarray(edited.image))


def test_methods_without_codes_are_refused(astronaut):
    warp = Swapper.from_pretrained("warp")
    for call in (
        lambda: warp.edit(astronaut, lambda latents: latents),
        lambda: warp(astronaut, astronaut, edit={"smile": 1.0}),
    ):
        with pytest.raises(UnsupportedOptionError, match="'warp' cannot edit"):
            call()


class Painter:
    """Instead of a network: draws a given face, its lower lip and chin lowered by the code's number."""

    def __init__(self, face: torch.Tensor, landmarks: torch.Tensor) -> None:
        self.face, self.landmarks = face, landmarks

    def invert(self, x: torch.Tensor) -> Latents:
        return Latents(torch.zeros(len(x), 1, 1))

    def generate(self, latents: Latents, n: int, truncation_psi: float, seed: int) -> torch.Tensor:
        target = self.landmarks.repeat(n, 1, 1)
        opening = latents.wplus[:, 0]
        target[:, [*range(55, 60), 65, 66, 67], 1] += opening
        target[:, 5:12, 1] += opening
        return warp_to_landmarks(self.face.expand(n, -1, -1, -1), self.landmarks.expand(n, -1, -1), target)[0]


def test_motion_is_carried_to_the_photo(hopper, hopper_face, astronaut, astronaut_face):
    """The generator draws another face whose lower lip sinks; that of the photo sinks as far."""
    from stylegan_swap.faces.detection.landmarks import landmarks_of_crop
    from stylegan_swap.faces.geometry.align import ffhq_alignment
    from stylegan_swap.faces.tensors import to_pixels

    crops = []
    for pixels, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        alignment = ffhq_alignment(face.landmarks, 256)
        points = torch.from_numpy(alignment.to_crop(face.landmarks))[None]
        crops.append((from_pixels(alignment.crop(pixels)), points))
    (drawn, drawn_points), (photo, points) = crops
    method = Painter(drawn, drawn_points)
    result = edited_face(method, photo, points, lambda latents: Latents(latents.wplus + 8.0))
    before, after = (landmarks_of_crop(to_pixels(x)[0]) for x in (photo, result.image))
    chin = (after - before)[6:11, 1].mean()
    brows = (after - before)[17:27, 1].mean()
    assert chin > 3
    assert abs(brows) < 1.5
    # The corners of the crop are the photo's own.
    assert not result.mask[..., :8, :].any()
    assert result.wplus.item() == 8.0
