"""CodeSwapper: parity of the published cells, policies, dials."""

from __future__ import annotations

import golden
import pytest
import torch

from stylegan_swap.nn.blocks.cells import EmbeddingCells, RowAffineEdit, TransferCell
from stylegan_swap.nn.blocks.code_swapper import PRESETS, CodeSwapper

D = 16


def codes(rows: int, seed: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, rows, D, generator=torch.Generator().manual_seed(seed))


def swapper_of(name: str, rows: int = 14, **options: float) -> CodeSwapper:
    torch.manual_seed(0)
    return CodeSwapper.from_preset(name, rows, D, **options).eval()


def inputs_of(swapper: CodeSwapper) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    rows = swapper.n_latent
    embedding = torch.randn(2, 128) if swapper.cells == "embedding" else None
    return codes(rows, 1), codes(rows, 2), embedding


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize("rows", [14, pytest.param(18, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["ftm", "injection", "lcr"])
def test_megafs_swappers(kind: str, rows: int):
    known = golden.case(f"megafs_swapper_{kind}_{rows}")
    swapper = known.fill(CodeSwapper.from_preset(f"megafs_{kind}", rows)).eval()
    idd, att = known.input("idd").tanh(), known.input("att").tanh()
    known.check("swapped", swapper(idd, att))
    if kind == "ftm":
        cell = swapper.blocks[0]
        assert isinstance(cell, TransferCell)
        u, v = cell(idd[:, 4], att[:, 4])
        known.check("cell0_idd", u.unsqueeze(1))
        known.check("cell0_att", v.unsqueeze(1))


@golden.mark
@torch.no_grad()
@pytest.mark.parametrize(("name", "coefficient"), [("out_c2", 2.0), ("out_cm05", -0.5)])
def test_fslsd_edit(name: str, coefficient: float):
    known = golden.case("fslsd_fmapping")
    edit = known.fill(RowAffineEdit(18, 512, coefficient))
    known.check(name, edit(known.input("wplus_flat").unflatten(1, (18, 512))).flatten(1))


def test_preset_policies():
    for name, policies in (
        ("megafs_ftm", {14: "TTTT" + "F" * 10, 18: "TTTT" + "F" * 14}),
        ("megafs_injection", {14: "TTTT" + "F" * 10}),
        ("megafs_lcr", {18: "TTTT" + "S" * 14}),
        ("fslsd", {18: "S" * 11 + "T" * 7, 14: "S" * 11 + "TTT", 10: "S" * 10}),
        ("unified", {18: "TTTT" + "F" * 14, 16: "TTTT" + "F" * 12, 8: "TTTTFFFF"}),
        ("default", {14: "TTTT" + "F" * 10, 3: "TTT"}),
    ):
        for rows, policy in policies.items():
            assert PRESETS[name].policy(rows) == policy


@torch.no_grad()
def test_letters_take_the_rows_they_name():
    swapper = CodeSwapper("TSFS", D, "transfer").eval()
    identity, attribute = codes(4, 1), codes(4, 2)
    mixed = swapper(identity, attribute)
    assert torch.equal(mixed[:, 0], attribute[:, 0])
    assert torch.equal(mixed[:, [1, 3]], identity[:, [1, 3]])
    u, v = swapper.blocks[0](identity[:, 2], attribute[:, 2])
    gate = swapper.weight[0, 0].sigmoid()
    assert torch.allclose(mixed[:, 2], gate * u + (1 - gate) * v)
    assert not torch.allclose(mixed[:, 2], attribute[:, 2], atol=1e-2)


@torch.no_grad()
def test_dials_at_zero_give_the_attribute_rows():
    for name in [n for n in PRESETS if n != "fslsd"]:
        swapper = swapper_of(name)
        identity, attribute, embedding = inputs_of(swapper)
        assert torch.equal(swapper(identity, attribute, embedding, structure=0.0, appearance=0.0), attribute)
        only_colour = swapper(identity, attribute, embedding, structure=0.0, appearance=1.0)
        full = swapper(identity, attribute, embedding)
        assert torch.equal(only_colour[:, :11], attribute[:, :11])
        assert torch.equal(only_colour[:, 11:], full[:, 11:])
        assert (only_colour[:, 11:] != attribute[:, 11:]).any()
        only_face = swapper(identity, attribute, embedding, structure=1.0, appearance=0.0)
        assert torch.equal(only_face[:, :11], full[:, :11])
        assert torch.equal(only_face[:, 11:], attribute[:, 11:])


@torch.no_grad()
@pytest.mark.parametrize("dial", ["structure", "appearance"])
@pytest.mark.parametrize("name", list(PRESETS))
def test_dials_are_monotone(name: str, dial: str):
    swapper = swapper_of(name, 18)
    identity, attribute, embedding = inputs_of(swapper)

    def at(value: float) -> torch.Tensor:
        dials = {"structure": 1.0, "appearance": 1.0, dial: value}
        return swapper(identity, attribute, embedding, **dials)

    start = at(0.0)
    distance = [float((at(v) - start).norm()) for v in (0.25, 0.5, 0.75, 1.0)]
    if name == "fslsd" and dial == "appearance":
        assert distance == [0.0] * 4  # its colour rows are the attribute's in any case
    else:
        assert 0 < distance[0] < distance[1] < distance[2] < distance[3]


@torch.no_grad()
def test_a_dial_can_differ_per_face():
    swapper = swapper_of("default")
    identity, attribute, embedding = inputs_of(swapper)
    mixed = swapper(identity, attribute, embedding, structure=torch.tensor([0.0, 1.0]), appearance=0.0)
    full = swapper(identity, attribute, embedding, structure=1.0, appearance=0.0)
    assert torch.equal(mixed[0], attribute[0])
    assert torch.allclose(mixed[1], full[1], atol=1e-6)


@torch.no_grad()
def test_a_direction_moves_the_leading_identity_rows():
    swapper = CodeSwapper("S" * 10, D)
    identity, attribute = codes(10, 1), codes(10, 2)
    direction = codes(7, 3)
    moved = swapper(identity, attribute, direction=direction) - identity
    assert torch.allclose(moved[:, :7], direction, atol=1e-6)
    assert not moved[:, 7:].any()
    with pytest.raises(ValueError, match="n <= 7"):
        swapper(identity, attribute, direction=codes(8, 3))


@torch.no_grad()
def test_banded_gates_start_on_their_side():
    gates = swapper_of("default", 18).weight[0]
    assert (gates[:7] == 2).all() and (gates[7:] == -2).all()
    spread = CodeSwapper.from_preset("megafs_ftm", 18, D).weight
    assert spread.unique().numel() == spread.numel()


@torch.no_grad()
def test_the_embedding_drives_the_default_and_the_photo_refines_it():
    swapper = swapper_of("default")
    identity, attribute, embedding = inputs_of(swapper)
    assert embedding is not None
    mixed = swapper(identity, attribute, embedding)
    other_person = swapper(identity, attribute, embedding.flip(0))
    other_photo = swapper(identity.flip(0), attribute, embedding)
    by_embedding = float((mixed - other_person)[:, 4:11].norm())
    by_photo = float((mixed - other_photo)[:, 4:11].norm())
    assert by_embedding > by_photo > 0
    assert not torch.equal(swapper(None, attribute, embedding), mixed)


@torch.no_grad()
def test_the_residual_is_dropped_per_face_and_only_in_training():
    torch.manual_seed(0)
    cells = EmbeddingCells(3, D, residual_drop=0.3, hidden=D)
    embedding, photo = torch.randn(400, 128), torch.randn(400, 3, D)
    alone = cells.eval()(embedding, None)
    assert not torch.isclose(cells(embedding, photo), alone).all((1, 2)).any()
    dropped = torch.isclose(cells.train()(embedding, photo), alone).all((1, 2)).float().mean()
    assert 0.2 < float(dropped) < 0.4
    with pytest.raises(ValueError, match="probability"):
        EmbeddingCells(3, D, residual_drop=1.5)


def test_what_does_not_fit_is_refused():
    attribute = codes(4, 2)
    with pytest.raises(ValueError, match="T, S, F"):
        CodeSwapper("TTX", D)
    with pytest.raises(ValueError, match="F rows need cells"):
        CodeSwapper("TTF", D)
    with pytest.raises(ValueError, match="no swapper preset"):
        CodeSwapper.from_preset("nope", 14)
    with pytest.raises(ValueError, match="needs the identity codes"):
        CodeSwapper("TTSS", D)(None, attribute)
    with pytest.raises(ValueError, match="identity codes must be"):
        CodeSwapper("TTSS", D)(codes(5, 1), attribute)
    with pytest.raises(ValueError, match="pass embedding="):
        CodeSwapper("TTFF", D, "embedding")(attribute, attribute)
