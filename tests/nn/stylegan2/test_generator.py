import threading

import golden
import pytest
import torch

from stylegan_swap.nn.stylegan2.generator import Generator, channels_for

CHANNELS = {4: 8, 8: 8, 16: 6, 32: 4}


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    network = Generator(32, style_dim=16, n_mlp=2, channels=CHANNELS).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("noise.weight", "bias")) and "modulation" not in name:
                parameter.normal_()
    return network


def code(network, batch=2, seed=1):
    return torch.randn(
        batch, network.n_latent, network.style_dim, generator=torch.Generator().manual_seed(seed)
    )


@golden.mark
def test_official_mapping():
    known = golden.case("rosinality_mapping")
    config = known.config
    network = Generator(**config)
    network.load_state_dict(network.state_dict() | known.state())
    x = known.input("z")
    for n, layer in enumerate(network.style):
        x = layer(x)
        known.check(f"style_{n}", x)
    known.check("style_3", network.mapping(known.input("z")))


@golden.mark
def test_official_generator():
    known = golden.case("rosinality_generator_64")
    network = known.fill(Generator(**known.config)).eval()
    seen = {}
    keep = {"feat_conv1": network.conv1, "skip_4": network.to_rgb1, "skip_8": network.to_rgbs[0]}
    keep |= {"feat_convs0_mean_c": network.convs[0], "feat_convs1_mean_c": network.convs[1]}
    handles = [
        layer.register_forward_hook(lambda _, __, y, name=name: seen.update({name: y}))
        for name, layer in keep.items()
    ]
    with torch.no_grad():
        w = network.mapping(known.input("z"))
        known.check("w", w)
        known.check("latents", network.broadcast(w))
        out = network(w)
    for handle in handles:
        handle.remove()
    known.check("img", out.image)
    known.check("feat_conv1", out.features[4])
    known.check("feat_convs1_mean_c", out.features[8].mean(1))
    for name, y in seen.items():
        known.check(name, y.mean(1) if name.endswith("mean_c") else y)
    assert seen.keys() == keep.keys()
    with torch.no_grad():
        average = network.mapping(known.input("zavg")).mean(0, keepdim=True)
        known.check("w_mean", average)
        known.check("img_trunc07", network(network.truncate(w, 0.7, average)).image)
        mixed = network.style_mix(w, network.mapping(known.input("z2")), 4)
        known.check("img_mix_idx4", network(mixed).image)
        wplus = known.input("wplus")
        known.check("img_wplus", network(wplus).image)
        alone = torch.cat([network(wplus[n : n + 1]).image for n in range(len(wplus))])
        known.check("img_wplus", alone)


@golden.mark
def test_official_path_length_gradient():
    known = golden.case("rosinality_generator_64")
    network = known.fill(Generator(**known.config)).eval()
    latents = network.broadcast(network.mapping(known.input("z"))).detach().requires_grad_()
    image = network(latents).image
    direction = known.input("pl_noise") / 64
    (gradient,) = torch.autograd.grad((image * direction).sum(), latents, create_graph=True)
    # The gradient jumps where rounding moves an activation across the kink of leaky ReLU; the
    # recorded float32 one itself differs from the exact (float64) one by 1e-3.
    known.check("path_grad", gradient, tol=5e-3)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    known.check("path_lengths", lengths)
    lengths.sum().backward()
    assert torch.isfinite(network.convs[0].conv.weight.grad).all()
    assert float(network.convs[0].conv.weight.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("size", "multiplier", "keys", "parameters"),
    [
        (256, 1, 135, 24_767_458),
        (256, 2, 135, 30_034_338),
        (512, 2, 153, 30_276_583),
        (1024, 2, 171, 30_370_060),
    ],
)
def test_published_sizes(size, multiplier, keys, parameters):
    with torch.device("meta"):
        network = Generator(size, channel_multiplier=multiplier)
    assert len(network.state_dict()) == keys
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network.n_latent == {256: 14, 512: 16, 1024: 18}[size]


def test_channel_table():
    assert channels_for(1024) == {
        4: 512,
        8: 512,
        16: 512,
        32: 512,
        64: 512,
        128: 256,
        256: 128,
        512: 64,
        1024: 32,
    }
    assert channels_for(128, 1) == {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128}
    assert channels_for(64, 4)[64] == 1024
    assert Generator(8, 4, 1, channels={"4": 3, "8": 2, "16": 9}).channels == {4: 3, 8: 2}


def test_output_and_features(tiny):
    out = tiny(code(tiny))
    assert out.image.shape == (2, 3, 32, 32)
    assert {r: tuple(h.shape) for r, h in out.features.items()} == {
        r: (2, c, r, r) for r, c in CHANNELS.items()
    }
    again = tiny(code(tiny), return_features=False)
    assert again.features == {}
    assert torch.equal(out.image, again.image)


def test_w_is_repeated_over_the_rows(tiny):
    w = tiny.mapping(torch.randn(2, 16))
    rows = w[:, None].expand(-1, tiny.n_latent, -1)
    assert torch.equal(tiny(w).image, tiny(rows).image)


