"""Two real swaps that the tests of the measures look at and spoil."""

from __future__ import annotations

import numpy as np
import pytest

import stylegan_swap
from stylegan_swap.metrics.sample import Sample, look


def swap_sample(identity: np.ndarray, attribute: np.ndarray) -> Sample:
    result = stylegan_swap.swap(identity, attribute, method="warp")
    return Sample(
        look(identity, "identity"),
        look(attribute, "attribute"),
        look(np.asarray(result.image), "result"),
        result.mask,
    )


@pytest.fixture(scope="session")
def astronaut_swap(astronaut, hopper) -> Sample:
    """Hopper's face in the astronaut's photo."""
    return swap_sample(hopper, astronaut)


@pytest.fixture(scope="session")
def hopper_swap(astronaut, hopper) -> Sample:
    """The astronaut's face in Hopper's photo."""
    return swap_sample(astronaut, hopper)


@pytest.fixture(params=["astronaut_swap", "hopper_swap"])
def either_swap(request) -> Sample:
    return request.getfixturevalue(request.param)
