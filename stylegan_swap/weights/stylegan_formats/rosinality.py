"""Files of rosinality's StyleGAN2 port, the exchange format: ``{"g_ema", "latent_avg", "g", "d"}``.

Road: before it, where weights of other projects are converted. Names and shapes are this library's own, so
converting is finding the numbers that rebuild the networks. Optimisers and the command line of training
checkpoints are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import Converted, State, left_out, tensors_of
from stylegan_swap.weights.stylegan_formats.exchange_layout import (
    completed_generator,
    discriminator_config,
    generator_config,
)

NAME = "rosinality"
SUMMARY = 'StyleGAN2 port of rosinality (.pt): {"g_ema", "latent_avg"}, training checkpoints with "g" and "d"'
_MARK = "convs.0.conv.weight"
_KNOWN = {"g_ema": "generator", "g": "training_generator", "d": "discriminator"}


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    return isinstance(content, Mapping) and any(
        isinstance(content.get(key), Mapping)
        and any(name in content[key] for name in (_MARK, f"module.{_MARK}"))
        for key in ("g_ema", "g")
    )


def convert(content: Mapping[str, Any], source: str, *, lr_mlp: float = 0.01) -> Converted:
    """Take the networks out.

    Args:
        content: of the file.
        source: the file, for messages.
        lr_mlp: learning-rate factor of the mapping network, which the file does not tell.

    Raises:
        CheckpointError: a network is incomplete or of another architecture.
    """
    parts: dict[str, State] = {}
    config: dict[str, dict[str, Any]] = {}
    notes: tuple[str, ...] = ()
    names = dict(_KNOWN) if "g_ema" in content else {"g": "generator", "d": "discriminator"}
    for key, part in names.items():
        if key not in content:
            continue
        state = tensors_of(content[key], source, key)
        if part == "discriminator":
            config[part] = discriminator_config(state, source)
        else:
            config[part] = generator_config(state, source, lr_mlp=lr_mlp)
            state, filled = completed_generator(state, config[part])
            notes += filled
        parts[part] = state
    average = content.get("latent_avg")
    notes += left_out(key for key in content if key not in (*names, "latent_avg"))
    latent_avg = average.detach() if isinstance(average, Tensor) else None
    return Converted(source, NAME, parts, config, latent_avg, notes).checked()


def to_rosinality(converted: Converted) -> dict[str, Any]:
    """The content of a file of this format, for ``torch.save``.

    Raises:
        CheckpointError: there is no generator, or one with layers that the port does not have.
    """
    if "generator" not in converted.parts:
        raise CheckpointError(f"{converted.source}: holds no generator; this format is for generators")
    if converted.config["generator"].get("conv_clamp") is not None:
        limit = converted.config["generator"]["conv_clamp"]
        raise CheckpointError(
            f"{converted.source}: its generator limits every layer to {limit}, which this format cannot say; "
            "use it in this library, or set conv_clamp in its config.json to null if you accept other images"
        )
    content: dict[str, Any] = {
        key: dict(converted.parts[part]) for key, part in _KNOWN.items() if part in converted.parts
    }
    if converted.latent_avg is not None:
        content["latent_avg"] = converted.latent_avg
    return content
