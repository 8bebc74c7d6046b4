"""The kinds of training by name: the stages of this folder, and every method with a ``training.py``.

A stage's module is imported only when it is needed. Training stands below the methods: it finds theirs by
the folder's name, ``methods/NAME/training.py`` with a class ``Stage``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_swap.errors import ConfigError

if TYPE_CHECKING:
    from stylegan_swap.training.config import TrainConfig
    from stylegan_swap.training.stage import Stage

# Name in the configuration → module:Class.
STAGES: dict[str, str] = {
    "gan": "stylegan_swap.training.stages.gan:GanStage",
    "invert": "stylegan_swap.training.stages.invert:InvertStage",
    "landmarks": "stylegan_swap.training.stages.landmarks:LandmarkStage",
}
METHOD_OF = {"swap": "default"}
# Whose network the stages that train a part of it speak of.
PARTS_OF = "default"


def method_folders() -> dict[str, Path]:
    """The folders of the methods that can be trained, by name."""
    methods = Path(str(importlib.resources.files("stylegan_swap"))) / "methods"
    folders = (file.parent for file in sorted(methods.glob("*/training.py")))
    return {folder.name.replace("_", "-"): folder for folder in folders}


def stage_names() -> list[str]:
    """What ``stage:`` in a configuration may be."""
    return [*STAGES, *METHOD_OF, *method_folders()]


def stage_class(name: str, source: str = "configuration") -> type[Any]:
    """Import the class of a stage or of a method's training.

    Raises:
        ConfigError: there is no such stage.
    """
    require_stage(name, source)
    folder = METHOD_OF.get(name, name).replace("-", "_")
    home = STAGES.get(name, f"stylegan_swap.methods.{folder}.training:Stage")
    module, _, class_name = home.partition(":")
    stage: type[Any] = getattr(importlib.import_module(module), class_name)
    return stage


def require_stage(name: str, source: str) -> None:
    """Refuse a name that is no stage.

    Raises:
        ConfigError: names the nearest and all others.
    """
    names = stage_names()
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (nearest: {near[0]})" if near else ""
    raise ConfigError(f"{source}: stage: there is no {name!r}{hint}; choose one of {', '.join(names)}")


def network_config_class(name: str) -> Any:
    """The class that describes the network of a stage: a method's own, else the default's."""
    return stage_class(PARTS_OF if name in STAGES else name).config_class


def build_stage(config: TrainConfig) -> Stage:
    """Import and build the stage of a configuration; its first weights follow from ``run.seed`` alone.

    Raises:
        ConfigError: there is no such stage, or its options do not fit.
        CheckpointError: the weights to start from do not fit.
    """
    from stylegan_swap.training.seed import seed_everything

    kind = stage_class(config.stage, config.source)
    seed_everything(config.run.seed)
    stage: Stage = kind(config)
    return stage
