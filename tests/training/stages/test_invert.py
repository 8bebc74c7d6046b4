"""The invert stage on painted faces: encoders learn, frozen generators do not, e4e's schedule is kept."""

import math

import pytest
import torch
import torch.nn.functional as F

from inversion.irse import IRSE50, IRSE50Trunk
from stylegan_swap.errors import CheckpointError, ConfigError
from stylegan_swap.methods.default.config import NetworkConfig
from stylegan_swap.methods.default.network import SwapNetwork
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.nn.recognisers.dlib_resnet import DlibResNet
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.config import check_config
from stylegan_swap.training.loop.checkpoint import load_checkpoint, save_checkpoint
from stylegan_swap.training.loop.ranger import Ranger
from stylegan_swap.training.stages.invert import InvertStage
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.store import load_weights, save_weights
from tests.training.painted import painted_photos

NETWORK = {"preset": "tiny", "size": 32, "style_dim": 16, "base_channels": 16, "encoder_width": 8}
FAST = {"perceptual": 0.0, "identity": 0.0}


@pytest.fixture(scope="module")
def identity():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DlibIdentity(DlibResNet())


@pytest.fixture(scope="module")
def generator_file(tmp_path_factory):
    """A published generator with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = NetworkConfig.preset(
            **{"name": "tiny", **{k: v for k, v in NETWORK.items() if k != "preset"}}
        )
        generator = Generator(network.size, network.style_dim, network.n_mlp, network.channels)
    file = tmp_path_factory.mktemp("published") / "generator.pt"
    torch.save({"g_ema": generator.state_dict(), "latent_avg": torch.full((16,), 0.1)}, file)
    return file


@pytest.fixture
def shallow_trunk(monkeypatch):
    """IR-SE-50 costs seconds per image here; the heads and everything after it stay real."""

    def taps(self, x):
        return tuple(
            F.adaptive_avg_pool2d(x, side).repeat(1, channels // 3 + 1, 1, 1)[:, :channels]
            for channels, side in ((128, 64), (256, 32), (512, 16))
        )

    monkeypatch.setattr(IRSE50Trunk, "taps", taps)


def invert_stage(identity, start, batch=4, ema_kimg=0.0, **options):
    config = check_config(
        {
            "stage": "invert",
            "data": {"folder": "nowhere", "size": 32},
            "network": NETWORK,
            "run": {"batch": batch, "ema_kimg": ema_kimg, "device": "cpu"},
            "options": options,
            "start": None if start is None else str(start),
        },
        "test",
    )
    torch.manual_seed(0)
    stage = InvertStage(config, painted_photos(4), identity)
    _ = stage.ema
    return stage.train()


def run_steps(stage, steps):
    data, batch = stage.dataset(), stage.run_settings.batch
    logged = []
    for _ in range(steps):
        first = int(stage.images_seen)
        stage.training_step(torch.utils.data.default_collate([data[i] for i in range(first, first + batch)]))
        logged.append(stage.averages.take())
    return logged


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def changed(module, before):
    return {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize(
    ("optimiser", "rate"), [("ranger", 0.01), pytest.param("adam", 0.005, marks=pytest.mark.exhaustive)]
)
def test_the_light_encoder_learns_and_the_generator_stays(identity, generator_file, optimiser, rate):
    stage = invert_stage(
        identity, generator_file, optimiser=optimiser, learning_rate=rate, weights={**FAST, "w_norm": 0.0}
    )
    generator, encoder = copied(stage.generator), copied(stage.encoder)
    logged = run_steps(stage, 24)
    first, last = (sum(row["pixel"] for row in rows) / 4 for rows in (logged[:4], logged[-4:]))
    assert last < 0.85 * first
    assert changed(stage.generator, generator) == set()
    assert all(torch.equal(stage.generator.state_dict()[n], v) for n, v in generator.items())
    assert len(changed(stage.encoder, encoder)) > 0.9 * len(list(stage.encoder.parameters()))
    assert isinstance(stage.optimisers["encoder"], Ranger) == (optimiser == "ranger")


def test_all_terms_of_a_step(identity, generator_file):
    weights = {"pixel": 1.0, "perceptual": 0.8, "identity": 0.1, "w_norm": 0.005}
    stage = invert_stage(identity, generator_file, batch=2, perceptual="dlib", weights=weights)
    (row,) = run_steps(stage, 1)
    assert row["loss"] == pytest.approx(sum(weights[name] * row[name] for name in weights), rel=1e-4)
    assert all(row[name] > 0 for name in weights)
    # dlib itself is neither trained nor stored, and gets no gradient.
    assert not any(p.requires_grad or p.grad is not None for p in identity.parameters())
    assert sum(p.numel() for p in stage.state_dict().values()) < 400_000


def test_a_generator_that_learns_along(identity):
    stage = invert_stage(identity, None, train_generator=True, batch=2, weights=FAST)
    generator, encoder = copied(stage.generator), copied(stage.encoder)
    run_steps(stage, 2)
    moved = changed(stage.generator, generator)
    # The mapping network has no part in reconstruction.
    assert moved == {n for n in dict(stage.generator.named_parameters()) if not n.startswith("style.")}
    assert changed(stage.encoder, encoder)
    assert set(stage.ema) == {"encoder", "generator"}


def test_a_frozen_generator_needs_weights(identity):
    with pytest.raises(ConfigError, match="train_generator=true"):
        invert_stage(identity, None)


@pytest.mark.parametrize("kind", ["psp", "w"])
def test_published_encoders(identity, generator_file, shallow_trunk, kind):
    stage = invert_stage(identity, generator_file, encoder=kind, batch=2, weights=FAST, learning_rate=0.001)
    before = copied(stage.encoder)
    run_steps(stage, 1)
    heads = ("styles.", "latlayer") if kind == "psp" else ("linear.",)
    assert changed(stage.encoder, before) == {
        n for n in dict(stage.encoder.named_parameters()) if n.startswith(heads)
    }
    assert torch.equal(stage.encoder.latent_avg, torch.full((8, 16), 0.1))


def test_e4e(identity, generator_file, shallow_trunk):
    """Stage 0 for two steps, then a row per step; delta and discriminator of codes from the beginning."""
    stage = invert_stage(
        identity,
        generator_file,
        encoder="e4e",
        batch=2,
        weights=FAST,
        learning_rate=0.01,
        progressive_start_kimg=0.004,
        progressive_every_kimg=0.002,
        latent_r1_every=2,
        latent_pool=3,
    )
    generator, judge = copied(stage.generator), copied(stage.latent_discriminator)
    encoder = copied(stage.encoder)
    released, logged, moved = [], [], []
    for _ in range(4):
        released.append(stage.released)
        logged += run_steps(stage, 1)
        moved.append({n.split(".")[1] for n in changed(stage.encoder, encoder) if n.startswith("styles.")})
    assert released == [0, 0, 1, 2]
    assert moved == [{"0"}, {"0"}, {"0", "1"}, {"0", "1", "2"}]
    assert [row["delta"] > 0 for row in logged] == [False, False, True, True]
    assert ["latent_r1" in row for row in logged] == [True, False, True, False]
    assert all(math.isfinite(value) for row in logged for value in row.values())
    assert len(changed(stage.latent_discriminator, judge)) == len(judge)
    assert int(stage.pool.filled) == 3
    assert changed(stage.generator, generator) == set()
    assert set(stage.portable_modules()) == {"latent_discriminator", "pool"}
    stage.contact_sheet()
    assert stage.ema["encoder"].stage == stage.released


def test_an_interrupted_run_goes_on_exactly(identity, generator_file, shallow_trunk, tmp_path):
    """With Ranger in the middle of its six steps, a pool, a stage of the schedule and running averages."""
    options = {"encoder": "e4e", "batch": 2, "ema_kimg": 0.01, "weights": FAST, "latent_pool": 3}
    options |= {"progressive_start_kimg": 0.004, "progressive_every_kimg": 0.002, "learning_rate": 0.01}
    stages = [invert_stage(identity, generator_file, **options) for _ in range(3)]
    run_steps(stages[0], 7)
    run_steps(stages[1], 4)
    save_checkpoint(stages[1], tmp_path / "last.ckpt", {"stage": "invert"})
    load_checkpoint(stages[2], tmp_path / "last.ckpt", "invert")
    run_steps(stages[2], 3)
    want, have = stages[0].state_dict(), stages[2].state_dict()
    assert {name for name, value in want.items() if not torch.equal(have[name], value)} == set()


def test_e4e_without_its_discriminator(identity, generator_file, shallow_trunk):
    weights = {**FAST, "adversarial": 0.0, "delta": 0.0}
    stage = invert_stage(identity, generator_file, encoder="e4e", batch=2, weights=weights)
    assert set(stage.optimisers) == {"encoder"} and stage.portable_modules() == {}
    assert set(run_steps(stage, 1)[0]) == {"pixel", "loss", "gradient_encoder"}


def test_sheet_and_measure(identity, generator_file):
    stage = invert_stage(identity, generator_file, perceptual="dlib")
    sheet = stage.contact_sheet()
    # Four painted faces in pairs, three pairs per row, then black.
    assert sheet.shape == (64, 192, 3)
    assert not sheet[32:, 64:].any() and sheet[32:, :64].any()
    wanted = painted_photos(4).resized(0, 32)
    assert abs(sheet[:32, :32].astype(int) - wanted).max() <= 1
    found = stage.measure()
    assert set(found) == {"pixel", "perceptual_dlib", "identity"}
    assert all(value > 0 for value in found.values())


def test_what_is_exported_starts_this_stage_and_a_swap_network(identity, generator_file, tmp_path):
    stage = invert_stage(identity, generator_file, weights=FAST, learning_rate=0.01)
    run_steps(stage, 2)
    stage.export(tmp_path)
    state, config = load_weights(tmp_path)
    assert config.pop("encoder") == "light"
    network = SwapNetwork(NetworkConfig.from_dict(config), identity)
    for part in ("encoder", "generator"):
        getattr(network, part).load_state_dict(
            {n.partition(".")[2]: v for n, v in state.items() if n.startswith(f"{part}.")}
        )
    again = invert_stage(identity, tmp_path, weights=FAST)
    for name, value in stage.encoder.state_dict().items():
        torch.testing.assert_close(again.encoder.state_dict()[name], value.half().float())


def test_published_encoders_start_it(identity, generator_file, shallow_trunk, tmp_path):
    """{"state_dict": {"encoder.*", "decoder.*"}, "latent_avg"} of pSp and e4e."""
    donor = invert_stage(identity, generator_file, encoder="e4e", weights=FAST)
    state = {f"encoder.{n}": v for n, v in donor.encoder.state_dict().items()}
    state |= {f"decoder.{n}": v for n, v in donor.generator.state_dict().items()}
    file = tmp_path / "e4e.pt"
    average = torch.arange(8.0)[:, None].expand(8, 16)
    torch.save({"state_dict": state, "latent_avg": average.clone(), "opts": {"device": "cuda:0"}}, file)
    assert set(read_start(file).parts) == {"encoder", "generator"}
    stage = invert_stage(identity, file, encoder="e4e", weights=FAST)
    assert torch.equal(stage.encoder.latent_avg, average)
    for name, value in donor.encoder.named_parameters():
        assert torch.equal(stage.encoder.get_parameter(name), value)


def test_a_recogniser_starts_the_trunk(identity, generator_file, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        trunk = IRSE50()
    torch.save(trunk.state_dict(), tmp_path / "model_ir_se50.pth")
    options = {"trunk": tmp_path / "model_ir_se50.pth", "weights": FAST}
    stage = invert_stage(identity, generator_file, encoder="w", **options)
    assert torch.equal(stage.encoder.body[23].res_layer[3].weight, trunk.body[23].res_layer[3].weight)
    with pytest.raises(ConfigError, match="trunk"):
        invert_stage(identity, generator_file, **options)


def test_a_file_without_generator_is_refused(identity, tmp_path):
    save_weights(tmp_path, {"encoder.x": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="holds no generator"):
        invert_stage(identity, tmp_path)
