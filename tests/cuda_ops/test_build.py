"""The build: one result however many ask, whole or absent, and failures that say what to do."""

import json
import multiprocessing
import os
import shutil
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from cuda_ops import build as building
from cuda_ops.__main__ import main
from cuda_ops.build import Recipe, build, cache_folder, find_built, host_recipe, recorded_failure
from cuda_ops.library import Library, load_built
from cuda_ops.toolchain import BuildError


def compiler(folder: Path, body: str) -> Recipe:
    """A recipe whose compiler is a shell script; $output is the file it is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cc.sh"
    path.write_text(f'#!/bin/sh\nfor output; do :; done\necho run >> "{folder}/runs"\n{body}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Recipe("host", str(path), "1.0", ("-flag",))


def runs(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def entries(folder: Path) -> list[str]:
    """Everything in a cache but the locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_built_once_and_found_again(tmp_path):
    recipe, folder = compiler(tmp_path, 'echo "a remark"; echo code > "$output"'), tmp_path / "cache"
    assert find_built(recipe, folder) is None
    path = build(recipe, folder)
    assert path.read_text() == "code\n"
    assert build(recipe, folder) == find_built(recipe, folder) == path
    assert runs(tmp_path) == 1
    record = json.loads((path.parent / "build.json").read_text())
    assert record["output"] == "a remark\n"
    assert record["command"][:2] == [recipe.compiler, "-flag"]
    assert entries(folder) == [recipe.key]


def test_the_key_changes_with_all_that_matters(tmp_path, monkeypatch):
    first = Recipe("cuda", "/nvcc", "13.0", ("-O3",))
    others = [
        Recipe("host", "/nvcc", "13.0", ("-O3",)),
        Recipe("cuda", "/nvcc", "13.1", ("-O3",)),
        Recipe("cuda", "/nvcc", "13.0", ("-O2",)),
        Recipe("cuda", "/nvcc", "13.0", ("-O3",), (("NVCC_CCBIN", "g++"),)),
    ]
    monkeypatch.setattr(building.torch, "__version__", "9.9")
    others.append(Recipe("cuda", "/nvcc", "13.0", ("-O3",)))
    keys = {other.key for other in others}
    monkeypatch.undo()
    monkeypatch.setattr(building.torch.version, "cuda", "99.0")
    keys.add(Recipe("cuda", "/nvcc", "13.0", ("-O3",)).key)
    monkeypatch.undo()
    shutil.copytree(building.SOURCES, tmp_path / "csrc")
    with (tmp_path / "csrc" / "fir.h").open("a") as stream:
        stream.write("// changed\n")
    monkeypatch.setattr(building, "SOURCES", tmp_path / "csrc")
    keys.add(Recipe("cuda", "/nvcc", "13.0", ("-O3",)).key)
    monkeypatch.undo()
    assert len(keys) == 7
    assert first.key not in keys
    assert first.key == Recipe("cuda", "/elsewhere/nvcc", "13.0", ("-O3",)).key


def worker(recipe, folder, results):
    results.put(str(build(recipe, folder)))


