"""What happens between steps: a row of the log, a contact sheet, a checkpoint, an orderly end.

``run`` hands these to Lightning's trainer, in the order Recorder, Interruption, Keeper: the row belongs
into the checkpoint, and an interruption causes one.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.loggers import TensorBoardLogger
from tqdm import tqdm

from stylegan_swap.provenance.metadata import TRAINED
from stylegan_swap.provenance.photo_file import write_photo
from stylegan_swap.training.config import TrainConfig
from stylegan_swap.training.loop.checkpoint import LAST_FILE, save_checkpoint
from stylegan_swap.training.loop.gradients import several_processes
from stylegan_swap.training.loop.history import History
from stylegan_swap.training.loop.portable import portable_save
from stylegan_swap.training.stage import Stage

HISTORY_FILE = "history.csv"
PORTABLE_FILE = "portable.safetensors"
# Exit code of a run that a signal ended.
INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def board_of(out: Path, images: int) -> TensorBoardLogger | None:
    """Lightning's logger for TensorBoard, where that is installed; what it holds later than now is hidden.

    Args:
        out: folder of the run.
        images: the run stands here.
    """
    try:
        return TensorBoardLogger(out, name="", version="tensorboard", purge_step=images)
    except ModuleNotFoundError:
        return None


class Recorder(pl.Callback):
    """Progress bar, ``history.csv`` and TensorBoard; the steps of both are images.

    The bar is tqdm's own: Lightning's counts the batches since the start of the process, not the images.

    Args:
        out: folder of the run.
        config: of the run.
        board: where TensorBoard looks, or None.
    """

    def __init__(self, out: Path, config: TrainConfig, board: TensorBoardLogger | None) -> None:
        self.out, self.run, self._board = out, config.run, board
        self._history: History | None = None
        self._bar: Any = None
        # When and at which image the present row of the log began.
        self._start_time, self._start_images = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Open the logs where the run stands."""
        assert isinstance(stage, Stage)
        images = int(stage.images_seen)
        self._start_time, self._start_images = time.perf_counter(), images
        if not trainer.is_global_zero:
            return
        self._history = History(self.out / HISTORY_FILE, images)
        if self._board is None:
            say("note: without TensorBoard (pip install tensorboard); history.csv holds the same figures")
        # None: only on a terminal.
        self._bar = tqdm(total=self.run.images, initial=images, unit="img", disable=None, smoothing=0.05)

    def on_train_batch_end(self, trainer: pl.Trainer, stage: pl.LightningModule, *_: Any) -> None:
        """Count the step; every so many write a row."""
        assert isinstance(stage, Stage)
        images = int(stage.images_seen)
        if self._bar is not None:
            self._bar.update(images - self._bar.n)
        if int(stage.steps_done) % self.run.log_every:
            return
        # What the stage reports first, then the lengths of the gradients.
        means = stage.averages.take()
        values = {name: means[name] for name in sorted(means, key=lambda name: name.startswith("gradient_"))}
        end_time = time.perf_counter()
        values["images_per_second"] = (images - self._start_images) / max(end_time - self._start_time, 1e-9)
        self._start_time, self._start_images = end_time, images
        self.record(images, values)

    def record(self, images: int, values: dict[str, float]) -> None:
        """Write a row; on the first process."""
        if self._history is None:
            return
        self._history.append(images, values)
        if self._board is not None:
            self._board.log_metrics(values, images)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None and not self._bar.disable:
            self._bar.set_postfix_str(text[:120])
        else:
            say(f"{images}/{self.run.images}  {text}")

    def show(self, images: int, sheet: Any) -> None:
        """Put a contact sheet into TensorBoard."""
        if self._board is not None:
            self._board.experiment.add_image("sheet", sheet, images, dataformats="HWC")

    def leave_out(self, seconds: float) -> None:
        """Do not count a pause as training time."""
        self._start_time += seconds

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar; the trainer closes the board."""
        if self._bar is not None:
            self._bar.close()


class Interruption(pl.Callback):
    """SIGINT (Ctrl-C) and SIGTERM end the run after the step; before the first, or twice, at once.

    Attributes:
        happened: whether one came, on any process.
    """

    def __init__(self) -> None:
        self.happened = False
        self._requested = self._training = False
        self._previous_handlers = {number: signal.getsignal(number) for number in _SIGNALS}

    def take_over(self) -> None:
        """Become the handler of both signals, in place of Lightning's.

        That one talks to the other processes inside the handler, whatever they are just doing, and hangs.
        Until then the signals have their usual effect: a process that still waits to be connected with
        the others could not run a handler.
        """
        self._handle(dict.fromkeys(_SIGNALS, self._ask))

    def give_back(self) -> None:
        """Put back the handlers of the time when this was made."""
        self._handle(self._previous_handlers)

    def _handle(self, handlers: dict[signal.Signals, Any]) -> None:
        # Another thread must not, and a handler that is not Python's is None.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:
                    signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """From here on there is something to save."""
        self._training = True

    def on_train_batch_end(self, trainer: pl.Trainer, stage: pl.LightningModule, *_: Any) -> None:
        """End the run if any process was asked to."""
        self.happened = self._requested
        if several_processes():
            requested = torch.tensor(float(self._requested), device=stage.device)
            dist.all_reduce(requested, op=dist.ReduceOp.MAX)
            self.happened = bool(requested)
        if self.happened:
            trainer.should_stop = True

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self._requested or not self._training:
            raise SystemExit(INTERRUPTED)
        self._requested = True
        say("stopping after this step; once more stops at once, without saving")


class Keeper(pl.Callback):
    """Contact sheets, validation, exported weights and checkpoints, on the first process.

    Args:
        out: folder of the run.
        config: of the run.
        recorder: gets the figures.
    """

    def __init__(self, out: Path, config: TrainConfig, recorder: Recorder) -> None:
        self.out, self.config, self.recorder = out, config, recorder
        self._previous_images = 0

    def on_train_start(self, trainer: pl.Trainer, stage: pl.LightningModule) -> None:
        """Show the beginning."""
        assert isinstance(stage, Stage)
        self._previous_images = int(stage.images_seen)
        if trainer.is_global_zero and self.config.run.sheet_every and not self._previous_images:
            self._sheet(stage, 0)

    def on_train_batch_end(self, trainer: pl.Trainer, stage: pl.LightningModule, *_: Any) -> None:
        """Do what is due; at the end everything but the validation."""
        assert isinstance(stage, Stage)
        images, previous, run = int(stage.images_seen), self._previous_images, self.config.run
        self._previous_images = images
        if not trainer.is_global_zero:
            return
        start = time.perf_counter()
        last = images >= run.images
        if run.sheet_every and (last or is_due(run.sheet_every, previous, images)):
            self._sheet(stage, images)
        if is_due(run.measure_every, previous, images):
            with torch.no_grad():
                measures = stage.measure()
            if measures:
                self.recorder.record(images, {f"measure/{name}": value for name, value in measures.items()})
        if last or trainer.should_stop or is_due(run.checkpoint_every, previous, images):
            self.save(stage)
        self.recorder.leave_out(time.perf_counter() - start)

    def save(self, stage: Stage) -> None:
        """Write checkpoint, exported weights and the portable file.

        Raises:
            CheckpointError: a weight is no number, or no space; the checkpoint before stays.
        """
        save_checkpoint(stage, self.out / "checkpoints" / LAST_FILE, self.config.to_dict())
        self.export(stage)

    def export(self, stage: Stage) -> None:
        """Write exported weights and, last of all, the portable file.

        Raises:
            CheckpointError: as :meth:`save`.
        """
        with torch.no_grad():
            stage.export(self.out / "weights")
        portable_save(stage, self.out / PORTABLE_FILE, self.config.stage)

    def _sheet(self, stage: Stage, images: int) -> None:
        with torch.no_grad():
            sheet = stage.contact_sheet()
        if sheet is None:
            return
        folder = self.out / "sheets"
        folder.mkdir(parents=True, exist_ok=True)
        for name in (f"{images:08d}.png", "latest.png"):
            write_photo(folder / name, sheet, source_type=TRAINED, overwrite=True)
        self.recorder.show(images, sheet)


def is_due(every: int, previous: int, images: int) -> bool:
    """Whether the step from ``previous`` to ``images`` reached a multiple of ``every`` images; 0: never."""
    return every > 0 and images // every > previous // every


def say(text: str) -> None:
    """A line for whoever watches the run."""
    print(text, file=sys.stderr, flush=True)
