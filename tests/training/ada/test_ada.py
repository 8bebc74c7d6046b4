"""ADA: every item against the official pipeline, the statistics of its draws, and the control of p."""

import math

import golden
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.losses.gradient_penalty import r1_penalty
from stylegan_swap.training.ada import ada_colour, ada_corruption, ada_geometry
from stylegan_swap.training.ada.ada import ALL_ITEMS, PIPELINES, AdaptiveProbability, Augmentation
from stylegan_swap.training.ada.ada_draws import Draws


class Known(Draws):
    """The draws of the recorded case: the same percentile for everything, and every item applies.

    As recorded: normal draws are erfinv(2q − 1) and the second rotation is none.
    """

    def __init__(self, batch, percentile):
        super().__init__(batch, 1.0)
        self.percentile = percentile

    def _all(self, value):
        return torch.full((self.batch,), float(value), dtype=torch.float64)

    def applies(self, name, probability=None):
        return self._all(1).bool()

    def whole(self, name, count):
        return self._all(math.floor(self.percentile * count))

    def uniform(self, name):
        return self._all(0 if name == "rotate_again" else 2 * self.percentile - 1)

    def normal(self, name):
        return torch.erfinv(self._all(2 * self.percentile - 1))


def smooth(batch=2, side=24, dtype=torch.float64):
    stream = torch.Generator().manual_seed(0)
    small = torch.randn(batch, 3, 6, 6, generator=stream, dtype=dtype)
    return F.interpolate(small, (side, side), mode="bicubic", align_corners=False)


@golden.mark
def test_official_items():
    known = golden.case("ada_augment")
    small = known.input("img")
    images = F.interpolate(small, scale_factor=4, mode="bicubic", align_corners=False)
    for entry in known.config["cases"]:
        names = [name for name in entry if name in ALL_ITEMS]
        assert len(names) == len(entry) - 2
        augment = Augmentation(names)
        draws = Known(len(images), entry["debug_percentile"])
        known.check(entry["name"], augment(images, draws=draws), tol=1e-5)
    known.check("buffer.Hz_geom", augment.lowpass, tol=1e-6)
    known.check("buffer.Hz_fbank", augment.bands, tol=1e-6)


def test_at_probability_zero_nothing_happens():
    images = smooth()
    torch.manual_seed(0)
    assert Augmentation("bgcfnc")(images, 0.0) is images
    assert Augmentation("none")(images, 1.0) is images


def test_untouched_images_of_a_touched_batch_stay():
    """Resampling by the wavelet and its mirror image is the identity, also beside moved images."""
    images = smooth(3)
    moved = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    moved[1, 0, 2] = 2.5
    result = ada_geometry.move(images, moved, ada_geometry.lowpass().double())
    torch.testing.assert_close(result[[0, 2]], images[[0, 2]], rtol=0, atol=1e-5)
    assert (result[1] - images[1]).abs().max() > 0.1


@pytest.mark.parametrize("q", [0.3, 0.8])
def test_whole_shifts_and_turns_move_pixels(q):
    images = smooth(1, 32, torch.float32)
    shift = round((2 * q - 1) * 0.125 * 32)
    moved = Augmentation(["xint"])(images, draws=Known(1, q))
    rolled = images.roll((shift, shift), (2, 3))[:, :, 4:-4, 4:-4]
    torch.testing.assert_close(moved[:, :, 4:-4, 4:-4], rolled, atol=1e-5, rtol=0)
    # The wavelet is not symmetric: turned, it treats edges a little differently.
    turned = Augmentation(["rotate90"])(images, draws=Known(1, q))
    differences = [float((turned - torch.rot90(images, k, (2, 3))).abs().mean()) for k in range(4)]
    assert differences.index(min(differences)) == math.floor(q * 4)
    assert min(differences) < 0.02 < 0.3 < sorted(differences)[1]


class Counting(Draws):
    """Counts what applies."""

    def __init__(self, batch, probability):
        super().__init__(batch, probability)
        self.counts = {}

    def applies(self, name, probability=None):
        found = super().applies(name, probability)
        self.counts[name] = found.double()
        return found


def draw_everything(draws, side=64):
    geometry = ada_geometry.draw_geometry(draws, ALL_ITEMS, side)
    colour = ada_colour.draw_colour(draws, ALL_ITEMS)
    rest = ada_corruption.draw_bands(draws), ada_corruption.draw_noise(draws), ada_corruption.draw_hole(draws)
    return geometry, colour, rest


