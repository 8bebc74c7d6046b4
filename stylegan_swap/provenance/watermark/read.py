"""Reading the watermark: every scale and shift ranked by the template, the best few decoded.

Frames of a video vote, and are read together where each alone is too damaged: the mark lies at the same
position in all of them while the content moves, so their sum holds more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from stylegan_swap.errors import ImageReadError
from stylegan_swap.provenance.watermark.code import Kind, decode
from stylegan_swap.provenance.watermark.embed import SMALLEST_SIDE
from stylegan_swap.provenance.watermark.pattern import (
    CANONICAL_SIDE,
    TILE,
    at_scale,
    features,
    layout,
    reduced_luminance,
)

# Square root of the share of the picture that a crop has left, from all of it down to half.
SCALES = np.exp(-0.008 * np.arange(45))
# Of these candidates of a picture the message is decoded: see the arithmetic in the package's docstring.
CANDIDATES = 64
# Most pictures are whole: these scales first, of which only a few candidates are decoded.
_WHOLE, _WHOLE_CANDIDATES = 2, 8
# Below this frequency something is left after half size and JPEG; the second weighting has no more.
_LOW = 0.125
_PEAKS = 2
# Half-width of the square round a peak in which no second one is looked for, in half pixels.
_APART_HALF_PX = 3
# Half the smallest side that is written, and some of it cropped.
_SMALLEST_READ = SMALLEST_SIDE // 3


@dataclass(frozen=True)
class Watermark:
    """A watermark read from a picture.

    Attributes:
        kind: its statement.
        scale: square root of the share of the marked picture that is left; 1 where nothing was cropped.
        mirrored: whether the picture was mirrored since it was marked.
    """

    kind: Kind
    scale: float
    mirrored: bool


def read_watermark(pixels: npt.NDArray[np.uint8]) -> Watermark | None:
    """The watermark of a picture, or None where there is none.

    Found after scaling, JPEG compression, cropping to half the area, mirroring, and combinations. False
    alarms: about one in ten million pictures, see :mod:`stylegan_swap.provenance.watermark`. About
    0.3 s on one core where nothing is found, whatever the size.

    ``pixels``: uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageReadError: pixels of another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        layout_text = f"{pixels.dtype} {list(pixels.shape)}"
        raise ImageReadError(f"pixels are {layout_text}; give uint8 [H, W, 3] in RGB order")
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST_READ:
        return None
    luminance, factor = reduced_luminance(pixels)
    return read_reduced([luminance], factor * CANONICAL_SIDE / float(np.sqrt(height * width)))


def read_reduced(luminances: Sequence[npt.NDArray[np.float32]], scale: float) -> Watermark | None:
    """The watermark that several frames carry together; their content averages out.

    Args:
        luminances: reduced, float32 ``[h, w]`` each, of one size; see :func:`pattern.reduced_luminance`.
        scale: canonical pixels per pixel of theirs.
    """
    for mirrored in (False, True):
        # The tile's origin lies elsewhere in a mirrored picture, but every shift is tried.
        frames = [np.ascontiguousarray(frame[:, ::-1]) for frame in luminances] if mirrored else luminances
        for candidate in _candidates(frames, scale):
            if kind := decode(layout().soft(candidate.turned())):
                return Watermark(kind, float(candidate.scale), mirrored)
    return None


