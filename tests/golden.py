"""Golden cases: recorded outputs of official code on weights anyone can rebuild from names.

Every parity test of every package goes through `case(name)`. The folder is found only
through the environment variable STYLEGAN_SWAP_GOLDEN; without it the test is skipped.
Seed, `unit` and `keep` are read from each case's JSON, so a folder recorded with another
seed works without a change here.

    @golden.mark
    def test_generator():
        known = golden.case("rosinality_generator_64")
        generator = known.fill(Generator(**known.config))
        known.check("img", generator(known.input("z")))
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ENVIRONMENT = "STYLEGAN_SWAP_GOLDEN"

mark = pytest.mark.golden
"""Put on every test that uses a golden case."""

M = TypeVar("M", bound=nn.Module)

_uses: set[str] = set()


def take_uses() -> list[str]:
    """What was handed out since the last call: "case" for one opened, "case/output" for a recorded output."""
    uses = sorted(_uses)
    _uses.clear()
    return uses


def golden_array(name: str, shape: Sequence[int], seed: int = 0, unit: Sequence[str] = ()) -> np.ndarray:
    """The float32 array that belongs to the parameter or input `name`.

    The stream is PCG64 seeded with the CRC-32 of "seed:name", standard normal. Inputs
    ("input:...") stay so. Vectors become 0.1·x, plus one for scales; running variances
    1 + 0.1·|x|; weights are divided by sqrt(fan_in) unless a pattern in `unit` matches.
    """
    size = tuple(int(length) for length in shape)
    stream = np.random.Generator(np.random.PCG64(zlib.crc32(f"{seed}:{name}".encode())))
    values = np.asarray(stream.standard_normal(size, dtype=np.float32), dtype=np.float32)
    if name.startswith("input:"):
        return values
    leaf = name.split(".")[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(size, dtype=np.float32)
    if leaf == "running_var":
        return (1 + 0.1 * np.abs(values)).astype(np.float32)
    if len(size) < 2:
        offset = 1.0 if leaf in {"weight", "gamma"} else 0.0
        return np.asarray(offset + 0.1 * values, dtype=np.float32)
    if any(re.search(pattern, name) for pattern in unit):
        return values
    return (values / np.sqrt(int(np.prod(size[1:])))).astype(np.float32)


@dataclass(frozen=True)
class GoldenCase:
    """One recorded case: what went in (rebuilt from names) and what must come out."""

    name: str
    manifest: dict[str, Any]
    outputs: dict[str, Tensor]

    @property
    def config(self) -> dict[str, Any]:
        """The `config` entry of the JSON."""
        return self.manifest["config"]

    @property
    def seed(self) -> int:
        """The seed this folder was recorded with."""
        return int(self.manifest["seed"])

    @property
    def unit(self) -> list[str]:
        """Patterns of the names whose weights keep unit variance."""
        return list(self.manifest.get("unit") or [])

    @property
    def keep(self) -> list[str]:
        """Patterns of the names that stay as the module builds them."""
        return list(self.manifest.get("keep") or [])

    def is_kept(self, name: str) -> bool:
        """Whether the entry `name` stays as the module builds it."""
        return any(re.search(pattern, name) for pattern in self.keep)

    def array(self, name: str, shape: Sequence[int], unit: Sequence[str] | None = None) -> Tensor:
        """The tensor for any full name ("input:x", "conv.weight") under this case's seed."""
        return torch.from_numpy(golden_array(name, shape, self.seed, self.unit if unit is None else unit))

    def input(self, name: str, shape: Sequence[int] | None = None) -> Tensor:
        """Input `name` before any `input_transform` that the JSON describes in words."""
        if shape is None:
            shape = self.manifest["inputs"][name]
            if isinstance(shape, Mapping):
                shape = shape["shape"]
        assert shape is not None
        return self.array(f"input:{name}", shape)

    def state(
        self, part: str | None = None, shapes: Mapping[str, Sequence[int]] | None = None
    ) -> dict[str, Tensor]:
        """The official state by official names, without the entries that `keep` leaves alone.

        `part` picks one of several modules in the case; `shapes` stands in where the JSON
        only names another case in words.
        """
        table = shapes if shapes is not None else self.manifest["state"]
        if part is not None:
            table = table[part]
        if not isinstance(table, Mapping):
            raise TypeError(f"{self.name}: the JSON describes its state in words ({table!r}); pass shapes=")
        return {name: self.array(name, shape) for name, shape in table.items() if not self.is_kept(name)}

    def fill(self, module: M, strict: bool = True) -> M:
        """Overwrite the state of `module`, which uses the official names, in place and return it.

        With `strict` the names and shapes must be exactly those of the JSON (where it lists them).
        """
        own = module.state_dict()
        table = self.manifest.get("state")
        if strict and isinstance(table, Mapping) and not any(isinstance(v, Mapping) for v in table.values()):
            assert {k: list(v.shape) for k, v in own.items()} == {k: list(v) for k, v in table.items()}
        for name, value in own.items():
            if not self.is_kept(name):
                own[name] = self.array(name, value.shape).to(value.dtype)
        module.load_state_dict(own)
        return module

    def expected(self, name: str) -> Tensor:
        """The recorded output `name`, float32."""
        _uses.add(f"{self.name}/{name}")
        return self.outputs[name]

    def check(self, name: str, tensor: Tensor, tol: float = 1e-4) -> None:
        """Assert max|difference| ≤ tol · max|recorded output|, shapes and finiteness included."""
        want = self.expected(name).double()
        have = tensor.detach().cpu().double()
        assert have.shape == want.shape, (
            f"{self.name}/{name}: shape {list(have.shape)} for {list(want.shape)}"
        )
        assert torch.isfinite(have).all(), f"{self.name}/{name}: not finite"
        difference = float((have - want).abs().max())
        allowed = tol * float(want.abs().max())
        assert difference <= allowed, (
            f"{self.name}/{name}: differs by {difference:.3e}, allowed {allowed:.3e}"
        )


def case(name: str) -> GoldenCase:
    """Load case `name`, or skip the running test where no golden folder is set."""
    folder = os.environ.get(ENVIRONMENT)
    if not folder:
        pytest.skip(f"{ENVIRONMENT} is not set: no recorded outputs to compare with")
    manifest_path = Path(folder) / f"{name}.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    tensors_path = manifest_path.with_suffix(".safetensors")
    outputs = load_file(tensors_path) if tensors_path.exists() else {}
    _uses.add(name)
    return GoldenCase(name, manifest, outputs)
