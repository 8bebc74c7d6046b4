"""The shape of the source: imports point downwards, files stay small, and importing costs nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stylegan_swap", "inversion", "cuda_ops")
MOST_LINES = 600

# Rooms from the lowest floor to the highest: a room imports rooms of lower floors only.
FLOORS = (
    {"errors", "_version"},
    {"cuda_ops"},
    {"inversion"},
    {"files"},
    {"nn"},
    {"images"},
    {"provenance", "faces", "weights"},
    {"losses", "metrics"},
    {"training"},
    {"methods"},
    {"swapping"},
    {"editing", "video", "live", "batch", "export", "evaluation"},
    {"api", "verify", "app"},
    {"stylegan_swap"},
    {"cli"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


SOURCES = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def room_of(module: str) -> str:
    """``stylegan_swap.faces.geometry.align`` → ``faces``; the lower packages are one room each."""
    names = module.split(".")
    return names[1] if names[0] == "stylegan_swap" and len(names) > 1 else names[0]


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below a node but what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for alternative in child.orelse:
                yield alternative
                yield from run_time_nodes(alternative)
        else:
            yield child
            yield from run_time_nodes(child)


def imports_of(source: str) -> set[str]:
    """Modules that source code imports when it runs, also inside functions; ``.`` for a relative import."""
    modules: set[str] = set()
    for node in run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            modules.add(".")
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            modules.update(name if name in SOURCES else str(node.module) for name in full)
    return modules


IMPORTS = {module: imports_of(path.read_text(encoding="utf-8")) for module, path in SOURCES.items()}


def is_forbidden(importer: str, imported: str) -> bool:
    """Whether an import points upwards, sideways to another room, or from one method to another."""
    if imported == "." or imported.split(".")[0] not in PACKAGES:
        return imported == "."
    own, other = room_of(importer), room_of(imported)
    if own == other == "methods":
        folder, target = (".".join(name.split(".")[2:3]) for name in (importer, imported))
        return target not in ("", "base", "registry", folder) and folder != "registry"
    return own != other and FLOOR_OF[other] >= FLOOR_OF[own] and importer != "stylegan_swap"


@pytest.mark.parametrize(
    ("importer", "source", "forbidden"),
    [
        ("cuda_ops.fir", "import inversion.psp", True),
        ("inversion.psp", "def f():\n    from stylegan_swap import swap", True),
        ("stylegan_swap.nn.device", "try:\n    import stylegan_swap.cli.main\nfinally: ...", True),
        ("stylegan_swap.nn.device", "from stylegan_swap.errors import FileError", False),
        ("stylegan_swap.faces.paste", "from . import tensors", True),
        ("stylegan_swap.faces.paste", "if TYPE_CHECKING:\n    from stylegan_swap.api import Swapper", False),
        ("stylegan_swap.methods.warp.method", "import stylegan_swap.methods.fslsd.network", True),
        ("stylegan_swap.methods.warp.method", "import stylegan_swap.methods.base.protocol", False),
    ],
)
def test_a_wrong_import_is_seen(importer, source, forbidden):
    assert any(is_forbidden(importer, name) for name in imports_of(source)) == forbidden


def test_imports_point_downwards():
    rooms = {room_of(module) for module in SOURCES}
    assert rooms <= set(FLOOR_OF), "give the new room its floor"
    wrong = {
        (importer.removeprefix("stylegan_swap."), imported.removeprefix("stylegan_swap."))
        for importer, names in IMPORTS.items()
        for imported in names
        if is_forbidden(importer, imported)
    }
    assert wrong == set()


def test_modules_import_in_no_circle():
    graph = {
        module: {name for name in names if name in SOURCES and name != module}
        for module, names in IMPORTS.items()
    }
    TopologicalSorter(graph).prepare()


def test_few_modules_import_by_name():
    """``import_module`` hides a dependency from the tests above; lazy names, methods and stages need it."""
    importers = {
        module
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    assert {room_of(module) for module in importers} <= {
        *("stylegan_swap", "methods", "training", "evaluation"),
    }


def test_files_are_short():
    others = [
        path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
    ]
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in [*SOURCES.values(), *others]}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}


def test_folders_of_modules_are_packaged():
    folders = {".".join(path.relative_to(ROOT).parent.parts) for path in SOURCES.values()}
    assert folders == set(find_packages(str(ROOT), include=[f"{package}*" for package in PACKAGES]))


PROBE = """
import json, sys, time
events = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and events.append(event))
before = set(sys.modules)
start = time.perf_counter()
import {module}
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before), events]))
"""


def probe(module: str) -> tuple[float, set[str], list[str]]:
    """Seconds, newly loaded modules and socket events of an import in a fresh interpreter."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    seconds, modules, events = json.loads(answer.stdout)
    return seconds, set(modules), events


def test_importing_is_free_and_help_loads_no_heavy_library():
    runs = [probe("stylegan_swap") for _ in range(3)]
    _, modules, events = runs[0]
    third_party = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"stylegan_swap"}
    assert (third_party, events) == (set(), [])
    # The best of three: the machine may be busy with the other tests.
    assert min(seconds for seconds, _, _ in runs) < 0.5
    # `stylegan-swap --help` and every usage error answer at once.
    _, modules, events = probe("stylegan_swap.cli.main")
    assert "typer" in modules
    heavy = {"torch", "cv2", "dlib", "numpy", "scipy", "PIL", "skimage", "matplotlib", "pydantic"}
    assert modules & (heavy | {"requests", "urllib3", "gdown", "bs4"}) == set()
    assert events == []


def test_only_downloads_open_connections():
    """What SECURITY.md promises; the page of the study only answers one."""
    taboo = {"requests", "gdown", "urllib3", "urllib.request", "http.client", "socket", "ftplib", "smtplib"}
    offenders = {
        module
        for module, names in IMPORTS.items()
        if taboo & {*names, *(name.split(".")[0] for name in names)}
    }
    downloads = {module for module in offenders if module.startswith("stylegan_swap.weights.download.")}
    assert offenders - downloads == {"stylegan_swap.evaluation.study.server"}
    assert downloads
