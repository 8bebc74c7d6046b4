"""The small way to carry a run elsewhere: half-precision weights and the counts, without optimisers.

Beside the exported weights it holds what they do not: the discriminator and the like, and how many images
were seen. ``callbacks`` writes it with every export, ``run`` starts from it. Optimisers begin anew, so the
first steps differ from an uninterrupted run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from stylegan_swap._version import __version__
from stylegan_swap.errors import CheckpointError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.nn.stylegan2.discriminator import Discriminator
from stylegan_swap.training.loop.checkpoint import not_finite
from stylegan_swap.weights.store import load_state

if TYPE_CHECKING:
    from stylegan_swap.training.stage import Stage

_ENTRY = "run"


def portable_save(stage: Stage, file: Path, kind: str) -> None:
    """Write ``stage.portable_modules()`` as float16 safetensors, with the counts of the run.

    Args:
        stage: the run.
        file: ``.safetensors``, replaced as a whole.
        kind: the stage's name in the configuration.

    Raises:
        CheckpointError: a weight is no number or too large for float16, or no space.
    """
    tensors = {}
    for prefix, module in stage.portable_modules().items():
        for name, value in module.state_dict().items():
            half = value.half() if value.is_floating_point() else value
            tensors[f"{prefix}.{name}"] = half.detach().to("cpu", copy=True).contiguous()
    if broken := not_finite(tensors):
        raise CheckpointError(f"{file}: {broken} would hold NaN or infinity in float16; nothing was saved")
    counts = {
        "stage": kind,
        "images_seen": int(stage.images_seen),
        "steps_done": int(stage.steps_done),
        "library_version": __version__,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_bytes(save(tensors, metadata={_ENTRY: json.dumps(counts)}))
    except OSError as error:
        raise CheckpointError(
            f"{file}: could not be saved ({error}); free some space or choose another folder"
        ) from error


def portable_load(stage: Stage, file: Path, kind: str) -> None:
    """Fill ``stage.portable_modules()`` and the counts with what :func:`portable_save` wrote.

    Args:
        stage: built with ``start`` set to the exported weights.
        file: the portable file.
        kind: the stage's name in the configuration.

    Raises:
        CheckpointError: missing, damaged, of another stage, or it does not fit; a discriminator of half the
            side does, see ``Discriminator.grown``.
    """
    tensors: dict[str, dict[str, torch.Tensor]] = {}
    try:
        with safe_open(file, framework="pt") as content:
            counts = json.loads((content.metadata() or {})[_ENTRY])
            images, steps, stage_name = int(counts["images_seen"]), int(counts["steps_done"]), counts["stage"]
            for name in content.keys():  # noqa: SIM118 - the file is no mapping
                prefix, _, rest = name.partition(".")
                tensors.setdefault(prefix, {})[rest] = content.get_tensor(name)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        text = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{file}: is missing, damaged or no portable file ({text}); give portable.safetensors of a run"
        ) from error
    if stage_name != kind:
        raise CheckpointError(f"{file}: is of a {stage_name!r} run, not {kind!r}; give one of this stage")
    for prefix, module in stage.portable_modules().items():
        state = tensors.pop(prefix, {})
        if isinstance(module, Discriminator):
            state = module.grown(state)
        load_state(module, state, f"{file}, {prefix}")
    if tensors:
        raise CheckpointError(
            f"{file}: holds {', '.join(sorted(tensors))}, which this stage has not; use its configuration"
        )
    stage.images_seen.fill_(images)
    stage.steps_done.fill_(steps)
