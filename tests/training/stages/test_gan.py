"""The GAN stage on painted faces: what moves, what is lazy, what is exported and read back."""

import argparse
import math

import pytest
import torch

from stylegan_swap.errors import CheckpointError, ConfigError
from stylegan_swap.methods.default.config import NetworkConfig
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.recognisers.dlib_resnet import DlibResNet
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.config import check_config
from stylegan_swap.training.loop.checkpoint import load_checkpoint, save_checkpoint
from stylegan_swap.training.stages.gan import GanStage, freeze
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.store import load_weights
from tests.training.painted import painted_photos

NETWORK = {"preset": "tiny", "size": 32, "style_dim": 16, "base_channels": 8, "min_channels": 4}


def gan_stage(start=None, batch=4, ema_kimg=0.0, photos=None, identity=None, **options):
    config = check_config(
        {
            "stage": "gan",
            "data": {"folder": "nowhere", "size": 32},
            "network": NETWORK,
            "run": {"batch": batch, "ema_kimg": ema_kimg, "device": "cpu"},
            "options": options,
            "start": None if start is None else str(start),
        },
        "test",
    )
    torch.manual_seed(0)
    stage = GanStage(config, photos or painted_photos(), identity)
    _ = stage.ema
    return stage.train()


def batch_of(stage, first=0):
    data = stage.dataset()
    items = [data[i] for i in range(first, first + stage.run_settings.batch)]
    return torch.utils.data.default_collate(items)


def run_steps(stage, steps):
    """Train, and give back what was logged in each step."""
    logged = []
    for step in range(steps):
        stage.training_step(batch_of(stage, step * stage.run_settings.batch))
        logged.append(stage.averages.take())
    return logged


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    """Parameters that moved."""
    return {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}


def test_every_weight_moves_and_lazy_terms_are_lazy():
    stage = gan_stage(r1_every=3, path_every=2, path_shrink=4)
    generator, discriminator = copied(stage.generator), copied(stage.discriminator)
    logged = run_steps(stage, 4)
    assert changed(stage.generator, generator) == {n for n, _ in stage.generator.named_parameters()}
    assert changed(stage.discriminator, discriminator) == {
        n for n, _ in stage.discriminator.named_parameters()
    }
    assert ["r1" in row for row in logged] == [True, False, False, True]
    assert ["path_penalty" in row for row in logged] == [True, False, True, False]
    assert all(math.isfinite(value) for row in logged for value in row.values())
    assert logged[0]["d_loss"] == pytest.approx(2 * math.log(2), abs=0.6)
    assert float(stage.path_length.mean) > 0
    assert int(stage.images_seen) == 16


def test_optimisers_are_corrected_for_laziness():
    made = gan_stage(learning_rate=0.002).optimizers_by_name()
    generator, discriminator = (made[n].param_groups[0] for n in ("generator", "discriminator"))
    assert generator["lr"] == pytest.approx(0.002 * 4 / 5)
    assert generator["betas"] == (0, pytest.approx(0.99 ** (4 / 5)))
    assert discriminator["lr"] == pytest.approx(0.002 * 16 / 17)
    plain = gan_stage(learning_rate=0.002, path_weight=0, r1_gamma=0).optimizers_by_name()
    assert [o.param_groups[0]["lr"] for o in plain.values()] == [0.002, 0.002]
    assert gan_stage().optimizers_by_name()["generator"].param_groups[0]["lr"] == pytest.approx(0.0025 * 0.8)


def test_the_automatic_gamma():
    assert gan_stage(batch=4).r1_gamma == pytest.approx(0.0002 * 32 * 32 / 4)
    assert gan_stage(r1_gamma=3.0).r1_gamma == 3