@dataclass(frozen=True, eq=False)
class _Candidate:
    height: float
    scale: float
    row: int
    column: int
    spectrum: npt.NDArray[np.complex64]

    def turned(self) -> npt.NDArray[np.complex64]:
        """The spectrum as it were with the tile's origin in the corner; the shift is in half pixels."""
        index = layout().index
        down = np.fft.fftfreq(TILE)[index // (TILE // 2 + 1)]
        across = np.fft.rfftfreq(TILE)[index % (TILE // 2 + 1)]
        turn = np.exp(1j * np.pi * (down * self.row + across * self.column))
        return (self.spectrum * turn).astype(np.complex64)


def _candidates(luminances: Sequence[npt.NDArray[np.float32]], scale: float) -> Iterator[_Candidate]:
    """The shifts where the template fits best, best first: of the whole picture, then of all scales."""
    candidates: list[_Candidate] = []
    for first, last, count in ((0, _WHOLE, _WHOLE_CANDIDATES), (_WHOLE, len(SCALES), CANDIDATES)):
        for share in SCALES[first:last]:
            candidates += _at_share(luminances, scale, float(share))
        yield from sorted(candidates, key=lambda candidate: -candidate.height)[:count]


def _at_share(
    luminances: Sequence[npt.NDArray[np.float32]], scale: float, share: float
) -> Iterator[_Candidate]:
    marks = layout()
    spectrum = np.sum([features(at_scale(frame, scale * share)) for frame in luminances], axis=0)
    for weighted in (spectrum, np.where(marks.radius < _LOW, spectrum, np.complex64(0))):
        match = _correlation(weighted)
        for _ in range(_PEAKS):
            row, column = divmod(int(match.argmax()), 2 * TILE)
            yield _Candidate(float(match[row, column]), share, row, column, weighted)
            around = np.arange(-_APART_HALF_PX, _APART_HALF_PX + 1)
            match[np.ix_((row + around) % (2 * TILE), (column + around) % (2 * TILE))] = 0


def _correlation(spectrum: npt.NDArray[np.complex64]) -> npt.NDArray[np.float32]:
    """How well the template fits at each shift by half pixels, ``[256, 256]``, in standard deviations."""
    marks = layout()
    product = np.zeros(TILE * (TILE // 2 + 1), np.complex64)
    product[marks.index] = spectrum
    product = product.reshape(TILE, -1) * np.conj(marks.template)
    fine = np.zeros((2 * TILE, TILE + 1), np.complex64)
    fine[: TILE // 2, : TILE // 2 + 1] = product[: TILE // 2]
    fine[-TILE // 2 :, : TILE // 2 + 1] = product[TILE // 2 :]
    match = scipy.fft.irfft2(fine, s=(2 * TILE, 2 * TILE))
    return match / max(float(match.std()), 1e-12)


@dataclass(frozen=True)
class FramesMark:
    """The watermarks of a video's frames.

    Attributes:
        kind: that of more than half of the frames; None where no kind has that many.
        votes: frames with the most frequent kind.
        frames: frames that were read.
        summed: kind in the sum of all frames; None where it holds none.
    """

    kind: Kind | None
    votes: int
    frames: int
    summed: Kind | None = None


def verify_frames(frames: Iterable[npt.NDArray[np.uint8]]) -> FramesMark:
    """Whether a video is marked, by majority over its frames and by their sum.

    Reading an unmarked frame takes about half a second: give some of a long video, spread over its length.

    ``frames``: uint8 ``[H, W, 3]``, RGB, each.

    Raises:
        ImageReadError: a frame of another kind.
    """
    votes: Counter[Kind] = Counter()
    luminances: dict[tuple[int, int], list[npt.NDArray[np.float32]]] = {}
    count = 0
    for frame in frames:
        count += 1
        if watermark := read_watermark(frame):
            votes[watermark.kind] += 1
        luminances.setdefault(frame.shape[:2], []).append(reduced_luminance(frame)[0])
    kind, highest = votes.most_common(1)[0] if votes else (None, 0)
    majority = kind if 2 * highest > count else None
    return FramesMark(majority, highest, count, majority or _read_sum(luminances))


def _read_sum(by_size: dict[tuple[int, int], list[npt.NDArray[np.float32]]]) -> Kind | None:
    """The kind in the sum of the frames of the most frequent size."""
    if not by_size:
        return None
    (height, width), luminances = max(by_size.items(), key=lambda item: len(item[1]))
    if len(luminances) < 2:
        return None
    # Rows and columns that the reduction dropped do not count.
    factor = max(1, height // luminances[0].shape[0])
    watermark = read_reduced(luminances, factor * CANONICAL_SIDE / float(np.sqrt(height * width)))
    return None if watermark is None else watermark.kind
