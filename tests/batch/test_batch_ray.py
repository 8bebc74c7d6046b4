"""The engine ``ray``, with Ray started here for two workers."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: Ray leaves threads, and looks for this machine's address outside.
CONDUCT = """
import sys
from pathlib import Path
from batch_workers import Scripted
from stylegan_swap.batch import read_jobs, run, run_batch
from stylegan_swap.errors import CheckpointError
if __name__ == "__main__":
    run.SwapWorker = Scripted
    jobs = read_jobs(Path("jobs.csv"))
    summary = run_batch(jobs, "out", workers=2, engine="ray", timeout=20)
    print(summary.done, summary.skipped, sorted(summary.failed))
"""


@pytest.mark.slow
def test_killed_workers_and_poison_on_ray(tmp_path):
    names = ["a", "killed-once", "b", "deadly", "c", "bad", *"defgh"]
    for name in ("ann.png", *names):
        (tmp_path / name).write_text(name)
    (tmp_path / "jobs.csv").write_text("identity,attribute\n" + "".join(f"ann.png,{n}\n" for n in names))
    (tmp_path / "conduct.py").write_text(CONDUCT)
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).resolve().parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "conduct.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "9 0 ['00003.png', '00005.png']"
    with open(tmp_path / "out/results.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["output"] for row in rows] == [f"{number:05d}.png" for number in range(11)]
    attempts = {row["output"]: row["attempts"] for row in rows}
    assert attempts["00001.png"] == attempts["00003.png"] == "2"
    assert list(attempts.values()).count("1") == 9
    assert rows[3]["error"].startswith("WorkerDied: 2 workers died") and "on Ray" in rows[3]["error"]
    assert rows[5]["error"] == "ImageReadError: it is bad"
    ok = [f"{number:05d}.png" for number in range(11) if number not in (3, 5)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*ok, "results.csv"])
    # Who was killed is not among those who finished.
    assert len({row["worker"] for row in rows if row["status"] == "ok"}) >= 2