@pytest.mark.parametrize("p", [0.1, 0.6, 1.0])
def test_every_item_applies_with_p_and_independently(p):
    torch.manual_seed(1)
    draws = Counting(20_000, p)
    draw_everything(draws)
    assert len(draws.counts) == len(ALL_ITEMS) + 1 + 3, "a second rotation, and four bands for one filter"
    for name, applied in draws.counts.items():
        want = 1 - math.sqrt(1 - p) if name in ("rotate", "rotate_again") else p
        assert float(applied.mean()) == pytest.approx(want, abs=0.015), name
    both = draws.counts["xflip"] * draws.counts["hue"]
    assert float(both.mean()) == pytest.approx(p * p, abs=0.015)
    either = torch.maximum(draws.counts["rotate"], draws.counts["rotate_again"])
    assert float(either.mean()) == pytest.approx(p, abs=0.015)


def test_the_draws_have_the_published_spread():
    torch.manual_seed(2)
    n, side = 20_000, 64

    def geometry(item):
        return ada_geometry.draw_geometry(Draws(n, 1.0), [item], side)

    assert float((geometry("xflip")[:, 0, 0] < 0).double().mean()) == pytest.approx(0.5, abs=0.015)
    quarter = geometry("rotate90")
    angles = torch.atan2(quarter[:, 1, 0], quarter[:, 0, 0]).mul(2 / math.pi).round().remainder(4)
    assert torch.bincount(angles.long()).tolist() == pytest.approx([n / 4] * 4, rel=0.06)
    whole = geometry("xint")[:, :2, 2]
    assert torch.equal(whole, whole.round()) and float(whole.abs().max()) == 8
    assert float(geometry("xfrac")[:, :2, 2].std()) == pytest.approx(8, rel=0.03)
    assert float(geometry("scale")[:, 0, 0].log2().std()) == pytest.approx(0.2, rel=0.03)
    stretched = geometry("aniso")
    torch.testing.assert_close(stretched[:, 0, 0] * stretched[:, 1, 1], torch.ones(n, dtype=torch.float64))
    assert float(stretched[:, 1, 1].log2().std()) == pytest.approx(0.2, rel=0.03)

    def colour(item):
        return ada_colour.draw_colour(Draws(n, 1.0), [item])

    assert float(colour("brightness")[:, 0, 3].std()) == pytest.approx(0.2, rel=0.03)
    assert float(colour("contrast")[:, 0, 0].log2().std()) == pytest.approx(0.5, rel=0.03)
    red = torch.tensor([1.0, -1, 0], dtype=torch.float64)
    saturation = (colour("saturation")[:, :, :3] @ red).norm(dim=1) / math.sqrt(2)
    assert float(saturation.log2().std()) == pytest.approx(1, rel=0.03)
    hue = (colour("hue")[:, :, :3] @ red) @ red / 2
    assert float(hue.clamp(-1, 1).acos().mean()) == pytest.approx(math.pi / 2, rel=0.03)
    assert float(ada_corruption.draw_noise(Draws(n, 1.0)).square().mean().sqrt()) == pytest.approx(
        0.1, rel=0.03
    )


def test_images_of_a_batch_are_augmented_differently():
    torch.manual_seed(3)
    images = smooth(1, 32).expand(6, -1, -1, -1)
    result = Augmentation("bgc")(images, 1.0)
    for i in range(5):
        assert (result[i] - result[i + 1]).abs().max() > 0.1


def test_a_hole_is_half_a_side_wide_and_grey():
    images = torch.ones(1, 3, 32, 32)
    result = Augmentation(["cutout"])(images, draws=Known(1, 0.5))
    assert float(result.sum()) == 3 * (32 * 32 - 16 * 16)
    assert torch.equal(result[:, :, 8:24, 8:24], torch.zeros(1, 3, 16, 16))


def test_noise_has_the_drawn_strength():
    torch.manual_seed(4)
    images = torch.zeros(2, 3, 64, 64)
    result = ada_corruption.add_noise(images, torch.tensor([0.0, 0.3], dtype=torch.float64))
    assert torch.equal(result[0], images[0])
    assert float(result[1].std()) == pytest.approx(0.3, rel=0.05)


