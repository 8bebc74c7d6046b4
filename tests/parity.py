"""`make parity`: runs the tests marked `golden` and counts which recorded cases they really compared.

A case counts as run when a test that passed read one of its recorded outputs through `golden.py`; one
recorded without outputs (a file to be read), when a test that passed opened it. Names in the source of
a test count for nothing.

Loaded as a plugin (`-p parity`), the module hands what the loader notes to the report of the test that
was running, in whichever process that is; as a script it runs pytest and prints the table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import golden
import pytest

PREFIXES = (
    *("rosinality_", "nvlabs_", "psp_", "e4e_", "arcface_", "inversion_"),
    *("ops_", "megafs_", "fslsd_", "rafswap_", "ada_"),
)
"""Whose cases must all run; the folder may hold those of other systems."""

LEFT_OUT = {
    "ops_filtered_lrelu": "an operation of StyleGAN3, which no network here uses",
    "fslsd_unet": "a mask network that FSLSD ships and its swap never calls",
}
"""The cases that need not run, and why."""

PROPERTY = "golden"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: Any) -> None:
    """Tie what the loader handed out since the last report to the running test."""
    item.user_properties += [(PROPERTY, use) for use in golden.take_uses()]


def recorded(folder: Path) -> dict[str, bool]:
    """Case in `folder` that must run → whether outputs were recorded with it."""
    files = {path.name for path in folder.iterdir()}
    names = {Path(file).stem for file in files if file.endswith((".json", ".safetensors", ".pkl"))}
    return {name: f"{name}.safetensors" in files for name in sorted(names) if name.startswith(PREFIXES)}


# pluggy keeps plugins in sets.
@dataclass(eq=False)
class Record:
    """Plugin of the process that prints: what each test used, and how it ended."""

    uses: dict[str, set[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the uses and the outcome of one phase (setup, call or teardown) of one test."""
        uses = self.uses.setdefault(report.nodeid, set())
        uses |= {str(use) for name, use in report.user_properties if name == PROPERTY}
        if report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
        elif report.when == "call":
            self.outcomes.setdefault(report.nodeid, "passed")

    def of(self, case: str, has_outputs: bool) -> dict[str, str]:
        """Test → outcome, of the tests that compared `case`, or failed or were skipped once they had it."""
        found = {}
        for test, uses in self.uses.items():
            outcome = self.outcomes.get(test, "failed")
            compared = any(use.startswith(f"{case}/") for use in uses)
            if compared or (case in uses and not (has_outputs and outcome == "passed")):
                found[test] = outcome
        return found


@dataclass
class Row:
    """One line of the table."""

    case: str
    tests: int
    status: str


def rows(cases: Mapping[str, bool], record: Record) -> list[Row]:
    """Each case with the number of its tests and `passed`, `failed` or `not run`."""
    table = []
    for case, has_outputs in cases.items():
        outcomes = record.of(case, has_outputs)
        seen = set(outcomes.values())
        status = "failed" if "failed" in seen else "passed" if "passed" in seen else "not run"
        table.append(Row(case, len(outcomes), status))
    return table


def closing(table: Iterable[Row], left_out: Mapping[str, str] = LEFT_OUT) -> tuple[list[str], bool]:
    """The lines below the table, and whether every case that must pass did."""
    table = list(table)
    names = {status: [row.case for row in table if row.status == status] for status in ("failed", "not run")}
    allowed = [case for case in names["not run"] if case in left_out]
    missing = [case for case in names["not run"] if case not in left_out]
    reasons = "; ".join(f"{case} ({left_out[case]})" for case in allowed)
    lines = []
    if not table:
        lines.append("The folder holds no case to run.")
    if names["failed"]:
        lines.append("Failed: " + ", ".join(names["failed"]))
    if missing:
        lines.append("Not run, and not on the list of those left out: " + ", ".join(missing))
    run = len(table) - len(names["not run"])
    lines.append(f"{run} cases run, {len(allowed)} left out" + (f": {reasons}" if reasons else ""))
    return lines, bool(table) and not names["failed"] and not missing


def main(arguments: list[str]) -> int:
    """Run the tests with `arguments` for pytest, print the table, and return 0 when nothing is amiss."""
    folder = os.environ.get(golden.ENVIRONMENT, "")
    if not folder or not Path(folder).is_dir():
        problem = f"names no folder: {folder}" if folder else "is not set"
        print(
            f"{golden.ENVIRONMENT} {problem}. Set it to the folder of recorded outputs to compare with.",
            file=sys.stderr,
        )
        return 1
    record = Record()
    code = pytest.main(["-p", "parity", "-m", "golden", *arguments], plugins=[record])
    table = rows(recorded(Path(folder)), record)
    width = max([len("case"), *(len(row.case) for row in table)])
    print(f"\n{'case':{width}}  tests  result")
    for row in table:
        print(f"{row.case:{width}}  {row.tests:5}  {row.status}")
    lines, complete = closing(table)
    print("\n" + "\n".join(lines))
    return 0 if complete and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