def gradients_of(network):
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_a_split_batch_has_the_gradient_of_a_whole_one():
    """Without randomness between the parts: one code, one photograph, no augmentation."""
    gradients = []
    for micro in (None, 2):
        stage = gan_stage(micro_batch=micro, ada_items="none", path_weight=0, r1_gamma=2.0, r1_every=1)
        code = torch.randn(1, stage.generator.n_latent, 16, generator=torch.Generator().manual_seed(1))
        stage.codes = lambda count, code=code: code.expand(count, -1, -1)
        stage.synthesise = lambda w, g=stage.generator: g(w, noise="buffer").image
        photos = batch_of(stage)["image"][:1].expand(4, -1, -1, -1)
        stage.step = lambda _: None
        steps = {}
        stage._generate(4)
        steps["generator"] = gradients_of(stage.generator)
        stage._flatten(photos)
        steps["discriminator"] = gradients_of(stage.discriminator)
        gradients.append(steps)
    for name, whole in gradients[0].items():
        for parameter, gradient in whole.items():
            # Sums of rounding errors of a few thousand pixels.
            scale = float(gradient.abs().max()) + 1e-6
            difference = float((gradient - gradients[1][name][parameter]).abs().max())
            assert difference < 2e-3 * scale, (name, parameter)


def test_a_micro_batch_must_divide_the_batch():
    with pytest.raises(ConfigError, match="micro_batch: 3 does not divide"):
        gan_stage(micro_batch=3)


def test_the_discriminator_learns_painted_faces_by_heart_and_p_rises():
    """Against a generator that stands still."""
    stage = gan_stage(batch=8, ada_kimg=0.4, ada_every=2, path_weight=0, learning_rate=0.01)
    stage._generate = lambda count: {}
    logged = run_steps(stage, 24)
    assert logged[-1]["d_loss"] < 0.7 * logged[0]["d_loss"]
    real, fake = (sum(row[name] for row in logged[-8:]) / 8 for name in ("sign_real", "sign_fake"))
    assert real > 0.5 > -0.3 > fake
    # In steps of 16 of 400 photographs; the last of them went up.
    assert 0 < stage.probability.value == pytest.approx(0.04 * round(stage.probability.value / 0.04))
    assert logged[-1]["ada_p"] > logged[-3]["ada_p"]


def test_frozen_layers_stay():
    """Six layers: fromRGB, conv1, conv2 and skip of the first block, conv1 and conv2 of the second."""
    stage = gan_stage(freeze_discriminator=6, path_weight=0, r1_every=1)
    before = copied(stage.discriminator)
    run_steps(stage, 2)
    moved = changed(stage.discriminator, before)
    still = {n for n, _ in stage.discriminator.named_parameters()} - moved
    prefixes = ("convs.0.", "convs.1.", "convs.2.conv1.", "convs.2.conv2.")
    assert still == {n for n in before if n.startswith(prefixes) and not n.endswith("kernel")}
    assert "convs.2.skip.1.weight" in moved
    whole = Discriminator(32, channels={4: 4, 8: 4, 16: 4, 32: 4})
    freeze(whole, 99)
    assert all(p.requires_grad for p in whole.final_linear.parameters())


def test_mixing():
    stage = gan_stage(mixing=1.0)
    codes = stage.codes(3)
    assert codes.shape == (3, 8, 16)
    cuts = (codes[:, 1:] - codes[:, :-1]).abs().sum((0, 2)) > 0
    assert int(cuts.sum()) == 1, "two codes, one cut"
    plain = gan_stage(mixing=0.0).codes(3)
    assert torch.equal(plain, plain[:, :1].expand_as(plain))


def test_two_runs_are_the_same_run():
    states = []
    for _ in range(2):
        stage = gan_stage(ada_start=0.5)
        run_steps(stage, 2)
        states.append(copied(stage))
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())


