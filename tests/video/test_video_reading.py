"""What clips are read, how, and which are refused."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import with_noise_packet, write_clip

from stylegan_swap.errors import ImageReadError, VideoReadError
from stylegan_swap.video.colour import Tags, to_rgb
from stylegan_swap.video.folder import natural
from stylegan_swap.video.reading import VideoClip

TIMES = [0, 512, 1024, 2000, 2100, 4500, 5012]


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """30 frames whose grey tells their number, with B-frames and few key frames."""
    frames = [grey(40 + 5 * number) for number in range(30)]
    path = tmp_path_factory.mktemp("clips") / "counted.mp4"
    return write_clip(path, frames, options={"preset": "veryfast", "g": "12", "bf": "2"})


def number_of(frame) -> int:
    return round((float(frame.pixels.mean()) - 40) / 5)


def test_uneven_times_are_kept(tmp_path):
    frames = [grey(60 + 20 * n) for n in range(len(TIMES))]
    clip = VideoClip(write_clip(tmp_path / "vfr.mp4", frames, times=TIMES))
    read = list(clip.frames())
    assert [frame.pts for frame in read] == TIMES
    assert clip.time_base == Fraction(1, 12800)
    assert [frame.time for frame in read] == [pts / 12800 for pts in TIMES]
    assert [frame.duration for frame in read][:3] == [512, 512, 976]
    assert np.abs(read[3].pixels.astype(int) - 120).max() <= 2


def test_start_and_end(counted):
    clip = VideoClip(counted, start=0.4, end=0.8)
    read = list(clip.frames())
    assert [number_of(frame) for frame in read] == list(range(10, 20))
    assert read[0].time == 0.0 and read[0].number == 0 and clip.first_pts == 5120
    assert clip.frame_count == 10
    with pytest.raises(VideoReadError, match="no frames between start and end"):
        VideoClip(counted, start=99)


@pytest.mark.parametrize("first", [1, 7, 13, 25])
def test_jumping_gives_the_frames_that_reading_on_gives(counted, first):
    clip = VideoClip(counted)
    whole = list(clip.frames())
    jumped = list(clip.frames(first, whole[first].pts))
    assert [frame.number for frame in jumped] == list(range(first, 30))
    for one, other in zip(jumped, whole[first:], strict=True):
        assert one.pts == other.pts and np.array_equal(one.planes.y, other.planes.y)
    # A time that no frame has: the frames are counted instead.
    counted_on = list(clip.frames(first, whole[first].pts + 1))
    assert [frame.pts for frame in counted_on] == [frame.pts for frame in whole[first:]]


def test_rotation_is_applied(tmp_path):
    frame = grey(60)
    frame[:, 32:] = 200
    clip = VideoClip(write_clip(tmp_path / "phone.mp4", [frame] * 2, rotation=90, pixel_shape=Fraction(4, 3)))
    first = next(clip.frames())
    assert clip.size == (48, 64) and first.pixels.shape == (64, 48, 3)
    # A quarter to the left brings the bright right half to the top.
    assert first.pixels[:28].mean() > 190 and first.pixels[36:].mean() < 70
    assert clip.pixel_shape == Fraction(3, 4)


def test_odd_sides_get_a_row_and_a_column(tmp_path):
    draws = np.random.default_rng(0).integers(0, 255, (35, 51, 3)).astype(np.uint8)
    options = {"preset": "ultrafast", "qp": "0"}
    path = write_clip(tmp_path / "odd.mkv", [draws], pixel_format="yuv444p", options=options)
    clip = VideoClip(path)
    frame = next(clip.frames())
    assert clip.size == (52, 36) and frame.planes.y.shape == (36, 52)
    assert np.array_equal(frame.planes.y[35], frame.planes.y[34])
    assert np.array_equal(frame.planes.y[:, 51], frame.planes.y[:, 50])
    assert any("even sides" in note for note in clip.notes)


def test_other_pixel_formats_keep_their_colours(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    red[..., 1] = 30
    cases = [
        ("yuv422p", "libx264", (1, 1, 1, 1)),
        ("yuvj420p", "libx264", (1, 2, 1, 1)),
        ("yuv420p10le", "libx264", (1, 1, 1, 1)),
        ("bgr0", "ffv1", (0, 2, 1, 1)),
        ("gray", "ffv1", (2, 2, 2, 2)),
    ]
    for form, codec, tags in cases:
        path = write_clip(tmp_path / f"{form}.mkv", [red] * 2, pixel_format=form, codec=codec, tags=tags)
        clip = VideoClip(path)
        found = next(clip.frames()).pixels.reshape(-1, 3).mean(0)
        wanted = [82, 82, 82] if form == "gray" else [220, 30, 0]
        # Red of BT.709 in grey depends on the weights the encoder took.
        assert np.abs(found - wanted).max() < (12 if form == "gray" else 6), (form, found)
        assert any("8 bits" in note for note in clip.notes) == (form == "yuv420p10le")


def test_tags_are_read(tmp_path):
    clip = VideoClip(write_clip(tmp_path / "sd.mp4", [grey(100)] * 2, tags=(6, 1, 6, 6)))
    assert clip.tags == Tags(6, 1, 6, 6, False)
    clip = VideoClip(write_clip(tmp_path / "full.mp4", [grey(100)] * 2, tags=(1, 2, 1, 1)))
    assert clip.tags.full
    frame = next(clip.frames())
    assert np.array_equal(frame.pixels, to_rgb(frame.planes, clip.tags))
    assert abs(float(frame.pixels.mean()) - 100) < 2


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_high_dynamic_range_is_refused(tmp_path, transfer, name):
    path = write_clip(tmp_path / "hdr.mp4", [grey(100)] * 2, tags=(9, 1, 9, transfer))
    with pytest.raises(VideoReadError, match=f"high dynamic range, {name}.*convert the clip to SDR"):
        VideoClip(path)


def test_playlists_are_refused_whatever_they_are_called(tmp_path, counted):
    """Each names another file, which FFmpeg would open; none may be followed."""
    shutil.copy(counted, tmp_path / "real.mp4")
    texts = {
        "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n",
        "remote": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat": "ffconcat version 1.0\nfile real.mp4\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    }
    for name, text in texts.items():
        for suffix in (".mp4", ".m3u8", ".txt"):
            path = tmp_path / f"{name}{suffix}"
            path.write_text(text)
            with pytest.raises(VideoReadError, match=f"{name}.*(playlist|not read)"):
                VideoClip(path)


def test_names_that_ffmpeg_would_take_for_commands(tmp_path, counted, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http://127.0.0.1:9/clip.mp4", "rtsp://127.0.0.1/x", "concat:a|b", "pipe:0", "file:x.mp4"):
        with pytest.raises(VideoReadError, match=r"address|no such file"):
            VideoClip(Path(name))
    odd = tmp_path / "-i x;rm %03d concat:a|b é.mp4"
    odd.write_bytes(counted.read_bytes())
    assert VideoClip(odd).frame_count == 30


def test_files_that_are_no_clips(tmp_path, counted):
    cases = {"missing.mp4": None, "empty.mp4": b"", "text.mp4": b"hello" * 100, "half.mp4": None}
    half = counted.read_bytes()
    cases["half.mp4"] = half[: len(half) // 2]
    for name, content in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(VideoReadError, match=name):
            VideoClip(path)
    with pytest.raises(VideoReadError, match="not an ordinary file"):
        VideoClip(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoReadError, match="not an ordinary file"):
        VideoClip(tmp_path / "pipe.mp4")


DAMAGED = {
    "libx264": (".mp4", "yuv420p", {"g": "100", "bf": "0"}),
    "libx265": (".mp4", "yuv420p", {"x265-params": "bframes=0:keyint=16:log-level=none"}),
    "mjpeg": (".avi", "yuvj420p", {}),
    "ffv1": (".mkv", "yuv420p", {"level": "3", "slicecrc": "1"}),
}


@pytest.mark.parametrize("codec", DAMAGED)
def test_after_a_damaged_packet_reading_goes_on(tmp_path, codec):
    suffix, form, options = DAMAGED[codec]
    noise = np.random.default_rng(0).integers(0, 255, (20, 96, 128, 3)).astype(np.uint8)
    whole = write_clip(
        tmp_path / f"whole{suffix}", noise, codec=codec, pixel_format=form, options=options, tags=(1, 2, 1, 1)
    )
    times = [frame.pts for frame in VideoClip(whole).frames()]
    clip = VideoClip(with_noise_packet(whole, tmp_path / f"broken{suffix}", 12))
    read = list(clip.frames())
    # Every frame is read or counted as missing, and those read keep their times.
    assert len(read) + sum(frame.missing for frame in read) == 20
    assert {frame.pts for frame in read} < set(times) and times[12] not in {frame.pts for frame in read}
    assert [frame.pts for frame in read][:12] == times[:12] and read[-1].pts == times[-1]
    # HEVC leaves out frames that depend on the damaged one.
    assert len(read) == 19 or codec == "libx265"
    # Part of the clip: what is missing outside of it does not count.
    before = list(VideoClip(clip.path, end=0.48).frames())
    assert len(before) == 12 and not any(frame.missing for frame in before)
    assert [frame.missing for frame in VideoClip(clip.path, end=0.5).frames()] == [0] * 11 + [1]
    assert sum(frame.missing for frame in VideoClip(clip.path, start=0.3).frames()) == 20 - len(read)
    resumed = list(clip.frames(5, read[5].pts))
    assert [(one.number, one.pts, one.missing) for one in resumed] == [
        (one.number, one.pts, one.missing) for one in read[5:]
    ]


@pytest.mark.parametrize("number", [0, 19])
def test_a_damaged_first_or_last_frame_is_left_out(tmp_path, number):
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3)).astype(np.uint8)
    options = {"level": "3", "slicecrc": "1", "g": "1"}
    whole = write_clip(tmp_path / "whole.mkv", noise, codec="ffv1", options=options)
    read = list(VideoClip(with_noise_packet(whole, tmp_path / "broken.mkv", number)).frames())
    assert len(read) == 19
    assert [frame.missing for frame in read] == ([1] + [0] * 18 if number == 0 else [0] * 18 + [1])


def test_a_clip_of_which_nothing_can_be_decoded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1, 48, 64, 3)).astype(np.uint8)
    options = {"level": "3", "slicecrc": "1"}
    whole = write_clip(tmp_path / "whole.mkv", noise, codec="ffv1", options=options)
    path = with_noise_packet(whole, tmp_path / "broken.mkv", 0)
    with pytest.raises(VideoReadError, match=r"broken\.mkv: no frame can be decoded"):
        VideoClip(path)


def test_interlaced_and_reordered_frames_are_not_taken_for_missing(tmp_path, counted):
    frames = [grey(40 + 5 * number) for number in range(12)]
    for name, options in (("fields.mp4", {"x264-params": "interlaced=1"}), ("pyramid.ts", {"bf": "3"})):
        path = write_clip(tmp_path / name, frames, options={"preset": "medium", **options})
        read = list(VideoClip(path).frames())
        assert len(read) == 12 and not any(frame.missing for frame in read)
    assert not any(frame.missing for frame in VideoClip(counted, start=0.55, end=0.9).frames())


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("animation.mov", "qtrle", "argb"),
        ("apng.apng", "apng", "rgba"),
        ("ffv1.mkv", "ffv1", "bgra"),
        ("prores.mov", "prores_ks", "yuva444p10le"),
        ("palette.gif", "gif", "pal8"),
    ],
)
@pytest.mark.parametrize("alpha", [100, 255])
def test_transparency_is_noted_where_there_is_some(tmp_path, name, codec, form, alpha):
    pixels = np.full((48, 64, 4), 255, np.uint8)
    pixels[:, :32, 0] = 40
    frames = [pixels.copy(), pixels.copy()]
    # Also where it begins after the first frame.
    frames[1][10:30, 10:30, 3] = alpha
    if codec == "gif":
        frames[0][10:30, 10:30, 3] = 0 if alpha < 255 else 255
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, form
        for number, values in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(values, format="rgba")
            if form == "pal8":
                indices = np.where(values[..., 3] > 0, values[..., 0] // 128, 2).astype(np.uint8)
                palette = np.zeros((256, 4), np.uint8)
                palette[:2] = [[255, 40, 255, 255], [255, 255, 255, 255]]
                frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")
            else:
                frame = frame.reformat(format=form)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = VideoClip(path)
    assert len(list(clip.frames())) == 2
    assert sum("transparency" in note for note in clip.notes) == (alpha < 255)


def test_transparency_beside_the_picture_is_noted(tmp_path):
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 4), 100, np.uint8), format="rgba")
        frame = frame.reformat(format="yuva420p")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert any("transparency" in note for note in VideoClip(path).notes)


def test_sound_alone_is_no_clip(tmp_path):
    path = tmp_path / "tone.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 48000
        container.mux(stream.encode(tone))
        container.mux(stream.encode(None))
    with pytest.raises(VideoReadError, match="holds no video"):
        VideoClip(path)


def test_frames_beyond_the_limit_are_refused(counted, monkeypatch):
    monkeypatch.setenv("STYLEGAN_SWAP_MAX_PIXELS", "1000")
    with pytest.raises(ImageReadError, match=r"counted\.mp4"):
        VideoClip(counted)


def test_digits_that_are_no_numbers_stay_words_in_names():
    names = ["frame10.png", "²001.png", "frame9.png", "①001.png", "frame²9.png"]
    ordered = sorted(names, key=natural)
    assert ordered.index("frame9.png") < ordered.index("frame10.png")
    assert sorted(ordered) == sorted(names)
