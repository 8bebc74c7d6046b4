"""The compilers that can build `csrc`, and the GPU architectures to build for; `build` runs them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ARCHITECTURES = "TORCH_CUDA_ARCH_LIST"
# The names that torch accepts in TORCH_CUDA_ARCH_LIST beside numbers.
_NAMED = {
    "Turing": "7.5+PTX",
    "Ampere": "8.0;8.6+PTX",
    "Ada": "8.9+PTX",
    "Hopper": "9.0+PTX",
    "Blackwell": "10.0;12.0+PTX",
}


class BuildError(RuntimeError):
    """The kernels cannot be built or loaded; the text says why and what to do."""


def find_nvcc(environ: Mapping[str, str] | None = None) -> str:
    """The path of nvcc: CUDA_HOME, CUDA_PATH, PATH, /usr/local/cuda, then NVIDIA's Python packages.

    Raises:
        BuildError: there is none.
    """
    environ = os.environ if environ is None else environ
    for candidate in _nvcc_candidates(environ):
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return str(candidate)
    raise BuildError(
        "no nvcc was found in CUDA_HOME, PATH or /usr/local/cuda; install the CUDA toolkit of the version "
        "that `python -c 'import torch; print(torch.version.cuda)'` prints, or set CUDA_HOME to it"
    )


def _nvcc_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if home := environ.get(variable):
            yield Path(home, "bin", "nvcc")
    if path := shutil.which("nvcc", path=environ.get("PATH", "")):
        yield Path(path)
    yield Path("/usr/local/cuda/bin/nvcc")
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or []) if spec else []:
        yield from sorted(Path(root).glob("*/bin/nvcc"))


def find_host_compiler(environ: Mapping[str, str] | None = None) -> str:
    """The path of a C++ compiler: CXX, then c++, g++, clang++.

    Raises:
        BuildError: there is none.
    """
    environ = os.environ if environ is None else environ
    for name in (environ.get("CXX", ""), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name, path=environ.get("PATH", ""))):
            return path
    raise BuildError("no C++ compiler was found; install g++ or clang++, or set CXX to one")


def compiler_version(compiler: str) -> str:
    """What a compiler says about its version, the whole text.

    Raises:
        BuildError: it does not run.
    """
    try:
        process = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{compiler} does not run ({error}); install it anew or choose another") from None
    return process.stdout.strip()


def architecture_flags(
    capabilities: Iterable[tuple[int, int]], environ: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The -gencode flags: of TORCH_CUDA_ARCH_LIST, or SASS for the GPUs here plus PTX of the newest.

    Args:
        capabilities: (major, minor) of each GPU here, used where TORCH_CUDA_ARCH_LIST is not set.
        environ: where TORCH_CUDA_ARCH_LIST is looked up; None is the process's environment.

    Raises:
        BuildError: a malformed list, or neither a list nor a GPU.
    """
    text = (os.environ if environ is None else environ).get(ARCHITECTURES, "").strip()
    if text:
        return tuple(_flag(entry) for entry in _entries(text))
    present = sorted(set(capabilities))
    if not present:
        raise BuildError(
            f"torch sees no GPU here and {ARCHITECTURES} is not set, so it is unknown what to compile for; "
            f'set it, as in {ARCHITECTURES}="8.0;9.0+PTX"'
        )
    entries = [f"{major}.{minor}" for major, minor in present]
    entries[-1] += "+PTX"
    return tuple(_flag(entry) for entry in entries)


def _entries(text: str) -> Iterator[str]:
    for entry in re.split(r"[;,\s]+", text.strip("; ,")):
        yield from _NAMED[entry].split(";") if entry in _NAMED else (entry,)


def _flag(entry: str) -> str:
    match = re.fullmatch(r"(\d+)\.(\d[af]?)(\+PTX)?", entry)
    if match is None:
        raise BuildError(
            f"{ARCHITECTURES} has the entry {entry!r}; write numbers such as 8.6 or 9.0+PTX between "
            f"semicolons, or one of {', '.join(_NAMED)}"
        )
    number = match[1] + match[2]
    code = f"[sm_{number},compute_{number}]" if match[3] else f"sm_{number}"
    return f"-gencode=arch=compute_{number},code={code}"
