"""``results.csv``: one row per item, on the disk before the item's picture gets its name.

A row that is written before the picture appears can be checked against it by its hash; a picture without
such a row is not this batch's, and is never replaced unasked. Between two runs there is one row per item.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from stylegan_swap.batch.jobs import RESULTS
from stylegan_swap.errors import BatchError
from stylegan_swap.files.atomic import replacing

# output … error: what a user reads; sha256 of the picture and digest of all it was made from: for resuming.
COLUMNS = (
    *("output", "identity", "attribute", "status", "faces", "distance", "seconds", "attempts"),
    *("worker", "error", "notes", "sha256", "digest"),
)
Row: TypeAlias = dict[str, Any]


class Journal:
    """The table of one folder, kept by the one process that conducts the batch."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS

    def read(self) -> dict[str, list[Row]]:
        """Output → its rows, oldest first; a last row that a kill cut off does not count.

        Raises:
            BatchError: the file is no table of this library.
        """
        try:
            text = self.path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BatchError(
                f"{self.path}: cannot be read ({error.strerror}); check its permissions"
            ) from error
        # Every row ends with a line break, so what follows the last one is a fragment.
        complete_rows = text[: text.rfind("\n") + 1]
        try:
            reader = csv.DictReader(io.StringIO(complete_rows, newline=""))
            if complete_rows and tuple(reader.fieldnames or ()) != COLUMNS:
                raise BatchError(
                    f"{self.path}: is no table of stylegan-swap batch; choose another output folder"
                )
            rows: dict[str, list[Row]] = {}
            for row in reader:
                if None not in row and None not in row.values():
                    rows.setdefault(row["output"], []).append(row)
        except csv.Error as error:
            raise BatchError(f"{self.path}: is damaged ({error}); choose another output folder") from error
        return rows

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the whole table.

        Raises:
            BatchError: the disk is full or the folder cannot be written to.
        """
        try:
            with replacing(self.path) as temporary:
                temporary.write_bytes(_lines(rows, header=True).encode())
        except OSError as error:
            raise BatchError(f"{self.path}: cannot be written ({error.strerror})") from error

    def append(self, row: Row) -> None:
        """Add one row and wait until the disk has it.

        Raises:
            BatchError: as in ``write``.
        """
        try:
            with self.path.open("ab") as stream:
                stream.write(_lines([row]).encode())
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise BatchError(f"{self.path}: cannot be written ({error.strerror})") from error


def _lines(rows: Iterable[Mapping[str, Any]], header: bool = False) -> str:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        # One line per row, whatever a message holds: what a kill cuts off is then the last line.
        writer.writerow({name: " ".join(str(value).splitlines()) for name, value in row.items()})
    return stream.getvalue()
