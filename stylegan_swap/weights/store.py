"""Trained weights on disk: saving, finding and loading them, and refusing what is not safe or does not fit.

Where it sits on the road: before it, once; encoder, swapper and generator are filled from here:
read photo → detect → align → **encoder → swapper → generator** → paste → write.
A network is a folder with model.safetensors (numbers only) and config.json (how to build the modules).
PyTorch's own files are read by ``readers`` and never otherwise: a pickle is a program.
"""

from __future__ import annotations

import difflib
import importlib.resources
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_swap._version import __version__
from stylegan_swap.errors import CheckpointError
from stylegan_swap.files.atomic import replacing
from stylegan_swap.weights.cache import find_cached, sha256_of
from stylegan_swap.weights.readers import refuse_impostors
from stylegan_swap.weights.registry import PublishedWeights, WeightsEntry, read_registry

if TYPE_CHECKING:
    import torch

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"

# Raised when the layout of config.json changes so that older versions of the library cannot read it.
_FORMAT = 1
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class LoadedWeights:
    """Weights in memory, of a file that was converted on the way; stands where a path could.

    Attributes:
        source: the file they come from, for messages.
        state: name → tensor, on the CPU.
        config: what rebuilds the modules.
    """

    source: str
    state: dict[str, torch.Tensor]
    config: dict[str, Any]

    def __str__(self) -> str:
        return self.source


def shipped_folder() -> Path:
    """The folder `checkpoints/`: package data in a wheel, the folder itself in a checkout.

    Raises:
        CheckpointError: the installation lacks it.
    """
    package = importlib.resources.files("stylegan_swap")
    inside = package.joinpath("checkpoints")
    if isinstance(inside, Path):
        for folder in (inside, inside.parent.parent / "checkpoints"):
            if (folder / "registry.toml").is_file():
                return folder
    raise CheckpointError(
        f"{inside}: the list of weights is missing there; install stylegan-swap again, unpacked"
    )


def registered_weights() -> dict[str, WeightsEntry]:
    """What ships with the library by checkpoints/registry.toml, whether its file is there or not.

    Raises:
        CheckpointError: the list is missing, no valid TOML, lacks a key, or points outside its folder.
    """
    return read_registry(shipped_folder() / "registry.toml").shipped


def published_weights() -> dict[str, PublishedWeights]:
    """The files of other projects that `stylegan-swap download` knows, whether they were fetched or not.

    Raises:
        CheckpointError: as :func:`registered_weights`.
    """
    return read_registry(shipped_folder() / "registry.toml").published


def default_weights_available() -> bool:
    """Whether this installation holds the weights that `swap()` takes when nothing else is said."""
    entry = registered_weights().get("default")
    return entry is not None and (shipped_folder() / entry.file).is_file()


def find_weights(name_or_path: str | os.PathLike[str]) -> Path:
    """Finds the weights file behind a name of the registry, a folder or a path.

    The file of a published name lies in the cache once it was downloaded; nothing is downloaded here.
    A bare name of the registry always means the registry; write ./default for a folder of that name.

    Raises:
        CheckpointError: nothing there, or the file is not the one the registry lists.
    """
    entries = registered_weights()
    if (entry := entries.get(str(name_or_path))) is not None:
        path = shipped_folder() / entry.file
        if not path.is_file():
            raise CheckpointError(
                f"{entry.name}: its weights are missing from this installation ({path}); install "
                'stylegan-swap again, give a folder with your own, or use method="warp", which needs none'
            )
        if entry.sha256:
            _verify(path, entry.sha256)
        return path
    published = published_weights()
    if (foreign := published.get(str(name_or_path))) is not None:
        return find_cached(foreign)
    path = Path(name_or_path)
    try:
        if path.is_dir():
            path = path / MODEL_FILE
            if not path.is_file():
                raise CheckpointError(
                    f"{path.parent}: holds no {MODEL_FILE}; give the folder save_weights wrote"
                )
        exists = path.is_file()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{str(path)[:200]!r}: is no usable path ({_one_line(error)}); check it"
        ) from error
    if not exists:
        near = _nearest(str(name_or_path), [*entries, *published])
        raise CheckpointError(
            f"{path}: no such weights{near}; known names: {', '.join(entries) or 'none'}, and those that "
            "`stylegan-swap download --list` shows"
        )
    return path


