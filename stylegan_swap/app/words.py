"""What the page says about a result, in sentences; used by ``photo``, ``clip`` and ``edit``."""

from __future__ import annotations

from collections.abc import Sequence

from stylegan_swap.faces.detection.select import SAME_PERSON

_CLOSE, _DISTANT = 0.45, 0.75


def likeness(distance: float, whom: str = "the identity") -> str:
    """What a distance of dlib's descriptors means.

    Args:
        distance: 0 the same picture; other photos of one person about 0.2 to 0.5, strangers about 0.8.
        whom: who it is compared with.
    """
    if distance < _CLOSE:
        meaning = f"is very much like {whom}"
    elif distance < SAME_PERSON:
        meaning = f"passes for {whom}"
    elif distance < _DISTANT:
        meaning = f"resembles {whom}, but does not pass for the same person"
    else:
        meaning = f"is hardly like {whom}"
    return f"{meaning} (distance {distance:.2f}; below {SAME_PERSON} counts as one person)"


def likenesses(distances: Sequence[float], whom: str = "the identity") -> list[str]:
    """One sentence per swapped face, from the left."""
    if len(distances) == 1:
        return [f"The result {likeness(distances[0], whom)}."]
    return [f"Swapped face {number} {likeness(value, whom)}." for number, value in enumerate(distances, 1)]


def remaining(done: int, total: int | None, seconds: float) -> str:
    """How far a clip is and how long it will take.

    Args:
        done: frames finished.
        total: frames in all, or None where that is not known.
        seconds: since the first frame.
    """
    if total is None or total < done:
        return f"{done} frames done"
    text = f"{done} of {total} frames done"
    if done < 3 or done == total:
        return text
    left = seconds / done * (total - done)
    return f"{text}, about {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds or minutes, as one says it."""
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def marks(watermark: bool, signed: bool) -> str:
    """Which marks a saved picture carries."""
    kinds = ["metadata (XMP)"]
    if watermark:
        kinds.append("an invisible watermark")
    if signed:
        kinds.append("a signed C2PA manifest")
    listed = kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} and {kinds[-1]}"
    return f"Marked as made with AI: {listed}."
