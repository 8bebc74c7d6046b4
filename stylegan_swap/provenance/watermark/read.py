"""Reading the watermark: every scale and shift ranked by the template, the best few decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
_APART = 3
# Half the smallest side that is written, and some of it cropped.
_SMALLEST_READ = SMALLEST_SIDE // 3


@dataclass(frozen=True)
class Watermark:
    """A watermark that was found.

    Attributes:
        kind: what it says.
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

    Args:
        pixels: uint8 ``[H, W, 3]``, RGB.

    Raises:
        ImageReadError: pixels of another kind.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise ImageReadError(f"pixels are {found}; give uint8 [H, W, 3] in RGB order")
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST_READ:
        return None
    luminance, factor = reduced_luminance(pixels)
    return read_reduced([luminance], factor * CANONICAL_SIDE / float(np.sqrt(height * width)))


def read_reduced(luminances: Sequence[npt.NDArray[np.float32]], scale: float) -> Watermark | None:
    """The watermark that several frames carry together: what they show besides averages out.

    Args:
        luminances: reduced, float32 ``[h, w]`` each, of one size; see :func:`pattern.reduced_luminance`.
        scale: canonical pixels per pixel of theirs.
    """
    for mirrored in (False, True):
        # The tile's origin lies elsewhere in a mirrored picture, but every shift is tried.
        seen = [np.ascontiguousarray(one[:, ::-1]) for one in luminances] if mirrored else luminances
        for candidate in _candidates(seen, scale):
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
    """The places where the template fits best, best first: of the whole picture, then of all scales."""
    found: list[_Candidate] = []
    for first, last, most in ((0, _WHOLE, _WHOLE_CANDIDATES), (_WHOLE, len(SCALES), CANDIDATES)):
        for share in SCALES[first:last]:
            found += _at_share(luminances, scale, float(share))
        yield from sorted(found, key=lambda each: -each.height)[:most]


def _at_share(
    luminances: Sequence[npt.NDArray[np.float32]], scale: float, share: float
) -> Iterator[_Candidate]:
    marks = layout()
    spectrum = np.sum([features(at_scale(one, scale * share)) for one in luminances], axis=0)
    for weighted in (spectrum, np.where(marks.radius < _LOW, spectrum, np.complex64(0))):
        match = _correlation(weighted)
        for _ in range(_PEAKS):
            row, column = divmod(int(match.argmax()), 2 * TILE)
            yield _Candidate(float(match[row, column]), share, row, column, weighted)
            around = np.arange(-_APART, _APART + 1)
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
