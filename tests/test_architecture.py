"""The shape of the source: imports point one way, files stay small, and importing costs nothing."""

from __future__ import annotations

import ast
import configparser
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("stylegan_swap", "inversion", "cuda_ops")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
OTHERS = sorted(
    path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)

MOST_LINES = 400
VAGUE_NAMES = ("util", "utils", "common", "helper", "helpers", "misc", "manager", "tools")

# Part of the library → the parts it may import besides itself. The way of a photograph read from below;
# a new module or package gets its line here, as far down as it can stand.
MAY_IMPORT: dict[str, set[str]] = {
    "cuda_ops": set(),
    "inversion": {"cuda_ops"},
    "errors": set(),
    "_version": set(),
    "atomic": set(),
    "allocator": set(),
    "contained": {"errors"},
    "device": {"errors"},
    "finite": {"errors"},
    "registry": {"errors"},
    "decode": {"errors"},
    "provenance": {"_version", "decode", "errors"},
    "watermark": {"errors"},
    "content_credentials": {"_version", "decode", "errors", "provenance", "watermark"},
    "images": {"atomic", "content_credentials", "decode", "errors", "provenance", "watermark"},
    "known_weights": {"errors"},
    "cache": {"atomic", "errors", "known_weights"},
    "weights": {"_version", "atomic", "cache", "errors", "known_weights"},
    "filled": {"weights"},
    "convert": {"atomic", "cache", "cuda_ops", "errors", "filled", "inversion", "models", "weights"},
    "lock": set(),
    "people": {"errors", "faces", "images", "result"},
    "cli_faces": set(),
    "cli_swap": {"cli_faces", "faces"},
    "batch": {"api", "atomic", "cache", "errors", "faces", "images", "lock", "weights"},
    "cli_batch": {"batch", "errors"},
    "download": {"_version", "atomic", "cache", "errors", "known_weights", "lock", "weights"},
    "codes": {"atomic", "errors", "inversion"},
    "faces": {"errors"},
    "models": {"atomic", "cuda_ops", "errors", "inversion"},
    "methods": {
        *("convert", "cuda_ops", "errors", "faces", "filled", "finite", "inversion", "models", "refine"),
        "weights",
    },
    "editing": {"atomic", "convert", "errors", "inversion", "models", "weights"},
    "band_contrast": {"faces"},
    "carried_texture": {"band_contrast", "faces", "methods"},
    "fine_detail": {"band_contrast", "carried_texture", "faces", "methods", "models"},
    "result": {"content_credentials", "errors", "faces", "fine_detail", "images", "models", "watermark"},
    "photo_editing": {"editing", "errors", "faces", "images", "inversion", "methods", "result", "watermark"},
    "dials": {"errors", "methods"},
    "find_method": {"convert", "device", "errors", "methods", "registry", "weights"},
    "latent_faces": {"dials", "errors", "faces", "finite", "images", "inversion", "invert", "methods"},
    "verify": {"content_credentials", "errors", "images", "provenance", "video", "watermark"},
    "notice": {"cache", "errors"},
    "api": {
        *("dials", "errors", "faces", "find_method", "fine_detail", "images", "inversion"),
        *("latent_faces", "methods", "models", "people", "photo_editing", "registry", "result"),
    },
    "export": {
        *("_version", "atomic", "cache", "cuda_ops", "errors", "faces", "find_method", "methods"),
        *("models", "weights"),
    },
    "edit_sheet": {"codes", "editing", "images"},
    "metrics": {
        *("_version", "api", "atomic", "contained", "errors", "faces", "images", "inversion", "methods"),
        *("models", "result"),
    },
    "losses": {"errors", "faces", "models"},
    "refine": {"errors", "faces", "losses", "models"},
    "invert": {"errors", "finite", "inversion", "losses", "models"},
    "invert_preview": {"faces", "inversion"},
    "training": {
        *("_version", "allocator", "atomic", "contained", "convert", "cuda_ops", "errors", "faces"),
        *("images", "inversion", "losses", "metrics", "models", "provenance", "weights"),
    },
    "direction_fit": {"editing", "errors", "faces", "inversion", "metrics", "training"},
    "demo": {"api", "errors", "images"},
    "bench": {"allocator", "api", "atomic", "cuda_ops", "demo", "device", "errors", "faces", "models"},
    "doctor": {
        *("_version", "cache", "content_credentials", "cuda_ops", "device", "errors", "faces"),
        "weights",
    },
    "stylegan_swap": {"_version"},
    "study": {"_version", "atomic", "errors", "images"},
    "cli_edit": {
        *("api", "cli_faces", "codes", "edit_sheet", "editing", "errors", "images", "photo_editing"),
        *("provenance", "watermark", "weights"),
    },
    "cli_directions": {
        *("api", "cli_edit", "direction_fit", "editing", "errors", "models", "training", "weights"),
    },
    "cli_bench": {"bench"},
    "cli_convert": {"convert", "weights"},
    "cli_download": {"cache", "download", "weights"},
    "cli_export": {"export"},
    "cli_invert": {"api", "cli_faces", "codes", "errors", "images", "invert", "invert_preview", "weights"},
    "cli_evaluate": {"_version", "atomic", "images", "metrics"},
    "cli_study": {"errors", "study"},
    "cli_train": {"errors", "models", "training"},
    "video": {
        *("_version", "api", "atomic", "content_credentials", "decode", "dials", "errors", "faces"),
        *("images", "lock", "methods", "provenance", "result", "watermark"),
    },
    "cli_video": {"cli_faces", "errors", "video"},
    "app": {
        *("api", "content_credentials", "demo", "editing", "errors", "faces", "images", "notice"),
        *("provenance", "result", "video", "watermark"),
    },
    "cli_app": {"app"},
    "cli_verify": {"errors", "verify"},
    "cli": {
        *("_version", "allocator", "api", "cli_app", "cli_batch", "cli_bench", "cli_convert"),
        *("cli_directions", "cli_download", "cli_edit", "cli_evaluate", "cli_export", "cli_invert"),
        *("cli_study", "cli_swap"),
        *("cli_train", "cli_verify", "cli_video", "codes", "demo", "doctor", "errors", "images"),
        *("notice", "provenance", "registry", "result", "stylegan_swap", "watermark", "weights"),
        "cli_faces",
    },
}


