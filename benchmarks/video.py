"""How fast, how steady and how safe is ``swap_video``? Makes its own clip and prints the numbers.

    python benchmarks/video.py [--seconds 10] [--folder runs/video] [--steps clip,swap,frames,resume,measure]

- ``clip``: the astronaut filmed by a moving camera while she speaks, 720p, 30 frames/s, with a tone.
- ``swap``: Grace Hopper into the clip, end to end; frames per second and memory.
- ``frames``: the same, frame by frame, as ``swap()`` would: what tracking and smoothing are compared with.
- ``resume``: the same as ``swap`` in a process that is killed half-way (SIGKILL), and again until it is done.
- ``measure``: flicker, jitter, mouth of ``swap`` and ``frames``; sound and frames of ``swap`` and ``resume``.

Steps leave files in the folder, so they can be run one by one; ``compare`` is the quick part of ``measure``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from video_clip import write_clip

from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.metrics.sample import View
from stylegan_swap.metrics.video import flicker, landmark_jitter, mouth_motion
from stylegan_swap.provenance.watermark.embed import embed_watermark

STEPS = ("clip", "swap", "frames", "resume", "measure")


def make_clip(folder: Path, seconds: float) -> None:
    write_clip(folder / "clip.mp4", demo_photos()[0].pixels, seconds)


def swap(folder: Path, method: str, name: str = "swapped.mp4", *, every: int = 100) -> dict[str, object]:
    """One run, with the resident memory in MiB every 25 frames."""
    from stylegan_swap import swap_video

    memory: list[float] = []

    def progress(count: int, _: int | None) -> None:
        if count % 25 == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append(round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

    cpu = time.process_time()
    result = swap_video(
        demo_photos()[1].pixels,
        folder / "clip.mp4",
        folder / name,
        method=method,
        overwrite=True,
        segment=every,
        preview=folder / "previews",
        preview_every=50,
        progress=progress,
    )
    frames = result.frames - result.resumed_at
    return {
        "frames": result.frames,
        "swapped": result.swapped,
        "resumed_at": result.resumed_at,
        "frames_per_second": round(frames / result.seconds, 2),
        "processor_seconds_per_frame": round((time.process_time() - cpu) / frames, 3),
        "memory_mib_every_25_frames": memory,
    }


def frame_by_frame(folder: Path, method: str) -> dict[str, object]:
    """Every frame by itself, encoded alike."""
    from stylegan_swap import Swapper

    swapper = Swapper.from_pretrained(method)
    person = swapper.prepare(demo_photos()[1])
    began, cpu, count = time.perf_counter(), time.process_time(), 0
    with av.open(str(folder / "frames.mp4"), "w") as container:
        options = {"crf": "18", "preset": "medium", "bf": "0"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for count, pixels in enumerate(read(folder / "clip.mp4"), 1):
            # As `swap_video` marks: a mark that stands still on a picture that moves counts as flicker.
            image = embed_watermark(np.asarray(swapper(person, pixels).image))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p", dst_colorspace=1, dst_color_range=1
            )
            frame.colorspace, frame.color_range = 1, 1
            frame.pts, frame.time_base = count - 1, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seconds = time.perf_counter() - began
    return {
        "frames_per_second": round(count / seconds, 2),
        "processor_seconds_per_frame": round((time.process_time() - cpu) / count, 3),
    }


def kill_and_resume(folder: Path, method: str, every: int) -> dict[str, object]:
    """A process that is killed once half of the segments are there, then one that goes on."""
    parts = folder / "resumed.mp4.parts"
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]\n"
        f"from pathlib import Path\nimport video\n"
        f"video.swap(Path({str(folder)!r}), {method!r}, 'resumed.mp4', every={every})"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    half = _frame_count(folder / "clip.mp4") // 2
    while child.poll() is None:
        time.sleep(0.2)
        if _frames_done(parts) >= half:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
    count = _frames_done(parts)
    return {
        "killed": child.returncode == -signal.SIGKILL,
        "kept_frames": count,
        **swap(folder, method, "resumed.mp4", every=every),
    }


def measure(folder: Path, workers: int = 6) -> dict[str, object]:
    """Flicker, trembling and mouth of both results; the clip is shared out between processes."""
    count = _frame_count(folder / "clip.mp4")
    bounds = np.linspace(0, count, workers + 1).astype(int)
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(_measured, [folder] * workers, bounds[:-1], bounds[1:]))
    table: dict[str, object] = {"frames": count}
    views = {name: [view for part in parts for view in part[name][0]] for name in parts[0]}
    for name in sorted(set(views) - {"clip"}):
        pairs = [part[name][2] for part in parts]
        values = {
            key: float(np.average([part[name][1][key] for part in parts], weights=pairs))
            for key in parts[0][name][1]
        }
        values["landmark_jitter"] = landmark_jitter(views[name], views["clip"])
        values |= mouth_motion(views[name], views["clip"])
        table[name] = {key: round(value, 4) for key, value in values.items()}
    return table | compare(folder)


def _measured(folder: Path, first: int, last: int) -> dict[str, tuple]:
    """Of frames first to last (left out): views without pixels, mean flicker, and its number of pairs."""
    # One frame more, for the pair across the border.
    window = (max(0, first - 1), last)
    clip = [_view(pixels) for pixels in itertools.islice(read(folder / "clip.mp4"), *window)]
    report: dict[str, tuple] = {"clip": (_bare(clip, first - window[0]), {}, 0)}
    for name in ("swapped", "frames"):
        if (folder / f"{name}.mp4").is_file():
            result = [_view(pixels) for pixels in itertools.islice(read(folder / f"{name}.mp4"), *window)]
            report[name] = (_bare(result, first - window[0]), flicker(result, clip), len(clip) - 1)
    return report


def _bare(views: list[View], skip: int) -> list[View]:
    blank = np.zeros((0, 0, 3), np.uint8)
    return [View(blank, view.landmarks) for view in views[skip:]]


def compare(folder: Path) -> dict[str, object]:
    """Sound of clip and result, frames of both runs, and their times."""
    sound = {name: _packets(folder / f"{name}.mp4", "audio") for name in ("clip", "swapped")}
    report: dict[str, object] = {"audio_packets_identical": sound["clip"] == sound["swapped"]}
    times = {name: _times(folder / f"{name}.mp4") for name in ("clip", "swapped")}
    report["times_identical"] = times["clip"] == times["swapped"]
    if (folder / "resumed.mp4").is_file():
        pairs = zip(read(folder / "swapped.mp4"), read(folder / "resumed.mp4"), strict=True)
        report["resumed_frames_identical"] = all(np.array_equal(*pair) for pair in pairs)
    return report


def read(path: Path) -> Iterator[np.ndarray]:
    """Frames as uint8 RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _view(pixels: np.ndarray) -> View:
    try:
        return View(pixels, largest_face(detect_faces(pixels, quick=True)).landmarks)
    except NoFaceError:
        return View(pixels, None)


