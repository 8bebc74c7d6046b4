"""MegaFS's weights: its two files to one folder of ours, and back.

Before the road, once. Theirs: ``{ftm,injection,lcr}_final.pth`` with the encoder under ``e`` and the
swapper under ``s`` (and training state that is not read), and ``stylegan2-ffhq-config-f.pth`` with the
generator under ``g_ema``. Ours: the same names behind ``encoder.``, ``swapper.`` and ``generator.``.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cuda_ops.layers import Blur
from stylegan_swap.errors import CheckpointError
from stylegan_swap.models.megafs import MegaFSConfig, MegaFSNetwork
from stylegan_swap.weights import save_weights

PARTS = ("encoder", "swapper", "generator")
_SHOWN = 5


def convert_megafs(
    swap_file: str | os.PathLike[str],
    generator_file: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    dtype: str = "float32",
) -> Path:
    """Turn MegaFS's two files into a folder that ``swap(method=folder)`` takes.

    Args:
        swap_file: ``ftm_final.pth``, ``injection_final.pth`` or ``lcr_final.pth``.
        generator_file: ``stylegan2-ffhq-config-f.pth``.
        folder: created where it does not exist.
        dtype: see ``save_weights``.

    Returns:
        The path of model.safetensors.

    Raises:
        CheckpointError: a file cannot be read, is no file of MegaFS's, or the two do not go together.
    """
    state, config = from_megafs(read_checkpoint(swap_file), read_checkpoint(generator_file))
    return save_weights(folder, state, config.to_dict(), dtype=dtype)


def from_megafs(
    swap_file: Mapping[str, Any], generator_file: Mapping[str, Any]
) -> tuple[dict[str, Tensor], MegaFSConfig]:
    """The state dict and configuration of a ``MegaFSNetwork`` for the contents of both files.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not MegaFS's.
    """
    parts = {
        "encoder": entry(swap_file, "e", "MegaFS's {ftm,injection,lcr}_final.pth"),
        "swapper": entry(swap_file, "s", "MegaFS's {ftm,injection,lcr}_final.pth"),
        "generator": entry(generator_file, "g_ema", "MegaFS's stylegan2-ffhq-config-f.pth"),
    }
    try:
        config = _config_of(parts)
        network = skeleton(MegaFSNetwork, config)
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(
            f"MegaFS's weights: not of its published layout ({error}); fetch both files again"
        ) from error
    state = {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    return fitted(state, network, "MegaFS's weights", loose=("generator.",)), config


def to_megafs(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of MegaFS's two files, swap file first, for a state dict of a ``MegaFSNetwork``."""
    e, s, g = (without_prefix(state, f"{part}.") for part in PARTS)
    return {"e": e, "s": s}, {"g_ema": g}


def _config_of(parts: Mapping[str, Mapping[str, Tensor]]) -> MegaFSConfig:
    """Read every number off the shapes."""
    encoder, swapper, generator = (parts[part] for part in PARTS)
    counts = [numbered(encoder, f"mapping{level}.") for level in (1, 2, 3)]
    stages = [f"fpn.backbone.layer{stage}." for stage in range(1, 6)]
    if any(name.startswith("blocks.0.idd_selectors") for name in swapper):
        swap = "ftm"
    else:
        swap = "injection" if swapper else "lcr"
    return MegaFSConfig(
        **generator_numbers(generator),
        swap=swap,
        split=tuple(counts),
        blocks=tuple(numbered(encoder, stage) for stage in stages),
        planes=tuple(len(encoder[f"{stage}0.conv1.weight"]) for stage in stages),
    )


def generator_numbers(generator: Mapping[str, Tensor]) -> dict[str, int]:
    """Size, style width, mapping layers and channels of a generator of the exchange layout, by its shapes.

    Raises:
        KeyError: a tensor is missing.
    """
    return {
        "size": 2 ** (2 + numbered(generator, "to_rgbs.")),
        "style_dim": generator["conv1.conv.modulation.weight"].shape[1],
        "n_mlp": numbered(generator, "style."),
        "max_channels": generator["input.input"].shape[1],
    }


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Read another project's PyTorch file; no code from it is ever run, and only what is used is loaded.

    Raises:
        CheckpointError: it is missing, damaged, would run code, or holds no dictionary.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; check the path")
    try:
        # Files of the old format, before zip archives, cannot be mapped.
        try:
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{file}: refused, it is damaged or would run code ({reason}); nothing was executed; "
            "fetch it again"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{file}: is truncated or damaged ({reason}); fetch it again") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{file}: holds {type(content).__name__}, not a dictionary; is it the right file?"
        )
    return content


def entry(content: Mapping[str, Any], key: str, what: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors under a key of a foreign file, without a prefix that all their names share.

    Raises:
        CheckpointError: the key is missing or holds something else.
    """
    tensors = content.get(key)
    if not isinstance(tensors, Mapping) or not all(isinstance(v, Tensor) for v in tensors.values()):
        found = ", ".join(map(repr, content)) or "no entries"
        raise CheckpointError(
            f"{what}: holds no weights under {key!r} (there are {found}); is it the right file?"
        )
    if prefix and tensors and all(name.startswith(prefix) for name in tensors):
        return without_prefix(tensors, prefix)
    return dict(tensors)


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose names begin with the prefix, without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def numbered(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different numbers follow the prefix in the names: the length of a list of modules."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def skeleton(network_class: type[torch.nn.Module], config: Any) -> dict[str, torch.Size]:
    """Names and shapes of a network's state, without the memory for its weights."""
    with torch.device("meta"):
        return {name: value.shape for name, value in network_class(config).state_dict().items()}


def fitted(
    state: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], what: str, loose: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The state in the order of the network, if it fits.

    Args:
        state: converted weights by our names.
        wanted: names and shapes of the network.
        what: whose weights, for the message.
        loose: prefixes of generators: names that the network lacks are dropped there, and missing filter
            kernels filled in, as the official loaders do.

    Raises:
        CheckpointError: names or shapes do not fit.
    """
    kernel = Blur(factor=2).kernel
    result, problems = {}, []
    for name, shape in wanted.items():
        tensor = state.get(name)
        if tensor is None and name.startswith(loose) and name.endswith(".kernel"):
            tensor = kernel
        if tensor is None:
            problems.append(f"{name} is missing")
        elif tensor.shape != shape:
            problems.append(f"{name} is {list(tensor.shape)} instead of {list(shape)}")
        else:
            result[name] = tensor
    problems += [
        f"{name} is unknown"
        for name in state
        if name not in wanted and not (loose and name.startswith(loose))
    ]
    if problems:
        rest = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CheckpointError(
            f"{what}: not of the published layout: {'; '.join(problems[:_SHOWN])}{rest}; "
            "fetch the files again"
        )
    return result
