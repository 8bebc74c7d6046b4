"""A stage so small that a run takes a second, for the tests of everything around the stages.

Run as a script it is a training run of its own, to be killed or spread over processes::

    python tests/training/toy.py OUT SETTINGS_AS_JSON
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stylegan_swap.training import stages
from stylegan_swap.training.config import Settings, TrainConfig, check_config
from stylegan_swap.training.loop.run import train
from stylegan_swap.training.stage import Stage
from stylegan_swap.weights.store import save_weights

WHERE = "tests.training.toy:ToyStage"


class ToyOptions(Settings):
    noise: float = 0.1
    learning_rate: float = 0.05
    nan_at: tuple[int, ...] = ()
    slow_seconds: float = 0.0
    slow_data_seconds: float = 0.0
    kill_while_saving_at: int = -1


class ToyItems(Dataset[dict[str, Tensor]]):
    """Points of a linear map; item i depends on (seed, i) alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        draws = np.random.default_rng([self.seed, index])
        x = torch.from_numpy(draws.standard_normal(4)).float()
        return {"x": x, "y": x @ torch.arange(12.0).view(4, 3) / 10, "index": torch.tensor(index)}


class ToyStage(Stage):
    """Two networks in the manner of a GAN: two optimisers, one of them every second step."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config.run, config.data)
        self.options = config.options_as(ToyOptions)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        if not config.network.get("norm", True):
            self.network[1] = nn.Identity()
        self.critic = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(()))
        self.indices: list[list[int]] = []

    def dataset(self) -> ToyItems:
        # In small naps: a signal's handler runs between them.
        for _ in range(round(100 * self.options.slow_data_seconds)):
            time.sleep(0.01)
        return ToyItems(self.seed)

    def optimizers_by_name(self) -> dict[str, torch.optim.Optimizer]:
        rate = self.options.learning_rate
        return {
            "network": torch.optim.Adam(self.network.parameters(), rate),
            "critic": torch.optim.SGD(self.critic.parameters(), rate / 10, momentum=0.9),
        }

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.indices.append(batch["index"].tolist())
        time.sleep(self.options.slow_seconds)
        made = self.network(batch["x"])
        noisy = made + self.options.noise * torch.randn_like(made)
        loss = (noisy - batch["y"]).square().mean() + 0.01 * self.critic(made).mean()
        if int(self.steps_done) in self.options.nan_at:
            loss = loss * torch.nan
        self.minimise(loss, "network")
        scalars = {"loss": loss}
        if int(self.steps_done) % 2 == 0:
            critic_loss = (self.critic(made.detach()) - 1).square().mean()
            self.minimise(critic_loss, "critic", every=2)
            scalars["critic"] = critic_loss
        self.mean = self.mean.lerp(made.detach().mean(), 0.1)
        return scalars

    def averaged_modules(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def contact_sheet(self) -> np.ndarray:
        torch.rand(3)  # Draws of a sheet must not change the run.
        return np.full((8, 8, 3), int(self.images_seen) % 256, np.uint8)

    def measure(self) -> dict[str, float]:
        return {"weight": float(self.ema["network"][0].weight.sum())}

    def export(self, folder: Path) -> None:
        save_weights(folder, self.ema["network"].state_dict(), {"toy": True})

    def portable_modules(self) -> dict[str, nn.Module]:
        return {"critic": self.critic}


def toy_config(**changes: object) -> TrainConfig:
    """A run of 25 steps; ``run__batch=8`` changes ``run.batch``."""
    values: dict[str, object] = {
        "stage": "toy",
        "data": {"folder": "nowhere"},
        "run": {
            "batch": 4,
            "images": 100,
            "workers": 0,
            "ema_kimg": 0.02,
            "device": "cpu",
            "sheet_every": 40,
            "checkpoint_every": 20,
            "measure_every": 40,
            "log_every": 3,
        },
        "options": {},
    }
    stages.STAGES.setdefault("toy", WHERE)
    for name, value in changes.items():
        group, _, key = name.partition("__")
        values[group] = {**values.get(group, {}), key: value}  # type: ignore[dict-item]
    return check_config(values, "toy")


def losses_of(out: Path) -> list[dict[str, str]]:
    """The rows of the log without what depends on the clock."""
    import csv

    with (out / "history.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


def _kill_in_the_middle_of_saving(images: int) -> None:
    """Let the checkpoint at so many images be cut in the middle by SIGKILL."""
    from stylegan_swap.training.loop import checkpoint

    save = torch.save

    def half(state: dict[str, object], file: Path) -> None:
        save(state, file)
        model = state["model"]
        assert isinstance(model, dict)
        if int(model["images_seen"]) >= images:
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.torch.save = half  # type: ignore[attr-defined]


def run_toy(out: Path, settings: dict[str, Any]) -> None:
    """One training run; ends the process, with the exit code of the command line."""
    torch.set_num_threads(1)
    # A child of a fork server would start its data workers from a fork server of their own.
    multiprocessing.set_start_method("fork", force=True)
    devices = settings.pop("devices", 1)
    os.environ.update(settings.pop("environment", {}))
    config = toy_config(**settings)
    at = config.options.get("kill_while_saving_at", -1)
    if at >= 0:
        _kill_in_the_middle_of_saving(at)
    outcome = train(config, out, devices=devices)
    sys.exit(130 if outcome.interrupted and outcome.first_process else 0)


if __name__ == "__main__":
    run_toy(Path(sys.argv[1]), json.loads(sys.argv[2]))
