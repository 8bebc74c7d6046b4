"""A method with a tiny network, and two faces for it; a module says which by ``NAME``, or by ``name``."""

from __future__ import annotations

import functools

import pytest
import torch
from methods.tiny import tiny_weights
from torch import Tensor

from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap, Method
from stylegan_swap.methods.registry import build_method, method_spec

FREE_SIZE = 128


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory):
    """Name → folder of tiny weights, written once; None for a method without a network."""
    folder = tmp_path_factory.mktemp("tiny")
    return functools.cache(
        lambda name: tiny_weights(name, folder / name) if method_spec(name).needs_weights else None
    )


@pytest.fixture(scope="session")
def built(weights_of):
    """Name → method, built once."""
    return functools.cache(
        lambda name: build_method(name, weights_of(name), torch.device("cpu"), torch.float32)
    )


@pytest.fixture
def name(request) -> str:
    return request.module.NAME


@pytest.fixture
def method(name, built) -> Method:
    return built(name)


@pytest.fixture
def weights(name, weights_of):
    return weights_of(name)


@pytest.fixture
def pair(method, astronaut, astronaut_face, hopper, hopper_face) -> tuple[Tensor, Tensor]:
    """Two aligned faces [2, 3, S, S] and their landmarks [2, 68, 2]: astronaut, Hopper."""
    crops, points = [], []
    for pixels, face in ((astronaut, astronaut_face), (hopper, hopper_face)):
        alignment = method.crop.align(face.landmarks, method.size or FREE_SIZE)
        crops.append(from_pixels(alignment.crop(pixels)))
        points.append(torch.from_numpy(alignment.to_crop(face.landmarks)))
    return torch.cat(crops), torch.stack(points)


@pytest.fixture
def swapped(method, pair) -> AlignedSwap:
    """The astronaut in Hopper's photo and Hopper in the astronaut's."""
    faces, points = pair
    return method.swap_aligned(method.prepare(faces, points), faces.flip(0), points.flip(0))
