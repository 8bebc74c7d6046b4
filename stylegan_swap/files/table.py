"""The one reader of lists that users write: jobs of a batch, pairs, manifests, results of a study.

Spreadsheets write what their language asks for: cells parted by commas, semicolons (German, French,
Russian …) or tabs, a byte order mark, UTF-16 for "Unicode text", a first line ``sep=;``, 0,5 for one half.
All of them are read. Tables that the library itself appends to are read where they are written.
"""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from stylegan_swap.errors import StyleganSwapError

#: What may part two cells; the first of them where a header holds none.
SEPARATORS = (",", ";", "\t")
#: The largest file that is read.
LARGEST_BYTES = 64 << 20
#: The most cells that are read, rows times columns: CelebA's 200,000 rows of 41 columns pass.
MOST_CELLS = 10_000_000

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Table:
    """A list that was read.

    Attributes:
        columns: names of the header, without the spaces around them; unnamed ones are left out.
        rows: column → cell, as it was written; a cell that is not there is empty. Blank rows are left out.
        lines: line of the file on which each row ends, from 1.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]


def read_table(file: Path, kind: type[StyleganSwapError], columns: tuple[str, ...] = ()) -> Table:
    """Read a list: CSV with commas, semicolons or tabs, in UTF-8, or in UTF-16 with a byte order mark.

    Args:
        file: the list; its first row names the columns.
        kind: the error to raise.
        columns: names the header should hold. They decide which separator it has; what is to be done where
            one is missing is the caller's question, so the rows are then read as far as they go.

    Raises:
        StyleganSwapError: of that kind: missing, unreadable, too large, another encoding, a column that comes
            twice, or a row with more cells than the header; the message names file and line.
    """
    text = _text(file, kind)
    separator, text, skipped = _separator(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: list[dict[str, str]] = []
    lines: list[int] = []
    try:
        # The header is the first row that is not blank.
        header = [name.strip() for name in next((cells for cells in reader if any(cells)), [])]
        names = tuple(name for name in header if name)
        if repeated := [name for name in names if names.count(name) > 1]:
            raise kind(f"{file}: the column {repeated[0]!r} comes twice; give each column its own name")
        complete = set(columns) <= set(names)

        # A spreadsheet writes blank rows and columns beside what was filled in.
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num + skipped
            gap = len(header) - len(cells)
            pairs = list(zip([*header, *[""] * -gap], [*cells, *[""] * gap], strict=True))
            if complete and any(cell.strip() and not name for name, cell in pairs):
                raise kind(
                    f"{file}, line {line}: has more cells than the header; "
                    f"put quotes round a cell with {separator!r} in it"
                )
            if (len(rows) + 1) * len(names) > MOST_CELLS:
                raise kind(f"{file}: holds more than {MOST_CELLS:,} cells; split the list")
            rows.append({name: cell for name, cell in pairs if name})
            lines.append(line)
    except csv.Error as error:
        raise kind(
            f"{file}: the list cannot be read (line {reader.line_num + skipped}: {error}); "
            "save it again as CSV in UTF-8"
        ) from error
    return Table(names, tuple(rows), tuple(lines))


def decimal(text: str) -> float:
    """A number with a decimal point or a decimal comma: 0.5 and 0,5 are one half.

    Raises:
        ValueError: it is no number, or has both.
    """
    try:
        return float(text.replace(",", ".")) if text.count(",") == 1 and "." not in text else float(text)
    except ValueError:
        raise ValueError("write a number such as 0.5") from None


def _text(file: Path, kind: type[StyleganSwapError]) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        # ValueError: a path with a zero in it.
        reason = getattr(error, "strerror", None) or error
        raise kind(f"{file}: the list cannot be read ({reason}); check the path") from error
    if len(data) > LARGEST_BYTES:
        raise kind(f"{file}: is larger than {LARGEST_BYTES >> 20} MiB; split the list")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise kind(
            f"{file}: the list cannot be read (line {line} is not in UTF-8); save it as CSV UTF-8"
        ) from error


def _separator(text: str, columns: tuple[str, ...]) -> tuple[str, str, int]:
    """What parts the cells, the text without a line ``sep=…``, and how many lines that took away."""
    first, _, rest = text.partition("\n")
    first = first.strip("\r").strip('"')
    if first.lower().startswith("sep=") and first[4:] in SEPARATORS:
        return first[4:], rest, 1

    def names_in(separator: str) -> tuple[int, int]:
        reader = csv.reader(io.StringIO(text.lstrip("\r\n"), newline=""), delimiter=separator)
        try:
            header = [name.strip() for name in next(reader, [])]
        except csv.Error:
            return 0, 0
        return len(set(columns) & set(header)), len(header)

    # The first of equals.
    return max(SEPARATORS, key=names_in), text, 0