def test_every_row_matters_where_the_layout_says(tiny):
    base = code(tiny, 1)
    want = tiny(base).features
    for row in range(tiny.n_latent - 1):
        changed = base.clone()
        changed[:, row] += 1
        have = tiny(changed).features
        first = {r for r in want if not torch.allclose(have[r], want[r], atol=1e-6)}
        # row 0 drives the 4 px block; rows 2j+1 and 2j+2 drive the convolutions at 8·2^j
        start = 4 if row == 0 else 8 * 2 ** ((row - 1) // 2)
        assert first == {r for r in want if r >= start}
    changed = base.clone()
    changed[:, -1] += 1
    assert torch.equal(tiny(changed).features[32], want[32])
    assert not torch.allclose(tiny(changed).image, tiny(base).image)


def test_batch_equals_samples_alone(tiny):
    wplus = code(tiny, 3)
    alone = torch.cat([tiny(wplus[n : n + 1]).image for n in range(3)])
    torch.testing.assert_close(tiny(wplus).image, alone, atol=1e-5, rtol=1e-4)
    assert tiny(wplus[:0]).image.shape == (0, 3, 32, 32)


def test_noise_modes(tiny):
    wplus = code(tiny)
    buffer = tiny(wplus).image
    assert torch.equal(buffer, tiny(wplus, noise="buffer").image)
    assert torch.equal(
        buffer, tiny(wplus, noise=[tiny.noises.get_buffer(f"noise_{n}") for n in range(7)]).image
    )
    none = tiny(wplus, noise="none").image
    assert torch.equal(none, tiny(wplus, noise=[None] * 7).image)
    assert not torch.allclose(none, buffer)

    def drawn(seed):
        return tiny(wplus, noise="random", generator=torch.Generator().manual_seed(seed)).image

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.allclose(drawn(3), drawn(4))
    maps = tiny.make_noise(2, torch.Generator().manual_seed(3))
    assert torch.equal(drawn(3), tiny(wplus, noise=maps).image)
    torch.manual_seed(9)
    first = tiny(wplus, noise="random").image
    assert not torch.allclose(first, tiny(wplus, noise="random").image)
    torch.manual_seed(9)
    assert torch.equal(first, tiny(wplus, noise="random").image)


def test_noise_differs_between_samples_only_when_random(tiny):
    wplus = code(tiny, 1).expand(2, -1, -1)
    fixed = tiny(wplus).image
    torch.testing.assert_close(fixed[0], fixed[1])
    drawn = tiny(wplus, noise="random").image
    assert not torch.allclose(drawn[0], drawn[1])


def test_structure_replaces_the_constant(tiny):
    wplus = code(tiny)
    own = tiny.input.input
    assert torch.equal(tiny(wplus).image, tiny(wplus, structure=own).image)
    per_sample = torch.cat([own, own + 1])
    have = tiny(wplus, structure=per_sample).image
    torch.testing.assert_close(have[:1], tiny(wplus[:1]).image, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(have[1:], tiny(wplus[1:]).image)
    per_sample = per_sample.detach().requires_grad_()
    tiny(wplus, structure=per_sample).image.sum().backward()
    assert float(per_sample.grad[1].abs().max()) > 0


def test_blend_is_called_between_the_convolutions_in_order(tiny):
    calls = []
    handles = [
        layer.register_forward_hook(lambda *_, n=n: calls.append(f"conv{n}"))
        for n, layer in enumerate(tiny.convs)
    ]

    def blend(r, hidden):
        assert hidden.shape == (2, CHANNELS[r], r, r)
        calls.append(r)
        return hidden

    wplus = code(tiny)
    same = tiny(wplus, blend=blend).image
    for handle in handles:
        handle.remove()
    assert calls == ["conv0", 8, "conv1", "conv2", 16, "conv3", "conv4", 32, "conv5"]
    assert torch.equal(same, tiny(wplus).image)


def test_what_blend_returns_is_used_and_differentiated(tiny):
    wplus = code(tiny)
    attribute = torch.zeros(2, CHANNELS[16], 16, 16, requires_grad=True)
    out = tiny(wplus, blend=lambda r, h: attribute if r == 16 else h)
    plain = tiny(wplus)
    assert torch.equal(out.features[8], plain.features[8])
    assert not torch.allclose(out.features[16], plain.features[16])
    out.image.sum().backward()
    assert float(attribute.grad.abs().max()) > 0
    with torch.no_grad():
        replaced = tiny(wplus, blend=lambda r, h: h.mul_(0) if r == 16 else h)
    torch.testing.assert_close(replaced.image, out.image)


def test_mean_latent_and_truncation(tiny):
    average = tiny.mean_latent(5000, seed=3)
    assert average.shape == (16,)
    assert torch.equal(average, tiny.mean_latent(5000, seed=3))
    assert not torch.equal(average, tiny.mean_latent(5000, seed=4))
    torch.testing.assert_close(average, tiny.mean_latent(5000, seed=4), atol=0.1, rtol=0)
    w = code(tiny)
    torch.testing.assert_close(tiny.truncate(w, 1.0, average), w)
    torch.testing.assert_close(tiny.truncate(w, 0.0, average), average.expand_as(w))
    torch.testing.assert_close(tiny.truncate(w, 0.5, average), (w + average) / 2)
    rows = torch.randn(tiny.n_latent, 16)
    torch.testing.assert_close(tiny.truncate(w, 0.0, rows), rows.expand_as(w))


def test_style_mix(tiny):
    a, b = code(tiny), tiny.mapping(torch.randn(2, 16))
    mixed = tiny.style_mix(a, b, 3)
    assert torch.equal(mixed[:, :3], a[:, :3])
    assert torch.equal(mixed[:, 3:], b[:, None].expand(-1, tiny.n_latent - 3, -1))
    assert torch.equal(tiny.style_mix(a, b, tiny.n_latent), a)


def test_first_and_second_derivatives():
    torch.manual_seed(6)
    network = Generator(8, style_dim=3, n_mlp=1, channels={4: 2, 8: 2}).double()
    with torch.no_grad():
        for noise_weight in (network.conv1.noise, network.convs[0].noise):
            noise_weight.weight.fill_(0.3)
    for batch in (1, 2):
        wplus = torch.randn(batch, 4, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda w: network(w).image, wplus)
        assert torch.autograd.gradgradcheck(lambda w: network(w).image.mean((2, 3)), wplus)


def test_every_parameter_learns(tiny):
    tiny(tiny.mapping(torch.randn(2, 16))).image.square().sum().backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("batch", [1, 2])
def test_bf16_is_close_and_sums_the_image_in_fp32(batch):
    torch.manual_seed(7)
    network = Generator(32, style_dim=32, n_mlp=1, channels=dict.fromkeys(CHANNELS, 64))
    wplus = code(network, batch)
    with torch.no_grad():
        want = network(wplus).image
        have = network.bfloat16()(wplus)
    assert have.image.dtype == torch.float32
    assert have.features[32].dtype == torch.bfloat16
    assert (have.image - want).square().mean() <= 1e-2**2 * want.square().mean()


def test_autocast_runs(tiny):
    wplus = code(tiny)
    want = tiny(wplus).image
    with torch.autocast("cpu", torch.bfloat16):
        have = tiny(wplus).image
    assert (have - want).square().mean().sqrt() <= 2e-2 * want.square().mean().sqrt()


def test_conv_clamp_limits_every_layer(tiny):
    limited = Generator(32, style_dim=16, n_mlp=2, channels=CHANNELS, conv_clamp=0.5)
    limited.load_state_dict(tiny.state_dict())
    with torch.no_grad():
        out = limited(code(tiny))
        free = tiny(code(tiny))
    assert all(float(h.abs().max()) <= 0.5 for h in out.features.values())
    assert float(free.features[32].abs().max()) > 0.5


def test_threads_may_share_a_generator(tiny):
    codes = [code(tiny, 1 + n % 2, seed=n) for n in range(6)]
    with torch.inference_mode():
        want = [tiny(c).image for c in codes]
    have = [None] * len(codes)

    def work(n):
        with torch.inference_mode():
            have[n] = tiny(codes[n]).image

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(codes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(have, want, strict=True):
        torch.testing.assert_close(a, b)


def test_state_round_trip_into_other_initial_values(tiny):
    torch.manual_seed(99)
    other = Generator(32, style_dim=16, n_mlp=2, channels=CHANNELS)
    other.load_state_dict(tiny.state_dict())
    assert torch.equal(other(code(tiny)).image, tiny(code(tiny)).image)


def test_bad_size():
    for size in (0, 4, 100, 256.0):
        with pytest.raises(ValueError, match="power of two"):
            Generator(size)


def test_bad_channels():
    with pytest.raises(ValueError, match=r"at \[16, 32\]"):
        Generator(32, channels={4: 8, 8: 8, 16: 0})
    with pytest.raises(ValueError, match="channel_multiplier"):
        channels_for(64, 0)


def test_bad_calls(tiny):
    for options, message in (
        ({"wplus": torch.zeros(2, 7, 16)}, r"\[batch, 8, 16\]"),
        ({"wplus": torch.zeros(2, 15)}, r"\[batch, 16\]"),
        ({"structure": torch.zeros(3, 8, 4, 4)}, "structure"),
        ({"noise": "const"}, "unknown noise 'const'"),
        ({"noise": [None]}, "1 noise maps given"),
        ({"noise": [torch.zeros(1, 1, 4, 4)] * 7}, "noise map 1"),
        ({"blend": lambda r, h: h[:, :1]}, r"blend\(8, hidden\)"),
        ({"blend": lambda r, h: None}, "NoneType"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny(**({"wplus": code(tiny)} | options))


def test_bad_codes_to_the_helpers(tiny):
    with pytest.raises(ValueError, match="latent_avg"):
        tiny.truncate(code(tiny), 0.5, torch.zeros(3, 16))
    with pytest.raises(ValueError, match="index"):
        tiny.style_mix(code(tiny), code(tiny), 9)
    with pytest.raises(ValueError, match="n must be"):
        tiny.mean_latent(0)