def test_two_processes_at_once_compile_once(tmp_path):
    recipe, folder = compiler(tmp_path, 'sleep 0.5; echo code > "$output"'), tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=worker, args=(recipe, folder, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert {results.get(timeout=5) for _ in processes} == {str(folder / recipe.key / "cuda_ops.so")}
    assert runs(tmp_path) == 1
    assert entries(folder) == [recipe.key]


def test_a_killed_build_leaves_nothing_in_the_way(tmp_path):
    recipe, folder = compiler(tmp_path, 'echo part > "$output"; sleep 30'), tmp_path / "cache"
    process = multiprocessing.get_context("fork").Process(target=build, args=(recipe, folder))
    process.start()
    deadline = time.monotonic() + 30
    while not list(folder.glob("*.tmp/cuda_ops.so")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert find_built(recipe, folder) is None
    assert any(name.endswith(".tmp") for name in entries(folder))
    compiler(tmp_path, 'echo whole > "$output"')
    start = time.monotonic()
    assert build(recipe, folder).read_text() == "whole\n"
    assert time.monotonic() - start < 20
    assert entries(folder) == [recipe.key]


def test_an_interrupt_ends_the_compiler(tmp_path):
    recipe, folder = compiler(tmp_path, f'echo $$ > "{tmp_path}/pid"; exec sleep 60'), tmp_path / "cache"

    def interrupt():
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    # Where the tests run in the background, the shell has them ignore interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            build(recipe, folder)
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert entries(folder) == []
    assert recorded_failure(recipe, folder) is None


def test_a_compiler_that_hangs_is_ended(tmp_path):
    recipe = compiler(tmp_path, "exec sleep 60")
    with pytest.raises(
        BuildError, match="did not end within 0 seconds; `python -m cuda_ops build` tries again"
    ):
        build(recipe, tmp_path / "cache", timeout=0.2)


def test_a_compiler_that_fails_is_quoted_and_remembered(tmp_path):
    body = 'echo "note: hm"; echo "fir.h(3): error: bad luck" >&2; exit 2'
    recipe, folder = compiler(tmp_path, body), tmp_path / "cache"
    with pytest.raises(BuildError, match=r"exit status 2: fir.h\(3\): error: bad luck; `python -m cuda_ops"):
        build(recipe, folder)
    assert "note: hm" in recorded_failure(recipe, folder)
    assert find_built(recipe, folder) is None
    compiler(tmp_path, 'echo code > "$output"')
    build(recipe, folder)
    assert recorded_failure(recipe, folder) is None


def test_a_compiler_that_was_killed_is_not_remembered(tmp_path):
    recipe, folder = compiler(tmp_path, "kill -9 $$"), tmp_path / "cache"
    with pytest.raises(BuildError, match="exit status -9"):
        build(recipe, folder)
    assert recorded_failure(recipe, folder) is None


def test_a_cache_that_cannot_be_written(tmp_path):
    recipe = compiler(tmp_path, 'echo code > "$output"')
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(BuildError, match=r"make .* writable, or set STYLEGAN_SWAP_CACHE"):
        build(recipe, blocked / "ops")
    assert runs(tmp_path) == 0


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_without_permission(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    with pytest.raises(BuildError, match="Permission denied"):
        build(compiler(tmp_path, 'echo code > "$output"'), folder)


@pytest.mark.parametrize("damage", ["cut", "no record", "bad record", "no library"])
def test_a_damaged_entry_is_built_anew(damage, tmp_path):
    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    path = build(recipe, folder)
    if damage == "cut":
        path.write_text("co")
    elif damage == "no library":
        path.unlink()
    elif damage == "no record":
        (path.parent / "build.json").unlink()
    else:
        (path.parent / "build.json").write_text("{")
    assert find_built(recipe, folder) is None
    assert build(recipe, folder).read_text() == "code\n"
    assert runs(tmp_path) == 2


def test_a_library_that_another_user_left_is_not_taken(tmp_path, monkeypatch):
    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    path = build(recipe, folder)
    owner = path.stat().st_uid
    assert find_built(recipe, folder) == path
    original = Path.lstat

    def lstat_as(self):
        found = original(self)
        return os.stat_result((*found[:4], 12345, *found[5:])) if self == path else found

    monkeypatch.setattr(Path, "lstat", lstat_as)
    assert owner != 12345
    assert find_built(recipe, folder) is None


def test_a_whole_entry_of_another_recipe_is_replaced(host_library, tmp_path):
    """Such as a library that another version left under this name: found, refused by its key, built again."""
    real = host_recipe()
    recipe = compiler(tmp_path, f'cp "{host_library.path}" "$output"')
    with pytest.raises(BuildError, match=f"was built by recipe {real.key}, not {recipe.key}"):
        load_built(recipe, tmp_path / "cache")
    with pytest.raises(BuildError, match="delete it and build again"):
        load_built(recipe, tmp_path / "cache")
    assert runs(tmp_path) == 2


def test_a_file_that_is_no_library(tmp_path):
    (tmp_path / "x.so").write_bytes(b"no library")
    with pytest.raises(BuildError, match="cannot be loaded"):
        Library(tmp_path / "x.so")


def test_argument_lists_of_another_length_are_refused(host_library, monkeypatch):
    from cuda_ops import arguments

    class Longer(arguments.Fir):
        _fields_ = (("more", arguments.c_int64),)

    changed = tuple(Longer if s is arguments.Fir else s for s in arguments.STRUCTURES)
    monkeypatch.setattr(arguments, "STRUCTURES", changed)
    with pytest.raises(BuildError, match="argument lists"):
        Library(host_library.path)


def test_unknown_number_types_and_filters_are_errors_not_crashes(host_library):
    from cuda_ops import arguments

    given = arguments.Epilogue()
    given.launch.dtype = 9
    with pytest.raises(RuntimeError, match="no kernel for this number type"):
        host_library.call(given)
    given = arguments.Fir(taps_x=5, taps_y=4)
    with pytest.raises(RuntimeError, match="no kernel for these factors or this filter"):
        host_library.call(given)


@pytest.mark.parametrize(
    "environ",
    [
        {"STYLEGAN_SWAP_CACHE": "/somewhere"},
        {"XDG_CACHE_HOME": "/xdg"},
        {"XDG_CACHE_HOME": "relative"},
        {},
    ],
)
def test_the_cache_is_the_one_of_the_library(environ):
    from stylegan_swap.files.cache import cache_folder as weights_cache

    assert cache_folder(environ) == weights_cache(environ, "linux") / "ops"


def test_the_command_line(host_library, tmp_path, monkeypatch, capsys):
    """`build --host` takes what is there; an error is one line and exit code 1; `doctor` reports."""
    entry = tmp_path / "ops" / host_recipe().key
    shutil.copytree(host_library.path.parent, entry)
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    assert main(["build", "--host"]) == 0
    told = capsys.readouterr().out
    assert str(entry / "cuda_ops.so") in told
    assert "compiled in" in told
    monkeypatch.setenv("CUDA_HOME", str(fake_toolkit(tmp_path)))
    assert main(["build", "--arch", "nonsense"]) == 1
    told = capsys.readouterr().err
    assert "error: TORCH_CUDA_ARCH_LIST has the entry 'nonsense'" in told
    monkeypatch.setenv("STYLEGAN_SWAP_OPS", "torch")
    assert main(["doctor"]) == 0
    assert "operations: torch (asked for torch; chosen by the user)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["paint"])
    assert stopped.value.code == 2


def test_a_compiler_that_refuses_is_shown_whole(tmp_path, monkeypatch, capsys):
    nvcc = fake_toolkit(tmp_path) / "bin" / "nvcc"
    nvcc.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 13.0 && exit\necho "x.cu: error: no"; exit 1\n')
    monkeypatch.setenv("STYLEGAN_SWAP_CACHE", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    assert main(["build", "--arch", "9.0"]) == 1
    told = capsys.readouterr().err
    assert "-gencode=arch=compute_90,code=sm_90" in told
    assert "x.cu: error: no" in told


def fake_toolkit(folder: Path) -> Path:
    """A folder for CUDA_HOME whose nvcc only tells its version."""
    nvcc = folder / "toolkit" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text("#!/bin/sh\necho release 13.0\n")
    nvcc.chmod(0o755)
    return nvcc.parent.parent


@pytest.mark.parametrize("where", ["cache", "entry", "library", "record"])
def test_what_others_may_write_is_not_taken(where, tmp_path):
    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    path = build(recipe, folder)
    exposed = {"cache": folder, "entry": path.parent, "library": path}.get(where, path.parent / "build.json")
    exposed.chmod(exposed.stat().st_mode | stat.S_IWOTH)
    assert find_built(recipe, folder) is None
    with pytest.raises(BuildError, match="others may write"):
        building.open_intact(path)
    if where == "cache":
        with pytest.raises(BuildError, match="chmod go-w"):
            build(recipe, folder)
    else:
        assert build(recipe, folder) == find_built(recipe, folder)
    assert runs(tmp_path) == (1 if where == "cache" else 2)


def test_what_is_built_under_an_open_umask_is_the_users_alone(tmp_path):
    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    before = os.umask(0)
    try:
        path = build(recipe, folder)
    finally:
        os.umask(before)
    assert find_built(recipe, folder) == path


def test_a_link_in_place_of_a_library_is_not_taken(tmp_path):
    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    path = build(recipe, folder)
    path.rename(tmp_path / "elsewhere.so")
    path.symlink_to(tmp_path / "elsewhere.so")
    assert find_built(recipe, folder) is None
    with pytest.raises(OSError, match="symbolic links"):
        building.open_intact(path)


def test_a_lock_that_is_never_given_back_ends_the_waiting(tmp_path):
    import fcntl

    recipe, folder = compiler(tmp_path, 'echo code > "$output"'), tmp_path / "cache"
    folder.mkdir(mode=0o755)
    with (folder / f"{recipe.key}.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        start = time.monotonic()
        with pytest.raises(BuildError, match="held this lock"):
            build(recipe, folder, timeout=0.1)
    assert time.monotonic() - start < 10
    assert build(recipe, folder).read_text() == "code\n"
