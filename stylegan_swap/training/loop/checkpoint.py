"""The state of a run on disk: plain tensors, numbers and texts, written whole or not at all.

``callbacks`` saves, ``run`` restores. What is not in it needs no storing: the data position is the number
of images seen, and the random numbers of a step follow from its number. A checkpoint is never executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stylegan_swap._version import __version__
from stylegan_swap.errors import CheckpointError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.weights.readers.torch_file import read_file
from stylegan_swap.weights.store import load_state

if TYPE_CHECKING:
    from stylegan_swap.training.stage import Stage

LAST_FILE = "last.ckpt"

# Raised when the layout changes so that older versions of the library cannot read it.
_FORMAT = 1
_KEYS = {"format", "stage", "config", "model", "optimisers", "averages"}


def save_checkpoint(stage: Stage, file: Path, config: Mapping[str, Any]) -> None:
    """Write everything a run needs to go on as if it had never stopped.

    Args:
        stage: with optimisers.
        file: replaced as a whole; a kill leaves the one that was there.
        config: of the run, plain values.

    Raises:
        CheckpointError: NaN or infinity in a weight, or no space; the file that was there stays.
    """
    model = stage.state_dict()
    if broken := not_finite(model):
        raise CheckpointError(
            f"{file}: {broken} holds NaN or infinity at image {int(stage.images_seen)}; nothing was saved, "
            "go on from the last checkpoint with a lower learning rate"
        )
    state = {
        "format": _FORMAT,
        "library_version": __version__,
        "stage": str(config["stage"]),
        "config": dict(config),
        "model": model,
        "optimisers": {name: optimiser.state_dict() for name, optimiser in stage.optimisers.items()},
        "averages": stage.averages.state_dict(),
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: could not be saved ({error}); free some space or choose another folder"
        ) from error


def load_checkpoint(stage: Stage, file: Path, kind: str) -> None:
    """Fill a freshly built stage with what :func:`save_checkpoint` wrote.

    Args:
        stage: built from the same configuration, on the CPU.
        file: the checkpoint.
        kind: the stage's name in the configuration.

    Raises:
        CheckpointError: missing, damaged, unsafe, of another stage, or it does not fit.
    """
    state = _read(file)
    if state["stage"] != kind:
        raise CheckpointError(f"{file}: is of a {state['stage']!r} run, not {kind!r}; give its own folder")
    # The averaged networks are part of the state.
    _ = stage.ema
    load_state(stage, state["model"], str(file))
    expected, stored = sorted(stage.optimisers), sorted(state["optimisers"])
    if expected != stored:
        raise CheckpointError(
            f"{file}: has the optimisers {stored}, the stage {expected}; "
            "go on with the configuration it began with"
        )
    for name, optimiser in stage.optimisers.items():
        try:
            optimiser.load_state_dict(state["optimisers"][name])
        except (ValueError, KeyError) as error:
            raise CheckpointError(
                f"{file}: optimiser {name} does not fit ({error}); go on with the configuration it began with"
            ) from error
    stage.averages.load_state_dict(state["averages"])


def not_finite(state: Mapping[str, Any]) -> str | None:
    """Name of the first tensor with NaN or infinity in it, or None."""
    for name, value in state.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            return name
    return None


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files that a kill in the middle of ``replacing`` leaves in a folder of a run."""
    for path in folder.glob(f".{'[0-9a-f]' * 16}.part*"):
        path.unlink(missing_ok=True)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError(f"{file}: no such checkpoint; start without --resume, or check it")
    state = read_file(file)
    if not isinstance(state, dict) or _KEYS - set(state):
        raise CheckpointError(
            f"{file}: is no checkpoint of a training run; give checkpoints/{LAST_FILE} of one"
        )
    if state["format"] != _FORMAT:
        raise CheckpointError(f"{file}: was written by another version of the library; use that version")
    return state