def test_bands_of_gain_one_are_the_image():
    images = smooth(1, 32)
    bands = ada_corruption.band_filters()
    same = ada_corruption.weigh_bands(images, torch.ones(1, 4, dtype=torch.float64), bands)
    torch.testing.assert_close(same, images, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="imgfilter"):
        Augmentation("filter")(smooth(2, 16), 1.0)


@pytest.mark.parametrize(("items", "side"), [(PIPELINES["bgc"], 8), ((*PIPELINES["bgcf"], "cutout"), 23)])
def test_it_is_differentiable_twice(items, side):
    """Linear in the image, but its second derivative must exist for R1."""
    augment = Augmentation(items).double()
    images = smooth(1, side).requires_grad_()

    def through(x):
        # Squared, so that the second derivative is not zero.
        return augment(x, draws=Known(1, 0.7)).square().mean((1, 2, 3))

    assert torch.autograd.gradcheck(through, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(through, images, fast_mode=True)


def test_r1_through_the_augmentation():
    """Brighter by contrast c: the slope in the photograph's own pixels is c times as steep."""
    images = smooth(2, 16).requires_grad_()
    draws = Known(2, 0.8)
    factor = 2 ** (0.5 * float(torch.erfinv(torch.tensor(0.6, dtype=torch.float64))))
    plain = r1_penalty(images.sum((1, 2, 3)), images, 2.0)
    steep = r1_penalty(Augmentation(["contrast"])(images, draws=draws).sum((1, 2, 3)), images, 2.0)
    torch.testing.assert_close(steep, plain * factor**2, rtol=1e-5, atol=0)


def test_half_precision_comes_out_whole():
    images = smooth(2, 16, torch.float32).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        result = Augmentation("bgc")(images, draws=Known(2, 0.8))
    assert result.dtype == torch.float32
    want = Augmentation("bgc")(images.float(), draws=Known(2, 0.8))
    assert torch.equal(result, want)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="there are: none, blit"):
        Augmentation("bcg")
    with pytest.raises(ValueError, match="hew"):
        Augmentation(["hew"])
    with pytest.raises(ValueError, match="square"):
        Augmentation()(torch.zeros(1, 3, 8, 16))
    with pytest.raises(ValueError, match="probability"):
        Augmentation()(torch.zeros(1, 3, 8, 8), 1.5)


def logits(positive, count=8):
    """So many of ``count`` logits above 0."""
    return torch.where(torch.arange(count) < positive, 1.0, -1.0)[:, None]


def test_p_follows_the_mean_sign():
    control = AdaptiveProbability(target=0.6, kimg=1.0, every=4)
    for call in range(1, 9):
        control.observe(logits(7))  # mean sign 0.75
        # 32 photographs of 1,000 per four batches.
        assert control.value == pytest.approx(0.032 * (call // 4))
    for _ in range(4):
        control.observe(logits(6))  # 0.5
    assert control.value == pytest.approx(0.032)
    for _ in range(8):
        control.observe(logits(0))
    assert control.value == 0.0


def test_the_mean_of_all_batches_counts_and_on_target_p_stays():
    control = AdaptiveProbability(target=0.5, kimg=1.0, every=2, start=0.3)
    control.observe(logits(8))
    control.observe(logits(4))
    assert control.value == 0.3
    control.observe(logits(8))
    control.observe(logits(5))
    assert control.value > 0.3


def test_p_never_exceeds_one():
    control = AdaptiveProbability(kimg=0.01, every=1, start=0.9)
    for _ in range(5):
        control.observe(logits(8))
    assert control.value == 1.0


def test_the_published_speed():
    """From 0 to 1 within 500,000 photographs."""
    control = AdaptiveProbability()
    for _ in range(4):
        control.observe(logits(64, 64))
    assert control.value == pytest.approx(64 * 4 / 500_000)


def test_p_resumes_between_two_steps():
    control = AdaptiveProbability(kimg=1.0, every=4)
    for _ in range(6):
        control.observe(logits(8))
    copy = AdaptiveProbability(kimg=1.0, every=4)
    copy.load_state_dict(control.state_dict())
    for _ in range(2):
        control.observe(logits(8))
        copy.observe(logits(8))
    assert copy.value == control.value == pytest.approx(0.064)


def test_p_stays_where_it_is_read():
    control = AdaptiveProbability(start=0.25).to(torch.float16)
    assert control.p.dtype == torch.float64
    assert control.to("meta").value == 0.25
    with pytest.raises(ValueError, match="AdaptiveProbability"):
        AdaptiveProbability(start=2.0)
