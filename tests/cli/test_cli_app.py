"""``stylegan-swap app`` as a user meets it: an address, Ctrl-C, nothing left, one-line errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from stylegan_swap.cli.main import app

pytest.importorskip("gradio", reason="needs the extra 'app'")

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_served_until_it_is_ended(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "stylegan_swap.cli.main", "app", "--weights", "warp", "--device", "cpu"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            [url] = re.findall(r"^(http://127\.0\.0\.1:\d+/)  \(Ctrl-C stops", line)
            answer = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.png", b"photo")})
            [path] = answer.json()
            assert Path(path).read_bytes() == b"photo"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            errors = process.stderr.read()
        finally:
            process.kill()
    assert errors == "closed\n"
    assert not Path(path).exists() and not list(tmp_path.glob("stylegan-swap-app-*"))


def test_no_public_link_is_offered():
    done = CliRunner().invoke(app, ["app", "--share"])
    assert done.exit_code == 2 and "--share" in done.output
    assert CliRunner().invoke(app, ["app", "--port", "70000"]).exit_code == 2


def test_listening_for_others_is_said(monkeypatch):
    from stylegan_swap.app import server

    class Closed:
        url, notes = "http://0.0.0.0:7860/", ("a note",)

        def __init__(self, settings):
            self.settings = settings

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(server, "Server", Closed)
    done = CliRunner().invoke(app, ["app", "--host", "0.0.0.0"])
    assert done.exit_code == 0 and "note: a note" in done.stderr
    warnings = [line for line in done.stderr.splitlines() if "everyone who reaches this computer" in line]
    assert len(warnings) == 1
    assert "everyone" not in CliRunner().invoke(app, ["app"]).stderr
