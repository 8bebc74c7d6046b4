"""A tiny network of every method that has one, with random weights in which everything matters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stylegan_swap.methods.registry import method_class
from stylegan_swap.weights.store import save_weights

# What a published file does not say is as published, so that files go there and back.
AS_PUBLISHED = {"fslsd": ("edit",)}


def tiny_config(name: str) -> Any:
    """The preset ``tiny``, which every network of a method has."""
    config_class = method_class(name).config_class
    published = config_class()
    return config_class.preset(
        "tiny", **{field: getattr(published, field) for field in AS_PUBLISHED.get(name, ())}
    )


def tiny_network(name: str) -> nn.Module:
    """Noise has a weight, and batch norms know their input."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = method_class(name).network_class(tiny_config(name))
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.endswith("noise.weight"):
                parameter.fill_(0.1)
    stream = torch.Generator().manual_seed(2)
    for part in ("encoder", "landmark_encoder"):
        encoder = getattr(network, part, nn.Identity())
        if any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules()):
            _drive(encoder, stream)
    return network.eval()


def tiny_weights(name: str, folder: Path) -> Path:
    """A folder with the tiny network's weights."""
    save_weights(folder, tiny_network(name).state_dict(), tiny_config(name).to_dict(), dtype="float32")
    return folder


def _drive(encoder: nn.Module, stream: torch.Generator) -> None:
    """Batch norms take the statistics of one batch."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    channels = next(parameter.shape[1] for parameter in encoder.parameters() if parameter.ndim == 4)
    faces = F.interpolate(torch.randn(8, channels, 8, 8, generator=stream), size=(256, 256), mode="bilinear")
    encoder.train()
    with torch.no_grad():
        if hasattr(encoder, "describe"):
            # RAFSwap's: every part of it, tokens too.
            regions = torch.ones(len(faces), 4, 64, 64)
            encoder(faces, regions, encoder.describe(faces, regions))
        else:
            encoder(faces)
