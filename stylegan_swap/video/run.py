"""``swap_video``: the whole way of a clip, in order.

clip → read → track → swap → write segments → join with the sound. Each step is one iterator of another file
of this package, in a thread of its own; what a finished segment needs to go on from lies in the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_swap._version import __version__
from stylegan_swap.errors import FaceSelectionError, NoFaceError, UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.detection.landmarks import landmark_backend
from stylegan_swap.images.photo import PhotoSource, read_photo
from stylegan_swap.methods.base.options import checked_options
from stylegan_swap.swapping.people import require_method
from stylegan_swap.swapping.result import Person, describe_face
from stylegan_swap.swapping.swapper import FaceChoice, PhotoSwapper
from stylegan_swap.video.folder import FolderClip
from stylegan_swap.video.frame import Clip, Frame
from stylegan_swap.video.journal import Journal, open_journal, size_of, work_folder
from stylegan_swap.video.memory import Memory
from stylegan_swap.video.overlapping import in_background
from stylegan_swap.video.preview import Preview
from stylegan_swap.video.reading import VideoClip
from stylegan_swap.video.swapping import ClipSwapper, FrameFinisher, Swapped, Tracked
from stylegan_swap.video.tracking import Tracker
from stylegan_swap.video.writing import Output, Segment, check_output, choose_output

#: Frames of a segment: what a kill costs at most.
SEGMENT = 100
# Faces that go through the network together on a GPU; on a CPU one at a time is fastest.
_GPU_GROUP = 8


@dataclass(frozen=True)
class VideoResult:
    """What ``swap_video`` made.

    Attributes:
        path: the file or folder.
        frames: how many it has.
        swapped: in how many a face was swapped.
        without_face: in how many no face was found; they are as they were.
        other_people: in how many only other people were seen; they are as they were.
        cuts: how many new scenes began.
        resumed_at: frames that an earlier run had done.
        seconds: this run took.
        notes: what a user should know, one line each.
    """

    path: Path
    frames: int
    swapped: int
    without_face: int
    other_people: int
    cuts: int
    resumed_at: int
    seconds: float
    notes: list[str]


def swap_video(
    identity: Person | PhotoSource | Sequence[PhotoSource],
    clip: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    method: str | os.PathLike[str] | PhotoSwapper = "default",
    face: FaceChoice = "largest",
    identity_face: FaceChoice = "largest",
    structure: float = 1.0,
    appearance: float = 0.0,
    seed: int | None = None,
    match_colour: bool = False,
    detail: float = 1.0,
    options: Mapping[str, Any] | None = None,
    refine: int = 0,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    smooth: bool = True,
    codec: str | None = None,
    crf: int | None = None,
    audio: str = "copy",
    preview: str | os.PathLike[str] | None = None,
    preview_every: int = SEGMENT,
    segment: int = SEGMENT,
    fresh: bool = False,
    overwrite: bool = False,
    mark: bool = True,
    finish: FrameFinisher | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    landmarks: str = "dlib",
) -> VideoResult:
    """Put the face of a photo into a clip.

    Sound and subtitles are copied, times, colours and orientation kept; frames without the person's face pass
    unchanged. Unfinished work is kept in a folder beside the output (``OUTPUT.parts``), from which the
    same call goes on after a kill and gives the same frames.

    Args:
        identity: who; as in ``swap``, or a person that ``method`` (a ``Swapper``) has prepared.
        clip: a video file, or a folder of pictures.
        output: .mp4, .mov, .mkv or .webm; a name without suffix is a folder of pictures.
        method: see ``swap``; or a ``Swapper``, which brings its own device, precision and landmarks.
        face: ``"largest"`` or a number from the left: the person who is so in the first frame with such a
            face, and stays the person; a photo of the person; or ``"all"``.
        identity_face: see ``swap``.
        structure: see ``swap``.
        appearance: see ``swap``.
        seed: see ``swap``; the same noise in every frame.
        match_colour: see ``swap``.
        detail: see ``swap``.
        options: see ``swap``.
        refine: see ``swap``; a person that is prepared already was refined then.
        start: seconds of the clip at which to begin.
        end: seconds at which to stop; None goes to the end.
        fps: frames per second of a folder of pictures; 25 unless given.
        smooth: smooth the landmarks over time (one-euro filter).
        codec: h264, hevc, vp9 or ffv1 (lossless, .mkv); None takes the suffix's usual one.
        crf: quality of the codec, lower is better; None takes its usual one.
        audio: ``"copy"`` copies sound, and encodes anew as AAC (WebM: Opus) what the output cannot hold;
            ``"encode"`` encodes all of it; ``"none"`` leaves it out.
        preview: a picture that shows the newest frame, or a folder that collects them.
        preview_every: frames from one preview to the next.
        segment: frames of a segment; a kill loses no more.
        fresh: forget unfinished work.
        overwrite: replace an existing output.
        mark: say in the file's metadata, and by a watermark in every swapped frame, that AI was used.
        finish: changes every swapped frame before it is marked and encoded: a visible label.
        progress: called with the frames done and their number, if that is known.
        device: see ``swap``.
        dtype: see ``swap``.
        landmarks: see ``swap``.

    Raises:
        VideoReadError: the clip is missing, damaged, a playlist, or of high dynamic range.
        VideoWriteError: the output exists, or cannot be written, or cannot hold the clip's sound.
        NoFaceError: no frame shows a face. FaceSelectionError: none shows the one asked for.
        StyleganSwapError: as ``swap``.
    """
    began = time.perf_counter()
    source, target = Path(clip), Path(output)
    _check_numbers(start, end, fps, preview_every, segment)
    check_output(target, overwrite=overwrite, inputs=[source, identity, face])
    if target.is_dir() and source.is_dir() and target.resolve() == source.resolve():
        raise UnsupportedOptionError(f"{target}: is the clip itself; choose another folder")
    show = None if preview is None else Preview(Path(preview), every=preview_every, mark=mark)
    frames = _open_clip(source, start, end, fps)
    trimmed = start > 0 or end is not None
    written = choose_output(target, frames, codec=codec, crf=crf, trimmed=trimmed, mark=mark, audio=audio)
    swapper = (
        method
        if isinstance(method, PhotoSwapper)
        else PhotoSwapper.from_pretrained(method, device=device, dtype=dtype, landmarks=landmarks)
    )
    if isinstance(identity, Person):
        person = identity
    else:
        person = swapper.prepare(identity, face=identity_face, refine=refine, seed=seed or 0)
    require_method(person, swapper.method.fingerprint)
    options = checked_options(
        swapper.method.name,
        swapper.method.options,
        {"structure": structure, "appearance": appearance, "seed": seed, "detail": detail}
        | dict(options or {}),
    )
    tracker = _tracker(swapper, face, smooth)
    group = 1 if swapper.method.device.type == "cpu" else _GPU_GROUP
    clip_swapper = ClipSwapper(swapper, person, options, match_colour, group, finish)
    run = {
        "version": __version__,
        "clip": frames.fingerprint(),
        "person": hashlib.sha256(person.embedding.float().cpu().numpy().tobytes()).hexdigest(),
        "method": swapper.method.fingerprint,
        "precision": str(swapper.method.dtype),
        "face": _described(tracker.person),
        "options": options,
        "match_colour": match_colour,
        "refine": refine,
        "smooth": smooth,
        "segment": segment,
        "group": group,
        "finish": finish is not None,
        **written.settings(),
    }
    with open_journal(target, run, fresh=fresh) as journal:
        resumed_at = journal.progress.frames
        if not journal.progress.complete:
            process(frames, tracker, clip_swapper, written, journal, segment, show, progress)
        counts = journal.progress.counts
        if not counts.get("swapped"):
            journal.remove()
            raise _nobody(frames.name, face, tracker, counts)
        written.finish(journal)
        total = journal.progress.frames
        journal.remove()
    notes = [*person.notes, *frames.notes, *swapper.notes]
    if counts.get("other_people"):
        notes.append(f"{counts['other_people']} frames show only other people; they are as they were")
    if counts.get("missing"):
        number = "1 frame" if counts["missing"] == 1 else f"{counts['missing']} frames"
        notes.append(
            f"{frames.name}: is damaged; {number} could not be decoded, missing in the result: the frame "
            "before stays longer, sound and times stay as they were"
        )
    return VideoResult(
        target,
        total,
        counts["swapped"],
        counts.get("without_face", 0),
        counts.get("other_people", 0),
        counts.get("cuts", 0),
        resumed_at,
        time.perf_counter() - began,
        list(dict.fromkeys(notes)),
    )


def process(
    clip: Clip,
    tracker: Tracker,
    swap: ClipSwapper,
    output: Output,
    journal: Journal,
    length: int,
    preview: Preview | None,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    """Do what the journal does not hold yet, segment by segment."""
    written = journal.progress
    if written.state is not None:
        tracker.restore(written.state)
    frames = in_background(_frames_after(clip, written.frames, written.last_pts), name="decode")
    tracked = in_background(_tracked(frames, tracker, length), name="track")
    swapped = in_background(swap(tracked), name="swap")
    number = len(written.segments)
    segment: Segment | None = None
    counts = dict(written.counts)
    try:
        with contextlib.closing(swapped) as results:
            for result in results:
                if segment is None:
                    segment = output.segment(journal, number)
                frame = result.tracked.frame
                segment.write(frame, result.pixels, result.mask)
                _count(counts, result)
                if preview is not None:
                    preview(result)
                if progress is not None:
                    progress(frame.number + 1, clip.frame_count)
                written.first_pts = frame.pts if written.first_pts is None else written.first_pts
                if result.tracked.state is not None:
                    segment.close()
                    _commit(journal, segment, frame, counts, result.tracked.state)
                    segment, number = None, number + 1
        if segment is not None:
            segment.close()
            _commit(journal, segment, frame, counts, None)
            segment = None
        written.complete = True
        journal.commit()
    finally:
        if segment is not None:
            segment.discard()


def _frames_after(clip: Clip, count: int, last_pts: int | None) -> Iterator[Frame]:
    """The frames from number ``count`` on."""
    if count == 0:
        yield from clip.frames()
        return
    # The last frame done is the one whose time is known.
    for frame in clip.frames(count - 1, last_pts):
        if frame.number >= count:
            yield frame


def _tracked(frames: Iterator[Frame], tracker: Tracker, length: int) -> Iterator[Tracked]:
    for frame in frames:
        observation = tracker(frame)
        ends = (frame.number + 1) % length == 0
        yield Tracked(frame, observation, tracker.state() if ends else None)


def _count(counts: dict[str, int], result: Swapped) -> None:
    unswapped = "other_people" if result.tracked.observation.bystanders else "without_face"
    outcome = "swapped" if result.pixels is not None else unswapped
    counts[outcome] = counts.get(outcome, 0) + 1
    counts["cuts"] = counts.get("cuts", 0) + result.tracked.observation.cut
    if result.tracked.frame.missing:
        counts["missing"] = counts.get("missing", 0) + result.tracked.frame.missing


def _commit(
    journal: Journal, segment: Segment, frame: Frame, counts: dict[str, int], state: dict[str, Any] | None
) -> None:
    progress = journal.progress
    progress.segments.append((segment.path.name, size_of(segment.path)))
    progress.frames, progress.last_pts, progress.last_duration = frame.number + 1, frame.pts, frame.duration
    progress.counts, progress.state = dict(counts), state
    journal.commit()


def _tracker(swapper: PhotoSwapper, face: FaceChoice, smooth: bool) -> Tracker:
    def describe(pixels: np.ndarray, face: Face) -> np.ndarray:
        return describe_face(swapper.recogniser, pixels, face.landmarks)[0].numpy()

    person: str | int | Memory
    if isinstance(face, int | np.integer):
        person = int(face)
        if person < 0:
            raise FaceSelectionError(f"face {person} was asked for; faces are numbered from the left, from 0")
    elif isinstance(face, str) and face in ("largest", "all"):
        person = face
    else:
        photo = read_photo(face)
        person = Memory(swapper.describe(photo, swapper.choose_faces(photo, "largest")[0]))
    backend = landmark_backend(swapper.landmarks)
    return Tracker(person, backend, describe, swapper.crop_side, smooth=smooth)


def _open_clip(path: Path, start: float, end: float | None, fps: float | None) -> Clip:
    if path.is_dir():
        rate = Fraction(25) if fps is None else Fraction(fps).limit_denominator(100_000)
        return FolderClip(path, rate=rate, start=start, end=end)
    if fps is not None:
        raise UnsupportedOptionError(f"{path}: a video has its own times; fps is for folders of pictures")
    return VideoClip(path, start=start, end=end)


def _check_numbers(start: float, end: float | None, fps: float | None, every: int, segment: int) -> None:
    if not 0 <= start < float("inf"):
        raise UnsupportedOptionError(f"start is a number of seconds from 0, got {start}")
    if end is not None and not start < end < float("inf"):
        raise UnsupportedOptionError(f"end must be later than start ({start} s), got {end}")
    if fps is not None and not 0 < fps <= 1000:
        raise UnsupportedOptionError(f"fps is a number of frames per second up to 1000, got {fps}")
    for name, value in (("preview_every", every), ("segment", segment)):
        if value < 1:
            raise UnsupportedOptionError(f"{name} is a number of frames from 1, got {value}")


def _described(person: str | int | Memory) -> object:
    return person.state() if isinstance(person, Memory) else person


def _nobody(name: str, face: FaceChoice, tracker: Tracker, counts: dict[str, int]) -> Exception:
    if counts.get("other_people"):
        name_of_face = f"face {face}" if isinstance(face, int) else "the person asked for"
        return FaceSelectionError(
            f"{name}: {name_of_face} was seen in no frame; at most {tracker.most_faces} faces were seen in "
            "one: use another reference photo, another number, or 'largest'"
        )
    return NoFaceError(
        f"{name}: no frame shows a face that can be swapped; use a clip in which both eyes and the mouth can "
        "be seen, at least 32 px wide"
    )


__all__ = ["SEGMENT", "VideoResult", "swap_video", "work_folder"]
