"""Clips from end to end with the fast ``paste`` method: sound, times, colours, resuming, folders, marks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_clips import (
    decoded,
    empty,
    frame_times,
    packets,
    panned,
    with_noise_packet,
    with_subtitles,
    write_clip,
)

from stylegan_swap import Swapper, swap_video
from stylegan_swap.errors import (
    FaceSelectionError,
    NoFaceError,
    UnsupportedOptionError,
    VideoReadError,
    VideoWriteError,
)
from stylegan_swap.faces.detection import detect
from stylegan_swap.provenance.metadata import read_marks
from stylegan_swap.verify import verify_file
from stylegan_swap.video.mark import read_video_marks
from stylegan_swap.video.memory import Memory

TIMES = [0, 512, 1024, 2000, 2100, 4500, 5012, 5524, 6000, 6500]


@pytest.fixture(scope="module")
def swapper():
    return Swapper.from_pretrained("paste")


@pytest.fixture(scope="module")
def person(swapper, hopper):
    return swapper.prepare(hopper)


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory):
    """Ten frames at uneven times with sound."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_clip(path, panned(astronaut, 10), times=TIMES, sound="aac")


@pytest.fixture
def run(swapper, person):
    def swap(clip, output, **options):
        return swap_video(person, clip, output, method=swapper, **options)

    return swap


@pytest.fixture
def quick_search(monkeypatch):
    """Where nobody is, only the first of the detector's many attempts."""
    monkeypatch.setattr(detect, "_LADDER", detect._LADDER[:1])


@pytest.fixture(scope="module")
def lossless(swapper, person, clip, tmp_path_factory):
    """The clip swapped in one go, without loss: what every other way must give."""
    path = tmp_path_factory.mktemp("whole") / "whole.mkv"
    result = swap_video(person, clip, path, method=swapper, codec="ffv1", segment=4, mark=False)
    return path, result


def test_sound_times_and_tags_stay(run, clip, tmp_path):
    import av

    seen = []
    result = run(clip, tmp_path / "out.mp4", progress=lambda done, total: seen.append((done, total)))
    assert packets(tmp_path / "out.mp4", "audio") == packets(clip, "audio")
    assert frame_times(tmp_path / "out.mp4") == frame_times(clip) == [Fraction(t, 12800) for t in TIMES]
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        assert tags == (1, 1, 1, 1)
        assert container.streams.audio[0].metadata["language"] == "deu"
    assert (result.frames, result.swapped, result.without_face) == (10, 10, 0)
    assert result.cuts == 0 and result.resumed_at == 0
    assert [done for done, _ in seen] == list(range(1, 11))
    assert sorted(child.name for child in tmp_path.iterdir()) == ["out.mp4"]


def test_a_damaged_packet_costs_its_frame_only(run, clip, tmp_path):
    broken = with_noise_packet(clip, tmp_path / "broken.mp4", 6)
    result = run(broken, tmp_path / "out.mp4", segment=3)
    assert result.frames == 9 and any("1 frame" in note for note in result.notes)
    times = [time for number, time in enumerate(frame_times(clip)) if number != 6]
    assert frame_times(tmp_path / "out.mp4") == times
    assert packets(tmp_path / "out.mp4", "audio") == packets(clip, "audio")
    assert not any("missing" in note for note in run(clip, tmp_path / "whole.mp4").notes)


def test_only_the_face_changes(lossless, clip):
    """Without loss: what lies outside the face is the clip's bit for bit, never converted."""
    path, result = lossless
    assert result.swapped == 10
    before, after = decoded(clip, "yuv420p"), decoded(path, "yuv420p")
    assert len(before) == len(after) == 10
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        changed = one[:256] != other[:256]
        assert 0.02 < changed.mean() < 0.2
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        # Her face is about 100 px wide and lies at (185 - number, 120) of the window.
        assert rows[0] > 50 and rows[-1] < 200 and columns[0] > 110 - number and columns[-1] < 260


def test_frames_without_the_face_pass_unchanged(run, quick_search, astronaut, tmp_path):
    frames = panned(astronaut, 2) + empty(2) + panned(astronaut, 2)
    path = write_clip(tmp_path / "gap.mp4", frames)
    result = run(path, tmp_path / "out.mkv", codec="ffv1", mark=False)
    assert (result.frames, result.swapped, result.without_face, result.cuts) == (6, 4, 2, 2)
    pairs = zip(decoded(path, "yuv420p"), decoded(tmp_path / "out.mkv", "yuv420p"), strict=True)
    same = [np.array_equal(one, other) for one, other in pairs]
    assert same == [False, False, True, True, False, False]


