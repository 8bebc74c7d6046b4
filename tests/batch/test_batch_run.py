"""Folder and table of a batch: what is skipped, redone, refused; what a kill at any moment leaves."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import pytest
from batch_workers import LocalWorker, Scripted

from stylegan_swap.batch import Job, run, run_batch
from stylegan_swap.batch.journal import COLUMNS, Journal
from stylegan_swap.errors import BatchError, CheckpointError
from stylegan_swap.files.lock import exclusive


@pytest.fixture(autouse=True)
def scripted_workers(monkeypatch):
    monkeypatch.setattr(run, "SwapWorker", Scripted)
    monkeypatch.setattr(run, "ProcessWorker", LocalWorker)


@pytest.fixture
def listed(tmp_path):
    """Makes jobs of attribute names; the photos lie in ``photos``."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "ann.png").write_text("Ann")

    def make(*attributes: str, **options) -> list[Job]:
        for name in attributes:
            if not (photos / name).exists():
                (photos / name).write_text(name)
        ann = (str(photos / "ann.png"),)
        return [
            Job(number, ann, str(photos / name), f"{number}/{Path(name).stem}.png", options)
            for number, name in enumerate(attributes)
        ]

    return make


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_results_table_and_nothing_else(tmp_path, listed):
    jobs = listed("x.png", "bad.png", "y.png")
    seen = []
    summary = run_batch(jobs, tmp_path / "out", progress=seen.append)
    assert (summary.done, summary.skipped, summary.failed) == (
        2,
        0,
        {"1/bad.png": "ImageReadError: it is bad"},
    )
    assert summary.results == tmp_path / "out" / "results.csv"
    assert listing(tmp_path / "out") == ["0/x.png", "2/y.png", "results.csv"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0", "2", "results.csv"]
    rows = table(tmp_path / "out")
    assert [row["output"] for row in rows] == ["0/x.png", "1/bad.png", "2/y.png"]
    assert [row["status"] for row in rows] == ["ok", "error", "ok"]
    assert rows[1]["error"] == "ImageReadError: it is bad" and rows[0]["error"] == ""
    assert tuple(rows[0]) == COLUMNS
    assert [(now.done, now.failed) for now in seen] == [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert seen[0].row is None and seen[-1].row["output"] == "2/y.png"


def test_a_second_run_does_only_what_is_missing(tmp_path, listed):
    out = tmp_path / "out"
    jobs = listed("x.png", "bad.png", "y.png")
    run_batch(jobs, out)
    times = [(out / name).stat().st_mtime_ns for name in ("0/x.png", "2/y.png")]
    (tmp_path / "photos" / "good.png").write_text("good")
    again = [*jobs, Job(3, jobs[0].identity, str(tmp_path / "photos/good.png"), "3.png")]
    summary = run_batch(again, out)
    assert (summary.done, summary.skipped, len(summary.failed)) == (1, 2, 1)
    assert times == [(out / name).stat().st_mtime_ns for name in ("0/x.png", "2/y.png")]
    assert [row["output"] for row in table(out)] == ["0/x.png", "1/bad.png", "2/y.png", "3.png"]
    (out / "2/y.png").unlink()
    summary = run_batch(again, out)
    assert (summary.done, summary.skipped) == (1, 2)
    assert (out / "2/y.png").is_file()


def test_a_shorter_list_keeps_the_rows_of_the_longer(tmp_path, listed):
    jobs = listed("x.png", "y.png", "z.png")
    run_batch(jobs, tmp_path / "out")
    run_batch(jobs[2:], tmp_path / "out")
    assert sorted(row["output"] for row in table(tmp_path / "out")) == ["0/x.png", "1/y.png", "2/z.png"]


@pytest.mark.parametrize("change", ["identity", "attribute", "options", "quality", "method"])
def test_what_would_be_made_of_something_else_is_made_again(tmp_path, listed, change):
    jobs, settings = listed("x.png", "y.png"), {}
    run_batch(jobs, tmp_path / "out", method="warp")
    if change in ("identity", "attribute"):
        name = "ann.png" if change == "identity" else "x.png"
        (tmp_path / "photos" / name).write_text("another picture")
    elif change == "options":
        jobs[0] = Job(0, jobs[0].identity, jobs[0].attribute, jobs[0].output, {"structure": 0.5})
    else:
        settings = {"quality": 80} if change == "quality" else {"method": "default"}
    summary = run_batch(jobs, tmp_path / "out", **{"method": "warp", **settings})
    assert summary.done == (2 if change in ("identity", "quality", "method") else 1)
    assert [row["status"] for row in table(tmp_path / "out")] == ["ok", "ok"]
    assert run_batch(jobs, tmp_path / "out", **{"method": "warp", **settings}).skipped == 2


def test_moved_photos_and_other_devices_change_nothing(tmp_path, listed):
    jobs = listed("x.png", face=0)
    run_batch(jobs, tmp_path / "out", workers=1)
    moved = tmp_path / "moved"
    os.rename(tmp_path / "photos", moved)
    jobs = [Job(0, (str(moved / "ann.png"),), str(moved / "x.png"), "0/x.png", {"face": 0})]
    assert run_batch(jobs, tmp_path / "out", workers=3, device="cpu").skipped == 1


def test_foreign_files_are_never_replaced_unasked(tmp_path, listed):
    out, jobs = tmp_path / "out", listed("x.png", "y.png")
    (out / "0").mkdir(parents=True)
    (out / "0/x.png").write_text("somebody's")
    with pytest.raises(BatchError, match=r"0/x\.png: exists already.*--overwrite"):
        run_batch(jobs, out)
    assert (out / "0/x.png").read_text() == "somebody's" and not (out / "1").exists()
    assert run_batch(jobs, out, overwrite=True).done == 2
    # A result that was worked on since is not this batch's any more.
    (out / "1/y.png").write_text("retouched")
    with pytest.raises(BatchError, match=r"1/y\.png"):
        run_batch(jobs, out)
    assert [row["output"] for row in table(out)] == ["0/x.png", "1/y.png"]


def test_an_input_is_never_an_output(tmp_path, listed):
    jobs = listed("x.png")
    run_folder = tmp_path / "photos"
    with pytest.raises(BatchError, match=r"x\.png: is a folder or one of its own photos"):
        run_batch([Job(0, jobs[0].identity, jobs[0].attribute, "x.png")], run_folder, overwrite=True)
    assert (run_folder / "x.png").read_text() == "x.png"


class Killed(BaseException):
    """Ends everything, as a signal would."""


@pytest.mark.parametrize("moment", ["before the row", "after the row", "after the picture"])
def test_killed_at_any_moment_it_goes_on(tmp_path, listed, monkeypatch, moment):
    """Also without the last word of the run that was killed: the table."""
    out, jobs = tmp_path / "out", listed("x.png", "y.png", "z.png")
    append, put, write = Journal.append, run.put_in_place, Journal.write

    def append_or_die(self, row):
        if row["output"] == "1/y.png" and moment == "before the row":
            raise Killed
        append(self, row)

    def put_or_die(staged, result):
        if result.name == "y.png" and moment == "after the row":
            raise Killed
        put(staged, result)
        if result.name == "y.png":
            raise Killed

    tables = []

    def write_once(self, rows):
        if not tables:
            write(self, rows)
        tables.append(1)

    monkeypatch.setattr(Journal, "append", append_or_die)
    monkeypatch.setattr(run, "put_in_place", put_or_die)
    monkeypatch.setattr(Journal, "write", write_once)
    with pytest.raises(Killed):
        run_batch(jobs, out)
    monkeypatch.undo()
    monkeypatch.setattr(run, "SwapWorker", Scripted)
    monkeypatch.setattr(run, "ProcessWorker", LocalWorker)
    # The kill also cut a row in two.
    with open(out / "results.csv", "a", encoding="utf-8") as stream:
        stream.write("2/z.png,/photos/ann.p")
    summary = run_batch(jobs, out)
    assert summary.done + summary.skipped == 3
    assert summary.skipped == (2 if moment == "after the picture" else 1)
    assert [row["output"] for row in table(out)] == ["0/x.png", "1/y.png", "2/z.png"]
    assert listing(out) == ["0/x.png", "1/y.png", "2/z.png", "results.csv"]


def test_a_result_made_anew_and_killed_before_its_name_is_not_taken_for_foreign(
    tmp_path, listed, monkeypatch
):
    """The table then holds the row of the old picture and that of the new one, which never came."""
    out, jobs = tmp_path / "out", listed("x.png")
    run_batch(jobs, out)
    changed = [Job(0, jobs[0].identity, jobs[0].attribute, jobs[0].output, {"structure": 0.5})]

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run, "put_in_place", die)
        write, tables = Journal.write, []
        patch.setattr(Journal, "write", lambda *a: tables.append(1) or (len(tables) == 1 and write(*a)))
        with pytest.raises(Killed):
            run_batch(changed, out)
    assert len(table(out)) == 2
    assert run_batch(changed, out).done == 1
    assert "0.5" in (out / "0/x.png").read_text() and len(table(out)) == 1


def test_two_batches_never_share_a_folder(tmp_path, listed):
    (tmp_path / "out/.batch").mkdir(parents=True)
    lock = exclusive(tmp_path / "out/.batch/lock", waiting=lambda: None)
    with lock, pytest.raises(BatchError, match="another batch is writing there"):
        run_batch(listed("x.png"), tmp_path / "out")
    assert run_batch(listed("x.png"), tmp_path / "out").done == 1


def test_what_a_killed_run_left_is_removed(tmp_path, listed):
    left = tmp_path / "out/.batch/staged"
    left.mkdir(parents=True)
    (left / "0-0.png").write_text("half")
    (left.parent / "lock").touch()
    assert run_batch(listed("x.png"), tmp_path / "out").done == 1
    assert listing(tmp_path / "out") == ["0/x.png", "results.csv"]


def test_wrong_settings_are_told_before_anything_is_made(tmp_path, listed):
    jobs = listed("x.png")
    for options, text in (
        ({"workers": 0}, "workers must be at least 1"),
        ({"engine": "dask"}, "unknown engine 'dask'"),
        ({"quality": 101}, "quality 101"),
    ):
        with pytest.raises(BatchError, match=text):
            run_batch(jobs, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()


def test_a_method_that_cannot_be_had(tmp_path, listed):
    with pytest.raises(CheckpointError, match="no such weights"):
        run_batch(listed("x.png"), tmp_path / "out", method="refused")


def test_a_foreign_table_is_no_journal(tmp_path, listed):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.csv").write_text("name,grade\nAnn,1\n")
    with pytest.raises(BatchError, match="no table of stylegan-swap batch"):
        run_batch(listed("x.png"), tmp_path / "out")
    assert (tmp_path / "out/results.csv").read_text() == "name,grade\nAnn,1\n"


def test_rows_survive_any_text(tmp_path):
    journal = Journal(tmp_path)
    texts = ['commas, "quotes"', "two\nlines\rand\u2028more", "ümläut 日本", "=1+1", ""]
    journal.write([{"output": "0.png"}])
    for number, text in enumerate(texts, 1):
        journal.append({"output": f"{number}.png", "error": text})
    found = journal.read()
    assert [found[f"{number}.png"][0]["error"] for number in range(1, 6)] == [
        *('commas, "quotes"', "two lines and more", "ümläut 日本", "=1+1", "")
    ]
    assert journal.path.read_bytes().count(b"\n") == 7


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [run.threads_for(workers) for workers in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [run.threads_for(workers) for workers in (1, 8)] == [2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "\u00b2")
    assert run.threads_for(1) == 8


def test_without_ray_the_error_says_what_to_install(tmp_path, listed, monkeypatch):
    from stylegan_swap.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stylegan-swap\[ray\]'"):
        run_batch(listed("x.png"), tmp_path / "out", engine="ray")
