import pytest

from cuda_ops import build as building
from cuda_ops import toolchain
from cuda_ops.build import cuda_recipe
from cuda_ops.toolchain import (
    BuildError,
    architecture_flags,
    compiler_version,
    find_host_compiler,
    find_nvcc,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.0", ["arch=compute_80,code=sm_80"]),
        (
            "8.6;9.0+PTX",
            ["arch=compute_86,code=sm_86", "arch=compute_90,code=[sm_90,compute_90]"],
        ),
        (" 9.0a 12.0+PTX ", ["arch=compute_90a,code=sm_90a", "arch=compute_120,code=[sm_120,compute_120]"]),
        ("Hopper", ["arch=compute_90,code=[sm_90,compute_90]"]),
    ],
)
def test_architectures_of_the_environment(text, expected):
    environ = {"TORCH_CUDA_ARCH_LIST": text}
    assert architecture_flags([(7, 5)], environ) == tuple(f"-gencode={flag}" for flag in expected)


def test_architectures_of_the_gpus_here():
    flags = architecture_flags([(9, 0), (8, 0), (9, 0)], {})
    assert flags == (
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90,code=[sm_90,compute_90]",
    )


def test_a_bad_list_is_quoted():
    for text in ("eight", "8", "8.0+SASS", "8.0;;x"):
        with pytest.raises(BuildError, match="TORCH_CUDA_ARCH_LIST has the entry"):
            architecture_flags([], {"TORCH_CUDA_ARCH_LIST": text})


def test_neither_gpu_nor_list():
    with pytest.raises(BuildError, match=r'set it, as in TORCH_CUDA_ARCH_LIST="8.0;9.0\+PTX"'):
        architecture_flags([], {})


def script(path, text="#!/bin/sh\necho version 1.2\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_nvcc_is_looked_for_in_this_order(tmp_path, monkeypatch):
    home = script(tmp_path / "home" / "bin" / "nvcc")
    other = script(tmp_path / "path" / "nvcc")
    environ = {"CUDA_HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "path")}
    assert find_nvcc(environ) == home
    assert find_nvcc({"CUDA_PATH": str(tmp_path / "home")}) == home
    assert find_nvcc(environ | {"CUDA_HOME": str(tmp_path / "gone")}) == other
    monkeypatch.setattr(toolchain, "_nvcc_candidates", lambda environ: iter([tmp_path / "no"]))
    with pytest.raises(BuildError, match="install the CUDA toolkit"):
        find_nvcc({})


def test_host_compiler(tmp_path):
    mine = script(tmp_path / "mine")
    assert find_host_compiler({"CXX": mine, "PATH": ""}) == mine
    script(tmp_path / "clang++")
    assert find_host_compiler({"PATH": str(tmp_path)}) == str(tmp_path / "clang++")
    with pytest.raises(BuildError, match="set CXX"):
        find_host_compiler({"PATH": ""})


def test_a_compiler_that_does_not_run(tmp_path):
    assert compiler_version(script(tmp_path / "good")) == "version 1.2"
    with pytest.raises(BuildError, match="does not run"):
        compiler_version(script(tmp_path / "bad", "#!/bin/sh\nexit 1\n"))


def test_recipe_for_cuda(tmp_path, monkeypatch):
    home = script(tmp_path / "bin" / "nvcc")
    environ = {"CUDA_HOME": str(tmp_path), "TORCH_CUDA_ARCH_LIST": "8.9+PTX", "NVCC_CCBIN": "g++-12"}
    recipe = cuda_recipe([(9, 0)], environ)
    assert recipe.environ == (("NVCC_CCBIN", "g++-12"),)
    command = recipe.command(tmp_path / "out.so")
    assert command[0] == home
    assert "-gencode=arch=compute_89,code=[sm_89,compute_89]" in command
    assert [part for part in command if part.endswith(".cu")] == [
        str(path) for path in building.source_files() if path.suffix == ".cu"
    ]
    monkeypatch.setattr(building.sys, "platform", "win32")
    with pytest.raises(BuildError, match="on Linux alone"):
        cuda_recipe([(9, 0)], environ)
