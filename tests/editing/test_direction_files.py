"""Files of directions: every published layout, our own, and what must not be read."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from inversion import Latents
from stylegan_swap.editing import (
    Direction,
    edit,
    factorise,
    generator_fingerprint,
    load_directions,
    save_directions,
)
from stylegan_swap.editing.direction_file import check_network
from stylegan_swap.errors import CheckpointError, ImageWriteError
from stylegan_swap.nn.stylegan2.generator import Generator

D = 8


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    vector = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return vector / vector.norm(dim=-1, keepdim=True)


def tiny_generator(seed: int = 0) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(16, D, 1, channels={4: 6, 8: 5, 16: 4})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("stylegan_ffhq_age_w_boundary.npy", "age"),
        ("stylegan_celebahq_smile_c_eyeglasses_w_boundary.npy", "smile_c_eyeglasses"),
        ("stylegan_ffhq_pose_boundary.npy", "pose"),
        ("my own.npy", "my_own"),
    ],
)
def test_interfacegan_boundary(tmp_path, file, name):
    vector = unit(1, D).numpy()
    np.save(tmp_path / file, vector)
    found = load_directions(tmp_path / file)
    assert list(found) == [name]
    one = found[name]
    assert (one.name, one.kind, one.scale, one.unit, one.source) == (name, "interfacegan", 1.0, "", file)
    assert np.array_equal(one.vector.numpy(), vector)
    # In W+ the boundary is added to every row, α times.
    codes = Latents(torch.zeros(1, 6, D))
    np.testing.assert_allclose(edit(codes, one, 3.0).wplus[0], np.repeat(3 * vector, 6, 0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, D), (D,), (1, 6, D)])
def test_e4e_boundary(tmp_path, shape):
    vector = unit(*shape)
    torch.save(vector, tmp_path / "smile.pt")
    one = load_directions(tmp_path / "smile.pt")["smile"]
    assert torch.equal(one.vector, vector.view(-1, D))


def components(count: int = 80, width: int = D) -> dict[str, torch.Tensor]:
    return {
        "comp": unit(count, 1, width),
        "mean": unit(1, width, seed=1),
        "std": torch.linspace(2, 0.1, count),
    }


def test_ganspace_of_e4e(tmp_path):
    content = components()
    torch.save(content, tmp_path / "pca.pt")
    found = load_directions(tmp_path / "pca.pt")
    assert list(found) == [f"pc{i}" for i in range(80)]
    one = found["pc7"]
    assert (one.kind, one.unit, one.rows) == ("ganspace", "σ", None)
    assert one.scale == pytest.approx(float(content["std"][7]))
    assert torch.equal(one.vector, content["comp"][7])
    assert torch.equal(one.mean, content["mean"])


def test_e4es_known_components_have_names_and_rows(tmp_path):
    torch.save(components(80, 512), tmp_path / "ffhq_pca.pt")
    found = load_directions(tmp_path / "ffhq_pca.pt")
    assert {name: found[name].rows for name in ("eyes", "smile", "beard")} == {
        "eyes": (7, 8),
        "smile": (4, 5),
        "beard": (7, 9),
    }
    assert torch.equal(found["smile"].vector, found["pc46"].vector)


@pytest.mark.parametrize("prefix", ["lat", "act"])
def test_ganspace_original(tmp_path, prefix):
    content = components(5)
    np.savez_compressed(
        tmp_path / "ipca.npz",
        **{
            f"{prefix}_comp": content["comp"].numpy(),
            f"{prefix}_mean": content["mean"].numpy(),
            f"{prefix}_stdev": content["std"].numpy(),
            "var_ratio": np.ones(5, np.float64),
        },
    )
    found = load_directions(tmp_path / "ipca.npz")
    assert list(found) == [f"pc{i}" for i in range(5)]
    assert np.array_equal(found["pc3"].vector, content["comp"][3])


def test_ganspace_of_a_layer_of_pictures_is_refused(tmp_path):
    np.savez(
        tmp_path / "layer.npz",
        act_comp=np.ones((3, 4, 8, 8), np.float32),
        act_mean=np.ones((4, 8, 8), np.float32),
        act_stdev=np.ones(3, np.float32),
    )
    with pytest.raises(CheckpointError, match="components of W"):
        load_directions(tmp_path / "layer.npz")


def test_rosinalitys_factor(tmp_path):
    """Its script: V of the SVD of all modulation weights but those named to_rgbs; added to w by column."""
    generator = tiny_generator()
    state = generator.state_dict()
    weights = [
        value
        for name, value in state.items()
        if "modulation" in name and "to_rgbs" not in name and "weight" in name
    ]
    eigvec = torch.linalg.svd(torch.cat(weights, 0))[2].t().contiguous()
    torch.save({"ckpt": "stylegan2.pt", "eigvec": eigvec}, tmp_path / "factor.pt")
    found = load_directions(tmp_path / "factor.pt")
    assert list(found) == [f"sefa{i}" for i in range(D)]
    assert torch.equal(found["sefa2"].vector[0], eigvec[:, 2])


def test_sefa_finds_what_moves_the_styles_most():
    generator = tiny_generator()
    weights = torch.cat([layer.conv.modulation.weight for layer in (generator.conv1, *generator.convs)])
    weights = (weights / weights.norm(dim=1, keepdim=True)).detach().double()
    found = factorise(generator, count=D)
    gains = [float((weights @ one.vector[0].double()).norm() ** 2) for one in found.values()]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(float(torch.linalg.matrix_norm(weights, 2) ** 2), rel=1e-5)
    assert [one.measured["share"] for one in found.values()] == pytest.approx(
        [gain / sum(gains) for gain in gains], rel=1e-4
    )
    vectors = torch.cat([one.vector for one in found.values()])
    torch.testing.assert_close(vectors @ vectors.t(), torch.eye(D), atol=1e-5, rtol=0)
    assert all(float(one.vector.flatten()[one.vector.abs().argmax()]) > 0 for one in found.values())


def test_sefa_of_some_layers_reads_and_moves_only_those():
    generator = tiny_generator()
    before = factorise(generator, (1, 3), 2)
    with torch.no_grad():
        generator.conv1.conv.modulation.weight.add_(1.0)
        generator.convs[2].conv.modulation.weight.add_(1.0)
    assert torch.equal(factorise(generator, (1, 3), 2)["sefa0"].vector, before["sefa0"].vector)
    with torch.no_grad():
        generator.convs[0].conv.modulation.weight.add_(1.0)
    assert not torch.equal(factorise(generator, (1, 3), 2)["sefa0"].vector, before["sefa0"].vector)
    assert before["sefa1"].rows == (1, 3)


def test_own_format_keeps_everything(tmp_path):
    generator = tiny_generator()
    directions = {
        "smile": Direction(
            "smile",
            30 * unit(6, D),
            0.25,
            "σ",
            (1, 4),
            unit(1, D, seed=3),
            "regression",
            "somewhere",
            generator_fingerprint(generator),
            {"correlation": 0.9},
        ),
        "yaw": Direction("yaw", unit(1, D, seed=4), 2.0, "°"),
    }
    file = tmp_path / "directions.safetensors"
    save_directions(file, directions)
    found = load_directions(file)
    assert list(found) == ["smile", "yaw"]
    for name, one in directions.items():
        again = found[name]
        for key in ("name", "scale", "unit", "rows", "kind", "source", "network"):
            assert getattr(again, key) == getattr(one, key)
        assert dict(again.measured) == dict(one.measured)
        torch.testing.assert_close(again.vector, one.vector, rtol=1e-3, atol=1e-3 * float(one.vector.norm()))
    assert torch.equal(found["smile"].mean, directions["smile"].mean)
    check_network(found, generator, file)
    with pytest.raises(CheckpointError, match="stylegan-swap directions fit"):
        check_network(found, tiny_generator(1), file)


def test_fingerprint_changes_with_a_weight_and_not_with_noise():
    generator = tiny_generator()
    before = generator_fingerprint(generator)
    generator.noises.noise_0.add_(1)
    assert generator_fingerprint(generator) == before
    with torch.no_grad():
        generator.conv1.activate.bias[0] += 1
    assert generator_fingerprint(generator) != before
    assert before.startswith(f"16:6x{D}:")


def test_names_and_emptiness_are_refused(tmp_path):
    with pytest.raises(ImageWriteError, match="no directions"):
        save_directions(tmp_path / "a.safetensors", {})
    with pytest.raises(ImageWriteError, match="letters"):
        save_directions(tmp_path / "a.safetensors", {"a.mean": Direction("a.mean", unit(1, D))})
    assert not list(tmp_path.iterdir())


class Program:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (os.system, (f"touch {self.canary}",))


def hostile(tmp_path: Path, canary: Path) -> dict[str, Path]:
    files = {name: tmp_path / name for name in ("smile.npy", "pca.npz", "age.pt", "pose.pkl")}
    np.save(files["smile.npy"], np.array([Program(canary)], object), allow_pickle=True)
    np.savez(files["pca.npz"], lat_comp=np.array([Program(canary)], object), lat_mean=np.ones(3))
    torch.save({"comp": Program(canary)}, files["age.pt"])
    files["pose.pkl"].write_bytes(pickle.dumps(Program(canary)))
    return files


@pytest.mark.parametrize("name", ["smile.npy", "pca.npz", "age.pt", "pose.pkl"])
def test_programs_are_refused_and_not_run(tmp_path, name):
    canary = tmp_path / "canary"
    with pytest.raises(CheckpointError, match="refused"):
        load_directions(hostile(tmp_path, canary)[name])
    assert not canary.exists()


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999)}"), "damaged"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 8)}", bytes(16)), "damaged"),
        (npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,)}", bytes(16)), "no numbers"),
        (npy("__import__('os')"), "damaged"),
        (b"\x93NUMPY\x09\x00", "damaged"),
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
    ],
)
def test_broken_npy(tmp_path, content, words):
    (tmp_path / "age.npy").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_directions(tmp_path / "age.npy")


def test_broken_npz(tmp_path):
    file = tmp_path / "pca.npz"
    file.write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(CheckpointError, match="damaged"):
        load_directions(file)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        # Two gigabytes announced in a few bytes.
        archive.writestr(
            "lat_comp.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (80, 1, 6710886)}")
        )
    with pytest.raises(CheckpointError, match="damaged"):
        load_directions(file)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"a": torch.ones(2)}},
        torch.ones(2, 3, 4),
        torch.zeros(1, 512),
        {**components(3), "std": torch.ones(4)},
        {**components(3), "std": torch.zeros(3)},
        {"eigvec": torch.ones(3)},
        [1, 2],
    ],
)
def test_other_files_are_named(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        load_directions(tmp_path / "other.pt")


def test_missing_and_foreign_safetensors(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(CheckpointError, match="no such file"):
        load_directions(tmp_path / "none.npy")
    save_file({"wplus": torch.ones(1, 6, D)}, tmp_path / "codes.safetensors")
    with pytest.raises(CheckpointError, match="holds no directions"):
        load_directions(tmp_path / "codes.safetensors")
    meta = {"format": "stylegan_swap.directions", "version": "1", "directions": '{"a": {"rows": null}}'}
    save_file({"a": torch.ones(1, D)}, tmp_path / "bad.safetensors", metadata=meta)
    with pytest.raises(CheckpointError, match="description is damaged"):
        load_directions(tmp_path / "bad.safetensors")
    save_file({"a": torch.ones(1, D)}, tmp_path / "new.safetensors", metadata=meta | {"version": "9"})
    with pytest.raises(CheckpointError, match="newer version"):
        load_directions(tmp_path / "new.safetensors")


def test_fortran_order_is_read_right(tmp_path):
    vector = np.asfortranarray(np.arange(12, dtype=np.float64).reshape(3, 4))
    stream = io.BytesIO()
    np.save(stream, vector)
    (tmp_path / "pose.npy").write_bytes(stream.getvalue())
    assert np.array_equal(load_directions(tmp_path / "pose.npy")["pose"].vector, vector)
