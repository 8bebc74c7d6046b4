"""Checkpoints of pSp: ``{"state_dict": {"encoder.*", "decoder.*"}, "latent_avg", "opts"}``.

Road: before it, where weights of other projects are converted. The encoder's kind, rows and input channels
follow from the shapes; the generator inside (``decoder.*``) is of the exchange layout. ``e4e`` shares all
of it, since its encoder has the same names and shapes and is told apart by ``opts`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import Converted, State, left_out, tensors_of
from stylegan_swap.weights.stylegan_formats.exchange_layout import (
    completed_generator,
    count,
    generator_config,
    shape_of,
)

NAME = "psp"
SUMMARY = 'pSp (.pt): {"state_dict": {"encoder.*", "decoder.*"}, "latent_avg", "opts"}'
# What pSp's options call its encoders.
_CLASSES = {
    "psp": "GradualStyleEncoder",
    "psp_w": "BackboneEncoderUsingLastLayerIntoW",
    "psp_wplus": "BackboneEncoderUsingLastLayerIntoWPlus",
}
_PREFIXES = {"encoder": "encoder", "decoder": "generator"}


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout; without options, e4e's may be as well."""
    if not is_inversion_checkpoint(content):
        return False
    opts = content.get("opts")
    kind = opts.get("encoder_type") if isinstance(opts, Mapping) else None
    if kind is not None:
        return kind in _CLASSES.values()
    return not isinstance(opts, Mapping) or "stylegan_size" not in opts


def is_inversion_checkpoint(content: Any) -> bool:
    """Whether it has the layout that pSp and e4e share."""
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    return isinstance(state, Mapping) and "encoder.input_layer.0.weight" in state and not is_rafswap(state)


def convert(content: Mapping[str, Any], source: str) -> Converted:
    """Take the encoder and the generator out.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: a network is incomplete or of another architecture.
    """
    return convert_inversion(content, source, NAME)


def convert_inversion(content: Mapping[str, Any], source: str, format_name: str) -> Converted:
    """What :func:`convert` does, for both families.

    Args:
        content: of the file.
        source: the file, for messages.
        format_name: "psp" or "e4e".

    Raises:
        CheckpointError: as there.
    """
    states: dict[str, State] = {"encoder": {}}
    unknown = set()
    for name, value in tensors_of(content["state_dict"], source, "state_dict").items():
        prefix, _, rest = name.partition(".")
        if prefix in _PREFIXES and rest:
            states.setdefault(_PREFIXES[prefix], {})[rest] = value
        elif name != "latent_avg":
            # The wrapper's own pooling has no tensors; identity networks of losses may lie beside it.
            unknown.add(prefix)
    opts = content["opts"] if isinstance(content.get("opts"), Mapping) else {}
    average = content.get("latent_avg")
    latent_avg = average.detach() if isinstance(average, Tensor) else None
    config: dict[str, dict[str, Any]] = {}
    notes: tuple[str, ...] = ()
    if "generator" in states:
        config["generator"] = generator_config(states["generator"], source)
        states["generator"], notes = completed_generator(states["generator"], config["generator"])
    config["encoder"] = _encoder_config(states["encoder"], config.get("generator"), source, format_name)
    config["encoder"]["adds_latent_avg"] = latent_avg is not None and bool(
        opts.get("start_from_latent_avg", True)
    )
    notes += left_out({*unknown, *(key for key in content if key not in ("state_dict", "latent_avg"))})
    return Converted(source, format_name, states, config, latent_avg, notes).checked()


def to_psp(converted: Converted) -> dict[str, Any]:
    """The content of a checkpoint of pSp, for ``torch.save``.

    Raises:
        CheckpointError: there is no encoder of pSp.
    """
    kind = converted.config.get("encoder", {}).get("kind")
    if kind not in _CLASSES:
        raise CheckpointError(f"{converted.source}: holds no encoder of pSp; choose the format it came from")
    config = converted.config["encoder"]
    opts = {
        "encoder_type": _CLASSES[kind],
        "output_size": 2 ** (config["n_styles"] // 2 + 1),
        "n_styles": config["n_styles"],
        "input_nc": config["input_nc"],
        "start_from_latent_avg": config["adds_latent_avg"],
        "learn_in_w": kind == "psp_w",
    }
    return inversion_content(converted, opts)


def inversion_content(converted: Converted, opts: dict[str, Any]) -> dict[str, Any]:
    """State dict, average code and options, as both families store them."""
    state = {
        f"{published}.{name}": value
        for published, part in _PREFIXES.items()
        for name, value in converted.parts.get(part, {}).items()
    }
    content: dict[str, Any] = {"state_dict": state, "opts": opts}
    if converted.latent_avg is not None:
        content["latent_avg"] = converted.latent_avg
    return content


def _encoder_config(
    state: State, generator: Mapping[str, Any] | None, source: str, format_name: str
) -> dict[str, Any]:
    channels = shape_of(state, "input_layer.0.weight", 4, source)[1]
    heads = count(state, r"styles\.(\d+)\.linear\.weight")
    rows = 18 if generator is None else 2 * (int(generator["size"]).bit_length() - 1) - 2
    if heads:
        kind = "e4e" if format_name == "e4e" else "psp"
        rows, width = heads, shape_of(state, "styles.0.linear.weight", 2, source)[0]
    elif "output_layer_2.3.weight" in state:
        kind, width = "psp_wplus", 512 if generator is None else int(generator["style_dim"])
        rows = shape_of(state, "linear.weight", 2, source)[0] // width
    elif "linear.weight" in state:
        kind, width = "psp_w", shape_of(state, "linear.weight", 2, source)[0]
    else:
        raise CheckpointError(f"{source}: its encoder is none of pSp's or e4e's; give one of those")
    return {"kind": kind, "n_styles": rows, "style_dim": width, "input_nc": channels}


def is_rafswap(state: Mapping[str, Any]) -> bool:
    """Whether the state is of RAFSwap: the same frame, around an encoder with more parts."""
    return any(str(name).startswith(("encoder.token.", "mask.")) for name in state)
