"""The message survives noise, and noise is no message."""

import numpy as np

from stylegan_swap.provenance.watermark.code import CODE_BITS, Kind, crc24, decode, encode


def test_the_checksum_is_the_published_one():
    # The check value of CRC-24/OPENPGP in the catalogue of parametrised CRC algorithms.
    assert crc24(b"123456789") == 0x21CF02


def test_every_kind_is_read_back():
    for kind in list(Kind):
        code = encode(kind)
        assert code.shape == (CODE_BITS,) and set(np.unique(code)) == {-1.0, 1.0}
        assert decode(code) is kind
        assert decode(0.01 * code) is kind


def test_the_code_corrects_many_wrong_bits():
    random = np.random.default_rng(0)
    # Signal and noise of the same size: 16 % of the bits are wrong, 20 of 128.
    noisy = [encode(Kind.SWAP) + random.normal(0, 1, CODE_BITS) for _ in range(50)]
    wrong = np.mean([(np.sign(each) != encode(Kind.SWAP)).mean() for each in noisy])
    assert 0.13 < wrong < 0.19
    assert np.mean([decode(each) is Kind.SWAP for each in noisy]) >= 0.9


def test_noise_and_silence_are_no_message():
    random = np.random.default_rng(1)
    assert not any(decode(random.normal(size=CODE_BITS)) for _ in range(200))
    for level in (0.0, 1.0, -1.0):
        assert decode(np.full(CODE_BITS, level)) is None


def test_another_version_and_an_unknown_kind_are_refused(monkeypatch):
    from stylegan_swap.provenance.watermark import code

    monkeypatch.setattr(code, "_VERSION", 2)
    other = encode(Kind.SWAP)
    monkeypatch.undo()
    assert decode(other) is None
    assert decode(encode(9)) is None


def test_kinds_are_far_apart():
    words = [encode(kind) for kind in Kind]
    for first in range(3):
        for second in range(first):
            assert (words[first] != words[second]).sum() >= 24
