"""NVIDIA's pickles, of PyTorch and TensorFlow, and PTI's generators: read, converted, and compared."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from torch import Tensor
from weights.foreign import FIR, nvidia_modules, nvlabs_state, write_nvlabs

from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.detect import convert_file
from stylegan_swap.nn.stylegan2.generator import Generator
from stylegan_swap.training.start_weights import read_start
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.stylegan_formats.converted import Converted, load_converted
from stylegan_swap.weights.stylegan_formats.nvlabs import to_nvlabs
from stylegan_swap.weights.stylegan_formats.nvlabs_modules import flatten
from stylegan_swap.weights.stylegan_formats.pti import to_pti
from stylegan_swap.weights.stylegan_formats.rosinality import to_rosinality

SIZE, WIDTH = 16, 4


def small_generator(size: int = SIZE, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under NVIDIA's names."""
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream)

    state = {"mapping.w_avg": draw(WIDTH), "synthesis.b4.const": draw(3, 4, 4)}
    for i in range(2):
        state |= {f"mapping.fc{i}.weight": draw(WIDTH, WIDTH), f"mapping.fc{i}.bias": draw(WIDTH)}
    inside, side = 3, 4
    while side <= size:
        out = {4: 3, 8: 5, 16: 2}[side]
        block = f"synthesis.b{side}"
        state[f"{block}.resample_filter"] = FIR.clone()
        for layer in ("conv0", "conv1")[side == 4 :]:
            state |= {
                f"{block}.{layer}.weight": draw(out, inside, 3, 3),
                f"{block}.{layer}.bias": draw(out),
                f"{block}.{layer}.noise_strength": draw(),
                f"{block}.{layer}.noise_const": draw(side, side),
                f"{block}.{layer}.affine.weight": draw(inside, WIDTH),
                f"{block}.{layer}.affine.bias": draw(inside),
                f"{block}.{layer}.resample_filter": FIR.clone(),
            }
            inside = out
        state |= {f"{block}.torgb.weight": draw(3, out, 1, 1), f"{block}.torgb.bias": draw(3)}
        state |= {f"{block}.torgb.affine.weight": draw(out, WIDTH), f"{block}.torgb.affine.bias": draw(out)}
        side *= 2
    return state


def same(have: dict[str, Tensor], want: dict[str, Tensor]) -> None:
    assert set(have) == set(want)
    for name, value in want.items():
        assert have[name].shape == value.shape, name
        assert torch.equal(have[name], value), name


def check_images(known: golden.GoldenCase, converted: Converted) -> None:
    """Every recorded output of the official generator."""
    network, average = converted.build("generator"), converted.latent_avg
    with torch.no_grad():
        w = network.mapping(known.input("z"))
        known.check("ws", network.broadcast(w))
        known.check("img", network(w).image)
        known.check("img_nonoise", network(w, noise="none").image)
        known.check("img_trunc07", network(network.truncate(w, 0.7, average)).image)
        pulled = network.style_mix(network.truncate(w, 0.5, average), w, 4)
        known.check("ws_trunc05_cut4", pulled)
        known.check("img_ws", network(known.input("ws")).image)
        known.check("img_ws_unfused", network(known.input("ws")).image)


@golden.mark
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_official_generator(protocol: int, tmp_path: Path):
    known = golden.case("nvlabs_generator_64")
    state = nvlabs_state(known)
    file = write_nvlabs(tmp_path / "net.pkl", state, lr_multiplier=1.0, protocol=protocol)
    converted = convert_file(file)
    check_images(known, converted)
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    assert saved.config["generator"]["size"] == known.config["img_resolution"]
    assert saved.config["generator"]["lr_mlp"] == 1.0
    check_images(known, saved)
    same(to_nvlabs(saved)["G_ema"], state)


@golden.mark
def test_official_generator_with_limits(tmp_path: Path):
    known = golden.case("nvlabs_generator_64_clamp")
    state = nvlabs_state(known, golden.case("nvlabs_generator_64").manifest["state"])
    limit = known.config["synthesis_kwargs"]["conv_clamp"]
    converted = convert_file(write_nvlabs(tmp_path / "net.pkl", state, lr_multiplier=1.0, conv_clamp=limit))
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    assert saved.config["generator"]["conv_clamp"] == limit
    for one in (converted, saved):
        with torch.no_grad():
            known.check("img_ws", one.build("generator")(known.input("ws")).image)


@golden.mark
def test_official_discriminator(tmp_path: Path):
    known = golden.case("nvlabs_discriminator_64")
    state = nvlabs_state(known)
    converted = convert_file(write_nvlabs(tmp_path / "net.pkl", small_generator(), state))
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    images = known.input("img4") * torch.arange(1.0, 5.0)[:, None, None, None]
    for one in (converted, saved):
        with torch.no_grad():
            known.check("logits", one.build("discriminator")(images))
    same(to_nvlabs(saved)["D"], state)


