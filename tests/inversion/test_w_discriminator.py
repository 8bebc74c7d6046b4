"""e4e's discriminator of codes against the official one, and its pool."""

import golden
import torch

from inversion.w_discriminator import CodePool, LatentDiscriminator


@golden.mark
def test_official_discriminator():
    known = golden.case("e4e_w_discriminator")
    network = known.fill(LatentDiscriminator(**known.config))
    known.check("logits", network(known.input("w")), tol=1e-5)


def test_logits_of_rows():
    network = LatentDiscriminator(6, 2)
    w = torch.randn(2, 5, 6)
    assert network(w).shape == (2, 5, 1)
    torch.testing.assert_close(network(w)[1], network(w[1]))


def numbered(start, count, width=3):
    return torch.arange(start, start + count).float()[:, None].expand(-1, width)


def test_the_pool_fills_and_then_exchanges():
    torch.manual_seed(0)
    pool = CodePool(3, size=10)
    assert torch.equal(pool.exchange(numbered(0, 8)), numbered(0, 8))
    assert int(pool.filled) == 8
    pool.exchange(numbered(8, 2))
    assert torch.equal(pool.codes, numbered(0, 10))
    kept = returned = 0
    for start in range(10, 2010, 20):
        before = pool.codes.clone()
        given = numbered(start, 20)
        answer = pool.exchange(given)
        former = (answer != given).any(1)
        returned += int(former.sum())
        kept += int((~former).sum())
        # No code is lost and none is there twice.
        everything = torch.cat([before, given])[:, 0].sort().values
        assert torch.equal(torch.cat([pool.codes, answer])[:, 0].sort().values, everything)
    assert abs(returned / (returned + kept) - 0.5) < 0.04


def test_one_random_row_of_every_sample():
    torch.manual_seed(1)
    pool = CodePool(2, size=0)
    codes = torch.arange(4.0).view(1, 4, 1).expand(2000, -1, 2)
    rows = pool.exchange(codes)[:, 0]
    counts = torch.bincount(rows.long(), minlength=4)
    assert ((counts - 500).abs() < 80).all()


def test_the_pool_resumes_exactly():
    pool = CodePool(3, size=4)
    pool.exchange(torch.randn(6, 3))
    copy = CodePool(3, size=4)
    copy.load_state_dict(pool.state_dict())
    w = torch.randn(5, 2, 3, requires_grad=True)
    torch.manual_seed(5)
    first = pool.exchange(w)
    torch.manual_seed(5)
    assert torch.equal(copy.exchange(w), first)
    assert torch.equal(copy.codes, pool.codes)
    assert not first.requires_grad


def test_moving_keeps_the_count():
    pool = CodePool(3, size=4).double()
    assert pool.codes.dtype == torch.float64
    assert pool.filled.dtype == torch.int64
    assert pool.to("meta").filled.device.type == "cpu"
