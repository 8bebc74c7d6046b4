"""Terms on codes: how far an encoder's code may lie from the average face, and its rows from each other.

Training of encoders uses both. A code far from W reconstructs better and edits worse.
"""

from __future__ import annotations

from torch import Tensor


def w_norm(wplus: Tensor, latent_avg: Tensor | None = None) -> Tensor:
    """Distance of each code from the average code, ``[batch]``: Euclidean over all rows together.

    Args:
        wplus: ``[batch, L, D]``.
        latent_avg: ``[D]``, ``[1, D]`` or ``[L, D]``; None measures from zero, where the codes do not
            have the average in them yet.

    Source: pSp (Richardson et al. 2021), section 3.2, "regularisation".
    """
    offset = wplus if latent_avg is None else wplus - latent_avg
    return offset.float().flatten(1).norm(dim=1)


def delta_norm(wplus: Tensor, stage: int | None = None) -> Tensor:
    """Sum over rows of the distance to row 0, ``[batch]``.

    Args:
        wplus: ``[batch, L, D]``.
        stage: last row that counts, for progressive training; None counts all.

    Source: e4e (Tov et al. 2021), section 4.1, delta regularisation.
    """
    last = wplus.shape[1] - 1 if stage is None else min(stage, wplus.shape[1] - 1)
    offsets = wplus[:, 1 : last + 1] - wplus[:, :1]
    return offsets.float().norm(dim=2).sum(1)
