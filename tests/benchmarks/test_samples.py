"""The sheet of samples: made of the network's own faces, the same every time."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.append(BENCHMARKS)

import samples  # noqa: E402

from stylegan_swap import Swapper  # noqa: E402


def test_rows_of_the_sheet(tiny_checkpoint):
    swapper = Swapper.from_pretrained(tiny_checkpoint, device="cpu")
    rows = samples.sample_rows(swapper, seed=3)
    assert [label for label, _ in rows] == ["generated", "generated", "identity", "attribute", "result"]
    assert {len(row) for _, row in rows} == {8}
    drawn = [np.asarray(image) for image in swapper.generate(n=16, seed=3)]
    assert np.array_equal(drawn, rows[0][1] + rows[1][1])
    for attribute, result in zip(rows[3][1], rows[4][1], strict=True):
        # The corner is beyond the reach of any mask, the middle is not.
        assert np.array_equal(attribute[:4, :4], result[:4, :4])
        assert not np.array_equal(attribute[24:40, 24:40], result[24:40, 24:40])


def test_the_command_writes_one_marked_sheet_beside_the_weights(tiny_checkpoint, tmp_path, capsys):
    for file in tiny_checkpoint.iterdir():
        (tmp_path / file.name).symlink_to(file)
    samples.main([str(tmp_path)])
    sheet = tmp_path / "samples.png"
    assert capsys.readouterr().out == f"{sheet}\n"
    with Image.open(sheet) as image:
        assert image.size == (72 + 8 * 128, 5 * 128 + 12)
    first = sheet.read_bytes()
    assert b"trainedAlgorithmicMedia" in first
    samples.main([str(tmp_path), "--out", str(tmp_path / "again.png")])
    assert (tmp_path / "again.png").read_bytes() == first
