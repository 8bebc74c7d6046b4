"""A training run from its configuration to exported weights: the only door to the stages.

``cli_train`` calls :func:`train`. The folder of a run:

====================  ====================================================================
``config.yaml``       what was asked for, with all defaults
``history.csv``       the figures, a row per ``run.log_every`` steps; also ``tensorboard/``
``sheets/``           contact sheets by image number, and ``latest.png``
``checkpoints/``      ``last.ckpt``, from which the run goes on
``weights/``          the averaged weights in the library's format
``portable.safetensors``  what else is needed to go on elsewhere
====================  ====================================================================
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
import yaml
from torch.utils.data import DataLoader

from stylegan_swap.errors import TrainingError
from stylegan_swap.files.allocator import keep_freed_memory
from stylegan_swap.files.atomic import replacing
from stylegan_swap.training.config import TrainConfig
from stylegan_swap.training.loop.callbacks import (
    INTERRUPTED,
    PORTABLE_FILE,
    Interruption,
    Keeper,
    Recorder,
    board_of,
)
from stylegan_swap.training.loop.checkpoint import LAST_FILE, load_checkpoint, remove_leftovers
from stylegan_swap.training.loop.portable import portable_load
from stylegan_swap.training.loop.processes import PlainProcesses
from stylegan_swap.training.stage import Stage
from stylegan_swap.training.stages import build_stage

AUTO = "auto"


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a run ended.

    Attributes:
        stage: as it was left.
        interrupted: whether a signal ended it before its time.
        first_process: whether this is the process that writes.
    """

    stage: Stage
    interrupted: bool
    first_process: bool


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: str | Path | None = AUTO,
    portable: Path | None = None,
    devices: int = 1,
) -> Outcome:
    """Train until ``config.run.images`` were seen.

    Args:
        config: what to train.
        out: folder of the run.
        resume: "auto" goes on from ``checkpoints/last.ckpt`` of ``out`` where there is one; a path goes on
            from that checkpoint; None begins anew, in a folder without a run.
        portable: begin from this portable file, with ``config.start`` the weights exported with it.
        devices: GPUs, or processes on a CPU; each takes ``config.run.batch`` images per step.

    Raises:
        ConfigError: the stage does not know an option.
        CheckpointError: what to go on from is missing, damaged or does not fit.
        TrainingError: the folder holds another run, or gradients were no numbers for 100 steps.
    """
    from_file = _checkpoint_of(out, resume)
    device = _device_of(config)
    if device == "cpu":
        keep_freed_memory()
    stage = build_stage(config)
    if from_file is not None:
        load_checkpoint(stage, from_file, config.stage)
    elif portable is not None:
        portable_load(stage, portable, config.stage)
    # Now, after all weights are in: the averages begin from them.
    _ = stage.ema
    stage.train()
    _describe(config, out)
    board = board_of(out, int(stage.images_seen))
    recorder, interruption = Recorder(out, config, board), Interruption()
    keeper = Keeper(out, config, recorder)
    nothing_left = int(stage.images_seen) >= config.run.images
    with _quiet_lightning():
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=devices,
            strategy=PlainProcesses() if devices > 1 or _launched_from_outside() else "auto",
            max_epochs=1,
            callbacks=[recorder, interruption, keeper],
            # Some operations of face crops have no deterministic form on a GPU; the rest is held to it.
            deterministic="warn" if config.run.deterministic else False,
            benchmark=device == "cuda" and not config.run.deterministic,
            logger=board or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=out,
        )
        try:
            trainer.fit(stage, datamodule=_Data(stage, interruption))
            # A kill between the last checkpoint and its export left this as the only thing to do.
            if nothing_left and trainer.is_global_zero and not _exported(out, from_file):
                keeper.export(stage)
        except SystemExit as end:
            # Lightning's way of ending after Ctrl-C before the first step.
            if isinstance(end.__context__, KeyboardInterrupt):
                raise SystemExit(INTERRUPTED) from None
            raise
        finally:
            interruption.give_back()
    return Outcome(stage, interruption.happened, trainer.is_global_zero)


class _Data(pl.LightningDataModule):
    """The stage's data. Lightning asks for it right after it has put in its handlers of signals."""

    def __init__(self, stage: Stage, interruption: Interruption) -> None:
        super().__init__()
        self.stage, self.interruption = stage, interruption

    def train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        self.interruption.take_over()
        return self.stage.train_dataloader()


def _checkpoint_of(out: Path, resume: str | Path | None) -> Path | None:
    last = out / "checkpoints" / LAST_FILE
    if resume is None:
        if last.is_file():
            raise TrainingError(f"{out}: holds a run already; go on with it (--resume), or choose another")
        return None
    if resume != AUTO:
        return Path(resume)
    return last if last.is_file() else None


def _exported(out: Path, checkpoint: Path | None) -> bool:
    """Whether all that follows a checkpoint was written after it; the portable file is the last of it."""
    try:
        written = (out / PORTABLE_FILE).stat().st_mtime_ns
        return checkpoint is None or written >= checkpoint.stat().st_mtime_ns
    except OSError:
        return False


def _device_of(config: TrainConfig) -> str:
    if config.run.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            f"{config.source}: run.device: torch sees no CUDA GPU here; use --set run.device=cpu"
        )
    if config.run.device == AUTO:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.run.device


def _describe(config: TrainConfig, out: Path) -> None:
    """Makes the folder, clears what a kill left, and writes the configuration."""
    if int(os.environ.get("LOCAL_RANK", "0")):
        return
    try:
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        for folder in (out, *(out / name for name in ("checkpoints", "weights", "sheets"))):
            remove_leftovers(folder)
        with replacing(out / "config.yaml") as temporary:
            temporary.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{out}: cannot be written to ({error}); choose another folder") from error


def _launched_from_outside() -> bool:
    """Whether torchrun or Lightning started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's advice is for other ways of using it: loaders without workers, lengths, loggers."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for logger in loggers:
            warnings.filterwarnings("ignore", module=logger.name)
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