def part_of(module: str) -> str:
    """``stylegan_swap.faces.geometry.align`` → ``faces``; the lower packages are one part each."""
    names = module.split(".")
    return names[1] if names[0] == "stylegan_swap" and len(names) > 1 else names[0]


def module_of(path: Path) -> str:
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything below a node but what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for alternative in child.orelse:
                yield alternative
                yield from run_time_nodes(alternative)
            continue
        yield child
        yield from run_time_nodes(child)


def imports_of(source: str) -> set[str]:
    """Modules that source code imports when it runs, also inside functions; ``.`` for a relative import."""
    found: set[str] = set()
    for node in run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.add(".")
            elif node.module in PACKAGES:
                # `from stylegan_swap import decode` is the module stylegan_swap.images.decode.
                named = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                found.update(full if is_module(full) else node.module for full in named.values())
            else:
                found.add(str(node.module))
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def forbidden(importer: str, imported: set[str]) -> list[str]:
    own = part_of(importer)
    return sorted(
        name
        for name in imported
        if name.split(".")[0] in PACKAGES and part_of(name) not in {own, *MAY_IMPORT[own]}
    )


def ident(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_imports_point_one_way(path):
    part = part_of(module_of(path))
    assert part in MAY_IMPORT, f"{ident(path)}: give {part!r} its place in MAY_IMPORT of {__file__}"
    imported = imports_of(path.read_text(encoding="utf-8"))
    assert "." not in imported, f"{ident(path)}: relative import; write the full name"
    wrong = forbidden(module_of(path), imported)
    assert not wrong, f"{ident(path)} ({part}) must not import {wrong}; it may import {MAY_IMPORT[part]}"


def test_the_order_has_no_circle():
    placed: set[str] = set()
    while remaining := {part: needs - placed for part, needs in MAY_IMPORT.items() if part not in placed}:
        free = {part for part, needs in remaining.items() if not needs}
        assert free, f"these import each other in a circle: {sorted(remaining)}"
        placed |= free


def test_lower_packages_stand_alone():
    """What the design says in words, whatever the table above says."""
    for package, taboo in (("cuda_ops", {"inversion", "stylegan_swap"}), ("inversion", {"stylegan_swap"})):
        for path in (ROOT / package).rglob("*.py"):
            roots = {name.split(".")[0] for name in imports_of(path.read_text(encoding="utf-8"))}
            assert not roots & taboo, f"{ident(path)} imports {roots & taboo}"
    for package in ("faces", "models", "methods"):
        allowed = MAY_IMPORT[package]
        assert not allowed & {"api", "cli", "result", "demo", "doctor", "registry", "stylegan_swap"}
    assert "faces" not in MAY_IMPORT["models"]
    assert "models" not in MAY_IMPORT["faces"]


@pytest.mark.parametrize(
    ("importer", "source", "expected"),
    [
        ("cuda_ops.fir", "import inversion.psp", ["inversion.psp"]),
        ("inversion.psp", "def f():\n    from stylegan_swap import swap", ["stylegan_swap"]),
        ("stylegan_swap.nn.stylegan2.generator", "from stylegan_swap import api", ["stylegan_swap.api"]),
        ("stylegan_swap.nn.stylegan2.generator", "import torch\nfrom cuda_ops.layers import PixelNorm", []),
        (
            "stylegan_swap.faces.detection.select",
            "try:\n    import stylegan_swap.cli.main\nfinally: ...",
            ["stylegan_swap.cli.main"],
        ),
        (
            "stylegan_swap.faces.detection.select",
            "if TYPE_CHECKING:\n    from stylegan_swap.api import Swapper",
            [],
        ),
    ],
)
def test_a_wrong_import_is_seen(importer, source, expected):
    assert forbidden(importer, imports_of(source)) == expected


def test_few_modules_import_by_name():
    """``import_module`` hides a dependency from the tests above; names, methods and stages need it."""
    found = {
        module_of(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    }
    assert found == {
        *("stylegan_swap", "stylegan_swap.methods.registry", "stylegan_swap.training.stages"),
        "stylegan_swap.evaluation.bench.stages",
    }


@pytest.mark.parametrize("path", [*SOURCES, *OTHERS], ids=ident)
def test_files_are_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{ident(path)} has {lines} lines: split it, one idea per file"


def test_names_say_something():
    assert not [ident(path) for path in [*SOURCES, *OTHERS] if path.stem.strip("_") in VAGUE_NAMES]


def undocumented(tree: ast.Module) -> list[str]:
    """Public classes, functions and methods without a docstring, and "module" if it has none."""

    def below(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_"):
                    continue
                if not ast.get_docstring(child):
                    yield f"{prefix}{child.name}"
                if isinstance(child, ast.ClassDef):
                    yield from below(child, f"{prefix}{child.name}.")

    return [*([] if ast.get_docstring(tree) else ["module"]), *below(tree, "")]


@pytest.mark.parametrize("path", SOURCES, ids=ident)
def test_everything_public_has_a_docstring(path):
    # _version.py is read by setuptools; it explains itself in its docstring as well.
    assert undocumented(ast.parse(path.read_text(encoding="utf-8"))) == []


def test_a_missing_docstring_is_seen():
    source = "class A:\n    '''x'''\n    def f(self): ...\n    def _g(self): ...\ndef h(): ..."
    assert undocumented(ast.parse(source)) == ["module", "A.f", "h"]


@pytest.mark.parametrize("path", OTHERS, ids=ident)
def test_other_modules_have_a_docstring(path):
    if path.parent.name in ("tests", "benchmarks", "examples"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
            f"{ident(path)}: say what it is"
        )


def test_packages_on_disk_are_packaged():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = setup["options"]["packages"].split()
    on_disk = {module_of(path) for path in SOURCES if path.name == "__init__.py"}
    assert sorted(listed) == sorted(on_disk | {"stylegan_swap.checkpoints"})
    holding_code = {".".join(path.relative_to(ROOT).parent.parts) for path in SOURCES}
    assert holding_code == on_disk, "a folder of modules lacks its __init__.py"


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
    """Seconds, newly loaded top-level modules and socket events of an import in a fresh interpreter."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)], capture_output=True, text=True, check=True
    )
    seconds, modules, events = json.loads(answer.stdout)
    return seconds, set(modules), events


def test_importing_is_free():
    runs = [probe("stylegan_swap") for _ in range(3)]
    modules, events = runs[0][1], runs[0][2]
    assert "stylegan_swap" in modules
    third_party = {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"stylegan_swap"}
    assert not third_party, f"import stylegan_swap loads {sorted(third_party)}"
    assert modules & {"stylegan_swap.api", "stylegan_swap.errors", "inversion"} == set()
    assert events == []
    # The best of three: the machine may be busy with the other tests.
    assert min(seconds for seconds, _, _ in runs) < 0.5


def test_help_loads_no_network_library():
    """``stylegan-swap --help`` and every usage error answer at once."""
    _, modules, events = probe("stylegan_swap.cli.main")
    assert "typer" in modules
    assert modules & {"torch", "cv2", "dlib", "numpy", "scipy", "PIL", "skimage", "matplotlib"} == set()
    assert modules & {"requests", "urllib3", "gdown", "bs4", "pydantic"} == set()
    assert events == []


def test_only_downloads_know_how_to_reach_the_network():
    """What SECURITY.md promises: no other module opens a connection; the study only answers one."""
    taboo = {"requests", "gdown", "urllib3", "urllib.request", "http.client", "socket", "ftplib", "smtplib"}
    found = {
        module_of(path): taboo & {*names, *(name.split(".")[0] for name in names)}
        for path in SOURCES
        if (names := imports_of(path.read_text(encoding="utf-8")))
    }
    offenders = {module: names for module, names in found.items() if names}
    allowed = {
        "stylegan_swap.weights.download.transfer",
        "stylegan_swap.weights.download.drive",
        "stylegan_swap.evaluation.study.server",
    }
    assert set(offenders) == allowed, offenders


def test_names_are_resolved_on_first_use():
    import stylegan_swap

    assert set(stylegan_swap.__all__) <= set(dir(stylegan_swap))
    for name in stylegan_swap.__all__:
        assert getattr(stylegan_swap, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Swaper'"):
        _ = stylegan_swap.Swaper