def test_a_killed_run_goes_on_and_gives_the_same_frames(lossless, run, clip, tmp_path, hopper_path):
    """SIGKILL in another process, in the middle of its second segment."""
    output = tmp_path / "out.mkv"
    code = (
        "import os, signal, sys\nfrom stylegan_swap import swap_video\n"
        "def kill(done, total):\n    if done == 6:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "swap_video(*sys.argv[1:], method='paste', codec='ffv1', segment=4, mark=False, progress=kill)"
    )
    child = subprocess.run([sys.executable, "-c", code, str(hopper_path), str(clip), str(output)])
    assert child.returncode == -signal.SIGKILL
    assert not output.exists() and (tmp_path / "out.mkv.parts" / "journal.json").is_file()
    result = run(clip, output, codec="ffv1", segment=4, mark=False)
    assert result.resumed_at == 4 and result.frames == 10 and result.swapped == 10
    assert packets(output, "video") == packets(lossless[0], "video")
    assert packets(output, "audio") == packets(lossless[0], "audio")
    assert [child.name for child in tmp_path.iterdir()] == ["out.mkv"]


def test_an_interrupted_run_keeps_its_segments(lossless, run, clip, tmp_path):
    output = tmp_path / "out.mkv"

    def interrupt(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clip, output, codec="ffv1", segment=4, mark=False, progress=interrupt)
    names = sorted(child.name for child in (tmp_path / "out.mkv.parts").iterdir())
    assert names == ["journal.json", "segment-000000.nut", "segment-000001.nut"]
    with pytest.raises(VideoWriteError, match="different: codec"):
        run(clip, output, codec="h264", segment=4, mark=False)
    result = run(clip, output, codec="ffv1", segment=4, mark=False)
    assert result.resumed_at == 8
    assert packets(output, "video") == packets(lossless[0], "video")


def test_the_length_of_segments_changes_no_frame(lossless, run, clip, tmp_path):
    run(clip, tmp_path / "out.mkv", codec="ffv1", segment=100, mark=False)
    for one, other in zip(decoded(tmp_path / "out.mkv"), decoded(lossless[0]), strict=True):
        assert np.array_equal(one, other)


def test_start_and_end_cut_sound_and_time(run, clip, tmp_path):
    result = run(clip, tmp_path / "out.mp4", start=0.08, end=0.36)
    kept = [t for t in TIMES if 0.08 <= t / 12800 < 0.36]
    assert result.frames == len(kept) == 4
    assert frame_times(tmp_path / "out.mp4") == [Fraction(t - kept[0], 12800) for t in kept]
    original = {digest: time for time, digest in packets(clip, "audio")}
    cut = packets(tmp_path / "out.mp4", "audio")
    assert 0 < len(cut) < len(original)
    for time, digest in cut:
        assert abs(original[digest] - Fraction(kept[0], 12800) - time) < Fraction(1, 40000)


def test_a_turned_clip_comes_out_upright(run, astronaut, tmp_path):
    frames = [np.ascontiguousarray(np.rot90(frame, 3)) for frame in panned(astronaut, 3)]
    path = write_clip(tmp_path / "phone.mov", frames, rotation=90)
    result = run(path, tmp_path / "out.mp4")
    assert result.swapped == 3
    found = decoded(tmp_path / "out.mp4")[0]
    assert found.shape == (256, 320, 3)
    away = np.abs(found.astype(int) - panned(astronaut, 1)[0])[210:].mean()
    assert away < 12


