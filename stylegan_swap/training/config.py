"""What a training run is to do: the YAML file, checked.

A wrong key or value ends the run before it starts, with the file, the key, the cause and the remedy.
"""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError

from stylegan_swap.errors import ConfigError
from stylegan_swap.training.stages import method_folders, network_config_class, require_stage

Model = TypeVar("Model", bound=BaseModel)

# `~` means home in a configuration as it does in a shell.
FilePath = Annotated[Path, BeforeValidator(lambda value: Path(str(value)).expanduser())]


class Settings(BaseModel):
    """Base of everything in a configuration: unknown keys are errors, values do not change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class RunSettings(Settings):
    """How a run proceeds, whatever it trains. Counted in images where nothing else is said.

    Attributes:
        seed: of the first weights, the data and every random number of the run.
        batch: images per step and process.
        images: length of the run, over all processes; the last step may go beyond it.
        precision: "float32", or "bf16": networks compute in bfloat16, weights and losses stay float32.
        workers: processes that prepare data; 0 does it in the training process.
        ema_kimg: half-life of the averaged weights in thousands of images; 0: the weights themselves.
        ema_rampup: the half-life is at most this share of the images seen; None when fine-tuning.
        sheet_every: a contact sheet after so many; 0: none.
        checkpoint_every: a checkpoint and exported weights after so many; 0: only at the end.
        measure_every: validation after so many; 0: none.
        log_every: steps per row of the log; the row holds their means.
        device: "auto", "cpu" or "cuda".
        deterministic: on a GPU, use algorithms that repeat exactly wherever there are some (slower); a CPU
            always does.
    """

    seed: int = Field(default=0, ge=0, lt=2**32)
    batch: int = Field(default=16, ge=1)
    images: int = Field(default=100_000, ge=1)
    precision: Literal["float32", "bf16"] = "float32"
    workers: int = Field(default=2, ge=0)
    ema_kimg: float = Field(default=5.0, ge=0)
    ema_rampup: float | None = Field(default=0.05, gt=0)
    sheet_every: int = Field(default=2000, ge=0)
    checkpoint_every: int = Field(default=2000, ge=0)
    measure_every: int = Field(default=10_000, ge=0)
    log_every: int = Field(default=50, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    deterministic: bool = False


class DataSettings(Settings):
    """The photographs.

    Attributes:
        folder: photographs (with ``manifest.csv`` or without), or a packed file ``*.faces``.
        size: image side S of the training, pixels.
        split: the part of the manifest to train on.
        side: side of the aligned crops the images are made from; None: 256, or S where that is more.
        cache: a ``*.faces`` file that keeps the crops of the folder between runs; None: made anew each time.
    """

    folder: FilePath
    size: int = Field(default=128, ge=16, le=2048)
    split: str = "train"
    side: int | None = Field(default=None, ge=16, le=2048)
    cache: FilePath | None = None

    @property
    def crop_side(self) -> int:
        """Side of the aligned crops in pixels."""
        return self.side or max(256, self.size)


class TrainConfig(Settings):
    """A whole training run.

    Attributes:
        stage: kind of training: gan, invert, landmarks, or a method's name (swap is the default's).
        data: the photographs.
        network: keyword arguments of the stage's network; ``preset`` names what they change.
        run: how the run proceeds.
        options: the stage's own settings, see :meth:`options_as`.
        start: weights to start from: a registered name, a folder or a file.
        identity: converted recogniser file; None: dlib's from its package.
    """

    stage: str
    data: DataSettings
    network: dict[str, Any] = Field(default_factory=dict)
    run: RunSettings = RunSettings()
    options: dict[str, Any] = Field(default_factory=dict)
    start: str | None = None
    identity: FilePath | None = None
    _source: str = PrivateAttr("configuration")

    @property
    def source(self) -> str:
        """Where it was read from, for messages."""
        return self._source

    def options_as(self, model: type[Model]) -> Model:
        """The stage's own settings, checked by its model.

        Raises:
            ConfigError: a key is unknown or a value does not fit.
        """
        return _checked(model, self.options, self.source, "options.")

    def network_config(self) -> Any:
        """The network of ``network``, a preset with changes: of the stage's method, else of the default.

        Raises:
            ConfigError: there is no such preset or key, or a value is out of range.
        """
        changes = dict(self.network)
        # `preset: 128` without quotes is a number in YAML.
        name = str(changes.pop("preset", self.data.size))
        try:
            return network_config_class(self.stage).preset(name, **changes)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.source}: network: {error}; correct it there") from error

    def started_from(self, start: str) -> TrainConfig:
        """The same configuration with other weights to start from."""
        # A copy keeps the source.
        return self.model_copy(update={"start": start})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return self.model_dump(mode="json")


def shipped_configs() -> dict[str, Path]:
    """The configurations that come with the library, by name; a method's own bears its name."""
    folder = Path(str(importlib.resources.files("stylegan_swap.training") / "config"))
    stages = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    methods = {name: home / "config.yaml" for name, home in method_folders().items()}
    return stages | {name: path for name, path in methods.items() if path.is_file()}


