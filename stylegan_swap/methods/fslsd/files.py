"""FSLSD's published files: its own and pSp's to one network, and back.

``CELEBA-HQ-1024.pt`` holds five networks whose names all begin with ``module.``; the encoder of
``psp_ffhq_encode.pt`` makes the codes. The network here has the same names behind its own prefixes, the
row-affine edit ("bald") inside the swapper, and pSp's average code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from inversion import as_latent_avg
from stylegan_swap.errors import CheckpointError
from stylegan_swap.methods.base.published_files.formats import Companion, ForeignFile, Format
from stylegan_swap.methods.fslsd.network import FSLSDConfig, FSLSDNetwork
from stylegan_swap.weights.stylegan_formats.converted import ConvertedSystem, left_out
from stylegan_swap.weights.stylegan_formats.swap_system import (
    AVERAGE,
    UNFIT,
    average_of,
    entry,
    fitted,
    generator_numbers,
    skeleton,
    trunk_units,
    without_prefix,
)

FILE = "CELEBA-HQ-1024.pt"
PSP_FILE = "psp_ffhq_encode.pt"
# Published entry → prefix in the network here.
PARTS = {
    "encoder_lmk": "landmark_encoder.",
    "encoder_target": "target_encoder.",
    "decoder": "decoder.",
    "generator": "generator.",
    "bald_model": "swapper.edit.",
}
MODULE = "module."


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout: FSLSD's own file."""
    return isinstance(content, Mapping) and all(isinstance(content.get(key), Mapping) for key in PARTS)


def convert(content: Mapping[str, Any], source: str, psp: ForeignFile) -> ConvertedSystem:
    """Take the five networks and pSp's encoder out of both files.

    Args:
        content: of FSLSD's file.
        source: that file, for messages.
        psp: pSp's file, whose own generator is not used.

    Raises:
        CheckpointError: an entry is missing, or names or shapes are not the published ones.
    """
    parts = {key: entry(content, key, source, MODULE) for key in PARTS}
    encoder = without_prefix(entry(psp.content, "state_dict", psp.source), "encoder.")
    average = average_of(psp.content, psp.source)
    sources = f"{source} and {psp.source}"
    try:
        config = FSLSDConfig(**_numbers(parts))
        state = {AVERAGE: as_latent_avg(average, config.n_latent, config.style_dim)}
        network = skeleton(FSLSDNetwork, config)
    except UNFIT as error:
        raise CheckpointError(
            f"{sources}: not of FSLSD's published layout ({error}); fetch both files again"
        ) from error
    state |= {f"encoder.{name}": tensor for name, tensor in encoder.items()}
    for key, prefix in PARTS.items():
        state |= {prefix + name: tensor for name, tensor in parts[key].items()}
    spare = (
        ["pSp's generator"] if any(name.startswith("decoder.") for name in psp.content["state_dict"]) else []
    )
    notes = left_out(
        [*(content.keys() - PARTS.keys()), *(psp.content.keys() - {"state_dict", AVERAGE}), *spare]
    )
    return ConvertedSystem(
        sources, "fslsd", fitted(state, network, sources, loose=("generator.",)), config, notes
    )


def to_fslsd(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of FSLSD's file and of pSp's (encoder and average) for a state of an ``FSLSDNetwork``."""
    checkpoint = {
        key: {MODULE + name: tensor for name, tensor in without_prefix(state, prefix).items()}
        for key, prefix in PARTS.items()
    }
    encoder = {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    return checkpoint, {"state_dict": encoder, AVERAGE: state[AVERAGE]}


def written_files(converted: ConvertedSystem) -> dict[str, Any]:
    """Published file name → content for ``torch.save``; pSp's file without the generator it comes with."""
    checkpoint, psp_file = to_fslsd(converted.state)
    return {FILE: checkpoint, PSP_FILE: psp_file}


def _numbers(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """Read every number off the shapes but the rows and the edit's strength, which the script fixes."""
    landmarks = parts["encoder_lmk"]
    width, maps = landmarks["input_layer.0.weight"].shape[:2]
    numbers: dict[str, Any] = generator_numbers(parts["generator"])
    numbers |= {"points": maps // 2, "trunk_width": width, "trunk_units": trunk_units(landmarks, width)}
    rows = 2 * (numbers["size"].bit_length() - 1) - 2
    return numbers | {"identity_rows": min(FSLSDConfig().identity_rows, rows)}


FORMAT = Format(
    "fslsd",
    'FSLSD (.pt): {"encoder_lmk", "encoder_target", "decoder", "generator", "bald_model"}, with pSp\'s file',
    recognises,
    convert,
    back_files=written_files,
    config_class=FSLSDConfig,
    companions=(Companion("psp", PSP_FILE, "psp-ffhq-encode"),),
    published=(FILE,),
)
