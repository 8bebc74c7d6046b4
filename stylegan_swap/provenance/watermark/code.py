"""The message of the watermark: 32 bits with a checksum, and the error-correcting code around them.

Convolutional code of rate 1/4 and constraint length 9, generators 463, 535, 733, 745 (octal), free distance
24 (Proakis, *Digital Communications*, 4th ed., table 8.2-3), tail-biting, so that no bit is spent on its
end; decoded from soft values by the algorithm of Viterbi, run round the circle three times.
"""

from __future__ import annotations

import functools
from enum import IntEnum

import numpy as np
import numpy.typing as npt

MESSAGE_BITS = 32
GENERATORS = (0o463, 0o535, 0o733, 0o745)
CODE_BITS = MESSAGE_BITS * len(GENERATORS)

_VERSION = 1
_CONSTRAINT = 9
_STATES = 1 << (_CONSTRAINT - 1)
_ROUNDS = 3

# CRC-24 of OpenPGP (RFC 4880, section 6.1); its start value is not zero, so the word of all zeros is no
# message.
_CRC_START = 0xB704CE
_CRC_POLYNOMIAL = 0x864CFB


class Kind(IntEnum):
    """Statement of the watermark about a picture."""

    #: A face in it was swapped.
    SWAP = 1
    #: All of it was made by a network.
    GENERATED = 2
    #: A face in it was changed, but is the same person's.
    EDITED = 3


def encode(kind: Kind) -> npt.NDArray[np.float32]:
    """The code word of a kind as signs, ``[128]`` of +1 (bit 0) and -1 (bit 1)."""
    payload = _VERSION << 4 | int(kind)
    word = payload << 24 | crc24(bytes([payload]))
    bits = [word >> (MESSAGE_BITS - 1 - index) & 1 for index in range(MESSAGE_BITS)]
    signs = np.empty((MESSAGE_BITS, len(GENERATORS)), np.float32)
    for index, bit in enumerate(bits):
        # Newest bit first; at the start of the word its end stands in the register.
        state = 0
        for back in range(1, _CONSTRAINT):
            state = state << 1 | bits[index - back]
        signs[index] = _outputs()[state, bit]
    return signs.ravel()


def decode(soft: npt.NDArray[np.floating]) -> Kind | None:
    """The kind of soft values ``[128]`` (positive for bit 0, any scale); None where they hold no message."""
    bits = _viterbi(np.asarray(soft, np.float64))
    word = int("".join(map(str, bits)), 2)
    payload, check = word >> 24, word & 0xFFFFFF
    if payload >> 4 != _VERSION or check != crc24(bytes([payload])):
        return None
    try:
        return Kind(payload & 15)
    except ValueError:
        return None


def crc24(data: bytes) -> int:
    """The checksum of RFC 4880, section 6.1."""
    value = _CRC_START
    for byte in data:
        value ^= byte << 16
        for _ in range(8):
            value <<= 1
            if value & 0x1000000:
                value ^= 0x1000000 | _CRC_POLYNOMIAL
    return value


@functools.lru_cache(1)
def _outputs() -> npt.NDArray[np.float32]:
    """Signs that leave a state with a bit, ``[states, 2, 4]``; a state's highest bit is the newest."""
    table = np.empty((_STATES, 2, len(GENERATORS)), np.float32)
    for state in range(_STATES):
        for bit in (0, 1):
            register = bit << (_CONSTRAINT - 1) | state
            table[state, bit] = [1 - 2 * ((register & taps).bit_count() & 1) for taps in GENERATORS]
    return table


@functools.lru_cache(1)
def _trellis() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The two predecessors of each state, ``[2, states]``, and the signs on the way, ``[2, states, 4]``."""
    states = np.arange(_STATES)
    bit = states >> (_CONSTRAINT - 2)
    first = (states & (_STATES // 2 - 1)) << 1
    predecessors = np.stack([first, first | 1])
    return predecessors, _outputs()[predecessors, bit]


def _viterbi(soft: npt.NDArray[np.float64]) -> list[int]:
    predecessors, signs = _trellis()
    gains = np.einsum("bsg,ng->nbs", signs, soft.reshape(MESSAGE_BITS, -1))
    metric = np.zeros(_STATES)
    choices = []
    for gain in np.concatenate([gains] * _ROUNDS):
        paths = metric[predecessors] + gain
        choice = paths[1] > paths[0]
        metric = np.where(choice, paths[1], paths[0])
        choices.append(choice)
    state = int(metric.argmax())
    bits = []
    for choice in reversed(choices):
        bits.append(state >> (_CONSTRAINT - 2))
        state = int(predecessors[int(choice[state]), state])
    bits.reverse()
    # The middle round has the word before and after it, as a circle has.
    return bits[MESSAGE_BITS : 2 * MESSAGE_BITS]
