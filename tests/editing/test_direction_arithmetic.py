"""Moving codes: sigma, rows, coordinates, conditional directions, interpolation and mixing."""

from __future__ import annotations

import pytest
import torch

from inversion import Latents
from stylegan_swap.editing import Direction, conditioned, coordinate, edit, interpolate, mix, place
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.nn.stylegan2.generator import Generator

L, D = 6, 4


@pytest.fixture
def latents() -> Latents:
    stream = torch.Generator().manual_seed(0)
    return Latents(torch.randn(3, L, D, generator=stream), torch.randn(3, 2, 4, 4, generator=stream))


def one_row(**options) -> Direction:
    return Direction("smile", torch.tensor([[1.0, -2.0, 0.0, 0.5]]), **options)


def test_one_row_moves_all_rows_by_strength_times_sigma(latents):
    moved = edit(latents, one_row(scale=3.0), -2.0)
    step = torch.tensor([-6.0, 12.0, 0.0, -3.0])
    torch.testing.assert_close(moved.wplus - latents.wplus, step.expand(3, L, D))
    assert moved.structure is latents.structure


def test_strength_zero_changes_nothing(latents):
    assert torch.equal(edit(latents, one_row(scale=3.0), 0.0).wplus, latents.wplus)


def test_own_rows_and_rows_asked_for(latents):
    direction = one_row(rows=(4, 5))
    for rows, changed in ((None, [4]), ((1, 3), [1, 2])):
        moved = edit(latents, direction, 1.0, rows).wplus - latents.wplus
        assert [row for row in range(L) if bool(moved[:, row].any())] == changed


def test_a_row_for_each_layer(latents):
    direction = Direction("pose", torch.arange(8.0 * D).view(8, D))
    # Made for eight rows: the first six belong to the same resolutions here.
    moved = edit(latents, direction, 0.5).wplus - latents.wplus
    torch.testing.assert_close(moved, (0.5 * direction.vector[:L]).expand(3, L, D))


@pytest.mark.parametrize(
    ("direction", "rows", "words"),
    [
        (Direction("narrow", torch.ones(1, 3)), None, r"\[1, 3\].*\[6, 4\]"),
        (Direction("short", torch.ones(4, D)), None, r"\[4, 4\].*directions of this network"),
        (Direction("fit", torch.ones(1, D)), (5, 8), "rows 5 to 7"),
        (Direction("fit", torch.ones(1, D)), (3, 3), "not among the rows 0 to 5"),
        (Direction("late", torch.ones(1, D), rows=(9, 11)), None, "rows"),
    ],
)
def test_what_does_not_fit_is_refused(latents, direction, rows, words):
    with pytest.raises(UnsupportedOptionError, match=words):
        edit(latents, direction, 1.0, rows)


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_strength_is_a_number(latents, strength):
    for function in (edit, place):
        with pytest.raises(UnsupportedOptionError, match="finite"):
            function(latents, one_row(), strength)


@pytest.mark.parametrize(
    "options",
    [
        {"vector": torch.zeros(1, D)},
        {"vector": torch.ones(D)},
        {"vector": torch.full((1, D), float("nan"))},
        {"vector": torch.ones(1, D), "scale": 0.0},
        {"vector": torch.ones(1, D), "scale": float("inf")},
        {"vector": torch.ones(1, D), "mean": torch.ones(1, D + 1)},
        {"vector": torch.ones(1, D), "rows": (3, 3)},
    ],
)
def test_a_direction_that_is_none(options):
    with pytest.raises(ValueError, match="direction 'x'"):
        Direction("x", **options)


def test_ganspace_edit_as_e4e_does_it(latents):
    """e4e: delta = (strength − ⟨w[0] − mean, comp⟩ / std) · comp · std, added to rows start:end."""
    stream = torch.Generator().manual_seed(1)
    mean, comp = torch.randn(1, D, generator=stream), torch.randn(1, D, generator=stream)
    comp, std, strength, rows = comp / comp.norm(), 0.7, 5.0, (2, 4)
    expected = latents.wplus.clone()
    for code, before in zip(expected, latents.wplus, strict=True):
        at = ((before[0] - mean[0]) * comp[0]).sum() / std
        code[rows[0] : rows[1]] += (strength - at) * comp[0] * std
    direction = Direction("pc", comp, std, "σ", rows, mean)
    torch.testing.assert_close(place(latents, direction, strength).wplus, expected)


def test_place_sets_the_coordinate(latents):
    direction = Direction("all", torch.randn(L, D, generator=torch.Generator().manual_seed(2)), 2.5)
    placed = place(latents, direction, -1.25)
    torch.testing.assert_close(coordinate(placed, direction), torch.full((3,), -1.25))
    # Moving by a strength moves the coordinate by as much.
    moved = coordinate(edit(placed, direction, 3.0), direction)
    torch.testing.assert_close(moved, torch.full((3,), 1.75))


def test_conditional_direction_leaves_the_others_alone(latents):
    stream = torch.Generator().manual_seed(3)
    smile, age, glasses = (Direction(str(i), torch.randn(1, D, generator=stream), 2.0) for i in range(3))
    alone = conditioned(smile, [age, glasses])
    assert float(alone.vector.norm()) == pytest.approx(1)
    assert alone.scale == smile.scale
    moved = edit(latents, alone, 4.0)
    for held in (age, glasses):
        torch.testing.assert_close(coordinate(moved, held), coordinate(latents, held), atol=1e-5, rtol=0)
    assert float((coordinate(moved, smile) - coordinate(latents, smile)).min()) > 0.01
    with pytest.raises(UnsupportedOptionError, match="nothing is left"):
        conditioned(smile, [smile])


def test_interpolation(latents):
    other = Latents(latents.wplus[:1] + 8, latents.structure[:1] + 4)
    assert torch.equal(interpolate(latents, other, 0.0).wplus, latents.wplus)
    assert torch.equal(interpolate(latents, other, 1.0).wplus, other.wplus.expand(3, -1, -1))
    quarter = interpolate(latents, other, 0.25)
    torch.testing.assert_close(quarter.wplus, 0.75 * latents.wplus + 0.25 * other.wplus)
    torch.testing.assert_close(quarter.structure, 0.75 * latents.structure + 0.25 * other.structure)
    some = interpolate(latents, other, 0.5, (1, 3))
    assert torch.equal(some.wplus[:, [0, 3, 4, 5]], latents.wplus[:, [0, 3, 4, 5]])
    assert torch.equal(some.structure, latents.structure)
    with pytest.raises(UnsupportedOptionError, match="one network"):
        interpolate(latents, Latents(torch.ones(1, L, D + 1)), 0.5)


def test_mixing_takes_rows_and_agrees_with_the_generator(latents):
    other = Latents(latents.wplus.flip(0))
    mixed = mix(latents, other, (2, L))
    generator = Generator(16, D, 1, channels={4: 2, 8: 2, 16: 2})
    assert torch.equal(mixed.wplus, generator.style_mix(latents.wplus, other.wplus, 2))
    assert mixed.structure is latents.structure
    middle = mix(latents, other, (2, 4)).wplus
    assert torch.equal(middle[:, 4:], latents.wplus[:, 4:])
    assert torch.equal(middle[:, 2:4], other.wplus[:, 2:4])
