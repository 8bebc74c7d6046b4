"""Prepared people as one batch: what methods keep of a person are tensors, lists and dataclasses of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor


def joined(people: Sequence[Any]) -> Any:
    """Prepared people of one method in one batch, in order.

    Args:
        people: what ``Method.prepare`` or ``Method.combine`` returned, one person each.

    Raises:
        ValueError: they hold different things, or networks of their own.
    """
    first = people[0]
    if any(type(person) is not type(first) for person in people):
        raise ValueError("people prepared differently cannot share a batch")
    if first is None:
        return None
    if isinstance(first, Tensor):
        if any(person.shape[1:] != first.shape[1:] for person in people):
            raise ValueError("people of different sizes cannot share a batch")
        return torch.cat(list(people))
    if isinstance(first, list):
        return [part for person in people for part in person]
    if is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in fields(first)]
        return replace(
            first, **{name: joined([getattr(person, name) for person in people]) for name in names}
        )
    raise ValueError(f"{type(first).__name__} cannot share a batch")
