"""The disk is full, in every writer: an error of ours that says so, and nothing but the old files."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from video_clips import panned, write_clip
from writers import GROWING, WRITERS

from stylegan_swap import Swapper, swap_video
from stylegan_swap.batch import Job, run, run_batch
from stylegan_swap.errors import StyleganSwapError, VideoWriteError
from stylegan_swap.video.encoding import Encoding, SegmentEncoder
from stylegan_swap.video.reading import VideoClip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="resource limits")


@contextlib.contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: to a program, a disk that fills up in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer(tmp_path, name):
    write = WRITERS[name]
    for before in ("nothing", "an old file"):
        folder = tmp_path / before
        folder.mkdir()
        if before != "nothing":
            write(folder)
        old = contents(folder)
        with disk_of(100), pytest.raises(StyleganSwapError if name != "recorded_hash" else OSError) as caught:
            write(folder)
        if name != "recorded_hash":
            assert "\n" not in str(caught.value)
            # torch's writer says it in its own words.
            words = ("File too large", "write failed", "unexpected pos")
            assert any(cause in str(caught.value) for cause in words)
        if name not in GROWING:
            assert contents(folder) == old
        write(folder)
        assert contents(folder), "with room again it goes on"


def test_a_table_drops_the_row_that_was_cut(tmp_path):
    from stylegan_swap.batch.journal import Journal
    from stylegan_swap.evaluation.benchmark import read_rows, row_writer
    from stylegan_swap.training.loop.history import History

    journal = Journal(tmp_path)
    journal.write([{"output": "0.png", "error": "a"}])
    with disk_of(300), pytest.raises(StyleganSwapError):
        journal.append({"output": "1.png", "error": "x" * 1000})
    assert list(journal.read()) == ["0.png"]
    table = tmp_path / "pairs.csv"
    row_writer(table, [])({"number": 0, "status": "ok", "seconds": 0.25})
    with disk_of(300), pytest.raises(StyleganSwapError):
        row_writer(table, [])({"number": 1, "reason": "x" * 1000})
    assert [row["number"] for row in read_rows(table, [])] == [0]
    log = History(tmp_path / "history.csv", 0)
    log.append(8, {"loss": 0.125})
    size = log.file.stat().st_size
    with disk_of(size + 6), pytest.raises(StyleganSwapError, match="goes on from its last checkpoint"):
        log.append(16, {"loss": 0.2512345})
    # "16,0.2" has all its cells, but not all its digits.
    assert log.file.read_text().endswith("16,0.2")
    assert History(log.file, 16).file.read_text() == "images,loss\n8,0.125\n"


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", panned(astronaut, 4), sound="aac")


@pytest.fixture(scope="module")
def paste() -> Swapper:
    return Swapper.from_pretrained("paste")


@pytest.mark.parametrize("output", ["out.mp4", "frames"])
def test_a_clip(paste, clip, hopper, tmp_path, output):
    """Whatever is written when the disk is full: a segment, the journal, the file with the sound."""
    sizes = (100, 8_000) if output != "frames" else (100, 4_000)
    for size in sizes:
        with disk_of(size), pytest.raises(StyleganSwapError) as caught:
            swap_video(hopper, clip, tmp_path / output, method=paste, segment=2)
        assert "\n" not in str(caught.value), size
        assert not (tmp_path / output).exists()
        assert {path.name for path in tmp_path.iterdir()} <= {f"{output}.parts"}
    result = swap_video(hopper, clip, tmp_path / output, method=paste, segment=2)
    assert result.frames == 4 and [path.name for path in tmp_path.iterdir()] == [output]


def test_a_segment_that_is_full_at_its_last_byte(clip, tmp_path):
    """What an encoder and FFmpeg hold back reaches the disk on closing."""
    source = VideoClip(clip)
    segment = SegmentEncoder(tmp_path / "a.nut", source, Encoding(), mark=True)
    for frame in source.frames():
        segment.write(frame, None, None)
    with disk_of(10), pytest.raises(VideoWriteError, match=r"a\.nut: cannot be written \(File too large\)"):
        segment.close()
    segment.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_batch(tmp_path, hopper_path, astronaut_path):
    """The table cannot grow: the batch ends with one error, the table is whole, the rest is done later."""
    from stylegan_swap.batch.work import SwapWorker
    from tests.batch.batch_workers import LocalWorker

    jobs = [Job(n, (str(hopper_path),), str(astronaut_path), f"{n}.jpg") for n in range(2)]
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ProcessWorker", LocalWorker)
        patch.setattr(run, "SwapWorker", SwapWorker)
        with disk_of(150), pytest.raises(StyleganSwapError, match=r"results\.csv: cannot be written"):
            run_batch(jobs, out, method="paste", device="cpu")
        assert not list(out.glob("*.jpg")) and not list(out.rglob("*.part*"))
        # Pictures do not fit, rows do: each item has its own error.
        with disk_of(5_000):
            summary = run_batch(jobs, out, method="paste", device="cpu")
        assert len(summary.failed) == 2
        assert all("File too large" in error for error in summary.failed.values())
        assert sorted(path.name for path in out.rglob("*")) == ["results.csv"]
        assert run_batch(jobs, out, method="paste", device="cpu").done == 2


def test_dev_full_is_an_unusable_output():
    """A device is refused before the work: it would be replaced by a file."""
    from stylegan_swap.errors import ImageWriteError
    from stylegan_swap.provenance.photo_file import (
        check_writable,
    )

    with pytest.raises(ImageWriteError):
        check_writable("/dev/full", overwrite=True)