@golden.mark
def test_pickle_of_the_official_writer():
    known = golden.case("nvlabs_tiny_G16")
    file = Path(os.environ[golden.ENVIRONMENT]) / known.manifest["file"]
    converted = convert_file(file)
    back = to_nvlabs(converted)
    for key, table in (("G_ema", "state_G"), ("G", "state_G"), ("D", "state_D")):
        same(back[key], nvlabs_state(known, known.manifest[table]))
    assert converted.config["generator"] | {"channels": 0} == {
        "size": 16,
        "style_dim": 16,
        "n_mlp": 2,
        "channels": 0,
        "lr_mlp": 0.01,
        "conv_clamp": 256,
    }
    assert converted.config["generator"]["channels"] == {"4": 16, "8": 16, "16": 16}
    assert converted.config["discriminator"]["group"] == 4
    assert any("augment_pipe" in note for note in converted.notes)
    with torch.no_grad():
        image = converted.build("generator")(torch.zeros(1, 16)).image
        assert converted.build("discriminator")(image).shape == (1, 1)


@golden.mark
@pytest.mark.parametrize("whole", [True, False])
def test_pti(whole: bool, tmp_path: Path):
    known = golden.case("nvlabs_generator_64")
    state, file = nvlabs_state(known), tmp_path / "model_person.pt"
    if whole:
        write_nvlabs(file, state, lr_multiplier=1.0, conv_clamp=256, whole=True)
    else:
        torch.save(state, file)
    converted = convert_file(file)
    assert converted.format == "pti"
    assert converted.config["generator"]["conv_clamp"] == (256 if whole else None)
    assert bool(converted.notes) is not whole
    same(to_pti(converted), state)
    if whole:
        check_images(known, converted)
    else:
        with torch.no_grad():
            known.check("img_ws", converted.build("generator")(known.input("ws")).image)


