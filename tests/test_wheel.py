"""The library as users get it: a wheel, installed outside the checkout, swaps a photo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
# What a source tree needs to be built; build/, .venv, runs/ and tests/ of the checkout stay outside.
INGREDIENTS = (
    *("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"),
    *("stylegan_swap", "inversion", "cuda_ops", "checkpoints"),
)

pytestmark = pytest.mark.install


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs outside the checkout, with nothing of this process's Python settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in INGREDIENTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    # Without isolation: the build tool would otherwise fetch setuptools from the network.
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", output, source], output)
    [built] = output.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The python of a fresh environment with the wheel; dependencies are those of this environment."""
    home = tmp_path_factory.mktemp("fresh")
    run([sys.executable, "-m", "venv", "--without-pip", home], home)
    binaries = home / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / Path(sys.executable).name
    python = python if python.exists() else binaries / "python"
    run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel], home)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run([python, "-c", ask], home).stdout.strip())
    # A folder named in a .pth is searched, but its own .pth files are not run: the editable install of
    # the checkout, which is one of them, stays out.
    folders = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (own / "dependencies.pth").write_text("\n".join(folders) + "\n", encoding="utf-8")
    return python


def test_wheel_holds_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata_folder = next(name.split("/")[0] for name in names if name.endswith("/METADATA"))
        metadata = archive.read(f"{metadata_folder}/METADATA").decode()
        scripts = archive.read(f"{metadata_folder}/entry_points.txt").decode()
        statistics = archive.read("stylegan_swap/nn/recognisers/dlib_embedding_statistics.json")
    assert {name.split("/")[0] for name in names} == {
        *("stylegan_swap", "inversion", "cuda_ops", metadata_folder)
    }
    shipped = {name for name in names if name.startswith("stylegan_swap/checkpoints/")}
    # What lies one folder deeper, such as unfinished weights, stays in the checkout.
    assert shipped == {
        f"stylegan_swap/checkpoints/{name}"
        for name in (
            *("registry.toml", "README.md"),
            *(
                f"default/{file}"
                for file in (
                    *("model.safetensors", "config.json", "MODEL_CARD.md", "samples.png"),
                    "directions.safetensors",
                )
            ),
            *(f"landmark_net/{file}" for file in ("model.safetensors", "config.json", "MODEL_CARD.md")),
        )
    }
    assert "stylegan_swap/py.typed" in names
    assert len(json.loads(statistics)) >= 1
    licences = {Path(name).name for name in names if "/licenses/" in name or "/LICENSE" in name}
    assert {"LICENSE", "NOTICE"} <= licences
    # Every module of the checkout, no more and no less.
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in ("stylegan_swap", "inversion", "cuda_ops")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name for name in names if name.endswith(".py")} == expected
    kernels = {f"cuda_ops/csrc/{path.name}" for path in (ROOT / "cuda_ops" / "csrc").iterdir()}
    assert kernels == {name for name in names if "/csrc/" in name}
    assert kernels
    assert not [name for name in names if "test" in name or name.startswith("runs") or "__pycache__" in name]
    assert wheel.stat().st_size < 30e6
    assert "Name: stylegan-swap" in metadata
    assert "License: Apache-2.0" in metadata or "License-Expression: Apache-2.0" in metadata
    assert "Requires-Dist: torch>=" in metadata
    assert "stylegan-swap = stylegan_swap.cli.main:main" in scripts


def test_shipped_folder_is_found_inside_the_wheel(installed, tmp_path):
    script = (
        "import json, stylegan_swap, inversion, cuda_ops\n"
        "from stylegan_swap.weights.store import default_weights_available\n"
        "from stylegan_swap.weights.store import registered_weights, shipped_folder\n"
        "print(json.dumps([stylegan_swap.__file__, inversion.__file__, cuda_ops.__file__,\n"
        "    str(shipped_folder()), sorted(registered_weights()), default_weights_available()]))"
    )
    *files, folder, names, available = json.loads(run([installed, "-c", script], tmp_path).stdout)
    home = installed.parent.parent
    for file in [*files, folder]:
        assert Path(file).is_relative_to(home), f"{file} is not of the fresh environment: the checkout leaked"
        assert ROOT not in Path(file).resolve().parents
    assert Path(folder).parts[-2:] == ("stylegan_swap", "checkpoints")
    assert "default" in names
    assert available, "the default weights are not in the wheel"


def test_installed_command_swaps_with_the_default_weights(installed, tmp_path, astronaut, hopper):
    Image.fromarray(astronaut).save(tmp_path / "identity.png")
    Image.fromarray(hopper).save(tmp_path / "attribute.png")
    command = installed.parent / "stylegan-swap"
    done = run([command, "swap", "identity.png", "attribute.png", "-o", "out.png", "--no-mark"], tmp_path)
    assert "out.png" in done.stdout
    assert "512 × 600, method default" in done.stdout
    assert done.stderr == ""
    with Image.open(tmp_path / "out.png") as image:
        result = np.asarray(image.convert("RGB"))
    changed = np.abs(result.astype(int) - hopper).max(axis=2) > 8
    # The face of about 200 px changes, the picture round it does not.
    assert 0.02 < changed.mean() < 0.5
    assert not changed[:50].any()
    assert not changed[-50:].any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attribute.png", "identity.png", "out.png"]