def test_subtitles_are_copied_or_the_format_is_refused(run, clip, tmp_path):
    path = with_subtitles(clip, tmp_path / "texts.mkv", tmp_path)
    with pytest.raises(
        VideoWriteError, match=r"out.mp4: .mp4 cannot hold the clip's subtitle track 2.*\.mkv"
    ):
        run(path, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4.parts").exists()
    run(path, tmp_path / "out.mkv", end=0.3)
    assert [digest for _, digest in packets(tmp_path / "out.mkv", "subtitle")] == [
        digest for _, digest in packets(path, "subtitle")
    ][:1]


def test_marks_of_a_clip(run, clip, tmp_path):
    for name in ("out.mp4", "out.mkv"):
        run(clip, tmp_path / name, end=0.1)
        marks = read_video_marks(tmp_path / name)
        assert marks.synthetic and marks.software.startswith("stylegan_swap")
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.count(bytes.fromhex("be7acfcb97a942e89c71999491e3afac")) == 1
    assert b"compositeWithTrainedAlgorithmicMedia" in content[-1200:]
    assert len(decoded(tmp_path / "out.mp4")) == 3
    run(clip, tmp_path / "plain.mp4", end=0.1, mark=False)
    assert not read_video_marks(tmp_path / "plain.mp4").synthetic
    assert b"uuid" not in (tmp_path / "plain.mp4").read_bytes()


def test_every_swapped_frame_carries_the_watermark_in_its_luma(lossless, run, clip, tmp_path):
    output = tmp_path / "out.mkv"
    run(clip, output, codec="ffv1", segment=4)
    plain, marked = decoded(lossless[0], "yuv420p"), decoded(output, "yuv420p")
    for one, other in zip(plain, marked, strict=True):
        assert not np.array_equal(one[:256], other[:256]) and np.array_equal(one[256:], other[256:])
    verdict = verify_file(output)
    assert verdict.watermarked and verdict.frames.votes == verdict.frames.frames == 10
    assert not verify_file(lossless[0]).marked
    # Where a site rewrites the file, the tags are lost and the watermark is left.
    again = write_clip(tmp_path / "again.mp4", decoded(output), options={"crf": "26"})
    verdict = verify_file(again)
    assert verdict.marked and not verdict.marks.synthetic


def test_few_swapped_frames_suffice(run, quick_search, astronaut, tmp_path):
    path = write_clip(tmp_path / "gap.mp4", panned(astronaut, 3) + empty(7))
    run(path, tmp_path / "out.mp4")
    verdict = verify_file(tmp_path / "out.mp4")
    assert verdict.frames.kind is None and verdict.frames.votes == 3 and verdict.watermarked
    assert "in 3 of the 10 frames looked at" in "\n".join(verdict.lines())


def test_position_is_dropped_and_credit_kept(run, clip, tmp_path):
    import av

    path = tmp_path / "tagged.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        target.metadata.update({"artist": "A. Person", "location": "+48.1+11.5/", "title": "Film"})
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    run(path, tmp_path / "out.mp4", end=0.1)
    with av.open(str(tmp_path / "out.mp4")) as container:
        tags = container.metadata
    assert tags["artist"] == "A. Person" and tags["title"] == "Film" and "AI" in tags["comment"]
    assert b"+48.1" not in (tmp_path / "out.mp4").read_bytes()


def test_folders_of_pictures(run, astronaut, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for number, frame in enumerate(panned(astronaut, 3), 9):
        Image.fromarray(frame).save(source / f"shot{number}.png")
    (source / "notes.txt").write_text("no picture")
    result = run(source, tmp_path / "out", segment=2, mark=False)
    # 9, 10, 11: by number, not by letter.
    assert result.frames == result.swapped == 3
    assert sorted(child.name for child in (tmp_path / "out").iterdir()) == [
        "shot10.png",
        "shot11.png",
        "shot9.png",
    ]
    for number, frame in enumerate(panned(astronaut, 3), 9):
        with Image.open(tmp_path / "out" / f"shot{number}.png") as picture:
            difference = np.abs(np.asarray(picture).astype(int) - frame).max(2)
        assert (difference > 0).any() and (difference[210:] == 0).all()
    with pytest.raises(VideoWriteError, match="exists already"):
        run(source, tmp_path / "out")
    run(source, tmp_path / "marked", end=0.05)
    assert read_marks(tmp_path / "marked" / "shot9.png").synthetic
    assert verify_file(tmp_path / "marked" / "shot10.png").watermark is not None
    run(source, tmp_path / "out.mp4", fps=10)
    assert frame_times(tmp_path / "out.mp4") == [Fraction(n, 10) for n in range(3)]


def test_a_clip_as_a_folder_of_pictures(run, clip, tmp_path):
    result = run(clip, tmp_path / "frames", end=0.1)
    names = sorted(child.name for child in (tmp_path / "frames").iterdir())
    assert names == ["frame-000000.png", "frame-000001.png", "frame-000002.png"]
    assert any("no sound" in note for note in result.notes)


def test_previews_and_a_finisher(run, clip, tmp_path):
    def stamp(pixels):
        pixels = pixels.copy()
        pixels[:16, :16] = 255
        return pixels

    run(clip, tmp_path / "out.mkv", codec="ffv1", preview=tmp_path / "looks", preview_every=4, finish=stamp)
    assert sorted(child.name for child in (tmp_path / "looks").iterdir()) == [
        f"frame-{number:06d}.jpg" for number in (0, 4, 8)
    ]
    with Image.open(tmp_path / "looks" / "frame-000000.jpg") as picture:
        assert picture.size == (640, 256)
    frames = decoded(tmp_path / "out.mkv")
    assert frames[0][:14, :14].min() > 245 and frames[9][:14, :14].min() > 245


def test_nobody_and_the_wrong_person(run, quick_search, astronaut, hopper, tmp_path):
    nobody = write_clip(tmp_path / "nobody.mp4", empty(1))
    with pytest.raises(NoFaceError, match=r"nobody\.mp4: no frame shows a face"):
        run(nobody, tmp_path / "out.mp4")
    somebody = write_clip(tmp_path / "somebody.mp4", panned(astronaut, 2))
    with pytest.raises(FaceSelectionError, match="the person asked for was seen in no frame"):
        run(somebody, tmp_path / "out.mp4", face=hopper)
    with pytest.raises(FaceSelectionError, match="face 3 was seen in no frame; at most 1"):
        run(somebody, tmp_path / "out.mp4", face=3)
    assert sorted(child.name for child in tmp_path.iterdir()) == ["nobody.mp4", "somebody.mp4"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"start": -1.0}, UnsupportedOptionError, "start"),
        ({"start": 2.0, "end": 1.0}, UnsupportedOptionError, "end must be later"),
        ({"codec": "theora"}, UnsupportedOptionError, "unknown video codec"),
        ({"codec": "ffv1"}, UnsupportedOptionError, "ffv1 is not written into .mp4"),
        ({"crf": 99}, UnsupportedOptionError, "crf runs from 0"),
        ({"fps": 25.0}, UnsupportedOptionError, "fps is for folders"),
        ({"segment": 0}, UnsupportedOptionError, "segment"),
        ({"structure": 0.5}, UnsupportedOptionError, "has no option 'structure'"),
        ({"start": 9.0}, VideoReadError, "no frames between start and end"),
    ],
)
def test_wrong_options(run, clip, tmp_path, options, error, text):
    with pytest.raises(error, match=text):
        run(clip, tmp_path / "out.mp4", **options)
    assert list(tmp_path.iterdir()) == []


