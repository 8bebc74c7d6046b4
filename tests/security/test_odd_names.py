"""Names of files in any script and of any length, everywhere: they work, or one line says what is wrong."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from video_clips import decoded, panned, write_clip

from stylegan_swap import Swapper, swap_video
from stylegan_swap.batch import Job, read_jobs, run, run_batch
from stylegan_swap.editing.codes import load_codes, save_codes
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.images.photo import read_photo

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="other rules for names")

# Right to left, joined and wide letters, a quote, a line break, and options of other programs.
ODD = ["日本語 фото", "صورة", "é\u0301́ 👨‍👩‍👧", "a'b\"c;rm -rf $HOME", "-o two  spaces", "%s{0}%d*?[x]"]
LONGEST = 255


@pytest.fixture(scope="module")
def paste() -> Swapper:
    return Swapper.from_pretrained("paste")


def longest(suffix: str) -> str:
    return "n" * (LONGEST - len(suffix)) + suffix


@pytest.mark.parametrize("name", [*(f"{odd}.png" for odd in ODD), longest(".png"), "ü" * 125 + ".png"])
def test_pictures(paste, hopper_path, astronaut_path, tmp_path, name):
    folder = tmp_path / "фolder 'x'"
    folder.mkdir()
    attribute = folder / f"in {name}"[-100:]
    shutil.copy(astronaut_path, attribute)
    result = paste(paste.prepare(str(hopper_path)), attribute)
    result.save(folder / name)
    assert read_photo(folder / name).pixels.shape == (512, 512, 3)
    assert sorted(path.name for path in folder.iterdir()) == sorted([attribute.name, name])


def test_names_that_cannot_be(paste, hopper_path, astronaut_path):
    for name in ("n" * 300 + ".png", "a\0b.png", "", "x/" * 3000 + "y.png"):
        result = paste(paste.prepare(str(hopper_path)), str(astronaut_path))
        with pytest.raises(StyleganSwapError) as caught:
            result.save(name)
        assert "\n" not in str(caught.value)
        with pytest.raises(StyleganSwapError):
            paste.prepare(name)


@pytest.mark.parametrize("odd", [ODD[1], ODD[5]])
def test_clips_and_folders_of_frames(paste, hopper, astronaut, tmp_path, odd):
    clip = write_clip(tmp_path / "clip.mp4", panned(astronaut, 2)).rename(tmp_path / f"{odd}.mp4")
    swap_video(hopper, clip, tmp_path / f"out {odd}.mp4", method=paste)
    assert len(decoded(tmp_path / f"out {odd}.mp4")) == 2
    frames = tmp_path / f"frames {odd}"
    swap_video(hopper, clip, frames, method=paste)
    assert len(list(frames.iterdir())) == 2


def test_a_clip_with_the_longest_name(paste, hopper, astronaut, tmp_path):
    """The work folder beside it would be longer still: told before anything is swapped."""
    clip = write_clip(tmp_path / "clip.mp4", panned(astronaut, 2))
    swap_video(hopper, clip, tmp_path / ("n" * 230 + ".mp4"), method=paste)
    with pytest.raises(StyleganSwapError, match="File name too long"):
        swap_video(hopper, clip, tmp_path / longest(".mp4"), method=paste)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_batch(hopper_path, astronaut_path, tmp_path):
    from stylegan_swap.batch.work import SwapWorker
    from tests.batch.batch_workers import LocalWorker

    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(hopper_path, photos / '日本, "語".png')
    shutil.copy(astronaut_path, photos / "صورة.png")
    names = ["ü/é 👨‍👩‍👧.png", longest(".png"), "a'b;rm.jpg"]
    rows = [f'"日本, ""語"".png",صورة.png,"{name}"' for name in names]
    (photos / "jobs.csv").write_text("identity,attribute,output\n" + "\n".join(rows), encoding="utf-8")
    jobs = read_jobs(photos / "jobs.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "ProcessWorker", LocalWorker)
        patch.setattr(run, "SwapWorker", SwapWorker)
        summary = run_batch(jobs, tmp_path / "out", method="paste", device="cpu")
        assert (summary.done, summary.failed) == (3, {})
        assert all((tmp_path / "out" / name).is_file() for name in names)
        assert run_batch(jobs, tmp_path / "out", method="paste", device="cpu").skipped == 3


@pytest.mark.parametrize("odd", ODD[3:])
def test_checkpoints_and_codes(tiny_checkpoint, hopper, tmp_path, odd):
    shutil.copytree(tiny_checkpoint, tmp_path / odd)
    swapper = Swapper.from_pretrained(tmp_path / odd, device="cpu")
    with pytest.warns(UserWarning, match="redraw the face poorly"):
        codes = swapper.invert(hopper)
    save_codes(tmp_path / f"{odd}.safetensors", codes)
    assert load_codes(tmp_path / f"{odd}.safetensors").wplus.equal(codes.wplus)


def test_training_checkpoints(tmp_path):
    import torch
    from security.writers import checkpoint, weights

    for odd in ODD:
        (tmp_path / odd).mkdir()
        checkpoint(tmp_path / odd)
        weights(tmp_path / odd)
        assert torch.load(tmp_path / odd / "out.ckpt", weights_only=True)["stage"] == "swap"


def test_long_paths_are_names_too(paste, hopper_path, astronaut_path, tmp_path):
    deep = tmp_path
    while len(str(deep)) < 3500:
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    result = paste(paste.prepare(str(hopper_path)), str(astronaut_path))
    result.save(deep / "out.png")
    assert Path(deep / "out.png").stat().st_size > 1000


def test_outputs_of_a_list_are_plain_names(tmp_path):
    from stylegan_swap.batch.jobs import check_outputs
    from stylegan_swap.errors import BatchError

    for name in (
        "../x.png",
        "/etc/x.png",
        "a/../../x.png",
        "C:\\x.png",
        "..\\x.png",
        "a\0.png",
        "x" * 300 + ".png",
    ):
        with pytest.raises(BatchError, match="no plain name"):
            check_outputs([Job(0, ("a",), "b", name)])