def save_weights(
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    *,
    dtype: str | None = "float16",
) -> Path:
    """Writes model.safetensors and config.json; each appears whole, the configuration last.

    Args:
        folder: created where it does not exist.
        state_dict: name → tensor, of any device and layout; tensors that share memory are stored twice.
        config: what rebuilds the modules; must be JSON.
        dtype: "float16", "bfloat16" or "float32" for floating-point tensors; None keeps their own.

    Returns:
        The path of model.safetensors.

    Raises:
        CheckpointError: NaN, infinity or overflow in a tensor, a config that is no JSON, or no space.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save

    target = Path(folder)
    kinds = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, None: None}
    if dtype not in kinds:
        raise CheckpointError(f"{target}: dtype {dtype!r} is unknown; use float16, bfloat16 or float32")
    tensors = {}
    for name, tensor in state_dict.items():
        # The copy parts tensors that share memory, and the views safetensors would refuse.
        stored = tensor.detach().to_dense().to("cpu", copy=True, memory_format=torch.contiguous_format)
        if stored.is_floating_point() and kinds[dtype] is not None:
            stored = stored.to(kinds[dtype])
        tensors[name] = stored.contiguous()
    if broken := _not_finite(tensors):
        hint = " (float16 ends at 65504: try dtype='bfloat16')" if dtype == "float16" else ""
        raise CheckpointError(f"{target}: {broken} would hold NaN or infinity{hint}; nothing was saved")
    try:
        envelope = {"format": _FORMAT, "library_version": __version__, "network": dict(config)}
        text = json.dumps(envelope, indent=2, allow_nan=False) + "\n"
        target.mkdir(parents=True, exist_ok=True)
        with replacing(target / CONFIG_FILE) as described, replacing(target / MODEL_FILE) as stored_in:
            described.write_text(text, encoding="utf-8")
            # Not save_file: it replaces the file by one that only its owner can read.
            stored_in.write_bytes(save(tensors, metadata={"format": "pt", "library_version": __version__}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{target}: the config is no JSON ({error}); use numbers, texts and lists"
        ) from error
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or _one_line(error)
        raise CheckpointError(
            f"{target}: could not be saved ({reason}); free some space or choose another"
        ) from error
    return target / MODEL_FILE


def load_weights(
    path: str | os.PathLike[str] | LoadedWeights,
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Loads weights and the config that rebuilds their modules; no code from the file is ever run.

    Args:
        path: anything :func:`find_weights` knows: a name, a folder, a .safetensors file with its
            config.json beside it, or a .pt/.pth file {"state_dict": ..., "config": ...}; or weights that are
            in memory already, which are checked for NaN alone.

    Returns:
        (state_dict, config): tensors on the CPU in the stored type, and the config as it was saved.

    Raises:
        CheckpointError: missing, truncated, unsafe, of a foreign layout, or with NaN inside.
    """
    if isinstance(path, LoadedWeights):
        return _finite(path.source, path.state), dict(path.config)
    file = find_weights(path)
    refuse_impostors(file)
    if file.suffix.lower() in (".pt", ".pth", ".ckpt"):
        tensors, config = _load_pickled(file)
    elif file.suffix.lower() == ".safetensors":
        from stylegan_swap.weights.readers.torch_file import read_tensors

        tensors, config = read_tensors(file), _load_config(file.with_name(CONFIG_FILE))
    else:
        raise CheckpointError(
            f"{file}: {file.suffix or 'no suffix'} is not read; only .safetensors, .pt and .pth are; "
            "`stylegan-swap convert` reads the files of other projects"
        )
    return _finite(str(file), tensors), config


def load_state(module: torch.nn.Module, state_dict: Mapping[str, torch.Tensor], name: str) -> None:
    """Fills a module with weights that fit it exactly, or raises before anything is changed.

    Args:
        module: receives the weights, converted to its own types and devices.
        state_dict: name → tensor.
        name: of the file or network, for the message.

    Raises:
        CheckpointError: lists missing and unexpected names and differing shapes, five of each.
    """
    target = module.state_dict()
    missing = [key for key in target if key not in state_dict]
    unexpected = [key for key in state_dict if key not in target]
    reshaped = [
        f"{key}: file {list(state_dict[key].shape)}, network {list(value.shape)}"
        for key, value in target.items()
        if key in state_dict and state_dict[key].shape != value.shape
    ]
    problems = [
        _listed(len(missing), "missing", missing[:_SHOWN]),
        _listed(len(unexpected), "unexpected", [key + _nearest(key, missing) for key in unexpected[:_SHOWN]]),
        _listed(len(reshaped), "of another shape", reshaped[:_SHOWN]),
    ]
    if any(problems):
        raise CheckpointError(
            f"{name}: the weights do not fit {type(module).__name__}: {'; '.join(filter(None, problems))}; "
            "build the network from the config saved with them"
        )
    module.load_state_dict(dict(state_dict), strict=True)


def _load_config(path: Path) -> dict[str, Any]:
    try:
        envelope = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: missing beside the weights; copy it from where they came from"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no valid JSON ({_one_line(error)}); fetch it again") from error
    config = envelope.get("network") if isinstance(envelope, dict) else None
    if not isinstance(config, dict) or not isinstance(envelope.get("format"), int):
        raise CheckpointError(
            f"{path}: lacks 'format' or 'network'; use the config.json that save_weights wrote"
        )
    if envelope["format"] > _FORMAT:
        version = envelope.get("library_version", "unknown")
        raise CheckpointError(f"{path}: written by the newer version {version}; upgrade stylegan-swap")
    return config


def _load_pickled(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads {"state_dict": ..., "config": ...} without executing anything."""
    import torch

    from stylegan_swap.weights.readers.torch_file import read_file

    content = read_file(file)
    if not isinstance(content, dict):
        content = {}
    tensors, config = content.get("state_dict"), content.get("config")
    if (
        not isinstance(tensors, dict)
        or not isinstance(config, dict)
        or not all(isinstance(value, torch.Tensor) for value in tensors.values())
    ):
        raise CheckpointError(
            f"{file}: is not of this library's layout (state_dict and config); "
            "`stylegan-swap convert` brings the weights of other projects into it"
        )
    return tensors, config


def _verify(path: Path, expected: str) -> None:
    if (actual := sha256_of(path)) != expected.lower():
        raise CheckpointError(
            f"{path}: sha256 is {actual}, not {expected.lower()}; install stylegan-swap again"
        )


def _finite(source: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if broken := _not_finite(tensors):
        raise CheckpointError(
            f"{source}: {broken} holds NaN or infinity; take an earlier checkpoint or fetch it again"
        )
    return tensors


def _not_finite(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first tensor with NaN or infinity in it."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            return name
    return None


def _listed(count: int, problem: str, examples: list[str]) -> str:
    rest = ", …" if count > len(examples) else ""
    return f"{count} {problem} ({', '.join(examples)}{rest})" if count else ""


def _nearest(name: str, candidates: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(candidates), n=1)
    return f" (nearest: {near[0]})" if near else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
