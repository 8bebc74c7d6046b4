"""Simulated raters who answer over HTTP, and results of methods that do not exist."""

from __future__ import annotations

import csv
import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan_swap.evaluation.study.build import Options, build_study
from stylegan_swap.evaluation.study.manifest import Study, load_study
from stylegan_swap.evaluation.study.server import StudyServer


def make_results(folder: Path, methods: tuple[str, ...], pairs: int, side: int = 40) -> Path:
    """``OUT/METHOD/…`` as the benchmark writes it, with coloured noise for pictures."""
    rng = np.random.default_rng(5)

    def picture(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((side, side)).save(path)

    for number in range(pairs):
        picture(folder / "identities" / f"person{number}.png")
        picture(folder / "attributes" / f"photo{number}.png")
    for method in methods:
        rows = []
        for number in range(pairs):
            result = f"{method}/results/{number:05d}.png"
            picture(folder / "out" / result)
            rows.append([number, f"person{number}.png", f"photo{number}.png", "ok", result])
        with (folder / "out" / method / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["number", "identity", "attribute", "status", "result"], *rows])
    return folder


def make_study(folder: Path, methods: tuple[str, ...], pairs: int, **options: Any) -> Path:
    """A built study in ``folder/study``."""
    make_results(folder, methods, pairs)
    build_study(
        folder / "out",
        folder / "study",
        folder / "identities",
        folder / "attributes",
        methods,
        Options(**options),
    )
    return folder / "study"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a running server."""
    with StudyServer(folder, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def fetch(
    url: str, body: Any = None, headers: dict[str, str] | None = None, raw: bytes | None = None
) -> tuple[int, bytes]:
    """Status and content, also of refusals."""
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Rater:
    """What the page's script does, without the page."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url, self.token = url, token or secrets.token_hex(16)

    def join(self) -> int:
        return fetch(f"{self.url}api/join", {"rater": self.token, "consent": True})[0]

    def plan(self) -> dict[str, Any]:
        return json.loads(fetch(f"{self.url}api/plan?rater={self.token}")[1])

    def answer(self, step: int, value: str, ms: int = 900) -> tuple[int, bytes]:
        body = {"rater": self.token, "step": step, "answer": value, "ms": ms}
        return fetch(f"{self.url}api/answer", body)

    def answer_all(self, choose: Callable[[dict[str, Any]], str]) -> None:
        assert self.join() == 200
        for number, step in enumerate(self.plan()["steps"]):
            assert self.answer(number, choose(step))[0] == 200


def knowing(study: Study) -> Callable[[str], tuple[str, str]]:
    """For a picture's address: ("method", its name), ("check", "good") or ("check", "bad")."""
    known = {
        name: ("method", method)
        for item in study.items
        for name, method in zip(item.pictures, item.methods, strict=True)
    }
    for check in study.checks:
        known[check.pictures[0]] = ("check", "bad" if check.expected == "low" else "good")
        if len(check.pictures) > 1:
            known[check.pictures[1]] = ("check", "bad")
    return lambda address: known[address.rsplit("/", 1)[1]]


def careful(
    folder: Path,
    strengths: dict[str, float],
    rng: np.random.Generator,
    lapses: float = 0.01,
    ties: float = 0.0,
) -> Callable[[dict[str, Any]], str]:
    """Chooses by Bradley–Terry with these log strengths and sees the checks."""
    look = knowing(load_study(folder))

    def choose(step: dict[str, Any]) -> str:
        (kind, left), (_, right) = (look(address) for address in step["pictures"])
        if rng.random() < lapses:
            return str(rng.choice(["left", "right"]))
        if kind == "check":
            return "left" if left == "good" else "right"
        if rng.random() < ties:
            return "tie"
        return "left" if rng.random() < 1 / (1 + np.exp(strengths[right] - strengths[left])) else "right"

    return choose


def careless(rng: np.random.Generator) -> Callable[[dict[str, Any]], str]:
    """Presses any button."""
    return lambda step: str(rng.choice([choice["value"] for choice in step["choices"]]))
