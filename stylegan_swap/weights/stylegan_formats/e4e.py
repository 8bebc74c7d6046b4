"""Checkpoints of e4e: the frame of pSp, an encoder of the same shapes, and in training a judge of codes.

Road: before it, where weights of other projects are converted. What says e4e is ``opts``
(``encoder_type``, ``stylegan_size``): row 0 is a style and the other rows are offsets to it, which no shape
tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import Converted, tensors_of
from stylegan_swap.weights.stylegan_formats.exchange_layout import shape_of
from stylegan_swap.weights.stylegan_formats.psp import (
    convert_inversion,
    inversion_content,
    is_inversion_checkpoint,
)

NAME = "e4e"
SUMMARY = 'e4e (.pt): {"state_dict": {"encoder.*", "decoder.*"}, "latent_avg", "opts"}'
_CLASSES = {"e4e": "Encoder4Editing", "psp_w": "SingleStyleCodeEncoder"}
_JUDGE = "discriminator_state_dict"


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout; without options, pSp's may be as well."""
    if not is_inversion_checkpoint(content):
        return False
    opts = content.get("opts")
    kind = opts.get("encoder_type") if isinstance(opts, Mapping) else None
    if kind is not None:
        return kind in _CLASSES.values()
    return not isinstance(opts, Mapping) or "output_size" not in opts


def convert(content: Mapping[str, Any], source: str) -> Converted:
    """Take the encoder, the generator and, of a training checkpoint, the judge of codes out.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: a network is incomplete or of another architecture.
    """
    rest = {key: value for key, value in content.items() if key != _JUDGE}
    inversion = convert_inversion(rest, source, NAME)
    if not isinstance(content.get(_JUDGE), Mapping):
        return inversion
    judge = tensors_of(content[_JUDGE], source, _JUDGE)
    config = {
        "style_dim": shape_of(judge, "mlp.0.weight", 2, source)[1],
        "n_mlp": sum(name.startswith("mlp.") and name.endswith(".weight") for name in judge),
    }
    parts = {**inversion.parts, "code_discriminator": judge}
    return replace(
        inversion, parts=parts, config={**inversion.config, "code_discriminator": config}
    ).checked()


def to_e4e(converted: Converted) -> dict[str, Any]:
    """The content of a checkpoint of e4e, for ``torch.save``.

    Raises:
        CheckpointError: there is no encoder of e4e.
    """
    kind = converted.config.get("encoder", {}).get("kind")
    if kind not in _CLASSES:
        raise CheckpointError(f"{converted.source}: holds no encoder of e4e; choose the format it came from")
    config = converted.config["encoder"]
    opts = {
        "encoder_type": _CLASSES[kind],
        "stylegan_size": 2 ** (config["n_styles"] // 2 + 1),
        "start_from_latent_avg": config["adds_latent_avg"],
    }
    content = inversion_content(converted, opts)
    if "code_discriminator" in converted.parts:
        content[_JUDGE] = dict(converted.parts["code_discriminator"])
    return content
