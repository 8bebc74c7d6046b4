"""Compiles `csrc` and `csrc_cpu` into shared libraries, once per source, compiler and architecture.

Never at import: `python -m cuda_ops build` does it, or the first tensor that meets a compiled operation. The
library is plain C called through ctypes, so a compiler is all it takes: no headers of torch, nothing that
depends on its ABI. A build may be killed at any time: the lock is the operating system's, and an incomplete
library never has the final name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cuda_ops.toolchain import BuildError, architecture_flags, compiler_version, find_host_compiler, find_nvcc

LIBRARY = "cuda_ops.so"
CACHE_VARIABLE = "STYLEGAN_SWAP_CACHE"
SOURCES = Path(__file__).with_name("csrc")
CPU_SOURCES = Path(__file__).with_name("csrc_cpu")
#: More than any machine needs; a compiler that hangs must not hang the program.
TIMEOUT_SECONDS = 1800.0
_GRACE_SECONDS = 1.0  # what a build takes beside its compiler
_POLL_SECONDS = 0.1

_LOG = logging.getLogger(__name__)

# What torch calls the instructions of a processor → what compilers call them.
_INSTRUCTIONS = {
    "AVX512": (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
        "-mprefer-vector-width=512",
    ),
    "AVX2": ("-mavx2", "-mfma"),
}


@dataclass(frozen=True)
class Recipe:
    """All that decides what a build puts out.

    Attributes:
        kind: "cuda", "host" (the same kernels, for tests) or "cpu" (those that serve CPU tensors).
        compiler: path of the compiler.
        version: what it says about itself.
        flags: its flags, without names of files.
        environ: variables that change what it does.
    """

    kind: str
    compiler: str
    version: str
    flags: tuple[str, ...]
    environ: tuple[tuple[str, str], ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """A name for the result: a hash of sources, compiler, flags, torch's version and its CUDA version."""
        digest = hashlib.sha256()
        for path in source_files(self.kind):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        facts = [self.kind, self.version, self.flags, self.environ, torch.__version__, torch.version.cuda]
        digest.update(json.dumps(facts).encode())
        return f"{self.kind}-{digest.hexdigest()[:24]}"

    def command(self, output: Path) -> list[str]:
        """The command line that builds `output`."""
        units = [str(path) for path in source_files(self.kind) if path.suffix in (".cu", ".cpp")]
        named = f'-DCUDA_OPS_KEY="{self.key}"'
        if self.kind != "cuda":
            return [self.compiler, *self.flags, named, "-x", "c++", *units, "-o", str(output)]
        return [self.compiler, *self.flags, named.replace('"', '\\"'), *units, "-o", str(output)]


def source_files(kind: str = "cuda") -> list[Path]:
    """All sources of a kind of library, in a fixed order."""
    folder = CPU_SOURCES if kind == "cpu" else SOURCES
    return sorted(path for path in folder.iterdir() if path.suffix in (".cu", ".cpp", ".h"))


