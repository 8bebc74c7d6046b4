"""`python -m cuda_ops build` compiles the kernels ahead of their first use; `doctor` names the backend.

Exit codes: 0 done, 1 an error, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from cuda_ops.build import Recipe, build, cpu_recipe, cuda_recipe, find_built, host_recipe, recorded_failure
from cuda_ops.cpu_library import checked_cpu_library
from cuda_ops.cpu_passes import cpu_kernels
from cuda_ops.dispatch import ops_backend
from cuda_ops.library import Library
from cuda_ops.toolchain import ARCHITECTURES, BuildError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code.

    Args:
        arguments: the command line without the program's name; None takes the process's.
    """
    parser = argparse.ArgumentParser(prog="python -m cuda_ops", description="The compiled kernels.")
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="compile the kernels for the GPUs here")
    builder.add_argument("--arch", help=f'in place of {ARCHITECTURES}, such as "8.0;9.0+PTX"')
    target = builder.add_mutually_exclusive_group()
    target.add_argument("--cpu", action="store_true", help="those that serve CPU tensors; they take seconds")
    target.add_argument("--host", action="store_true", help="the GPU's, for the CPU: tests use them")
    builder.add_argument("--force", action="store_true", help="compile even if it was done before")
    commands.add_parser("doctor", help="say which backend is in use, and why")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        if options.command == "doctor":
            print(ops_backend())
            print(f"CPU kernels: {cpu_kernels()}")
            return 0
        return _build(options)
    except (RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _build(options: argparse.Namespace) -> int:
    environ = dict(os.environ)
    if options.arch:
        environ[ARCHITECTURES] = options.arch
    if options.cpu:
        recipe = cpu_recipe(environ)
    else:
        recipe = host_recipe(environ) if options.host else cuda_recipe(environ=environ)
    if options.force and (old := find_built(recipe)) is not None:
        (old.parent / "build.json").unlink()
    try:
        path = build(recipe)
    except BuildError:
        if (output := recorded_failure(recipe)) is not None:
            print(output, file=sys.stderr)
        raise
    _try(path, recipe)
    record = json.loads((path.parent / "build.json").read_text(encoding="utf-8"))
    if record["output"].strip():
        print(record["output"].strip())
    print(f"{path}\ncompiled in {record['seconds']} s: {' '.join(recipe.flags)}")
    return 0


def _try(path: Path, recipe: Recipe) -> None:
    """Load what was built, and run it where there is a device for it."""
    if recipe.kind == "cpu":
        checked_cpu_library(path, recipe.key)
        return
    library = Library(path, recipe.key)
    if library.device_type == "cpu" or torch.cuda.is_available():
        library.check(torch.device(library.device_type))


if __name__ == "__main__":
    sys.exit(main())
