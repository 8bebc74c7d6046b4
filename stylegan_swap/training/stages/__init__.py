"""The kinds of training by name; a kind's module is imported only when it is built.

``config`` checks names against the table, ``run`` builds from it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stylegan_swap.errors import ConfigError

if TYPE_CHECKING:
    from stylegan_swap.training.config import TrainConfig
    from stylegan_swap.training.stage import Stage

# Name in the configuration → module:Class.
STAGES: dict[str, str] = {
    "gan": "stylegan_swap.training.stages.gan:GanStage",
    "invert": "stylegan_swap.training.stages.invert:InvertStage",
    "swap": "stylegan_swap.methods.default.training:SwapStage",
    "landmarks": "stylegan_swap.training.stages.landmarks:LandmarkStage",
}


def build_stage(config: TrainConfig) -> Stage:
    """Import and build the stage of a configuration; its first weights follow from ``run.seed`` alone.

    Raises:
        ConfigError: there is no such stage, or its options do not fit.
        CheckpointError: the weights to start from do not fit.
    """
    if config.stage not in STAGES:
        raise ConfigError(
            f"{config.source}: stage: there is no {config.stage!r}; choose one of {', '.join(STAGES)}"
        )
    from stylegan_swap.training.seed import seed_everything

    module, _, class_name = STAGES[config.stage].partition(":")
    stage_class = getattr(importlib.import_module(module), class_name)
    seed_everything(config.run.seed)
    stage: Stage = stage_class(config)
    return stage
