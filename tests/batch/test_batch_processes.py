"""Real worker processes: killed from within and from outside, poisonous items, Ctrl-C."""

from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_workers import Scripted

from stylegan_swap.batch import Job, run, run_batch
from stylegan_swap.batch.processes import Processes
from stylegan_swap.batch.supervise import Died, Ready
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


def test_an_idle_worker_that_dies_is_an_event_of_its_own():
    engine = Processes(Quick)
    try:
        number = engine.start()
        assert wait_for(engine) == Ready(number)
        os.kill(engine._workers[number][0].pid, signal.SIGTERM)
        assert wait_for(engine) == Died(number, "was killed by SIGTERM")
        assert engine.events(0) == []
    finally:
        engine.stop()


def test_a_death_is_seen_while_somebody_else_holds_the_pipes_open():
    engine = Processes(Quick)
    number = engine.start()
    assert wait_for(engine) == Ready(number)
    # A fork has all of it, also the worker's ends, and stays.
    process, pipe = engine._workers[number]
    (silent, one), (mute, other) = multiprocessing.Pipe(), multiprocessing.Pipe()
    engine._workers[number] = (Unheard(process, mute.fileno()), silent)
    os.kill(process.pid, signal.SIGKILL)
    try:
        deadline = time.monotonic() + 30
        found = []
        while not found and time.monotonic() < deadline:
            found = engine.events(0.1)
        assert found == [Died(number, "was killed by SIGKILL")]
    finally:
        for end in (one, other, mute, pipe):
            end.close()
        engine.stop()


class Unheard:
    """A process whose end does not show at its sentinel."""

    def __init__(self, process, sentinel: int) -> None:
        self.process, self.sentinel = process, sentinel

    def __getattr__(self, name: str):
        return getattr(self.process, name)


def test_stopping_ends_busy_workers_and_those_that_ignore_ctrl_c():
    engine = Processes(Quick)
    number = engine.start()
    assert wait_for(engine) == Ready(number)
    process = engine._workers[number][0]
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.2)
    assert process.is_alive()
    engine.give(number, Job(0, ("a",), "hanging", "a.png"), "nowhere")
    engine.stop()
    assert not process.is_alive()


class Quick(Scripted):
    """A worker without settings of its own."""

    def __init__(self) -> None:
        super().__init__(Settings())


def wait_for(engine: Processes):
    for _ in range(600):
        if found := engine.events(0.2):
            assert len(found) == 1
            return found[0]
    raise AssertionError("nothing happened in two minutes")


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
