"""What the library is made of: least versions, hashes and licences of weights, and their addresses."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

from stylegan_swap.weights.cache import sha256_of
from stylegan_swap.weights.store import published_weights, registered_weights, shipped_folder

ROOT = Path(__file__).parent.parent.parent


def test_every_dependency_has_a_least_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    parts = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    listed = [line.partition(";")[0].strip() for part in parts for line in part.split("\n") if line.strip()]
    loose = [one for one in listed if ">=" not in one and not one.startswith("stylegan-swap[")]
    assert loose == []
    least = dict(one.split(">=") for one in listed if ">=" in one)
    # CVE-2025-32434 and CVE-2026-24747 are holes in reading with weights_only=True.
    assert tuple(map(int, least["torch"].split("."))) >= (2, 10)
    assert tuple(map(int, least["pillow"].split("."))) >= (10, 3)


def test_what_ships_is_what_the_list_says():
    entries = registered_weights()
    assert entries
    for entry in entries.values():
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256) and entry.licence, entry.name
        assert sha256_of(shipped_folder() / entry.file) == entry.sha256
        assert (shipped_folder() / entry.file).suffix == ".safetensors"


def test_what_others_publish_has_licence_page_and_a_safe_address():
    for entry in published_weights().values():
        assert entry.licence and entry.page.startswith("https://"), entry.name
        assert not entry.url or entry.url.startswith("https://"), entry.name
        # Without a hash in the list, the first download's is recorded: docs/download.md.
        assert entry.sha256 == "" or re.fullmatch(r"[0-9a-f]{64}", entry.sha256), entry.name
        assert "/" not in entry.file and ".." not in entry.file and entry.file


def test_nothing_of_the_repository_is_fetched_while_it_is_built():
    for name in ("Makefile", ".ci/run", "pyproject.toml", "setup.cfg"):
        assert not re.search(r"https?://|curl |wget ", (ROOT / name).read_text(encoding="utf-8")), name


def test_only_the_readers_read_pickles():
    """Every other module is given what ``weights.readers`` made of a file."""
    loaders = {
        "torch.load",
        "torch.jit.load",
        "torch.hub.load",
        "torch.hub.load_state_dict_from_url",
        "np.load",
    }
    loaders |= {f"{module}.{name}" for module in ("pickle", "marshal", "dill") for name in ("load", "loads")}
    loaders |= {"pickle.Unpickler", "pickle._Unpickler", "numpy.load", "joblib.load", "shelve.open"}
    readers = ROOT / "stylegan_swap" / "weights" / "readers"
    users = set()
    for package in ("stylegan_swap", "inversion", "cuda_ops"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            words = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
            imports = {
                f"{node.module}.{alias.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
            }
            if "allow_pickle" in words or loaders & (names | imports):
                users.add(path.relative_to(readers).as_posix() if path.is_relative_to(readers) else str(path))
    assert users == {"restricted_pickle.py"}
