"""Lists as spreadsheets of every language write them, and the ones that are refused."""

from __future__ import annotations

import pytest

from stylegan_swap.errors import ImageReadError
from stylegan_swap.files import table
from stylegan_swap.files.table import decimal, read_table

COLUMNS = ("file", "person")


@pytest.fixture
def read(tmp_path):
    def read(data: str | bytes, columns=COLUMNS):
        file = tmp_path / "list.csv"
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_table(file, ImageReadError, columns)

    return read


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_one_content_in_every_dress(read, separator, encoding, ending):
    rows = [["file", " person ", ""], ['"a,b;c.png"', '"Zoë ""Z"""', ""], ["", "", ""], ["d.png"], ["e", "f"]]
    content = read(ending.join(separator.join(row) for row in rows).encode(encoding))
    assert content.columns == COLUMNS
    assert content.rows == (
        {"file": "a,b;c.png", "person": 'Zoë "Z"'},
        {"file": "d.png", "person": ""},
        {"file": "e", "person": "f"},
    )
    assert content.lines == (2, 4, 5)


def test_the_columns_decide_and_sep_says_it(read):
    # Three commas against one semicolon, and a list of one column only.
    assert read("file;person, born, in, year\na;b, 1\n", ("file",)).rows[0]["file"] == "a"
    assert read("file\na b.png\n", ("file",)).columns == ("file",)
    content = read("sep=;\r\nfile;person\r\na;b\r\n")
    assert content.rows == ({"file": "a", "person": "b"},) and content.lines == (3,)


def test_nothing_is_nothing(read):
    for empty in ("", "\n\n", ";;\n"):
        assert read(empty) == table.Table((), (), ())
    assert read("file,person\n").columns == COLUMNS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("file;person\na;b\n\nc;d;e\n", "line 4: has more cells than the header.*';'"),
        ("sep=;\nfile;person\nc;d;e\n", "line 3: has more cells"),
        ("file,person,\na,b,c\n", "line 2: has more cells"),
        ("file,person,file\na,b,c\n", "the column 'file' comes twice"),
        ("file,person\na,b\nJosé,c\n".encode("latin-1"), "line 3 is not in UTF-8"),
        ("file,person\n" + "x" * 200_000 + ",b\n", "line 2: field larger than field limit"),
    ],
)
def test_what_is_refused_is_told(read, data, message):
    with pytest.raises(ImageReadError, match=rf"list\.csv.*{message}") as error:
        read(data)
    assert "\n" not in str(error.value)


def test_too_large(read, monkeypatch):
    monkeypatch.setattr(table, "MOST_CELLS", 5)
    assert len(read("file,person\na,b\nc,d\n").rows) == 2
    with pytest.raises(ImageReadError, match="more than 5 cells"):
        read("file,person\na,b\nc,d\ne,f\n")
    monkeypatch.setattr(table, "LARGEST_BYTES", 1 << 20)
    with pytest.raises(ImageReadError, match="larger than 1 MiB"):
        read(b"x" * ((1 << 20) + 1))


def test_no_list(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ImageReadError, match="the list cannot be read"):
            read_table(path, ImageReadError)


def test_decimals():
    assert [decimal(text) for text in ("0.5", "0,5", " 3 ", "-1,25")] == [0.5, 0.5, 3, -1.25]
    for text in ("1.234,5", "1,234,5", "much", ""):
        with pytest.raises(ValueError, match="write a number"):
            decimal(text)
