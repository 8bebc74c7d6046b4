"""Configurations: what is read, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylegan_swap.errors import ConfigError
from stylegan_swap.training.config import RunSettings, Settings, check_config, load_config, shipped_configs

MINIMAL = "stage: swap\ndata: {folder: faces}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_and_values(tmp_path):
    config = load_config(
        written(tmp_path, MINIMAL + "run: {batch: 3, ema_kimg: 1e-3}\nnetwork: {preset: 128}\n")
    )
    assert (config.stage, config.run.batch, config.run.ema_kimg) == ("swap", 3, 0.001)
    assert config.run.seed == RunSettings().seed
    assert config.data.crop_side == 256
    network = config.network_config()
    assert network.size == 128


@pytest.mark.parametrize(("size", "side", "expected"), [(128, None, 256), (512, None, 512), (128, 96, 96)])
def test_side_of_the_crops(size, side, expected):
    config = check_config({"stage": "gan", "data": {"folder": "x", "size": size, "side": side}})
    assert config.data.crop_side == expected


def test_overrides_are_yaml_and_make_groups(tmp_path):
    config = load_config(
        written(tmp_path, MINIMAL),
        ["run.batch=8", "options.weights.pixel=2.5", "data.split=val", "run.ema_rampup=null", "start=x=y"],
    )
    assert config.run.batch == 8
    assert config.options == {"weights": {"pixel": 2.5}}
    assert (config.data.split, config.run.ema_rampup, config.start) == ("val", None, "x=y")


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    config = check_config({"stage": "gan", "data": {"folder": "~/faces"}, "identity": "~/id.safetensors"})
    assert config.data.folder == Path("/somewhere/faces")
    assert config.identity == Path("/somewhere/id.safetensors")


def test_what_is_written_reads_the_same(tmp_path):
    import yaml

    config = check_config({"stage": "gan", "data": {"folder": "faces"}, "options": {"a": [1, 2]}})
    again = load_config(written(tmp_path, yaml.safe_dump(config.to_dict())))
    assert again.to_dict() == config.to_dict()
    assert again.data == config.data


REFUSED = [
    (MINIMAL + "run: {bach: 3}", [], ["run.bach", "no such key", "'batch'"]),
    (MINIMAL + "lr: 3", [], ["lr", "known keys: stage, data"]),
    ("stage: swap", [], ["data", "missing", "--set data="]),
    (MINIMAL + "run: {batch: 0}", [], ["run.batch", "greater than or equal to 1", "got 0"]),
    (MINIMAL + "run: {batch: many}", [], ["run.batch", "valid integer", "'many'"]),
    (MINIMAL + "run: {precision: fp16}", [], ["run.precision", "'float32'", "'bf16'"]),
    (MINIMAL, ["run.seed=-1"], ["run.seed", "-1"]),
    ("stage: swop\ndata: {folder: x}", [], ["stage", "'swop'", "nearest: swap"]),
    ("stage: [swap", [], ["no YAML", "correct that line"]),
    ("- a\n- b", [], ["holds a list"]),
    ("", [], ["stage: is missing"]),
    (MINIMAL, ["run.batch"], ["--set run.batch", "run.batch=8"]),
    (MINIMAL, ["=3"], ["--set =3"]),
    (MINIMAL, ["stage.x=3"], ["--set stage.x=3", "'stage' is a value"]),
    (MINIMAL, ["run.batch=[1"], ["--set run.batch=[1", "no YAML"]),
]


def test_errors_name_file_key_cause_and_remedy(tmp_path):
    for text, overrides, parts in REFUSED:
        path = written(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            load_config(path, overrides)
        message = str(caught.value)
        assert "\n" not in message
        assert str(path) in message or message.startswith("--set")
        for part in parts:
            assert part in message, (text, overrides)


def test_a_missing_file_lists_the_shipped_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml: no such file"):
        load_config(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_the_stage_asked_for_fills_the_gap_or_must_agree(tmp_path):
    path = written(tmp_path, "data: {folder: faces}")
    assert load_config(path, stage="gan").stage == "gan"
    with pytest.raises(ConfigError, match=r"is 'swap' there, but 'gan' was asked for"):
        load_config(written(tmp_path, MINIMAL), stage="gan")


def test_options_and_network_are_checked_with_their_place(tmp_path):
    class Options(Settings):
        rate: float = 1.0

    config = load_config(written(tmp_path, MINIMAL + "options: {rat: 3}\nnetwork: {preset: huge}"))
    with pytest.raises(ConfigError, match=r"config\.yaml: options\.rat: .*did you mean 'rate'"):
        config.options_as(Options)
    with pytest.raises(ConfigError, match=r"config\.yaml: network: There is no network preset 'huge'"):
        config.network_config()
    wrong = check_config({"stage": "swap", "data": {"folder": "x"}, "network": {"preset": "tiny", "bse": 3}})
    with pytest.raises(ConfigError, match="bse"):
        wrong.network_config()


def test_other_weights_keep_the_rest(tmp_path):
    config = load_config(written(tmp_path, MINIMAL))
    other = config.started_from("weights")
    assert (other.start, config.start) == ("weights", None)
    assert (other.source, other.run) == (config.source, config.run)


def test_shipped_configurations_are_valid():
    for name, file in shipped_configs().items():
        config = load_config(name)
        assert name.split("-")[0] == config.stage
        text = file.read_text(encoding="utf-8")
        head = text[: text.index("stage:")]
        assert all(line.startswith("#") for line in head.split("\n") if line), name
        assert "memory" in head.lower(), "the head says what it needs"
        assert "stylegan-swap train" in head, "the head says how to start it"
