"""Everything that writes a file, as small as it can be: used by the tests of full disks and of kills.

Each takes the folder to write into and leaves exactly one new result; ``RESULTS`` says which file that is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylegan_swap.provenance.photo_file import (
    write_photo,
)


@functools.cache
def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (96, 96, 3)).astype(np.uint8)


@functools.cache
def _numbers(count: int = 20_000) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def picture(folder: Path, suffix: str = ".png") -> None:
    write_photo(folder / f"out{suffix}", _noise(), overwrite=True)


def codes(folder: Path) -> None:
    from inversion import Latents
    from stylegan_swap.editing.codes import save_codes

    save_codes(folder / "out.safetensors", Latents(_numbers().view(1, 10, 2000)))


def directions(folder: Path) -> None:
    from stylegan_swap.editing.direction import Direction
    from stylegan_swap.editing.direction_file import save_directions

    one = Direction("smile", _numbers()[None], 1.0, "", None, None, "linear", "", "", {})
    save_directions(folder / "out.safetensors", {"smile": one})


def weights(folder: Path) -> None:
    from stylegan_swap.weights.store import save_weights

    save_weights(folder, {"a": _numbers()}, {"size": 64}, dtype="float32")


def foreign_weights(folder: Path) -> None:
    """What ``convert --to`` writes, without the network that it takes."""
    from stylegan_swap.methods.base.published_files import write_foreign

    entry = type("Entry", (), {"back_files": None, "back": staticmethod(lambda _: {"g_ema": _numbers()})})
    keep = write_foreign.writable_format, write_foreign.load_converted
    write_foreign.writable_format = lambda _: entry  # type: ignore[assignment,return-value]
    write_foreign.load_converted = lambda _: None  # type: ignore[assignment,return-value]
    try:
        write_foreign.write_foreign(folder, folder / "out.pt", "any")
    finally:
        write_foreign.writable_format, write_foreign.load_converted = keep


def identity(folder: Path) -> None:
    from stylegan_swap.nn.recognisers.dlib_resnet import save_identity

    network: Any = _Stage(100, 200)
    save_identity(network, folder / "out.safetensors")


class _Stage(torch.nn.Linear):
    """As much of a training stage as a checkpoint asks for; the same numbers every time."""

    def reset_parameters(self) -> None:
        self.weight.data = _numbers().view(200, 100)
        self.bias.data = _numbers()[:200].clone()

    images_seen, steps_done, optimisers = 20, 2, {}

    class averages:
        state_dict = staticmethod(dict)

    def portable_modules(self) -> dict[str, torch.nn.Module]:
        return {"discriminator": self}


def checkpoint(folder: Path) -> None:
    from stylegan_swap.training.loop.checkpoint import save_checkpoint

    stage: Any = _Stage(100, 200)
    save_checkpoint(stage, folder / "out.ckpt", {"stage": "swap"})


def portable(folder: Path) -> None:
    from stylegan_swap.training.loop.portable import portable_save

    stage: Any = _Stage(100, 200)
    portable_save(stage, folder / "out.safetensors", "swap")


def pack(folder: Path) -> None:
    from stylegan_swap.training.data.crops import FaceCrop
    from stylegan_swap.training.data.pack import write_pack

    points = np.zeros((68, 2), np.float32)
    one = FaceCrop("a", "a", "", "", 96.0, False, 96, points, _noise().tobytes())
    write_pack([one], folder / "out.faces")


def history(folder: Path) -> None:
    from stylegan_swap.training.loop.history import History

    table = History(folder / "history.csv", 0)
    table.append(8, {f"column {number}": 0.1 * number for number in range(1000)})


def batch_table(folder: Path) -> None:
    from stylegan_swap.batch.journal import Journal

    Journal(folder).write({"output": f"{number}.png", "error": "x" * 30} for number in range(600))


def batch_row(folder: Path) -> None:
    from stylegan_swap.batch.journal import Journal

    Journal(folder).append({"output": "0.png", "error": "x" * 30_000})


def evaluation_row(folder: Path) -> None:
    from stylegan_swap.evaluation.benchmark import row_writer

    row_writer(folder / "pairs.csv", [])({"number": 1, "reason": "x" * 30_000})


def video_journal(folder: Path) -> None:
    from stylegan_swap.video.journal import Journal, Progress

    Journal(folder, {"clip": "x" * 30_000}, Progress()).commit()


def study(folder: Path) -> None:
    from stylegan_swap.evaluation.study.manifest import Study, save_study

    save_study(folder, Study("2afc", 0, "x" * 30_000, "", (), False, (), 1, 0, 0, (), ()))


def recorded_hash(folder: Path) -> None:
    from stylegan_swap.weights import cache

    entry: Any = type("Entry", (), {"name": "some", "file": "f" * 200 + ".pt"})
    place = cache.cache_folder
    cache.cache_folder = lambda: folder  # type: ignore[assignment]
    try:
        cache.record_sha256(entry, "0" * 64)
    finally:
        cache.cache_folder = place


WRITERS: dict[str, Callable[[Path], None]] = {
    **{
        f"picture{suffix}": functools.partial(picture, suffix=suffix)
        for suffix in (".png", ".jpg", ".webp", ".tif")
    },
    **{
        function.__name__: function
        for function in (
            *(codes, directions, weights, foreign_weights, identity, checkpoint, portable, pack, history),
            *(batch_table, batch_row, evaluation_row, video_journal, study, recorded_hash),
        )
    },
}
# These grow a table by a row: what was there stays, a row that was cut off is dropped when it is read.
GROWING = {"history", "batch_row", "evaluation_row"}
