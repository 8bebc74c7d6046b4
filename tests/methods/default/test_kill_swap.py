"""The smallest shipped swap training as a command: killed at any moment and started again, it ends the same.

Its log and its exported weights must equal those of a run that nothing disturbed, bit by bit.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from stylegan_swap.nn.perception.landmark_net import WIDTHS, LandmarkNet
from stylegan_swap.training.data.pack import write_pack
from stylegan_swap.weights.store import save_weights
from tests.training.loop.test_kill_export import content_of
from tests.training.test_shipped_configs import has_dlib
from tests.training.toy import losses_of

ROOT = Path(__file__).parents[3]
BATCH, STEPS = 2, 10
# In seconds; a run needs about 10 on a free core.
PATIENCE = 100.0
# Every term begins within the run, and R1 and ADA do not run in step with the checkpoints.
CHANGES = {
    "data.cache": "null",
    # One of whose discriminators rates photographs above 0 from the start, so that ADA has something to do.
    "run.seed": 5,
    "run.batch": BATCH,
    "run.images": BATCH * STEPS,
    "run.workers": 1,
    "run.device": "cpu",
    "run.ema_kimg": 0.02,
    "run.sheet_every": 6 * BATCH,
    "run.checkpoint_every": 2 * BATCH,
    "run.measure_every": 0,
    "run.log_every": 1,
    "options.half_size_kimg": 0.001 * BATCH,
    "options.guided_mask_kimg": 0.006 * BATCH,
    "options.adversarial_from_kimg": 0.002 * BATCH,
    "options.adversarial_ramp_kimg": 0.008 * BATCH,
    "options.r1_every": 3,
    "options.ada_target": 0.001,
    "options.ada_kimg": 0.05,
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills groups of processes"),
    pytest.mark.skipif(not has_dlib(), reason="needs dlib's recogniser"),
]


@pytest.fixture
def command(few_photos, tmp_path) -> Callable[[Path], list[str]]:
    """The command of a run in a folder, with four photos and a LandmarkNet of random weights."""
    photos, points = tmp_path / "few.faces", tmp_path / "points"
    write_pack(few_photos.crops, photos)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_weights(points, LandmarkNet().state_dict(), {"widths": list(WIDTHS)})
    changes = CHANGES | {"data.folder": photos, "options.landmark_net": points}
    settings = [text for name, value in changes.items() for text in ("--set", f"{name}={value}")]
    program = "from stylegan_swap.cli.main import main; main()"
    start = [sys.executable, "-c", program, "train", "swap", "--config", "swap-tiny"]
    return lambda out: [*start, "--out", str(out), *settings]


class Run:
    """A training command in a group of processes of its own."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=stream, start_new_session=True
            )

    def kill(self) -> None:
        """End the command and its data workers at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> None:
        """To the end, which must be a good one."""
        assert self.process.wait(PATIENCE) == 0, self.log.read_text(errors="replace")[-3000:]

    def killed_when(self, moment: Callable[[], bool], delay: float = 0.0) -> bool:
        """Kill it once something can be seen in its folder; whether it was killed before its end."""
        limit = time.monotonic() + PATIENCE
        while self.process.poll() is None and not moment():
            assert time.monotonic() < limit, f"nothing to see: {self.log.read_text(errors='replace')[-3000:]}"
            time.sleep(0.001)
        time.sleep(delay)
        self.kill()
        if self.process.returncode != -signal.SIGKILL:
            self.wait()
        return self.process.returncode == -signal.SIGKILL


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[Run]:
    """A run that does not outlive the test."""
    run = Run(command, log)
    try:
        yield run
    finally:
        run.kill()


def rows_of(out: Path) -> int:
    """Whole rows of the log so far."""
    file = out / "history.csv"
    return max(0, file.read_bytes().count(b"\n") - 1) if file.is_file() else 0


def saving(out: Path) -> bool:
    """Whether a checkpoint that is not the first is being written."""
    folder = out / "checkpoints"
    return (folder / "last.ckpt").is_file() and any(folder.glob(".*.part.ckpt"))


@pytest.mark.exhaustive
def test_killed_anywhere_a_swap_training_repeats_itself(command, tmp_path):
    seed = secrets.randbits(32)
    draws = random.Random(seed)
    whole, killed, log = tmp_path / "whole", tmp_path / "killed", tmp_path / "log.txt"
    kills = []
    with running(command(whole), tmp_path / "whole.txt") as undisturbed:
        # A step takes longer than such a delay, so it ends in the middle of one, or of what follows a step.
        first, delay = draws.randint(3, 5), draws.uniform(0, 0.3)
        with running(command(killed), log) as run:
            kills.append(run.killed_when(lambda: rows_of(killed) >= first, delay))
        stands = rows_of(killed)
        with running(command(killed), log) as run:
            kills.append(run.killed_when(lambda: saving(killed)))
        unfinished = [path.name for path in (killed / "checkpoints").glob(".*.part.ckpt")]
        with running(command(killed), log) as run:
            run.wait()
        undisturbed.wait()
    expected = losses_of(whole)
    told = json.dumps(
        {"seed": seed, "row": first, "delay": delay, "rows": stands, "kills": kills, "half": unfinished}
    )
    print(told)

    assert any(kills), f"it was never killed: {told}"
    for name in ("adversarial", "d_real", "d_fake", "ada_p", "gradient_discriminator"):
        assert expected[-1][name], f"{name} never began"
    assert max(float(row["ada_p"] or 0) for row in expected) > 0
    assert sum(1 for row in expected if row["r1"]) > 2
    assert [int(row["images"]) for row in expected if row["loss"]] == [BATCH * n for n in range(1, STEPS + 1)]
    assert losses_of(killed) == expected, told
    for name in ("weights/model.safetensors", "portable.safetensors"):
        assert content_of(killed / name) == content_of(whole / name), f"{name}: {told}"
    pictures = [
        {path.name: path.read_bytes() for path in (out / "sheets").iterdir()} for out in (killed, whole)
    ]
    assert len(pictures[0]) > 1 and pictures[0] == pictures[1], f"sheets: {told}"
    assert not list(killed.rglob(".*.part*")), f"unfinished files are left: {told}"
