"""A run killed between its last checkpoint and the export of its weights: the next start writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from stylegan_swap.training.loop import callbacks
from stylegan_swap.training.loop.run import train
from tests.training.toy import ToyStage, toy_config


class Killed(Exception):
    """In place of SIGKILL, which would end the test as well."""


def content_of(file: Path) -> dict[str, object]:
    """Everything a file of weights holds; the order of its metadata is up to chance."""
    with safe_open(file, "pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - no dict
        bits = {name: (str(x.dtype), x.shape, x.numpy().tobytes()) for name, x in tensors.items()}
        return {"metadata": weights.metadata(), **bits}


def contents(out: Path) -> dict[str, dict[str, object]]:
    return {str(path.relative_to(out)): content_of(path) for path in out.rglob("*.safetensors")}


@pytest.mark.parametrize("where", ["weights", "portable"])
def test_weights_that_a_kill_kept_back_are_written_later(tmp_path, monkeypatch, where):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(toy_config(), whole)
    before = contents(whole)
    times = {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}

    def export(self, folder):
        raise Killed

    def portable_save(stage, file, kind):
        if int(stage.images_seen) >= 100:
            raise Killed
        really_save(stage, file, kind)

    really_save = callbacks.portable_save
    with monkeypatch.context() as patch:
        if where == "weights":
            patch.setattr(ToyStage, "export", export)
        else:
            patch.setattr(callbacks, "portable_save", portable_save)
        config = toy_config(run__checkpoint_every=0 if where == "weights" else 20)
        with pytest.raises(Killed):
            train(config, killed)
    assert contents(killed) != before
    for folder in (killed, killed / "weights", killed / "sheets"):
        folder.mkdir(exist_ok=True)
        (folder / ".0123456789abcdef.part.safetensors").write_bytes(b"half of it")
    train(toy_config(), killed)
    assert contents(killed) == before

    monkeypatch.setattr(
        callbacks.Keeper, "export", lambda self, stage: pytest.fail("there was nothing to do")
    )
    train(toy_config(), whole)
    train(toy_config(), killed)
    assert times == {path: path.stat().st_mtime_ns for path in whole.rglob("*.safetensors")}


def test_a_finished_checkpoint_gives_its_weights_to_another_folder(tmp_path):
    train(toy_config(), tmp_path / "run")
    train(toy_config(), tmp_path / "other", resume=tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert contents(tmp_path / "other") == contents(tmp_path / "run")
