"""Stage: what all kinds of training share. A subclass says what a step, a picture and a measure are.

``run`` builds one, feeds it through Lightning and saves it; ``gan``, ``invert``, ``swap`` and
``landmarks`` are the subclasses. Optimisation is manual: a step may hold several backward passes for
several optimisers.

Every random number of a step follows from (seed, step, process), and the data from the number of images
seen, so a run that was killed repeats exactly what an uninterrupted one would have done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from stylegan_swap.errors import TrainingError
from stylegan_swap.training.config import DataSettings, RunSettings
from stylegan_swap.training.data.stream import endless_loader
from stylegan_swap.training.loop.ema import copy_of, decay_of, move_average
from stylegan_swap.training.loop.gradients import finish_gradients
from stylegan_swap.training.loop.history import Averages
from stylegan_swap.training.seed import seed_everything

if TYPE_CHECKING:
    from stylegan_swap.training.data.photos import Photos

# So many steps running without one usable gradient are no accident any more.
MOST_BROKEN_STEPS = 100


class Stage(pl.LightningModule):
    """One kind of training.

    A subclass calls ``super().__init__`` first, builds its networks, and gives at least :meth:`dataset`,
    :meth:`optimizers_by_name` and :meth:`train_step`.

    Args:
        run: how the run proceeds.
        data: where the photographs are; None for a stage that opens none.

    Attributes:
        run_settings: as given.
        data_settings: as given.
        seed: of the run.
        images_seen: images of all steps so far, over all processes; drives every ramp and schedule.
            A scalar int64 buffer that always stays on the CPU, so that reading it never waits for a GPU.
        steps_done: number of steps so far, likewise.
    """

    images_seen: Tensor
    steps_done: Tensor

    def __init__(self, run: RunSettings, data: DataSettings | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.run_settings = run
        self.data_settings = data
        self.seed = run.seed
        self.register_buffer("images_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))
        self.averages = Averages()
        self._ema: nn.ModuleDict | None = None
        self._broken_steps: dict[str, Tensor] = {}

    # What a subclass gives.

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """The endless stream: item i depends on (seed, i) alone; ``default_collate`` makes the batches."""
        raise NotImplementedError

    def optimizers_by_name(self) -> dict[str, Optimizer]:
        """Build the optimisers; called once, use :attr:`optimisers` afterwards."""
        raise NotImplementedError

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """One step: forward, backward, :meth:`minimise`.

        Returns:
            Scalars to log, name → detached or attached tensor without dimensions.
        """
        raise NotImplementedError

    def averaged_modules(self) -> dict[str, nn.Module]:
        """The networks whose moving average is kept in :attr:`ema` under the same name."""
        return {}

    def contact_sheet(self) -> np.ndarray | None:
        """A picture of what the averaged weights do with fixed inputs: uint8 ``[H, W, 3]``, RGB.

        Called on the first process only, in evaluation of gradients off; may use random numbers freely.
        """
        return None

    def measure(self) -> dict[str, float]:
        """Validation by the project's own metrics; called like :meth:`contact_sheet`."""
        return {}

    def export(self, folder: Path) -> None:
        """Write the averaged weights in the library's own format (``weights.save_weights``)."""

    def portable_modules(self) -> dict[str, nn.Module]:
        """What :meth:`export` does not hold and a run that goes on elsewhere needs, e.g. a discriminator."""
        return {}

    # What the base gives.

    @cached_property
    def photos(self) -> Photos:
        """The photographs of ``data_settings``, opened on first use; a test may set its own.

        Raises:
            TrainingError: the stage was built without them.
        """
        from stylegan_swap.training.data.open_photos import open_photos

        if self.data_settings is None:
            raise TrainingError(f"{type(self).__name__}: was built without data; give it DataSettings")
        return open_photos(self.data_settings)

    @cached_property
    def optimisers(self) -> dict[str, Optimizer]:
        """The optimisers by name."""
        return self.optimizers_by_name()

    @property
    def ema(self) -> nn.ModuleDict:
        """The averaged networks by name, in evaluation mode; part of the state dict.

        The copies are made on first use, by ``run`` after the subclass has loaded its weights.
        """
        if self._ema is None:
            self._ema = nn.ModuleDict({name: copy_of(m) for name, m in self.averaged_modules().items()})
        return self._ema

    def minimise(self, loss: Tensor, name: str, *, every: int = 1, retain_graph: bool = False) -> None:
        """One step of one optimiser down the gradient of a loss; other parameters get no gradient.

        Args:
            loss: a scalar.
            name: of the optimiser.
            every: for a term that is computed only in one of so many steps (lazy regularisation): the
                loss counts so many times.
            retain_graph: keep the graph for another backward pass.
        """
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        self.backward_of(loss * every if every != 1 else loss, retain_graph=retain_graph, only=name)
        self.step(name)

    @contextlib.contextmanager
    def stepped(self, *names: str) -> Iterator[None]:
        """Zero gradients, let the caller run its :meth:`backward_of` passes, then step.

        For several passes per step, or one pass that serves several optimisers::

            with self.stepped("encoder", "generator"):
                self.backward_of(first)
                self.backward_of(second)
        """
        for name in names:
            self.optimisers[name].zero_grad(set_to_none=True)
        yield
        for name in names:
            self.step(name)

    def backward_of(self, loss: Tensor, *, retain_graph: bool = False, only: str | None = None) -> None:
        """Add the gradient of a loss, outside autocast.

        Args:
            loss: a scalar.
            retain_graph: keep the graph for another backward pass.
            only: name of the optimiser whose parameters get gradients; None: all parameters.
        """
        inputs = None if only is None else self._trained_by(only)
        with torch.autocast(self.device.type, enabled=False):
            loss.backward(retain_graph=retain_graph, inputs=inputs)

    def step(self, name: str) -> None:
        """Average the gradients over processes, repair those that are no numbers, step the optimiser.

        Raises:
            TrainingError: no usable gradient in 100 steps running.
        """
        length = finish_gradients(self._trained_by(name))
        self.averages.add({f"gradient_{name}": length})
        self._watch(name, length)
        self.optimisers[name].step()

    def set_learning_rate(self, name: str, rate: float) -> None:
        """Set the learning rate of an optimiser; a schedule calls it in every step."""
        for group in self.optimisers[name].param_groups:
            group["lr"] = float(rate)

    # What Lightning calls.

    def configure_optimizers(self) -> list[Optimizer]:
        """Tell Lightning the optimisers, so that it moves their state to the device."""
        return list(self.optimisers.values())

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The data from the present position on."""
        trainer = self.trainer
        return endless_loader(
            self.dataset(),
            self.run_settings,
            first=int(self.images_seen),
            rank=trainer.global_rank,
            processes=trainer.world_size,
            pinned=self.device.type == "cuda",
        )

    def training_step(self, batch: dict[str, Tensor], batch_index: int = 0) -> None:
        """One :meth:`train_step` with its random numbers, precision, averages and counts."""
        rank, processes = self.global_rank, self.processes
        seed_everything(self.seed, int(self.steps_done) + 1, rank)
        # Without its cache: weights cast in a pass without gradients, or before an optimiser's step, would
        # be used again in the pass after it.
        with torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.run_settings.precision == "bf16",
            cache_enabled=False,
        ):
            self.averages.add(self.train_step(batch))
        images = processes * len(next(iter(batch.values())))
        run = self.run_settings
        decay = decay_of(images, int(self.images_seen), 1000 * run.ema_kimg, run.ema_rampup)
        for name, network in self.averaged_modules().items():
            move_average(self.ema[name], network, decay)
        self.images_seen += images
        self.steps_done += 1

    @property
    def processes(self) -> int:
        """Number of processes of the run; 1 outside a run."""
        return 1 if self._trainer is None else self._trainer.world_size

    def train(self, mode: bool = True) -> Stage:
        """Switch all networks but the averaged ones, which always stay in evaluation mode."""
        super().train(mode)
        if self._ema is not None:
            self._ema.eval()
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Stage:
        super()._apply(fn, *args, **kwargs)
        for name in ("images_seen", "steps_done"):
            self._buffers[name] = getattr(self, name).to("cpu", torch.int64)
        return self

    def _trained_by(self, name: str) -> list[nn.Parameter]:
        groups = self.optimisers[name].param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    def _watch(self, name: str, length: Tensor) -> None:
        """Counts the steps running whose gradient was broken; looks at them rarely, since a GPU must wait."""
        in_a_row = self._broken_steps.get(name, torch.zeros((), device=length.device))
        in_a_row = self._broken_steps[name] = torch.where(length.isfinite(), 0, in_a_row + 1)
        looked_at = length.device.type == "cpu" or int(self.steps_done) % MOST_BROKEN_STEPS == 0
        if looked_at and int(in_a_row) >= MOST_BROKEN_STEPS:
            raise TrainingError(
                f"{name}: {int(in_a_row)} steps running had gradients that are no numbers, at image "
                f"{int(self.images_seen)}; go on from the last checkpoint with a lower learning rate"
            )
