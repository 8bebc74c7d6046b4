"""Seeding of every random generator a training step draws from."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(*entropy: int) -> None:
    """Seed torch (all devices), numpy and random from a few numbers."""
    state = np.random.SeedSequence(entropy).generate_state(3)
    torch.manual_seed(int(state[0]))
    np.random.seed(int(state[1]))  # noqa: NPY002 - other people's code draws from there
    random.seed(int(state[2]))
