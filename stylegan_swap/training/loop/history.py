"""The log of a run: means over steps, and the table they are written to.

``stage`` adds its scalars, ``callbacks`` writes a row. Both survive a kill: the sums are part of the
checkpoint, and rows later than the checkpoint are dropped when the run goes on.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist
from torch import Tensor

from stylegan_swap.errors import TrainingError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.training.loop.gradients import several_processes

IMAGES = "images"


class Averages:
    """Means of scalars since the last row; each over the steps that had it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: Mapping[str, Tensor | float]) -> None:
        """Add the scalars of a step; tensors stay on their device, so nothing waits for them."""
        for name, value in scalars.items():
            value = torch.as_tensor(value).detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means over all processes, and start anew; every process must call it."""
        sums = {name: float(value) for name, value in self._sums.items()}
        parts: list[Any] = [(sums, self._counts)]
        if several_processes():
            parts = [None] * dist.get_world_size()
            dist.all_gather_object(parts, (sums, self._counts))
        self._sums, self._counts = {}, {}
        names = list(dict.fromkeys(name for part, _ in parts for name in part))
        return {
            name: sum(part.get(name, 0.0) for part, _ in parts)
            / sum(counts.get(name, 0) for _, counts in parts)
            for name in names
        }

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sums": {name: value.cpu() for name, value in self._sums.items()}, "counts": self._counts}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """From a checkpoint."""
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._counts = dict(state["counts"])


class History:
    """The table ``history.csv``: one row per ``run.log_every`` steps, the first column the images seen.

    A column that turns up later is added to the whole table. Lightning's CSVLogger deletes the table of the
    run that goes on.

    Args:
        file: the table; what is there is continued.
        images: the run stands here; later rows are dropped.

    Raises:
        TrainingError: the disk is full, or another file lies there.
    """

    def __init__(self, file: Path, images: int) -> None:
        self.file = file
        self._rows = [row for row in _whole_rows(file) if int(row[IMAGES]) <= images] if images else []
        self._columns = list(self._rows[-1]) if self._rows else [IMAGES]
        self._write()

    def append(self, images: int, values: Mapping[str, float]) -> None:
        """Write one row at once.

        Raises:
            TrainingError: the disk is full.
        """
        row = {IMAGES: str(images), **{name: repr(float(value)) for name, value in values.items()}}
        self._rows.append(row)
        if new := [name for name in row if name not in self._columns]:
            self._columns += new
            self._write()
            return
        try:
            with self.file.open("a", newline="", encoding="utf-8") as stream:
                self._writer(stream).writerow(row)
        except OSError as error:
            raise self._failed(error) from error

    def _write(self) -> None:
        try:
            with (
                replacing(self.file) as temporary,
                temporary.open("w", newline="", encoding="utf-8") as stream,
            ):
                self._writer(stream).writeheader()
                self._writer(stream).writerows(self._rows)
        except OSError as error:
            raise self._failed(error) from error

    def _writer(self, stream: TextIO) -> csv.DictWriter[str]:
        return csv.DictWriter(stream, self._columns, restval="", lineterminator="\n")

    def _failed(self, error: OSError) -> TrainingError:
        return TrainingError(
            f"{self.file}: cannot be written ({error.strerror}); free some space, the run goes on from its "
            "last checkpoint"
        )


def _whole_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a table, if there is one; a last row that a kill cut off is left out.

    Raises:
        TrainingError: the file cannot be read, or is no such table.
    """
    if not file.is_file():
        return []
    try:
        text = file.read_bytes().decode("utf-8")
        # Every row ends with a line break: without it even a row of full length may lack digits.
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        rows = [row for row in reader if None not in row and None not in row.values()]
        if any(not row.get(IMAGES, "").isdecimal() for row in rows):
            raise ValueError(f"a row without {IMAGES}")
    except (OSError, ValueError, csv.Error) as error:
        raise TrainingError(f"{file}: is no history of a run ({error}); move it away") from error
    return rows
