"""Pickles of NVIDIA's TensorFlow StyleGAN2: a tuple (G, D, Gs) of ``dnnlib.tflib.network.Network``.

Road: before it, where weights of other projects are converted. TensorFlow stores height × width × in × out,
multiplies vectors from the left, up-samples with the flipped kernel, and leaves the 1 out of the style's
bias. The tensors get the names of NVIDIA's PyTorch networks first, and ours by the table of ``nvlabs_names``.

Source: the layouts of NVlabs/stylegan2 and of stylegan2-ada-pytorch's ``legacy.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.readers.pickled_arrays import PickledArray
from stylegan_swap.weights.readers.restricted_pickle import PickledNetwork
from stylegan_swap.weights.stylegan_formats.converted import Converted, State
from stylegan_swap.weights.stylegan_formats.nvlabs import discriminator_from, generator_from
from stylegan_swap.weights.stylegan_formats.nvlabs_modules import FlatNetwork

NAME = "tflib"
SUMMARY = "StyleGAN2 of NVIDIA, TensorFlow (.pkl): (G, D, Gs)"
# Official ones: two components, two levels, about a hundred variables.
_DEEPEST, _MOST_COMPONENTS, _MOST_VARIABLES = 4, 4, 2000

Rule = tuple[str, str, Callable[[Tensor], Tensor]]


def _same(x: Tensor) -> Tensor:
    return x


def _convolution(x: Tensor) -> Tensor:
    return x.permute(3, 2, 0, 1)


def _flipped(x: Tensor) -> Tensor:
    return x.flip(0, 1).permute(3, 2, 0, 1)


def _dense(x: Tensor) -> Tensor:
    return x.t()


# Their name → NVIDIA's PyTorch name, and the change. {r}: groups of the pattern.
_GENERATOR: list[Rule] = [
    (r"dlatent_avg", "mapping.w_avg", _same),
    (r"mapping/Dense(\d+)/weight", "mapping.fc{0}.weight", _dense),
    (r"mapping/Dense(\d+)/bias", "mapping.fc{0}.bias", _same),
    (r"synthesis/4x4/Const/const", "synthesis.b4.const", lambda x: x[0]),
]
for _variable, _module, _weight in (
    (r"synthesis/(4)x4/Conv", "conv1", _convolution),
    (r"synthesis/(\d+)x\d+/Conv0_up", "conv0", _flipped),
    (r"synthesis/(\d+)x\d+/Conv1", "conv1", _convolution),
    (r"synthesis/(\d+)x\d+/ToRGB", "torgb", _convolution),
):
    _layer = f"synthesis.b{{0}}.{_module}"
    _GENERATOR += [
        (f"{_variable}/weight", f"{_layer}.weight", _weight),
        (f"{_variable}/bias", f"{_layer}.bias", _same),
        (f"{_variable}/mod_weight", f"{_layer}.affine.weight", _dense),
        (f"{_variable}/mod_bias", f"{_layer}.affine.bias", lambda x: x + 1),
        (f"{_variable}/noise_strength", f"{_layer}.noise_strength", _same),
    ]
_DISCRIMINATOR: list[Rule] = [
    (r"4x4/Conv/weight", "b4.conv.weight", _convolution),
    (r"4x4/Conv/bias", "b4.conv.bias", _same),
    (r"4x4/Dense0/weight", "b4.fc.weight", _dense),
    (r"4x4/Dense0/bias", "b4.fc.bias", _same),
    (r"Output/weight", "b4.out.weight", _dense),
    (r"Output/bias", "b4.out.bias", _same),
    (r"(\d+)x\d+/Skip/weight", "b{0}.skip.weight", _convolution),
]
for _variable, _module in (("FromRGB", "fromrgb"), ("Conv0", "conv0"), ("Conv1_down", "conv1")):
    _DISCRIMINATOR += [
        (rf"(\d+)x\d+/{_variable}/weight", f"b{{0}}.{_module}.weight", _convolution),
        (rf"(\d+)x\d+/{_variable}/bias", f"b{{0}}.{_module}.bias", _same),
    ]


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    return (
        isinstance(content, list | tuple)
        and len(content) == 3
        and all(isinstance(network, PickledNetwork) for network in content)
    )


def convert(content: Any, source: str) -> Converted:
    """Take the networks out: Gs becomes the generator, G the training one, D the discriminator.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: a network is incomplete, has labels, or is of another architecture.
    """
    training, judge, averaged = content
    parts: dict[str, State] = {}
    config: dict[str, dict[str, Any]] = {}
    average: Tensor | None = None
    for part, network in (("generator", averaged), ("training_generator", training)):
        flat = _generator(network, source)
        parts[part], config[part], own_average = generator_from(flat, source)
        average = own_average if average is None else average
    variables = _variables(judge, source)
    renamed = FlatNetwork(_renamed(variables, _DISCRIMINATOR, source), {"": _settings(judge, source)})
    parts["discriminator"], config["discriminator"] = discriminator_from(renamed, source)
    return Converted(source, NAME, parts, config, average).checked()


def _generator(network: PickledNetwork, source: str) -> FlatNetwork:
    variables = _variables(network, source)
    if not any(name.endswith("/mod_weight") for name in variables):
        raise CheckpointError(f"{source}: is of the first StyleGAN; only StyleGAN2 networks are converted")
    tensors = _renamed(variables, _GENERATOR, source)
    for name, value in variables.items():
        if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            number = int(match[1])
            layer = "b4.conv1" if not number else f"b{2 ** ((number + 5) // 2)}.conv{1 - number % 2}"
            if value.ndim != 4 or value.shape[:2] != (1, 1):
                raise _misshapen(name, value, source)
            tensors[f"synthesis.{layer}.noise_const"] = value[0, 0]
    settings = _settings(network, source)
    mapping_layer = {"bias_gain": settings.get("mapping_lrmul", 0.01)}
    return FlatNetwork(tensors, {"": settings, "mapping.fc0": mapping_layer})


def _settings(network: PickledNetwork, source: str) -> dict[str, Any]:
    """What the network was built with; the architecture is seen in the tensors."""
    description = network.get("static_kwargs")
    description = {} if description is None else description
    if not isinstance(description, Mapping):
        raise CheckpointError(f"{source}: a network in it has no description; fetch the file again")
    labels = description.get("label_size")
    if not isinstance(labels, int | None) or labels:
        raise CheckpointError(f"{source}: its networks take labels; only networks without are converted")
    kinds = {"mapping_lrmul": int | float, "architecture": str}
    settings = {
        key: description[key] for key, kind in kinds.items() if isinstance(description.get(key), kind)
    }
    return settings | (
        {"group_size": description["mbstd_group_size"]} if "mbstd_group_size" in description else {}
    )


def _variables(network: PickledNetwork, source: str, depth: int = 0) -> dict[str, Tensor]:
    """All variables, those of components under ``component/``."""
    version, own_variables = network.get("version"), network.get("variables")
    components = network.get("components")
    components = {} if components is None else components
    layout = f"layout {version}" if isinstance(version, int) else "an unknown layout"
    if not isinstance(version, int) or version < 4 or depth > _DEEPEST or not isinstance(components, Mapping):
        raise CheckpointError(f"{source}: a TensorFlow network of {layout}; from version 4 on they are read")
    if len(components) > _MOST_COMPONENTS or (
        isinstance(own_variables, list) and len(own_variables) > _MOST_VARIABLES
    ):
        raise CheckpointError(f"{source}: a network in it has too many parts; fetch the file again")
    variables: dict[str, Tensor] = {}
    for item in own_variables if isinstance(own_variables, list) else ():
        if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)) or not isinstance(
            item[1], PickledArray
        ):
            raise CheckpointError(f"{source}: a network in it has variables without numbers; fetch it again")
        if item[1].tensor is not None:
            variables[item[0]] = item[1].tensor
    for name, component in components.items():
        if not isinstance(component, PickledNetwork):
            raise CheckpointError(f"{source}: a part of a network is no network; fetch the file again")
        inner = _variables(component, source, depth + 1)
        variables |= {f"{name}/{inner_name}": value for inner_name, value in inner.items()}
    return variables


def _renamed(variables: Mapping[str, Tensor], rules: list[Rule], source: str) -> State:
    renamed: State = {}
    for name, value in variables.items():
        for pattern, template, change in rules:
            if match := re.fullmatch(pattern, name):
                try:
                    renamed[template.format(*match.groups())] = change(value)
                except (RuntimeError, IndexError) as error:
                    raise _misshapen(name, value, source) from error
                break
    return renamed


def _misshapen(name: str, value: Tensor, source: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: {name} has the shape {list(value.shape)}, which does not fit; it is of another network"
    )
