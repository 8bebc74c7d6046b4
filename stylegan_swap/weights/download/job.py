"""What one download is: which file, from where, to where, how patient, and how its errors read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_swap.errors import DownloadError
from stylegan_swap.weights.registry import PublishedWeights


@dataclass(frozen=True)
class Network:
    """Which machines are spoken to, and with how much patience. Users get the defaults.

    Attributes:
        schemes: the only kinds of address that are opened, also after a redirection.
        drive: where Google Drive answers.
        drive_domains: to which a page of Google Drive may send us on.
        attempts: how often in a row a transfer may fail without getting on.
        longest_wait: in seconds; a server that asks for more is told as an error.
        timeout: in seconds, to connect and between two pieces.
        sleep: waits that many seconds.
    """

    schemes: frozenset[str] = frozenset({"https"})
    drive: str = "https://drive.google.com"
    drive_domains: tuple[str, ...] = ("google.com", "googleusercontent.com")
    attempts: int = 5
    longest_wait: float = 120.0
    timeout: tuple[float, float] = (15.0, 60.0)
    sleep: Callable[[float], None] = time.sleep


def _silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Job:
    """One file on its way.

    Attributes:
        entry: what is fetched.
        target: the path it will have.
        network: which machines, and how patiently.
        expected: SHA-256 the file must have; None while nobody knows it.
        say: told notes for the user, one line each.
        progress: told the bytes that are here, and how many there will be (None: unknown).
    """

    entry: PublishedWeights
    target: Path
    network: Network = field(default_factory=Network)
    expected: str | None = None
    say: Callable[[str], None] = _silent
    progress: Callable[[int, int | None], None] = _silent

    @property
    def part(self) -> Path:
        """Where the bytes are collected until they are all there."""
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def origin(self) -> Path:
        """Says which version of the file the part belongs to."""
        return self.target.with_name(f".{self.target.name}.part.json")

    @property
    def lock(self) -> Path:
        """The lock between processes."""
        return self.target.with_name(f".{self.target.name}.lock")

    def discard(self) -> None:
        """Forgets what was collected."""
        self.part.unlink(missing_ok=True)
        self.origin.unlink(missing_ok=True)

    @property
    def by_hand(self) -> str:
        """The remedy that always remains."""
        return f"open {self.entry.page} in a browser and put the file at {self.target}"

    def error(self, cause: str, remedy: str | None = None) -> DownloadError:
        """The error to raise; by default the remedy is to fetch the file by hand."""
        return DownloadError(f"{self.entry.name}: {cause}; {remedy or self.by_hand}")
