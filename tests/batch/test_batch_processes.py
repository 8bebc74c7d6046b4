"""Real worker processes: killed from within and from outside, poisonous items, Ctrl-C."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from batch_workers import Scripted

from stylegan_swap.batch import Job, run, run_batch
from stylegan_swap.batch.processes import ProcessWorker
from stylegan_swap.batch.supervise import WorkerDied
from stylegan_swap.batch.work import Settings
from stylegan_swap.errors import BatchError, CheckpointError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def make_jobs(folder: Path, *attributes: str) -> list[Job]:
    for name in ("ann.png", *attributes):
        (folder / name).write_text(name)
    return [
        Job(number, (str(folder / "ann.png"),), str(folder / name), f"{number}.png")
        for number, name in enumerate(attributes)
    ]


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_killed_workers_poison_and_hanging_items(tmp_path, monkeypatch):
    """One worker is killed, one item kills whoever takes it, one hangs: the others are all there, once."""
    monkeypatch.setattr(run, "SwapWorker", Scripted)
    names = ["a", "killed-once", "b", "deadly", "c", "hanging", "bad", *"defghij"]
    jobs, out = make_jobs(tmp_path, *names), tmp_path / "out"
    summary = run_batch(jobs, out, workers=2, timeout=4.0)
    rows = {row["output"]: row for row in table(out)}
    assert [row["output"] for row in table(out)] == [job.output for job in jobs]
    assert sorted(summary.failed) == ["3.png", "5.png", "6.png"]
    assert summary.failed["3.png"].startswith("WorkerDied: 2 workers died while they worked on this item")
    assert "killed by SIGKILL" in summary.failed["3.png"]
    assert "took longer than 4 s" in summary.failed["5.png"]
    assert summary.failed["6.png"] == "ImageReadError: it is bad"
    assert {rows[name]["attempts"] for name in ("1.png", "3.png", "5.png")} == {"2"}
    assert {row["attempts"] for name, row in rows.items() if name not in ("1.png", "3.png", "5.png")} == {"1"}
    written = sorted(path.name for path in out.iterdir())
    assert written == sorted([f"{n}.png" for n in range(14) if n not in (3, 5, 6)] + ["results.csv"])
    assert (out / "1.png").read_text().startswith(str(tmp_path / "ann.png"))
    # Two for the list, one for the killed one, and so on; the same process did many items.
    assert 2 <= len({row["worker"] for row in rows.values() if row["status"] == "ok"}) <= 7
    # What was cured since is done now, nothing else.
    (tmp_path / "deadly.cure").touch()
    again = run_batch(jobs, out, workers=1, timeout=3.0)
    assert (again.done, again.skipped, sorted(again.failed)) == (1, 11, ["5.png", "6.png"])


def job(attribute: str) -> Job:
    return Job(0, ("a",), attribute, "a.png")


def test_a_worker_that_died_while_idle_shows_at_its_next_item():
    worker = ProcessWorker(Quick)
    worker.wait_until_ready()
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    with pytest.raises(WorkerDied, match="was killed by SIGTERM"):
        worker.work(job("a"), "nowhere", None)


def test_a_death_is_seen_while_somebody_else_holds_the_pipe_open(monkeypatch):
    """As a process does that was forked just before the parent closed the worker's end."""
    kept = []
    close = Connection.close
    monkeypatch.setattr(Connection, "close", lambda self: (kept.append(os.dup(self.fileno())), close(self)))
    worker = ProcessWorker(Quick)
    monkeypatch.undo()
    worker.wait_until_ready()
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGKILL)
    try:
        assert kept
        with pytest.raises(WorkerDied, match="was killed by SIGKILL"):
            worker.work(job("a"), "nowhere", None)
    finally:
        for handle in kept:
            os.close(handle)


def test_stopping_ends_busy_workers_and_those_that_ignore_ctrl_c():
    worker = ProcessWorker(Quick)
    worker.wait_until_ready()
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert process.is_alive()
    with pytest.raises(WorkerDied, match=r"took longer than 0\.2 s"):
        worker.work(job("hanging"), "nowhere", 0.2)
    worker.stop()
    worker.stop()
    assert not process.is_alive()


def test_a_worker_ends_with_the_process_that_began_it(tmp_path):
    """Killed, a batch leaves nobody behind who holds its memory."""
    script = tmp_path / "conduct.py"
    script.write_text(ORPHAN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the worker lives on"
        time.sleep(0.05)


ORPHAN = """
import multiprocessing, time
from test_batch_processes import Quick
from stylegan_swap.batch.processes import ProcessWorker
if __name__ == "__main__":
    worker = ProcessWorker(Quick)
    worker.wait_until_ready()
    print(multiprocessing.active_children()[0].pid, flush=True)
    time.sleep(600)
"""


class Quick(Scripted):
    """A worker without settings of its own."""

    def __init__(self) -> None:
        super().__init__(Settings())


@pytest.mark.parametrize(("method", "error"), [("refused", CheckpointError), ("dying", BatchError)])
def test_workers_that_cannot_be_built(tmp_path, monkeypatch, method, error):
    monkeypatch.setattr(run, "SwapWorker", Scripted)
    with pytest.raises(error, match="no such weights" if method == "refused" else "exit code 3"):
        run_batch(make_jobs(tmp_path, "a"), tmp_path / "out", method=method)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.csv"]


CONDUCT = """
import sys
from batch_workers import Scripted
from stylegan_swap.cli import main as cli
from stylegan_swap.batch import run
if __name__ == "__main__":
    run.SwapWorker = Scripted
    cli.main()
"""


def test_ctrl_c_is_130_and_the_batch_goes_on_later(tmp_path):
    """The signal comes from a worker, in the middle of an item."""
    names = ["a", "b", "interrupt", "c"]
    make_jobs(tmp_path, *names)
    script, listed = tmp_path / "conduct.py", tmp_path / "jobs.csv"
    script.write_text(CONDUCT)
    listed.write_text("identity,attribute\n" + "".join(f"ann.png,{name}\n" for name in names))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

    def conduct() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), "batch", str(listed), "-o", str(tmp_path / "out")]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    stopped = conduct()
    assert (stopped.returncode, stopped.stdout) == (130, "")
    assert stopped.stderr.splitlines()[-1] == "interrupted" and "Traceback" not in stopped.stderr
    assert [row["output"] for row in table(tmp_path / "out")] == ["00000.png", "00001.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("00000.png", "00001.png", "results.csv")
    ]
    listed.write_text(listed.read_text().replace("interrupt", "bad"))
    (tmp_path / "bad").write_text("bad")
    done = conduct()
    assert done.returncode == 1
    assert "3 of 4 swaps are there (2 were there before), 1 failed" in done.stdout
    assert "00002.png: ImageReadError: it is bad" in done.stderr
