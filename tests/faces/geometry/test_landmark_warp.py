"""One face on the landmarks of another: where points go, what is kept, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stylegan_swap.faces.geometry.landmark_warp import warp_to_landmarks

SIZE = 128


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    """68 points spread like a face's: no three of the spline's in one place."""
    stream = np.random.default_rng(0)
    angles = np.linspace(0, np.pi, 17)
    jaw = np.stack([64 - 40 * np.cos(angles), 60 + 45 * np.sin(angles)], -1)
    inner = np.stack(np.meshgrid(np.linspace(40, 88, 8), np.linspace(42, 92, 7)), -1).reshape(-1, 2)[:51]
    points = np.concatenate([jaw, inner + stream.normal(0, 1, inner.shape)])
    return torch.from_numpy(points.astype(np.float32))[None]


def smooth(seed: int = 0, channels: int = 3) -> torch.Tensor:
    coarse = torch.rand(1, channels, 10, 10, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic", align_corners=False)


def test_on_its_own_landmarks_a_face_stays(face):
    photo = smooth()
    moved, kept = warp_to_landmarks(photo, face, face)
    assert (moved - photo)[..., 2:-2, 2:-2].abs().max() < 1e-3
    assert torch.allclose(kept, torch.ones_like(kept), atol=1e-3)


def test_a_similarity_of_the_landmarks_is_one_of_the_picture(face):
    photo = smooth()
    # Half the size about the centre: a pixel at x shows what was at 2 · (x - 64) + 64.
    moved, kept = warp_to_landmarks(photo, face, (face - 64) / 2 + 64)
    where = (torch.arange(40, 88) - 64) * 2 + 64
    inside = (where >= 1) & (where < SIZE - 1)
    expected = photo[..., where[inside][:, None], where[inside]]
    rows = torch.arange(40, 88)[inside]
    assert (moved[..., rows[:, None], rows] - expected).abs().max() < 0.02
    assert torch.equal(kept, torch.ones_like(kept)), "shrinking invents nothing"
    _, stretched = warp_to_landmarks(photo, (face - 64) / 2 + 64, face)
    assert stretched.median() == pytest.approx(0.25, abs=0.01)


def test_points_come_to_lie_on_their_goals(face):
    goal = face + torch.randn(face.shape, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)
    axis = torch.arange(SIZE, dtype=torch.float32)
    photo = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]
    moved, _ = warp_to_landmarks(photo, face, goal)
    rows, columns = goal[0, :, 1].round().long(), goal[0, :, 0].round().long()
    # What lies at each goal is the position it came from; the smoothness gives up to a pixel.
    came_from = moved[0, :, rows, columns].T
    offset = torch.stack([columns, rows], -1) - goal[0]
    assert (came_from - face[0] - offset).norm(dim=1).mean() < 1.0


def test_a_fold_counts_for_nothing(face):
    mirrored = face.clone()
    mirrored[..., 0] = SIZE - 1 - mirrored[..., 0]
    crossed = torch.where(torch.arange(68).view(1, -1, 1) < 40, face, mirrored)
    _, kept = warp_to_landmarks(smooth(), face, crossed)
    assert kept.min() == 0 and kept.max() <= 1


def test_a_batch_is_its_faces(face):
    photo = torch.cat([smooth(0), smooth(1)])
    goals = torch.cat([face + 3, face * 0.9])
    both = warp_to_landmarks(photo, face.expand(2, -1, -1), goals)
    for i in range(2):
        single = warp_to_landmarks(photo[i : i + 1], face, goals[i : i + 1])
        assert all(torch.allclose(a[i : i + 1], b, atol=1e-5) for a, b in zip(both, single, strict=True))


def test_without_landmarks_nothing_is_shown(face):
    missing = face.clone()
    missing[0, 5, 0] = float("nan")
    for source, target in ((missing, face), (face, missing)):
        moved, kept = warp_to_landmarks(smooth(), source, target)
        assert not moved.any() and not kept.any()


def test_the_picture_has_a_gradient(face):
    photo = smooth().requires_grad_()
    warp_to_landmarks(photo, face, face + 2)[0].sum().backward()
    assert photo.grad is not None and photo.grad.abs().sum() > 0


def test_other_landmarks_are_refused(face):
    with pytest.raises(ValueError, match=r"target landmarks must be \[1, 68, 2\]"):
        warp_to_landmarks(smooth(), face, face[:, :5])
