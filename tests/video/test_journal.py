"""The work folder: taken up exactly, never mixed up, never shared."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from stylegan_swap.errors import VideoWriteError
from stylegan_swap.video.journal import open_journal, work_folder

RUN = {"clip": {"bytes": 7}, "crf": 18}


def half_done(output):
    """One finished segment in the journal, one begun beside it."""
    with open_journal(output, RUN) as journal:
        journal.path_of(0, ".nut").write_bytes(b"1234")
        journal.path_of(1, ".nut").write_bytes(b"un")
        done = journal.progress
        done.segments.append(("segment-000000.nut", 4))
        done.frames, done.first_pts, done.last_pts, done.state = 10, 0, 4608, {"a": [0.1, None]}
        journal.commit()


def test_work_is_taken_up(tmp_path):
    output = tmp_path / "out.mp4"
    half_done(output)
    with open_journal(output, RUN) as journal:
        done = journal.progress
        assert (done.frames, done.last_pts, done.state) == (10, 4608, {"a": [0.1, None]})
        assert journal.paths() == [work_folder(output) / "segment-000000.nut"]
        journal.remove()
    assert not work_folder(output).exists()
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_refused_and_told(tmp_path):
    half_done(tmp_path / "out.mp4")
    with (
        pytest.raises(VideoWriteError, match=r"different: crf.*--fresh"),
        open_journal(tmp_path / "out.mp4", RUN | {"crf": 20}),
    ):
        pass
    with open_journal(tmp_path / "out.mp4", RUN | {"crf": 20}, fresh=True) as journal:
        assert journal.progress.frames == 0 and not journal.path_of(0, ".nut").exists()


def test_damage_is_told(tmp_path):
    output = tmp_path / "out.mp4"
    half_done(output)
    (work_folder(output) / "segment-000000.nut").write_bytes(b"12")
    with (
        pytest.raises(VideoWriteError, match=r"segment-000000\.nut: is missing or damaged"),
        open_journal(output, RUN),
    ):
        pass
    (work_folder(output) / "journal.json").write_text(json.dumps({"version": 1})[:-1])
    with (
        pytest.raises(VideoWriteError, match=r"journal.json: is damaged.*--fresh"),
        open_journal(output, RUN),
    ):
        pass


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    folder = work_folder(tmp_path / "out.mp4")
    folder.mkdir()
    (folder / "thesis.txt").write_text("important")
    with pytest.raises(VideoWriteError, match="holds other files"), open_journal(tmp_path / "out.mp4", RUN):
        pass
    assert (folder / "thesis.txt").read_text() == "important"


def test_two_processes_do_not_work_on_one_output(tmp_path):
    output = tmp_path / "out.mp4"
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from stylegan_swap.video.journal import open_journal\n"
        f"with open_journal(Path({str(output)!r}), {RUN!r}):\n"
        "    print('in', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"in\n"
        with pytest.raises(VideoWriteError, match="another process is writing it"), open_journal(output, RUN):
            pass
    finally:
        child.communicate(b"")
    with open_journal(output, RUN):
        pass
