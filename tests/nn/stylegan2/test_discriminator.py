import golden
import pytest
import torch
import torch.nn.functional as F

from stylegan_swap.nn.stylegan2.discriminator import Discriminator, minibatch_std

CHANNELS = {4: 8, 8: 8, 16: 6}


@golden.mark
def test_official_discriminator_with_r1():
    known = golden.case("rosinality_discriminator_64")
    network = known.fill(Discriminator(**known.config)).eval()
    images = known.input("img8") * torch.arange(1.0, 9.0)[:, None, None, None]
    with torch.no_grad():
        known.check("logits8", network(images))
    pair = known.input("img2").requires_grad_()
    logits = network(pair)
    known.check("logits2", logits)
    known.check("feat_last_mean_c", network.features(pair).mean(1))
    (gradient,) = torch.autograd.grad(logits.sum(), pair, create_graph=True)
    known.check("r1_grad_pooled", F.avg_pool2d(gradient, 4))
    penalty = gradient.square().sum((1, 2, 3)).mean()
    known.check("r1_penalty", penalty.reshape(1))
    first, last = network.convs[0][0].weight, network.final_linear[1].weight
    by_first, by_last = torch.autograd.grad(penalty, (first, last))
    known.check("d_r1_d_convs0_weight", by_first)
    known.check("d_r1_d_final_linear_1_weight", by_last)


@pytest.mark.parametrize(
    ("size", "multiplier", "keys", "millions"), [(1024, 2, 64, 29.0), (256, 2, 50, 28.9), (256, 1, 50, 24.0)]
)
def test_published_sizes(size, multiplier, keys, millions):
    with torch.device("meta"):
        network = Discriminator(size, channel_multiplier=multiplier)
    assert len(network.state_dict()) == keys
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_free_channels_and_planes():
    network = Discriminator(16, channels=CHANNELS, in_channels=5)
    assert network(torch.randn(2, 5, 16, 16)).shape == (2, 1)
    assert network.features(torch.randn(2, 5, 16, 16)).shape == (2, 8, 4, 4)


def test_memory_format_and_order_in_the_batch_do_not_matter():
    torch.manual_seed(0)
    network = Discriminator(16, channels=CHANNELS).double()
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    want = network(x)
    torch.testing.assert_close(network(x.contiguous(memory_format=torch.channels_last)), want)
    torch.testing.assert_close(network(x.flip(0)), want.flip(0))


def test_minibatch_std_groups():
    x = torch.zeros(8, 2, 3, 3)
    x[0] = 8.0
    y = minibatch_std(x, 4)
    assert y.shape == (8, 3, 3, 3)
    assert torch.equal(y[:, :2], x)
    # sample 0 shares its group with 2, 4 and 6
    torch.testing.assert_close(y[::2, 2], torch.full((4, 3, 3), 8 * (3**0.5) / 4))
    torch.testing.assert_close(y[1::2, 2], torch.full((4, 3, 3), 1e-4))
    assert minibatch_std(x[:1]).shape == (1, 3, 3, 3)


def test_first_and_second_derivatives():
    torch.manual_seed(1)
    network = Discriminator(8, channels={4: 2, 8: 2}).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, x)
    assert torch.autograd.gradgradcheck(network, x)


def test_r1_reaches_every_weight_before_the_last_bias():
    torch.manual_seed(2)
    network = Discriminator(16, channels=CHANNELS)
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            assert float(parameter.grad.abs().max()) > 0, name


def test_bf16_is_close_to_fp32():
    torch.manual_seed(3)
    network = Discriminator(16, channels=dict.fromkeys(CHANNELS, 32))
    x = torch.randn(4, 3, 16, 16)
    want = network(x)
    have = network.bfloat16()(x.bfloat16())
    assert (have.float() - want).abs().max() <= 3e-2 * want.abs().max()


def test_bad_images():
    for images, message in (
        (torch.zeros(2, 3, 8, 8), "discriminator: images"),
        (torch.zeros(2, 1, 16, 16), "discriminator: images"),
        (torch.zeros(3, 16, 16), "discriminator: images"),
        (torch.zeros(6, 3, 16, 16), "batch of 6"),
    ):
        with pytest.raises(ValueError, match=message):
            Discriminator(16, channels=CHANNELS)(images)


def test_bad_size():
    with pytest.raises(ValueError, match="power of two"):
        Discriminator(48)
