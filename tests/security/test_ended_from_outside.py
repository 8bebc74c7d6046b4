"""SIGTERM, as systems send it at shut-down, is Ctrl-C: exit code 130, nothing half written, work kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

# The command writes half of its file, says so, and waits for its end. In short sleeps: a signal that the
# system gives to another thread wakes nobody, and Python's handler runs when the main thread goes on.
WAITING = """
import sys, time, pathlib
from stylegan_swap.cli import main as cli
write = pathlib.Path.write_bytes
def half(self, content):
    write(self, bytes(content)[: len(content) // 2])
    print("half", flush=True)
    for _ in range(600):
        time.sleep(0.1)
pathlib.Path.write_bytes = half
sys.argv[0] = "stylegan-swap"
cli.main()
"""


def ended(script: str, *arguments: object) -> tuple[int, str]:
    """Exit code and standard error of a command that gets SIGTERM once it has printed a line."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"STYLEGAN_SWAP_QUIET": "1"},
    )
    try:
        assert child.stdout.readline() == "half\n", child.stderr.read()
        child.send_signal(signal.SIGTERM)
        _, error = child.communicate(timeout=60)
    finally:
        child.kill()
    return child.returncode, error


def test_a_picture(tmp_path, astronaut_path, hopper_path):
    output = tmp_path / "out.png"
    output.write_bytes(b"old")
    command = ("swap", hopper_path, astronaut_path, "--method", "paste", "--overwrite", "-o", output)
    code, error = ended(WAITING, *command)
    assert (code, error.splitlines()[-1]) == (130, "interrupted") and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"] and output.read_bytes() == b"old"


CLIP = """
import sys, time
from stylegan_swap.cli import main as cli, options
def show(self, done, total):
    if done == 3:
        print("half", flush=True)
        for _ in range(600):
            time.sleep(0.1)
options.ProgressBar.__call__ = show
sys.argv[0] = "stylegan-swap"
cli.main()
"""


@pytest.mark.slow
def test_a_clip(tmp_path, astronaut, hopper_path):
    from video_clips import panned, write_clip

    clip = write_clip(tmp_path / "clip.mp4", panned(astronaut, 4))
    output = tmp_path / "out.mp4"
    code, error = ended(CLIP, "video", hopper_path, clip, "--method", "paste", "--segment", "2", "-o", output)
    assert code == 130 and "out.mp4.parts: the same command goes on" in error and "Traceback" not in error
    left = sorted(path.name for path in (tmp_path / "out.mp4.parts").iterdir())
    assert left == ["journal.json", "segment-000000.nut"] and not output.exists()


BATCH = """
import os, sys, time
from stylegan_swap.cli import main as cli
from stylegan_swap.batch import run
class Slow:
    def __init__(self, settings):
        self.pid = os.getpid()
    def __call__(self, job, staged):
        open(staged, "w").write("half a picture")
        print("half", flush=True)
        print(self.pid, file=open(os.environ["PIDS"], "w"), flush=True)
        for _ in range(600):
            time.sleep(0.1)
if __name__ == "__main__":
    run.SwapWorker = Slow
    sys.argv[0] = "stylegan-swap"
    cli.main()
"""


@pytest.mark.slow
def test_a_batch_ends_its_workers(tmp_path, astronaut_path, hopper_path, monkeypatch):
    script, listed = tmp_path / "conduct.py", tmp_path / "jobs.csv"
    script.write_text(BATCH)
    listed.write_text(f"identity,attribute\n{hopper_path},{astronaut_path}\n")
    monkeypatch.setenv("PIDS", str(tmp_path / "pid"))
    child = subprocess.Popen(
        [sys.executable, str(script), "batch", str(listed), "-o", str(tmp_path / "out"), "--method", "paste"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "half\n", child.stderr.read()
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        worker = int((tmp_path / "pid").read_text())
        child.send_signal(signal.SIGTERM)
        _, error = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130 and error.splitlines()[-1] == "interrupted" and "Traceback" not in error
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["results.csv"]
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


def wait_until(done) -> None:
    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within half a minute")