def test_an_interrupted_run_goes_on_exactly(tmp_path):
    """Between two steps of p, with a running path length, and Adam in the middle."""
    options = {"ada_start": 0.5, "ada_kimg": 0.1, "path_every": 2, "r1_every": 2, "ema_kimg": 0.01}
    whole, first = gan_stage(**options), gan_stage(**options)
    run_steps(whole, 6)
    run_steps(first, 3)
    save_checkpoint(first, tmp_path / "last.ckpt", {"stage": "gan"})
    second = gan_stage(**options)
    load_checkpoint(second, tmp_path / "last.ckpt", "gan")
    for step in range(3, 6):
        second.training_step(batch_of(second, step * 4))
    want, have = whole.state_dict(), second.state_dict()
    assert {name for name, value in want.items() if not torch.equal(have[name], value)} == set()
    assert whole.probability.value != 0.5


def test_export_start_and_sheet(tmp_path):
    stage = gan_stage()
    run_steps(stage, 1)
    with torch.no_grad():
        sheet = stage.contact_sheet()
    assert sheet.shape == (128, 256, 3) and sheet.dtype == "uint8"
    assert (sheet != stage.contact_sheet()).sum() == 0
    left, right = sheet[:, :128].astype(float), sheet[:, 128:].astype(float)
    assert left.std() > 0 and (left != right).any()
    stage.export(tmp_path / "weights")
    state, config = load_weights(tmp_path / "weights")
    network = NetworkConfig.from_dict(config)
    assert network == stage.network_config
    found = read_start(tmp_path / "weights")
    generator = Generator(network.size, network.style_dim, network.n_mlp, network.channels)
    found.fill(generator, "generator")
    w = torch.randn(2, 16)
    want = stage.ema["generator"](w).image
    torch.testing.assert_close(generator(w).image, want, atol=0.02 * float(want.abs().max()), rtol=0)
    torch.testing.assert_close(found.latent_avg, stage.ema["generator"].mean_latent().half())
    again = gan_stage(start=tmp_path / "weights")
    assert torch.equal(again.generator.input.input, state["generator.input.input"].float())
    assert again.probability.kimg == 100 and stage.probability.kimg == 500


def test_published_weights_start_it(tmp_path):
    """{"g_ema", "d", "latent_avg", "args"} of a port's training, without its noise maps."""
    donor = gan_stage()
    state = {n: v for n, v in donor.generator.state_dict().items() if not n.startswith("noises.")}
    content = {"g_ema": state, "d": donor.discriminator.state_dict(), "latent_avg": torch.zeros(16)}
    torch.save({**content, "args": argparse.Namespace(size=32)}, tmp_path / "published.pt")
    torch.manual_seed(9)
    stage = gan_stage(start=tmp_path / "published.pt", batch=2)
    for name, value in donor.generator.named_parameters():
        assert torch.equal(stage.generator.get_parameter(name), value)
    for name, value in donor.discriminator.named_parameters():
        assert torch.equal(stage.discriminator.get_parameter(name), value)
    torch.save({**content, "g_ema": {"style.1.weight": torch.zeros(1)}}, tmp_path / "published.pt")
    with pytest.raises(CheckpointError, match=r"published.pt, generator.*missing"):
        gan_stage(start=tmp_path / "published.pt")


def test_a_pickle_is_not_executed(tmp_path):
    torch.save({"g_ema": {}, "args": gan_stage}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="refused"):
        read_start(tmp_path / "evil.pt")


def test_measure():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        identity = DlibIdentity(DlibResNet())
    stage = gan_stage(identity=identity, measure_images=4, photos=painted_photos(4))
    found = stage.measure()
    assert set(found) == {"kid_dlib"} and math.isfinite(found["kid_dlib"])
    assert not any("identity" in name for name in stage.state_dict())
    assert stage.measure() == found


def test_sizes_must_agree():
    config = {
        "stage": "gan",
        "data": {"folder": "nowhere", "size": 64},
        "network": NETWORK,
        "run": {"device": "cpu"},
    }
    with pytest.raises(ConfigError, match=r"network\.size: 32 is not data\.size 64"):
        GanStage(check_config(config, "test"), painted_photos())