def load_config(path: str | Path, overrides: Sequence[str] = (), *, stage: str | None = None) -> TrainConfig:
    """Read and check a configuration.

    Relative paths in it mean the current directory.

    Args:
        path: a YAML file, or the name of a shipped one such as ``swap-128``.
        overrides: ``key=value`` each, the key with dots, the value as in YAML: ``run.batch=8``.
        stage: fills ``stage`` where the file has none.

    Raises:
        ConfigError: unreadable, no YAML, a key unknown or missing, a value out of range, another stage.
    """
    shipped = shipped_configs()
    file = Path(path).expanduser()
    if str(path) in shipped and not file.is_file():
        file = shipped[str(path)]
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such file; give one, or a shipped configuration: {', '.join(shipped) or 'none'}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error}); check path and permissions") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: is no YAML ({_one_line(error)}); correct that line") from error
    values = {} if content is None else content
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: holds a {type(values).__name__}, not keys with values; see the manual")
    for override in overrides:
        _set(values, override)
    if stage is not None and values.setdefault("stage", stage) != stage:
        raise ConfigError(
            f"{file}: stage: is {values['stage']!r} there, but {stage!r} was asked for; use one of them"
        )
    return check_config(values, str(file))


def check_config(values: dict[str, Any], source: str = "configuration") -> TrainConfig:
    """Check a configuration that was put together in Python.

    Args:
        values: as in the YAML file.
        source: what to call it in messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value does not fit.
    """
    config = _checked(TrainConfig, values, source)
    require_stage(config.stage, source)
    config._source = source
    return config


def _set(values: dict[str, Any], override: str) -> None:
    """Puts ``a.b=value`` into nested keys."""
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set {override}: is no key=value; write for example --set run.batch=8")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is no YAML ({_one_line(error)}); quote it") from error
    for name in names[:-1]:
        inner = values.get(name)
        if inner is None:
            inner = values[name] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {name!r} is a value, not a group of keys; set it whole")
        values = inner
    values[names[-1]] = value


def _checked(model: type[Model], values: dict[str, Any], source: str, prefix: str = "") -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, details, prefix) for details in error.errors()]
        raise ConfigError(f"{source}: {'; '.join(problems[:5])}") from error


def _problem(model: type[BaseModel], details: Any, prefix: str) -> str:
    """One error of pydantic as ``key: cause; remedy``."""
    location = [str(part) for part in details["loc"]]
    key = prefix + ".".join(location)
    if details["type"] == "extra_forbidden":
        keys = list(_fields_at(model, location[:-1]))
        near = difflib.get_close_matches(location[-1], keys, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(keys)}"
        return f"{key}: there is no such key ({hint})"
    if details["type"] == "missing":
        return f"{key}: is missing; add it, or give --set {key}=…"
    return f"{key}: {details['msg'].lower()}, got {details['input']!r}; correct it, or give --set {key}=…"


def _fields_at(model: type[BaseModel], location: list[str]) -> dict[str, Any]:
    """The fields of the group of keys at a place in a model."""
    fields = dict(model.model_fields)
    for name in location:
        field = fields.get(name)
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return {}
        fields = dict(inner.model_fields)
    return fields


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
