"""A batch of 200 swaps in which a photo is damaged and a worker is killed: what is lost, and how fast it is.

Usage: ``python benchmarks/batch.py [--pairs 200] [--workers 2] [--engines processes,ray] [--out FOLDER]``.
Photos: scikit-image's astronaut, matplotlib's Grace Hopper, and people of ``Swapper.generate``, all small.
The batch runs with one worker and undisturbed, then with several while one of them is killed, then again to
see that nothing is done twice. Prints a table; ends with an error where a result is missing, doubled, or
differs from that of the first run.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import cbook
from PIL import Image
from skimage import data

from stylegan_swap import Swapper
from stylegan_swap.batch import Job, Progress, run_batch

SIDE = 256
# Of the people drawn: who is identity, and who is attribute with Hopper and the astronaut.
IDENTITIES, ATTRIBUTES = 8, 24
POISONED = 77


def make_photos(folder: Path) -> tuple[list[Path], list[Path], Path]:
    """Identity photos, attribute photos, and a damaged one; small, so that the swap is most of the work."""
    folder.mkdir(parents=True)
    hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    real = [Image.fromarray(data.astronaut()).crop((100, 0, 356, 256)), hopper.crop((76, 60, 426, 410))]
    swapper = Swapper.from_pretrained()
    people = swapper.generate(n=IDENTITIES + ATTRIBUTES, seed=3, truncation_psi=0.5)
    paths = []
    for number, image in enumerate([*real, *people]):
        path = folder / f"{number:02d}.png"
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(path)
        paths.append(path)
    # A face that the detector does not see would be an error of its own: such people are left out.
    with_face = [path for path in paths if _has_face(swapper, path)]
    damaged = folder / "damaged.png"
    damaged.write_bytes(paths[0].read_bytes()[:5000])
    return with_face[:IDENTITIES], with_face[IDENTITIES:] + with_face[:2], damaged


def make_jobs(identities: list[Path], attributes: list[Path], damaged: Path, pairs: int) -> list[Job]:
    """Identities and attributes in alternation; one attribute photo is the damaged one."""
    jobs = []
    for number in range(pairs):
        identity = identities[number % len(identities)]
        attribute = attributes[(number // len(identities)) % len(attributes)]
        attribute = damaged if number == min(POISONED, pairs - 1) else attribute
        jobs.append(Job(number, (str(identity),), str(attribute), f"{number:03d}.png", {"seed": number}))
    return jobs


def timed(jobs: list[Job], folder: Path, workers: int, engine: str, kill_at: int | None) -> dict[str, Any]:
    """One run; with ``kill_at``, the worker that finishes that item is killed during its next."""
    killed: list[int] = []
    begun: list[float] = []

    def progress(state: Progress) -> None:
        if state.row is None:
            return
        # What starting takes is stated apart: from the first result on, all is work.
        begun.append(time.monotonic())
        if kill_at is not None and state.done + state.failed == kill_at:
            process = int(str(state.row["worker"]).split(":")[-1])
            killed.append(process)
            threading.Timer(0.05, os.kill, (process, signal.SIGKILL)).start()

    start = time.monotonic()
    summary = run_batch(
        jobs, folder, workers=workers, engine=engine, device="cpu", mark=False, progress=progress
    )
    seconds = time.monotonic() - start
    return {
        "engine": engine,
        "workers": workers,
        "killed": len(killed),
        "results": summary.done,
        "errors": list(summary.failed.values()),
        "seconds": seconds,
        "starting": begun[0] - start,
        "per_second": (len(begun) - 1) / max(begun[-1] - begun[0], 1e-9),
    }


def checked(
    jobs: list[Job], folder: Path, run: dict[str, Any], reference: dict[str, str] | None
) -> dict[str, str]:
    """The pixels' hashes of all results; raises where something is missing, doubled or different."""
    with open(folder / "results.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert Counter(row["output"] for row in rows) == Counter(job.output for job in jobs), "rows"
    ok = sorted(row["output"] for row in rows if row["status"] == "ok")
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == ok and len(ok) == len(jobs) - 1, f"{len(ok)} rows, {len(pictures)} pictures"
    assert len(run["errors"]) == 1 and "damaged.png" in run["errors"][0], run["errors"]
    assert {path.name for path in folder.iterdir()} == {*ok, "results.csv"}, "something was left behind"
    if run["killed"]:
        assert [row["attempts"] for row in rows].count("2") == 1, (
            "the killed worker's item was not done again"
        )
    hashes = {name: _pixels(folder / name) for name in pictures}
    assert reference is None or hashes == reference, "another number of workers made other pictures"
    return hashes


def _pixels(path: Path) -> str:
    with Image.open(path) as image:
        return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


def _has_face(swapper: Swapper, path: Path) -> bool:
    from stylegan_swap.errors import StyleganSwapError

    try:
        swapper.prepare(path)
    except StyleganSwapError:
        return False
    return True


def described(run: dict[str, Any]) -> str:
    """One line about a run."""
    return (
        f"{run['engine']:>10}, {run['workers']} workers, {run['killed']} killed: {run['results']} results, "
        f"{len(run['errors'])} error; {run['seconds']:.1f} s, {run['starting']:.1f} s until the first "
        f"of them, then {run['per_second']:.2f} a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", default="processes,ray")
    parser.add_argument("--out", type=Path, default=Path("runs/batch"))
    arguments = parser.parse_args()
    # One thread per worker in every run: otherwise a single worker has all cores already.
    os.environ["OMP_NUM_THREADS"] = "1"
    shutil.rmtree(arguments.out, ignore_errors=True)
    jobs = make_jobs(*make_photos(arguments.out / "photos"), arguments.pairs)
    runs, reference = [], None
    for engine in arguments.engines.split(","):
        for workers, kill_at in ((1, None), (arguments.workers, arguments.pairs // 4)):
            folder = arguments.out / f"{engine}-{workers}"
            run = timed(jobs, folder, workers, engine, kill_at)
            hashes = checked(jobs, folder, run, reference)
            reference = reference or hashes
            runs.append(run)
            print(described(run), flush=True)
        second_run = run_batch(
            jobs, arguments.out / f"{engine}-{arguments.workers}", engine="processes", mark=False
        )
        assert (second_run.done, second_run.skipped) == (0, len(jobs) - 1), "a second run did something twice"
        single, several = runs[-2:]
        working, overall = (
            several["per_second"] / single["per_second"],
            single["seconds"] / several["seconds"],
        )
        print(f"{engine:>10}: {arguments.workers} workers are {working:.2f} times as fast as one, ", end="")
        print(
            f"{overall:.2f} times with starting and the kill; the error: {several['errors'][0]}", flush=True
        )
    with open(arguments.out / "runs.json", "w", encoding="utf-8") as stream:
        json.dump(runs, stream, indent=1)


if __name__ == "__main__":
    main()
