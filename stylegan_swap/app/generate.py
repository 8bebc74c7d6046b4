"""Faces of people who do not exist: what the fourth tab does.

Seeds → ``Swapper.generate`` → saved files; ``tab_generate`` lays it out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stylegan_swap.app.pictures import Report, save_generated, silent
from stylegan_swap.errors import AppError

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

#: Faces drawn at once.
MOST_FACES = 12


def generate_faces(
    swapper: Swapper, number: int, seed: int, truncation_psi: float, folder: Path, report: Report = silent
) -> list[tuple[Path, str]]:
    """Draw faces, one per seed, the same as ``stylegan-swap generate`` draws.

    Args:
        swapper: shared by all users.
        number: how many, 1 to ``MOST_FACES``.
        seed: of the first; the next have the next seeds.
        truncation_psi: 0 gives the average face, 1 the full variety.
        folder: an empty folder for the files.
        report: is told how far it is.

    Returns:
        A file and a caption each.

    Raises:
        AppError: a number is out of range.
        UnsupportedOptionError: the method has no generator, or the seed is none.
    """
    if not 1 <= number <= MOST_FACES:
        raise AppError(f"this page draws 1 to {MOST_FACES} faces at once, not {number}")
    if not 0 <= truncation_psi <= 1:
        raise AppError(f"truncation_psi is a number from 0 to 1, got {truncation_psi}")
    drawn = []
    for index in range(int(number)):
        report(index / number, f"Drawing face {index + 1} of {number}")
        image = swapper.generate(truncation_psi=truncation_psi, seed=int(seed) + index)[0]
        path = folder / f"seed{int(seed) + index:06d}.png"
        save_generated(np.asarray(image), path)
        drawn.append((path, f"seed {int(seed) + index}"))
    return drawn