def test_wrong_outputs(run, clip, tmp_path):
    own = tmp_path / "own.mp4"
    shutil.copy(clip, own)
    for output, text in (
        (own, "is one of the inputs"),
        (tmp_path / "out.xyz", "names no known format"),
        (tmp_path / "no" / "out.mp4", "does not exist"),
        (tmp_path, "exists already"),
    ):
        with pytest.raises(VideoWriteError, match=text):
            run(own, output, overwrite=output == own)
    (tmp_path / "there.mp4").write_text("x")
    with pytest.raises(VideoWriteError, match="exists already"):
        run(own, tmp_path / "there.mp4")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["own.mp4", "there.mp4"]


def test_a_full_disk_leaves_no_result(run, clip, tmp_path, monkeypatch):
    from stylegan_swap.video import writing

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "append_xmp", full)
    with pytest.raises(VideoWriteError, match="No space left"):
        run(clip, tmp_path / "out.mp4", end=0.1)
    monkeypatch.undo()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["out.mp4.parts"]
    # All is swapped: what was kept only needs joining.
    assert run(clip, tmp_path / "out.mp4", end=0.1).resumed_at == 3


def test_many_frames_take_no_more_memory(run, astronaut, tmp_path):
    frames = [panned(astronaut, 1)[0]] * 60
    clip = write_clip(tmp_path / "long.mp4", frames)
    resident = []

    def measure(done, total):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)

    run(clip, tmp_path / "out.mp4", progress=measure, segment=20)
    # A frame with its planes, pixels and mask is 1 MiB.
    assert resident[-1] - resident[25] < 12


def test_a_reference_is_told_apart_in_the_journal():
    from stylegan_swap.video.run import _described

    one = Memory(np.zeros(128, np.float32))
    assert _described(one) != _described(Memory(np.ones(128, np.float32)))
    assert _described("largest") == "largest"
