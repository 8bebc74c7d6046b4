"""Invisible watermark in the pixels, for where metadata are stripped.

Spread spectrum with a synchronisation template (Cox, Miller, Bloom, Fridrich, Kalker, *Digital Watermarking
and Steganography*, 2nd ed., chapters 3, 9 and 10). Writing: ``pattern`` → ``embed``; reading: ``read`` →
``code``.

The picture is scaled to a *canonical* area of 256 × 256 pixels. There, one tile of 128 × 128 is
repeated in both directions; its spectrum between 0.03 and 0.21 cycles per pixel carries signs. As the
pattern grows with the picture, scaling changes nothing but sharpness. Cropping shifts the tile and changes
the canonical scale a little: the reader tries 45 scales and, by one Fourier transform each, all shifts.

**False positives.** A message has 32 bits: version (4), kind (4) and a CRC-24 of both. In a picture without
a mark, the decoder's 32 bits are as good as random, and three words of 2³² are accepted (version 1, kinds 1
to 3). The reader ranks all its hypotheses — 45 scales × 256 × 256 half-pixel shifts × 2 weightings × 2 (as
it is, mirrored) = 11.8 million — by the template alone, whose coefficients carry no message, and decodes
only the best 8 of the first two scales and the best 64 of all, of the picture and of its mirror image: 144
words. So it errs in at most 144 · 3 / 2³² = 1.0·10⁻⁷ of all pictures. (Decoding all hypotheses would err in
0.8 %: hence the ranking.)

The pattern is public, as the code is: anybody can remove or forge the mark. It informs, it does not prove.
"""

from stylegan_swap.provenance.watermark.code import Kind
from stylegan_swap.provenance.watermark.embed import SMALLEST_SIDE, embed_in_luma, embed_watermark
from stylegan_swap.provenance.watermark.read import FramesMark, Watermark, read_watermark, verify_frames

__all__ = [
    "FramesMark",
    "Kind",
    "SMALLEST_SIDE",
    "Watermark",
    "embed_in_luma",
    "embed_watermark",
    "read_watermark",
    "verify_frames",
]
