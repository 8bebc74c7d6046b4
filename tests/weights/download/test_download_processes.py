"""Two processes that fetch one file, and a process that is killed while it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from download_server import DATA, PART, entry, file

from stylegan_swap.files.lock import exclusive
from stylegan_swap.weights.cache import cached_path
from stylegan_swap.weights.download import download_published

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import sys
from download_server import entry, reach
from stylegan_swap.weights.download import download_published

def say(text):
    print(text, flush=True)

reach(sys.argv[1])
download = download_published(entry(sys.argv[1]), say=say)
say(f"fetched {download.fetched}")
"""


@pytest.fixture
def server(server):
    """Half of the file comes at once, the rest when the test wishes."""
    server.answers = [file(cut=len(DATA) // 2, before=lambda: server.released.wait(20))]
    return server


@pytest.fixture
def start(server):
    """Starts a process that downloads; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        path = os.pathsep.join((str(ROOT), str(Path(__file__).parent)))
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", SCRIPT, f"{server.url}/net.pt"],
                env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def here() -> list[str]:
    folder = cached_path(entry()).parent
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def until(condition) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def half_is_here() -> bool:
    part = cached_path(entry()).with_name(".net.pt.part")
    return part.exists() and part.stat().st_size > 100_000


def test_two_processes_fetch_once(server, start):
    first = start()
    until(half_is_here)
    second = start()
    assert "another process is fetching it" in second.stdout.readline()
    assert "net.pt" not in here()
    server.released.set()
    (out_first, _), (out_second, _) = first.communicate(timeout=15), second.communicate(timeout=15)
    assert (first.returncode, second.returncode) == (0, 0), out_first + out_second
    assert "fetched True" in out_first and "fetched False" in out_second
    # The second knows the hash that the first recorded.
    assert "trusted from now on" in out_first and "trusted" not in out_second
    assert len(server.requests) == 1
    assert cached_path(entry()).read_bytes() == DATA
    assert here() == ["net.pt", "net.pt.sha256"]


def test_a_killed_process_leaves_no_lock_and_no_half_file(server, start):
    process = start()
    until(half_is_here)
    process.kill()
    process.wait()
    assert "net.pt" not in here()
    server.released.set()
    said: list[str] = []
    server.answers = [file()]
    found = download_published(entry(f"{server.url}/net.pt"), say=said.append)
    assert found.path.read_bytes() == DATA
    # It did not wait, and went on where the other was killed.
    assert not [line for line in said if "another process" in line]
    assert [line for line in said if "going on after" in line]
    assert int(server.requests[1]["Range"].removeprefix("bytes=").removesuffix("-")) > 100_000
    assert here() == ["net.pt", "net.pt.sha256"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_keeps_what_is_here(server, start):
    process = start()
    until(half_is_here)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=15)
    assert "KeyboardInterrupt" in out and process.returncode != 0
    assert here() == PART


def test_the_lock_lets_in_one_at_a_time(tmp_path):
    """Eight threads take turns on a lock that each of them removes."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with exclusive(tmp_path / "lock", waiting=lambda: None, poll_seconds=0.0005):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_the_lock_is_free_again_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), exclusive(tmp_path / "lock", waiting=pytest.fail):
            raise KeyError
    assert list(tmp_path.iterdir()) == []
