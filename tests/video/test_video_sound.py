"""Sound of any codec into any container: copied, encoded anew, or left out; in time with the picture."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import frame_times, packets, write_clip

from stylegan_swap.errors import UnsupportedOptionError, VideoWriteError
from stylegan_swap.video.journal import open_journal
from stylegan_swap.video.reading import VideoClip
from stylegan_swap.video.writing import choose_output

RATE = 44100
FRAMES = 20
# The tone begins here, in seconds.
ONSET = 0.4
# Encoder of the clip's sound → suffix of the clip, and the outputs that copy it.
SOUNDS = {
    "aac": (".mp4", {".mp4", ".mov", ".mkv"}),
    "libmp3lame": (".mkv", {".mp4", ".mov", ".mkv"}),
    "flac": (".mkv", {".mp4", ".mkv"}),
    "ac3": (".mkv", {".mp4", ".mov", ".mkv"}),
    "libopus": (".mkv", {".mp4", ".mkv", ".webm"}),
    "pcm_s16le": (".mkv", {".mp4", ".mov", ".mkv"}),
    "pcm_mulaw": (".avi", {".mov"}),
    "adpcm_ima_wav": (".avi", set()),
    "wmav2": (".wmv", set()),
}


def sounding(path: Path, codec: str) -> Path:
    """A clip of 0.8 s whose tone begins at ``ONSET``."""
    rate = 48000 if codec == "libopus" else RATE
    time = np.arange(rate * FRAMES // 25) / rate
    wave = np.where(time >= ONSET, 0.5 * np.sin(2 * np.pi * 440 * time), 0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate=rate, layout="mono")
        sound.bit_rate = 64_000
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number, np.uint8), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = (32767 * wave).astype(np.int16)[None]
        tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        tone.sample_rate = rate
        container.mux(sound.encode(tone))
        container.mux([packet for packet in sound.encode(None) if packet.size])
    return path


def written(clip: Path, output: Path, *, start: float = 0.0, **options) -> list[str]:
    """Write a clip anew, its frames as they are; the notes."""
    source = VideoClip(clip, start=start)
    target = choose_output(output, source, codec=None, crf=None, trimmed=start > 0, mark=False, **options)
    with open_journal(output, {}) as journal:
        segment, progress = target.segment(journal, 0), journal.progress
        for frame in source.frames():
            segment.write(frame, None, None)
            progress.first_pts = frame.pts if progress.first_pts is None else progress.first_pts
            progress.last_pts, progress.last_duration = frame.pts, frame.duration
        segment.close()
        progress.segments.append((segment.path.name, 0))
        target.finish(journal)
        journal.remove()
    return source.notes


def heard(path: Path) -> tuple[float, float]:
    """When the tone begins and ends, in seconds."""
    times, levels, end = [], [], 0.0
    with av.open(str(path)) as container:
        to_float = av.AudioResampler(format="fltp", layout="mono")
        for frame in container.decode(audio=0):
            # Of the frames of one packet of WMA only the first has a time.
            begin = end if frame.pts is None else float(frame.pts * frame.time_base)
            end = begin + frame.samples / frame.sample_rate
            for part in to_float.resample(frame):
                values = np.abs(part.to_ndarray()[0])
                levels.append(values)
                times.append(begin + np.arange(len(values)) / part.sample_rate)
    loud = np.concatenate(times)[np.concatenate(levels) > 0.1]
    return float(loud[0]), float(loud[-1])


@pytest.mark.parametrize("codec", SOUNDS)
def test_every_sound_goes_into_every_file(tmp_path, codec):
    suffix, copied = SOUNDS[codec]
    clip = sounding(tmp_path / f"clip{suffix}", codec)
    for target in (".mp4", ".mov", ".mkv", ".webm"):
        output = tmp_path / f"out{target}"
        notes = written(clip, output)
        encoded = [note for note in notes if "encoded anew" in note]
        assert (not encoded) == (target in copied), (target, notes)
        if target in copied:
            hashes = [[content for _, content in packets(path, "audio")] for path in (clip, output)]
            assert hashes[0] == hashes[1] or codec.startswith("pcm"), target
        begin, end = heard(output)
        before, after = heard(clip)
        assert abs(begin - before) < 0.03 and abs(end - after) < 0.06, (target, begin, before, end, after)


def test_encoded_and_left_out_on_request(tmp_path):
    clip = sounding(tmp_path / "clip.mp4", "aac")
    assert any("encoded anew as AAC" in note for note in written(clip, tmp_path / "a.mp4", audio="encode"))
    assert packets(tmp_path / "a.mp4", "audio") != packets(clip, "audio")
    assert any("left out" in note for note in written(clip, tmp_path / "b.mp4", audio="none"))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio
    with pytest.raises(UnsupportedOptionError, match="copy, encode, none"):
        written(clip, tmp_path / "c.mp4", audio="mp3")


def test_encoded_sound_of_a_part_stays_with_its_picture(tmp_path):
    clip = sounding(tmp_path / "clip.wmv", "wmav2")
    before, _ = heard(clip)
    written(clip, tmp_path / "part.mkv", start=0.2)
    assert frame_times(tmp_path / "part.mkv")[0] == 0
    assert abs(heard(tmp_path / "part.mkv")[0] - (before - 0.2)) < 0.03


def test_gaps_of_encoded_sound_become_silence(tmp_path):
    clip = sounding(tmp_path / "clip.wmv", "wmav2")
    with av.open(str(clip)) as source, av.open(str(tmp_path / "gap.wmv"), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        kept = [packet for packet in source.demux() if packet.size]
        for packet in kept:
            if packet.stream.type == "audio" and 0.1 < float(packet.pts * packet.time_base) < 0.3:
                continue
            packet.stream = streams[packet.stream_index]
            target.mux(packet)
    written(tmp_path / "gap.wmv", tmp_path / "out.mkv")
    assert abs(heard(tmp_path / "out.mkv")[0] - heard(clip)[0]) < 0.06


def test_errors_name_the_output_and_not_a_hidden_file(tmp_path, monkeypatch):
    clip = sounding(tmp_path / "clip.mp4", "aac")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stylegan_swap.video.joining.heapq.merge", full)
    with pytest.raises(VideoWriteError, match="No space left") as caught:
        written(clip, tmp_path / "out.mp4")
    assert str(caught.value).startswith(f"{tmp_path / 'out.mp4'}: ")


def test_subtitles_that_the_file_cannot_hold_are_refused_with_one_that_can(tmp_path):
    grey = [np.full((48, 64, 3), 100, np.uint8)] * 3
    clip = write_clip(tmp_path / "plain.mp4", grey)
    text = tmp_path / "lines.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:00,100\nhello\n")
    both = tmp_path / "both.mp4"
    with av.open(str(clip)) as source, av.open(str(text)) as lines, av.open(str(both), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0])
        words = target.add_stream("mov_text")
        words.codec_context.subtitle_header = b"[Script Info]\n[V4+ Styles]\n[Events]\n"
        for packet in source.demux():
            if packet.size:
                packet.stream = picture
                target.mux(packet)
        for packet in lines.demux():
            if packet.size:
                fresh = av.Packet(len(bytes(packet)).to_bytes(2, "big") + bytes(packet))
                fresh.pts = fresh.dts = packet.pts
                fresh.duration, fresh.time_base, fresh.stream = packet.duration, packet.time_base, words
                target.mux(fresh)
    with pytest.raises(VideoWriteError, match=r"out\.mkv: .*\(mov_text\).*; write \.mp4, which holds it"):
        written(both, tmp_path / "out.mkv")
    written(both, tmp_path / "out.mp4")
