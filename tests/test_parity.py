"""`make parity` counts what passing tests compared, and is content only when nothing is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import golden
import parity
import pytest
import torch
from safetensors.torch import save_file

TESTS = '''
"""Made up."""
import golden, pytest

def compare(name, value):
    known = golden.case(name)
    known.check("y", known.expected("y") + value)

@golden.mark
def test_right(): compare("ops_right", 0)

@golden.mark
def test_right_again(): compare("ops_right", 0)

@golden.mark
def test_names_only(): golden.case("ops_names").manifest["seed"]

@golden.mark
def test_file(): golden.case("nvlabs_file")

@golden.mark
def test_wrong(): compare("psp_wrong", 1)

@golden.mark
def test_skipped():
    golden.case("e4e_skipped").expected("y")
    pytest.skip("made up")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Six cases of which one has no outputs, and what is none of ours."""
    folder = tmp_path / "golden"
    folder.mkdir()
    for name in ("ops_right", "ops_names", "psp_wrong", "e4e_skipped", "ops_filtered_lrelu", "ghost_other"):
        (folder / f"{name}.json").write_text(json.dumps({"seed": 0}))
        save_file({"y": torch.ones(2)}, folder / f"{name}.safetensors")
    (folder / "nvlabs_file.json").write_text("{}")
    (folder / "nvlabs_file.pkl").write_bytes(b"")
    (folder / "ops_notes.md").write_text("")
    monkeypatch.setenv(golden.ENVIRONMENT, str(folder))
    return folder


def test_the_folder_says_which_cases_there_are(folder):
    names = ["e4e_skipped", "nvlabs_file", "ops_filtered_lrelu", "ops_names", "ops_right", "psp_wrong"]
    assert parity.recorded(folder) == {name: name != "nvlabs_file" for name in names}
    (folder / "ada_alone.pkl").write_bytes(b"")
    assert parity.recorded(folder)["ada_alone"] is False


def test_the_loader_notes_what_it_hands_out(folder):
    golden.take_uses()
    golden.case("ops_right").check("y", torch.ones(2))
    assert golden.take_uses() == ["ops_right", "ops_right/y"]
    golden.case("ops_names")
    assert golden.take_uses() == ["ops_names"]
    assert golden.take_uses() == []


@pytest.mark.exhaustive
def test_a_run_in_another_process_is_counted_test_by_test(folder, tmp_path):
    file = tmp_path / "test_made_up.py"
    file.write_text(TESTS)
    command = [sys.executable, parity.__file__, "-q", "-p", "no:cacheprovider", "-n", "1"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, "-c", str(Path(parity.__file__).parents[1] / "setup.cfg"), str(file)],
        capture_output=True,
        text=True,
        env=environment,
    )
    lines = done.stdout.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.split() == ["case", "tests", "result"]) :]
    assert [line.split(maxsplit=2) for line in table[1:7]] == [
        ["e4e_skipped", "1", "not run"],
        ["nvlabs_file", "1", "passed"],
        ["ops_filtered_lrelu", "0", "not run"],
        ["ops_names", "0", "not run"],
        ["ops_right", "2", "passed"],
        ["psp_wrong", "1", "failed"],
    ]
    assert "Failed: psp_wrong" in table
    assert "Not run, and not on the list of those left out: e4e_skipped, ops_names" in table
    reason = parity.LEFT_OUT["ops_filtered_lrelu"]
    assert table[-1] == f"3 cases run, 1 left out: ops_filtered_lrelu ({reason})"
    assert done.returncode == 1


def test_what_is_amiss():
    row = parity.Row
    passed, failed, absent = row("a", 1, "passed"), row("b", 1, "failed"), row("c", 0, "not run")
    assert parity.closing([passed], {}) == (["1 cases run, 0 left out"], True)
    assert parity.closing([passed, absent], {"c": "why"}) == (["1 cases run, 1 left out: c (why)"], True)
    assert not parity.closing([passed, absent], {})[1]
    assert not parity.closing([passed, failed], {"b": "why"})[1]
    assert not parity.closing([], {})[1]


@pytest.mark.parametrize("value", [None, "", "nowhere"])
def test_without_a_folder_nothing_runs(value, monkeypatch, capsys):
    monkeypatch.delenv(golden.ENVIRONMENT, raising=False)
    if value is not None:
        monkeypatch.setenv(golden.ENVIRONMENT, value)
    assert parity.main([]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(golden.ENVIRONMENT) and ("nowhere" in error or "is not set" in error)
