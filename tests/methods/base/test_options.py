"""Options of methods: what is in range, what is not declared, and how the command line writes them."""

from __future__ import annotations

import numpy as np
import pytest
import typer

from stylegan_swap.cli.options import method_options
from stylegan_swap.errors import UnsupportedOptionError
from stylegan_swap.methods.base.options import NEUTRAL, Choice, Option, Seed, checked_options

DECLARED = (Option("strength", 0, 2, 1.0), Choice("mode", ("soft", "hard"), "soft"), Seed())


def test_defaults_are_filled_in_and_values_kept():
    assert checked_options("toy", DECLARED) == {"strength": 1.0, "mode": "soft", "seed": None}
    requested = {"strength": np.float32(0.5), "mode": "hard", "seed": np.int64(7)}
    values = checked_options("toy", DECLARED, requested)
    assert values == {"strength": 0.5, "mode": "hard", "seed": 7} and type(values["seed"]) is int
    # Arguments of ``swap()`` that ask for nothing are dropped, whatever the method.
    assert checked_options("toy", (), dict(NEUTRAL)) == {}


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ({"strength": 2.1}, "strength is a dial from 0 to 2, got 2.1"),
        ({"strength": float("nan")}, "strength is a dial"),
        ({"strength": "much"}, "strength is a number, got 'much'"),
        ({"strength": True}, "strength is a number"),
        ({"mode": "loud"}, "mode is one of soft, hard, got 'loud'"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": 0.5}, "seed is a whole number"),
        ({"structure": 0.5}, r"'toy' has no option 'structure' \(its options: strength, mode, seed\)"),
        ({"colour": 1}, "has no option 'colour'"),
    ],
)
def test_others_are_refused_with_what_there_is(requested, message):
    with pytest.raises(UnsupportedOptionError, match=message):
        checked_options("toy", DECLARED, requested)


def test_the_command_line_writes_name_and_value():
    values = method_options(["strength=0.5", "seed=3", "mode=hard"])
    assert values == {"strength": 0.5, "seed": 3, "mode": "hard"} and type(values["seed"]) is int
    assert method_options(None) == {}
    with pytest.raises(typer.BadParameter, match="is not NAME=VALUE"):
        method_options(["strength"])
