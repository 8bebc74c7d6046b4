"""Damaged and unusual clips, playlists that point elsewhere, names that FFmpeg takes for addresses."""

from __future__ import annotations

import contextlib
import http.server
import random
import shutil
import threading

import av
import numpy as np
import pytest
from video_clips import decoded, packets, panned, write_clip

from stylegan_swap import Swapper, swap_video
from stylegan_swap.errors import ImageReadError, VideoReadError, VideoWriteError
from stylegan_swap.video.reading import VideoClip, ffmpeg_errors


@pytest.fixture(scope="module")
def swapper():
    return Swapper.from_pretrained("paste")


@pytest.fixture(scope="module")
def person(swapper, hopper):
    return swapper.prepare(hopper)


@pytest.fixture(scope="module")
def clip(astronaut, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", panned(astronaut, 3), sound="aac")


def sounds(path) -> list[str]:
    """The packets of sound alone; their times are rounded to milliseconds in Matroska."""
    return [digest for _, digest in packets(path, "audio")]


@pytest.fixture
def listening():
    """A server on this machine that counts who calls."""
    calls: list[str] = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_nothing_that_a_file_names_is_fetched(tmp_path, listening, clip):
    """By HLS, DASH, concat and SDP; and by the data reference of a QuickTime file."""
    address, calls = listening
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}/a.ts\n#EXT-X-ENDLIST\n",
        "key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{address}/key"\n#EXTINF:1,\nclip.ts\n',
        "concat": f"ffconcat version 1.0\nfile '{address}/a.mp4'\n",
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<BaseURL>{address}/</BaseURL></MPD>",
        "asx": f'<asx version="3"><entry><ref href="{address}/a.asf"/></entry></asx>',
    }
    for name, text in texts.items():
        for suffix in (".mp4", ".m3u8", ".ffconcat", ".mpd"):
            path = tmp_path / f"{name}{suffix}"
            path.write_text(text)
            with pytest.raises(VideoReadError):
                VideoClip(path)
    # The movie's data lie elsewhere, it says: a "url " entry without the flag for "in this file".
    content = clip.read_bytes()
    here = content.index(b"dref")
    elsewhere = bytearray(content)
    entry = content.index(b"url ", here)
    elsewhere[entry + 7] = 0
    (tmp_path / "elsewhere.mov").write_bytes(elsewhere)
    with contextlib.suppress(VideoReadError):
        list(VideoClip(tmp_path / "elsewhere.mov").frames())
    assert calls == []
    with pytest.raises(ffmpeg_errors()):
        av.open(address + "/a.ts").close()
    assert set(calls) == {"/a.ts"}, "the server is there, and FFmpeg can call"


@pytest.mark.parametrize(
    "name",
    [
        "take1:final.mp4",
        "pipe:1.mp4",
        "file:x.mp4",
        "tcp:127.0.0.1:9.mkv",
        "concat:a|b.mp4",
        "%03d.mp4",
        "-i.mp4",
    ],
)
def test_outputs_are_files_whatever_they_are_called(swapper, person, clip, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    result = swap_video(person, clip, name, method=swapper)
    assert result.frames == 3 and [path.name for path in tmp_path.iterdir()] == [name]
    assert len(decoded(tmp_path / name)) == 3
    assert sounds(tmp_path / name) == sounds(clip)


def test_no_sound_and_several_tracks(swapper, person, astronaut, clip, tmp_path):
    silent = write_clip(tmp_path / "silent.mp4", panned(astronaut, 2))
    swap_video(person, silent, tmp_path / "out.mp4", method=swapper)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    several = tmp_path / "several.mkv"
    with av.open(str(clip)) as first, av.open(str(clip)) as second, av.open(str(several), "w") as target:
        own = [target.add_stream_from_template(stream) for stream in first.streams]
        more = target.add_stream_from_template(second.streams.audio[0])
        own[1].metadata["language"], more.metadata["language"] = "deu", "fra"
        for packet in first.demux():
            if packet.size:
                packet.stream = own[packet.stream_index]
                target.mux(packet)
        for packet in second.demux(audio=0):
            if packet.size:
                packet.stream = more
                target.mux(packet)
    swap_video(person, several, tmp_path / "both.mkv", method=swapper)
    with av.open(str(tmp_path / "both.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "audio"]
        assert [stream.metadata["language"] for stream in container.streams.audio] == ["deu", "fra"]
    assert sounds(tmp_path / "both.mkv") == sounds(several)


def test_codecs_that_nobody_knows_and_clips_without_frames(tmp_path, clip, astronaut):
    (tmp_path / "unknown.mp4").write_bytes(clip.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoReadError, match=r"unknown\.mp4: its picture is of a codec that is not known"):
        VideoClip(tmp_path / "unknown.mp4")
    with av.open(str(tmp_path / "empty.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(VideoReadError, match=r"holds no (video|frames)"):
        VideoClip(tmp_path / "empty.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_random_damage_is_read_or_refused(tmp_path, suffix):
    """Two hundred damaged clips: never another error than ours."""
    frames = [np.full((48, 64, 3), 40 + 40 * number, np.uint8) for number in range(3)]
    content = write_clip(tmp_path / f"whole{suffix}", frames).read_bytes()
    draw, path, refused = random.Random(0), tmp_path / f"damaged{suffix}", 0
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 12)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged[: draw.choice([len(damaged), draw.randrange(1, len(damaged))])])
        try:
            list(VideoClip(path).frames())
        except (VideoReadError, ImageReadError):
            refused += 1
    assert 20 < refused < 100


def test_every_error_of_ffmpeg_is_caught(monkeypatch, tmp_path, clip):
    """PyAV's errors have no common ancestor among Python's own."""
    kinds = [kind for kind in vars(av.error).values() if isinstance(kind, type)]
    kinds = [kind for kind in kinds if issubclass(kind, av.FFmpegError)]
    assert len(kinds) > 20 and all(issubclass(kind, ffmpeg_errors()) for kind in kinds)

    def fail(*_, **__):
        raise av.error.ExternalError(-542398533, "Generic error in an external library")

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(VideoReadError, match="Generic error in an external library"):
        VideoClip(clip)


def test_a_clip_that_is_swapped_for_another_on_the_way(swapper, person, clip, astronaut, tmp_path):
    """The rest of another clip is not glued to the first."""
    source = tmp_path / "clip.mp4"
    shutil.copy(clip, source)

    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swap_video(person, source, tmp_path / "out.mp4", method=swapper, segment=1, progress=stop)
    write_clip(source, panned(astronaut, 3, step=2), sound="aac")
    with pytest.raises(VideoWriteError, match="different: clip"):
        swap_video(person, source, tmp_path / "out.mp4", method=swapper, segment=1)
