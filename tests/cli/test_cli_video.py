"""``stylegan-swap video`` as a user meets it: results, one-line errors, exit codes."""

from __future__ import annotations

import shutil
import sys
import warnings
from pathlib import Path

import pytest
from video_clips import frame_times, packets, panned, write_clip

from stylegan_swap.cli import main as cli
from stylegan_swap.cli import options
from stylegan_swap.cli import video as cli_video


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", panned(astronaut, 4), sound="aac")


@pytest.fixture
def folder(tmp_path, monkeypatch, clip, hopper_path) -> Path:
    shutil.copy(clip, tmp_path / "clip.mp4")
    shutil.copy(hopper_path, tmp_path / "h.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capfd):
    """Runs the command; returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["stylegan-swap", "video", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        output = capfd.readouterr()
        assert "Traceback" not in output.err
        return exit_info.value.code, output.out, output.err

    return run


def test_a_clip_is_swapped(command, folder):
    code, out, _ = command("h.png", "clip.mp4", "-o", "out.mp4", "--method", "paste", "--preview", "look.jpg")
    assert code == 0, out
    assert "4 of 4 frames swapped, 0 without a face" in out and out.strip().endswith("out.mp4")
    assert packets(folder / "out.mp4", "audio") == packets(folder / "clip.mp4", "audio")
    assert (folder / "look.jpg").is_file()
    code, out, _ = command(
        *("-s", "h.png", "-t", "clip.mp4", "-o", "two.mp4", "--method", "paste"),
        *("--start", "0:00.04", "--end", "0:00:00.12"),
    )
    assert code == 0 and len(frame_times(folder / "two.mp4")) == 2


ERRORS = [
    (("h.png", "missing.mp4"), "missing.mp4: no such file"),
    (("missing.png", "clip.mp4"), "missing.png: no such file"),
    (("h.png", "https://example.org/clip.mp4"), "is an address"),
    (("h.png", "h.png"), "h.png: no video that can be read"),
    (("h.png", "list.m3u8"), "list.m3u8: no video that can be read"),
    (("h.png", "clip.mp4", "-o", "clip.mp4", "--overwrite"), "clip.mp4: is one of the inputs"),
    (("h.png", "clip.mp4", "-o", "out.gif"), "names no known format"),
    (("h.png", "clip.mp4", "--face", "nobody.png"), "nobody.png"),
    (("h.png", "clip.mp4", "--codec", "divx"), "unknown video codec"),
]


def test_errors_are_one_line(command, folder):
    (folder / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n"
    )
    before = sorted(child.name for child in folder.iterdir())
    for arguments, text in ERRORS:
        code, out, err = command(*arguments, "--method", "paste")
        assert code == 1 and out == ""
        assert len(err.splitlines()) == 1 and err.startswith("error: ") and text in err
        assert sorted(child.name for child in folder.iterdir()) == before


def test_wrong_usage(command):
    for arguments in (
        ("h.png",),
        (),
        ("h.png", "clip.mp4", "--start", "soon"),
        ("h.png", "clip.mp4", "-s", "h.png"),
    ):
        code, _, err = command(*arguments)
        assert code == 2 and err


def test_ctrl_c_keeps_the_work(command, folder, monkeypatch):
    def interrupt(self, done, total):
        if done == 3:
            raise KeyboardInterrupt

    whole = ("h.png", "clip.mp4", "-o", "out.mp4", "--method", "paste", "--segment", "2")
    with monkeypatch.context() as patch:
        patch.setattr(options.ProgressBar, "__call__", interrupt)
        code, _, err = command(*whole)
    assert code == 130 and "out.mp4.parts: the same command goes on" in err and "interrupted" in err
    assert not (folder / "out.mp4").exists()
    code, out, err = command(*whole)
    assert code == 0 and "2 frames were done by an earlier run" in err and "4 of 4 frames" in out


def test_times(command):
    assert cli_video._seconds("75.5", "--end") == 75.5
    assert cli_video._seconds("1:15", "--end") == 75
    assert cli_video._seconds("1:00:15.5", "--end") == 3615.5