def in_tensorflow(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """NVIDIA's PyTorch generator in the layout of their TensorFlow code."""
    made = {"lod": np.zeros((), np.float32), "dlatent_avg": state["mapping.w_avg"].numpy()}
    for name, value in state.items():
        path, _, leaf = name.rpartition(".")
        pieces = path.split(".")
        if pieces[0] == "mapping" and leaf != "w_avg":
            number = pieces[1].removeprefix("fc")
            made[f"mapping/Dense{number}/{leaf}"] = (value.t() if leaf == "weight" else value).numpy()
        if pieces[0] != "synthesis" or leaf == "resample_filter":
            continue
        side = pieces[1].removeprefix("b")
        if leaf == "const":
            made["synthesis/4x4/Const/const"] = value[None].numpy()
            continue
        up = pieces[2] == "conv0"
        place = {"conv0": "Conv0_up", "conv1": "Conv1" if side != "4" else "Conv", "torgb": "ToRGB"}[
            pieces[2]
        ]
        if leaf == "noise_const":
            number = 2 * (int(side).bit_length() - 3) - up
            made[f"synthesis/noise{number}"] = value[None, None].numpy()
            continue
        here = f"synthesis/{side}x{side}/{place}"
        if "affine" in pieces:
            made[f"{here}/mod_{leaf}"] = (value.t() if leaf == "weight" else value - 1).numpy()
        elif leaf == "weight":
            # Height × width × in × out; the kernel of the up-sampling layer turned round.
            numbers = value.permute(2, 3, 1, 0).numpy()
            made[f"{here}/weight"] = numbers[::-1, ::-1] if up else numbers
        else:
            made[f"{here}/{leaf}"] = value.numpy()
    return made


def discriminator_in_tensorflow(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    places = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
    made = {}
    for name, value in state.items():
        block, layer, leaf = name.split(".") if name.count(".") == 2 else (name, "", "")
        if leaf not in ("weight", "bias"):
            continue
        side = block.removeprefix("b")
        numbers = value.permute(2, 3, 1, 0) if value.ndim == 4 else value.t() if value.ndim == 2 else value
        here = {"conv": "4x4/Conv", "fc": "4x4/Dense0", "out": "Output"}.get(layer)
        made[f"{here or f'{side}x{side}/{places[layer]}'}/{leaf}"] = numbers.numpy()
    return made


def write_tensorflow(file: Path, generator: dict, judge: dict, **settings: object) -> Path:
    with nvidia_modules() as nvidia:

        def network(variables: dict, components: tuple[str, ...] = ()):
            made = nvidia.network()
            inside = {
                part: network(
                    {n[len(part) + 1 :]: v for n, v in variables.items() if n.startswith(f"{part}/")}
                )
                for part in components
            }
            own = [(n, v) for n, v in variables.items() if n.split("/")[0] not in components]
            given = nvidia.easy_dict(num_channels=3, **settings)
            made.__dict__.update(version=4, name="G", static_kwargs=given, components=inside, variables=own)
            made.__dict__["build_module_src"] = "raise SystemExit"
            return made

        parts = ("mapping", "synthesis")
        content = (network(generator, parts), network(judge), network(generator, parts))
        file.write_bytes(pickle.dumps(content, protocol=3))
    return file


@golden.mark
def test_tensorflow(tmp_path: Path):
    known, judge = golden.case("nvlabs_generator_64"), golden.case("nvlabs_discriminator_64")
    file = write_tensorflow(
        tmp_path / "net.pkl",
        in_tensorflow(nvlabs_state(known)),
        discriminator_in_tensorflow(nvlabs_state(judge)),
        mapping_lrmul=1.0,
    )
    converted = convert_file(file)
    assert converted.format == "tflib"
    saved = load_converted(converted.save(tmp_path / "ours").parent)
    check_images(known, saved)
    images = judge.input("img4") * torch.arange(1.0, 5.0)[:, None, None, None]
    with torch.no_grad():
        judge.check("logits", saved.build("discriminator")(images))


def test_tensorflow_of_the_first_stylegan(tmp_path: Path):
    variables = {n: v for n, v in in_tensorflow(small_generator()).items() if "mod_" not in n}
    with pytest.raises(CheckpointError, match="first StyleGAN"):
        convert_file(write_tensorflow(tmp_path / "net.pkl", variables, {}))
    with pytest.raises(CheckpointError, match="labels"):
        convert_file(
            write_tensorflow(tmp_path / "net.pkl", in_tensorflow(small_generator()), {}, label_size=9)
        )


def test_small_networks_and_free_channels(tmp_path: Path):
    state = small_generator()
    converted = convert_file(write_nvlabs(tmp_path / "net.pkl", state, conv_clamp=256))
    assert converted.config["generator"]["channels"] == {"4": 3, "8": 5, "16": 2}
    same(to_nvlabs(converted)["G_ema"], state)
    with pytest.raises(CheckpointError, match="limits every layer to 256"):
        to_rosinality(converted)


def test_training_starts_from_a_pickle(tmp_path: Path):
    state = small_generator()
    start = read_start(write_nvlabs(tmp_path / "net.pkl", state))
    network = Generator(16, WIDTH, 2, channels={4: 3, 8: 5, 16: 2})
    start.fill(network, "generator")
    assert torch.equal(network.input.input[0], state["synthesis.b4.const"])
    assert torch.equal(start.latent_avg, state["mapping.w_avg"])


def test_networks_without_noise(tmp_path: Path):
    state = {name: value for name, value in small_generator().items() if "noise_" not in name}
    layers = {name.rpartition(".")[0] for name in state if ".conv" in name and "affine" not in name}
    file = write_nvlabs(tmp_path / "net.pkl", state, extra={path: {"use_noise": False} for path in layers})
    network = convert_file(file).build("generator")
    w = torch.randn(1, WIDTH)
    assert torch.equal(network(w).image, network(w, noise="random").image)


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        ({}, {"": {"c_dim": 10}}, "labels"),
        ({"mapping.embed.weight": torch.ones(4, 10)}, {}, "labels"),
        ({"synthesis.input.freqs": torch.ones(4, 2)}, {}, "StyleGAN3"),
        ({}, {"synthesis.b8": {"architecture": "resnet"}}, "'resnet'"),
        ({"synthesis.b8.torgb.weight": None}, {}, "another architecture"),
        ({"synthesis.b16.conv1.noise_const": None}, {}, r"lacks synthesis\.b16\.conv1\.noise_const"),
        ({"synthesis.b16.conv1.weight": torch.ones(2, 9, 3, 3)}, {}, r"convs\.3\.conv\.weight"),
        ({"synthesis.b8.resample_filter": FIR.flip(0) * 2}, {}, r"\[1, 3, 3, 1\]"),
        ({"mapping.fc0.weight": torch.ones(4, 7)}, {}, "several widths"),
        ({}, {"synthesis.b8.conv1": {"conv_clamp": 3}}, "different limits"),
        ({}, {"synthesis.b8.conv1": {"activation": "relu"}}, "relu"),
        ({"synthesis.b16.torgb.weight": torch.ones(1, 2, 1, 1)}, {}, "shape"),
    ],
)
def test_other_architectures(change: dict, extra: dict, message: str, tmp_path: Path):
    state = {name: value for name, value in (small_generator() | change).items() if value is not None}
    file = write_nvlabs(tmp_path / "net.pkl", state, extra=extra)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_file(file)
    assert str(file) in str(caught.value)


def test_networks_that_hold_themselves(tmp_path: Path):
    network = read_file(write_nvlabs(tmp_path / "net.pkl", {"a.b": torch.ones(1)}))["G_ema"]
    network.state["_modules"]["loop"] = network
    with pytest.raises(CheckpointError, match="refer to themselves"):
        flatten(network, "net.pkl")