def cuda_recipe(
    capabilities: Iterable[tuple[int, int]] | None = None, environ: Mapping[str, str] | None = None
) -> Recipe:
    """How to build the kernels for the GPUs here, or for TORCH_CUDA_ARCH_LIST.

    Args:
        capabilities: (major, minor) of each GPU; None asks torch.
        environ: where variables are looked up; None is the process's environment.

    Raises:
        BuildError: no compiler, no architecture, or a platform that is not supported.
    """
    environ = os.environ if environ is None else environ
    if sys.platform != "linux":
        raise BuildError(f"the CUDA kernels are built on Linux alone, this is {sys.platform}")
    if capabilities is None:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        capabilities = [torch.cuda.get_device_capability(n) for n in range(count)]
    nvcc = find_nvcc(environ)
    flags = (
        *("-std=c++17", "-O3", "-shared", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wno-unknown-pragmas"),
        *architecture_flags(capabilities, environ),
        "--threads=0",
    )
    names = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN")
    changing = tuple((name, environ[name]) for name in names if environ.get(name))
    return Recipe("cuda", nvcc, compiler_version(nvcc), flags, changing)


def host_recipe(environ: Mapping[str, str] | None = None) -> Recipe:
    """How to build the same kernels for the CPU: slow, for tests of their arithmetic.

    Raises:
        BuildError: no compiler.
    """
    compiler = find_host_compiler(environ)
    # Without contraction the arithmetic is the same whatever the processor has.
    flags = ("-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wno-unknown-pragmas")
    return Recipe("host", compiler, compiler_version(compiler), (*flags, "-ffp-contract=off"))


def cpu_recipe(environ: Mapping[str, str] | None = None) -> Recipe:
    """How to build the kernels that serve CPU tensors, for the instructions that torch uses here.

    Raises:
        BuildError: no compiler, or a platform that is not supported.
    """
    if sys.platform != "linux":
        raise BuildError(f"the CPU kernels are built on Linux alone, this is {sys.platform}")
    compiler = find_host_compiler(environ)
    flags: tuple[str, ...] = ("-std=c++17", "-O3", "-shared", "-fPIC", "-fvisibility=hidden", "-Wno-psabi")
    if _capability() == "AVX512" and _rounds_to_bfloat16():
        flags += ("-DCUDA_OPS_AVX512_BF16",)
    # Not -march=native: the cache may be shared, and the flags are part of a build's name.
    return Recipe(
        "cpu", compiler, compiler_version(compiler), (*flags, *_INSTRUCTIONS.get(_capability(), ()))
    )


def _capability() -> str:
    return str(torch.backends.cpu.get_cpu_capability())


def _rounds_to_bfloat16() -> bool:
    """Whether the processor has an instruction for it; torch's question has no public name."""
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return ask is not None and bool(ask())


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where libraries are kept: `ops` in STYLEGAN_SWAP_CACHE, else in the user's cache folder.

    Raises:
        BuildError: there is no home folder, and the variable is not set.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute() / "ops"
    # The XDG specification: a relative path is invalid and to be ignored.
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "stylegan_swap" / "ops"
    except RuntimeError as error:
        raise BuildError(f"the cache has no place ({error}); set {CACHE_VARIABLE} to a folder") from None


def find_built(recipe: Recipe, folder: Path | None = None) -> Path | None:
    """The library of a recipe if it was built and is whole, else None."""
    entry = (cache_folder() if folder is None else folder) / recipe.key
    library = entry / LIBRARY
    try:
        # What is loaded runs: whatever others could have changed does not count, nor does its recorded hash.
        if any(_others_may_write(path) for path in (entry.parent, entry, entry / "build.json", library)):
            return None
        record = json.loads((entry / "build.json").read_text(encoding="utf-8"))
        intact = record["sha256"] == hashlib.sha256(library.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return library if intact else None


def _others_may_write(path: Path) -> bool:
    """Whether another user but root owns a file or folder, is let write to it, or may swap it for a link."""
    return _writable_by_others(path.lstat())


def _writable_by_others(status: os.stat_result) -> bool:
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid not in (os.geteuid(), 0) or stat.S_ISLNK(status.st_mode) or bool(others)


def open_intact(library: Path) -> int:
    """A descriptor of a built library whose owner, mode and hash are right: it holds what was checked.

    Raises:
        OSError: it or its record cannot be opened.
        BuildError: others may write to it or its folders, or it is not the one that was built.
    """
    descriptor = os.open(library, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        entry = library.parent
        exposed = any(_others_may_write(path) for path in (entry.parent, entry, entry / "build.json"))
        if exposed or _writable_by_others(os.fstat(descriptor)):
            raise BuildError(f"{library}: others may write to it or its folder; delete it and build again")
        expected = json.loads((entry / "build.json").read_text(encoding="utf-8"))["sha256"]
        with open(descriptor, "rb", closefd=False) as stream:
            if hashlib.sha256(stream.read()).hexdigest() != expected:
                raise BuildError(f"{library}: is not what was built; delete it and build again")
    except (ValueError, KeyError, TypeError, RecursionError):
        os.close(descriptor)
        raise BuildError(f"{library}: its build.json is damaged; delete it and build again") from None
    except (OSError, BuildError):
        os.close(descriptor)
        raise
    return descriptor


def recorded_failure(recipe: Recipe, folder: Path | None = None) -> str | None:
    """Why the compiler refused this recipe the last time, None if it did not."""
    path = (cache_folder() if folder is None else folder) / f"{recipe.key}.failed.txt"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def build(recipe: Recipe, folder: Path | None = None, timeout: float = TIMEOUT_SECONDS) -> Path:
    """The library of a recipe, compiled unless it is there; processes that want the same wait for one.

    Args:
        recipe: what to build.
        folder: the cache; None is `cache_folder()`.
        timeout: seconds after which the compiler is ended.

    Returns:
        The path of the library.

    Raises:
        BuildError: the cache cannot be written to, or the compiler fails.
    """
    folder = cache_folder() if folder is None else folder
    if (library := find_built(recipe, folder)) is not None:
        return library
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if _others_may_write(folder):
            raise BuildError(
                f"{folder}: others may write to this folder, so what lies there is not run; "
                f"`chmod go-w {folder}`, or set {CACHE_VARIABLE} to a folder of your own"
            )
        with _locked(folder / f"{recipe.key}.lock", timeout):
            if (library := find_built(recipe, folder)) is not None:
                return library
            return _compile(recipe, folder, timeout)
    except OSError as error:
        raise BuildError(
            f"{error.filename or folder}: {error.strerror}; make {folder} writable, or set {CACHE_VARIABLE} "
            "to a folder that is"
        ) from error


def _compile(recipe: Recipe, folder: Path, timeout: float) -> Path:
    """Build into a folder of its own and rename it; the lock is held."""
    for leftover in folder.glob(f"{recipe.key}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    failed = folder / f"{recipe.key}.failed.txt"
    failed.unlink(missing_ok=True)
    temporary = folder / f"{recipe.key}.{os.getpid()}.tmp"
    temporary.mkdir(mode=0o755)
    try:
        if recipe.kind == "cpu":
            _LOG.info("compiling the CPU kernels once, into %s; this takes seconds", folder)
        else:
            _LOG.warning(
                "compiling the %s kernels once, into %s; this takes a minute or so", recipe.kind, folder
            )
        command = recipe.command(temporary / LIBRARY)
        start = time.perf_counter()
        code, output = _run(command, temporary, timeout)
        seconds = time.perf_counter() - start
        if code != 0:
            text = f"{' '.join(command)}\nexit status {code}\n{output}"
            # A compiler that was killed may succeed next time; one that refused will refuse again.
            if code > 0:
                failed.write_text(text, encoding="utf-8")
            raise BuildError(
                f"{recipe.compiler} failed with exit status {code}: {_gist(output)}; {_remedy()}"
            )
        digest = hashlib.sha256((temporary / LIBRARY).read_bytes()).hexdigest()
        record = {"sha256": digest, "command": command, "seconds": round(seconds, 1), "output": output}
        (temporary / "build.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        # Whatever the umask asks for: what others can write to is not loaded.
        for path in (temporary / LIBRARY, temporary / "build.json"):
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
        entry = folder / recipe.key
        shutil.rmtree(entry, ignore_errors=True)
        temporary.rename(entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entry / LIBRARY


def _run(command: list[str], temporary: Path, timeout: float) -> tuple[int, str]:
    """Run a compiler in a process group of its own; nothing of it outlives an exception here."""
    environ = os.environ | {"TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environ,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BuildError(f"{command[0]} did not end within {timeout:.0f} seconds; {_remedy()}") from None
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, output


def _gist(output: str) -> str:
    """The first lines of a compiler's output that speak of an error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()] or lines[-3:]
    return " | ".join(telling[:3]) or "it said nothing"


def _remedy() -> str:
    return "`python -m cuda_ops build` tries again and shows all that the compiler says"


@contextlib.contextmanager
def _locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock that the operating system takes back when this process dies.

    Raises:
        BuildError: another process holds it for longer than a build may take.
    """
    import fcntl

    with path.open("a") as stream:
        deadline = time.monotonic() + timeout + _GRACE_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildError(
                        f"{path}: another process has held this lock for {timeout:.0f} seconds; end it"
                        f" or set {CACHE_VARIABLE} to another folder"
                    ) from None
                if not told:
                    _LOG.info("another process compiles the kernels; waiting for it")
                told = True
                time.sleep(_POLL_SECONDS)
                continue
            except OSError:
                # A file system without locks: work may be done twice, the rename keeps the result whole.
                _LOG.debug("no lock on %s", path)
            break
        yield