def _packets(path: Path, kind: str) -> tuple[int, str]:
    digest, count = hashlib.sha1(), 0
    with av.open(str(path)) as container:
        for packet in container.demux(**{kind: 0}):
            if packet.size:
                digest.update(f"{packet.pts} {packet.dts} {packet.duration} ".encode() + bytes(packet))
                count += 1
    return count, digest.hexdigest()


def _times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        return sorted(packet.pts * base for packet in container.demux(video=0) if packet.size)


def _frame_count(path: Path) -> int:
    return len(_times(path))


def _frames_done(parts: Path) -> int:
    try:
        return int(json.loads((parts / "journal.json").read_text())["progress"]["frames"])
    except (OSError, ValueError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/video"))
    parser.add_argument("--method", default="default")
    parser.add_argument("--segment", type=int, default=100)
    parser.add_argument("--steps", default=",".join(STEPS))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    work = {
        "clip": lambda: make_clip(options.folder, options.seconds),
        "swap": lambda: swap(options.folder, options.method, every=options.segment),
        "frames": lambda: frame_by_frame(options.folder, options.method),
        "resume": lambda: kill_and_resume(options.folder, options.method, options.segment),
        "measure": lambda: measure(options.folder),
        "compare": lambda: compare(options.folder),
    }
    for step in options.steps.split(","):
        print(step, json.dumps(work[step](), indent=1), flush=True)


if __name__ == "__main__":
    main()
