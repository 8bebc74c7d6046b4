"""People in files: swaps with a loaded person are those with the saved one, to the bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stylegan_swap import Swapper
from stylegan_swap.errors import CheckpointError, UnsupportedOptionError


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint) -> Swapper:
    return Swapper.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.mark.parametrize("name", ["tiny", "warp"])
def test_a_round_trip_swaps_to_the_bit(tiny, tmp_path, hopper, astronaut, name):
    swapper = tiny if name == "tiny" else Swapper.from_pretrained(name, device="cpu")
    person = swapper.prepare([hopper, hopper[:, ::-1]])
    person.save(tmp_path / "person.safetensors")
    loaded = swapper.load_person(tmp_path / "person.safetensors")
    assert (loaded.names, loaded.notes, loaded.method) == (person.names, person.notes, person.method)
    before, after = swapper(person, astronaut), swapper(loaded, astronaut)
    assert np.array_equal(before.image, after.image)
    assert torch.equal(before.faces[0].aligned, after.faces[0].aligned)
    assert before.faces[0].distance == after.faces[0].distance
    assert [path.name for path in tmp_path.iterdir()] == ["person.safetensors"]


def test_other_methods_and_other_files_are_refused(tiny, tmp_path, hopper):
    path = tmp_path / "person.safetensors"
    Swapper.from_pretrained("warp", device="cpu").prepare(hopper).save(path)
    with pytest.raises(CheckpointError, match=r"person\.safetensors: .*warp.*prepare"):
        tiny.load_person(path)
    with pytest.raises(CheckpointError, match="missing"):
        tiny.load_person(tmp_path / "missing.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="no person"):
        tiny.load_person(tmp_path / "weights.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="person"):
        tiny.load_person(path)


@dataclass
class Effectful:
    """A dataclass of another package, that does something when it is built."""

    built: ClassVar[list[int]] = []

    def __post_init__(self) -> None:
        self.built.append(1)


FOREIGN = ["os:system", "subprocess:Popen", "pathlib:Path", "nowhere:Nothing", f"{__name__}:Effectful"]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_chooses_no_code(tiny, tmp_path, name):
    path, (module, kind) = tmp_path / "person.safetensors", name.split(":")
    nest = f'{{"class": ["{module}", "{kind}"], "parts": {{}}}}'
    about = {"format": "stylegan_swap person 1", "method": tiny.method.fingerprint, "nest": nest}
    save_file({"0": torch.zeros(1)}, path, about)
    with pytest.raises(CheckpointError, match="no readable person"):
        tiny.load_person(path)
    assert not Effectful.built


def test_what_cannot_be_stored_is_refused(tiny, tmp_path, hopper):
    person = tiny.prepare(hopper)
    with pytest.raises(CheckpointError, match="safetensors"):
        person.save(tmp_path / "person.pkl")
    with pytest.raises(UnsupportedOptionError, match="refine"):
        tiny.prepare(hopper, refine=1).save(tmp_path / "refined.safetensors")
    with pytest.raises(CheckpointError, match="cannot be written"):
        person.save(tmp_path / "missing" / "person.safetensors")
    person.save(tmp_path / "person.safetensors")
    with pytest.raises(CheckpointError, match="exists"):
        person.save(tmp_path / "person.safetensors")
    person.save(tmp_path / "person.safetensors", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["person.safetensors"]
