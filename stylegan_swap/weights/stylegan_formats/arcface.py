"""ArcFace IR-SE50, ``model_ir_se50.pth``: the recogniser behind the identity loss of pSp and e4e.

Road: before it, where weights of other projects are converted. Names and shapes are those of ``IRSE50``;
counters of batch normalisation that some copies lack are set to 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from inversion import IRSE50
from stylegan_swap.errors import CheckpointError
from stylegan_swap.weights.stylegan_formats.converted import Converted, tensors_of

NAME = "arcface"
SUMMARY = "ArcFace IR-SE50 (model_ir_se50.pth), the recogniser of pSp and e4e"


def recognises(content: Any) -> bool:
    """Whether a file's content is of this layout."""
    return isinstance(content, Mapping) and {"input_layer.0.weight", "output_layer.3.weight"} <= set(content)


def convert(content: Mapping[str, Any], source: str) -> Converted:
    """Take the recogniser out.

    Args:
        content: of the file.
        source: the file, for messages.

    Raises:
        CheckpointError: it is of another architecture.
    """
    state = tensors_of(content, source, "its content")
    with torch.device("meta"):
        expected = IRSE50().state_dict()
    counters = [name for name in expected if name.endswith("num_batches_tracked") and name not in state]
    state |= {name: torch.zeros((), dtype=torch.int64) for name in counters}
    notes = (
        (f"{len(counters)} counters of batch normalisation were missing and set to 0",) if counters else ()
    )
    return Converted(source, NAME, {"identity": state}, {"identity": {}}, None, notes).checked()


def to_arcface(converted: Converted) -> dict[str, Tensor]:
    """The content of ``model_ir_se50.pth``, for ``torch.save``.

    Raises:
        CheckpointError: there is no recogniser.
    """
    if "identity" not in converted.parts:
        raise CheckpointError(f"{converted.source}: holds no recogniser; this format is for ArcFace")
    return dict(converted.parts["identity"])
