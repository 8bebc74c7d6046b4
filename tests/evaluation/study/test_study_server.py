"""The server: what it refuses and never tells; no acknowledged answer is lost or doubled."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from urllib.parse import urlsplit

import pytest
from evaluation.study.raters import Rater, fetch, make_study, serving

from stylegan_swap.evaluation.study.answers import ANSWERS_FILE, AnswerLog, read_answers
from stylegan_swap.evaluation.study.manifest import StudyError, load_study
from stylegan_swap.evaluation.study.server import MOST_BYTES, StudyServer

METHODS = ("unguessable-one", "unguessable-two")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("server"), METHODS, 6, items=4, checks=2, duplicates=1)


@pytest.fixture(scope="module")
def url(folder):
    with serving(folder) as address:
        yield address


def lines(folder):
    return [json.loads(line) for line in (folder / ANSWERS_FILE).read_text().splitlines()]


def test_nothing_tells_methods_or_roles(url):
    rater = Rater(url)
    rater.join()
    plan = rater.plan()
    pages = [fetch(url + name)[1].decode() for name in ("", "page.js", "page.css")]
    everything = json.dumps(plan) + "".join(pages)
    assert not [word for word in (*METHODS, '"check"', "duplicate", "expected", "c000") if word in everything]
    status, picture = fetch(url + plan["steps"][0]["pictures"][0].lstrip("/"))
    assert status == 200 and picture[:2] == b"\xff\xd8" and b"unguessable" not in picture
    assert "http" not in "".join(pages).replace("http-equiv", ""), "nothing comes from elsewhere"


def test_other_paths_are_not_found(url):
    for path in (
        "study.json",
        "answers.jsonl",
        "picture/../study.json",
        "picture/..%2fstudy.json",
        "picture/%2e%2e/study.json",
        "picture//etc/passwd",
        "..",
        "pictures/",
        "api/plan?rater=" + "0" * 32,
        "api/plan",
    ):
        host = urlsplit(url)
        # By hand: urllib would tidy the path.
        with socket.create_connection((host.hostname, host.port), 5) as client:
            client.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            reply = b"".join(iter(lambda: client.recv(4096), b""))
        assert reply.startswith(b"HTTP/1.1 404") and METHODS[0].encode() not in reply


def test_bad_uploads_are_refused(url, folder):
    for raw, headers, status in (
        (b"{", {}, 400),
        (b"[1]", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[" * 4000, {}, 400),
        (b"{}", {}, 404),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b" " * (MOST_BYTES + 1), {}, 413),
        (b"{}", {"Content-Length": "-1"}, 411),
        (b"{}", {"Host": "evil.example"}, 403),
    ):
        before = lines(folder) if (folder / ANSWERS_FILE).exists() else []
        assert fetch(f"{url}api/answer", raw=raw, headers=headers)[0] == status
        assert lines(folder) == before


def test_bad_answers_are_refused(url, folder):
    for wrong in (
        {"step": -1},
        {"step": 10_000},
        {"step": True},
        {"step": "1"},
        {"answer": "1"},
        {"answer": None},
        {"answer": ["left"]},
        {"ms": -1},
        {"ms": 1.5},
    ):
        rater = Rater(url)
        rater.join()
        before = lines(folder)
        body = {"rater": rater.token, "step": 0, "answer": "left", "ms": 5, **wrong}
        assert fetch(f"{url}api/answer", body)[0] == 400
        assert lines(folder) == before


def test_joining_needs_consent_and_a_token(url):
    for body in (
        {"rater": "0" * 32},
        {"rater": "0" * 32, "consent": "yes"},
        {"rater": "../x", "consent": True},
    ):
        assert fetch(f"{url}api/join", body)[0] == 400


def test_double_clicks_and_reloads(url, folder):
    rater = Rater(url)
    assert rater.join() == rater.join() == 200
    replies: list[bytes] = []

    def press(value):
        replies.append(rater.answer(0, value)[1])

    threads = [threading.Thread(target=press, args=(value,)) for value in ("left", "right") * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 16 and len(set(replies)) == 1, "all are told the answer that was kept"
    number = next(line["rater"] for line in lines(folder) if line.get("token") == rater.token)
    kept = [line for line in lines(folder) if line["event"] == "answer" and line["rater"] == number]
    assert len(kept) == 1 and json.loads(replies[0]) == {"answer": kept[0]["answer"]}
    assert rater.plan()["answered"] == [0]
    assert sum(line.get("token") == rater.token for line in lines(folder)) == 1


def test_a_killed_server_keeps_every_answer(tmp_path):
    folder = make_study(tmp_path, METHODS, 6, items=6, checks=2)
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from stylegan_swap.evaluation.study.server import StudyServer\n"
        "with StudyServer(Path(sys.argv[1]), port=0) as server:\n"
        "    print(server.url, flush=True)\n    server.serve_forever()\n"
    )
    acknowledged: dict[str, dict[int, str]] = {}
    plans = {}
    wrong: list[str] = []
    tokens = [Rater("").token for _ in range(3)]
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()

        def work(token, address=address):
            rater = Rater(address, token)
            try:
                rater.join()
                plan = rater.plan()
                # An assertion in a thread would only be a warning.
                if plans.setdefault(token, plan["steps"]) != plan["steps"]:
                    wrong.append("another plan after the restart")
                if not set(acknowledged.get(token, {})) <= set(plan["answered"]):
                    wrong.append("an answer was lost")
                for step in range(len(plan["steps"])):
                    if step not in plan["answered"] and rater.answer(step, "right")[0] == 200:
                        acknowledged.setdefault(token, {})[step] = "right"
            except (OSError, ValueError, HTTPException):
                pass  # the server was killed

        threads = [threading.Thread(target=work, args=(token,)) for token in tokens]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while not acknowledged and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.03)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for thread in threads:
            thread.join()
    assert not wrong and acknowledged
    with (folder / ANSWERS_FILE).open("ab") as file:
        file.write(b'{"event": "answer", "rater": 0, "st')  # the power went while writing
    with serving(folder) as url:
        for token in tokens:
            rater = Rater(url, token)
            rater.join()
            assert set(acknowledged.get(token, {})) <= set(rater.plan()["answered"])
            for step in range(len(rater.plan()["steps"])):
                assert rater.answer(step, "right")[0] == 200
    study = load_study(folder)
    answers = read_answers(folder, study)
    places = [(answer.rater, answer.step) for answer in answers]
    assert len(places) == len(set(places)) == sum(len(steps) for steps in plans.values())


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path, monkeypatch):
    folder = make_study(tmp_path, METHODS, 4, items=3, checks=0, duplicates=0)
    with serving(folder) as url:
        rater = Rater(url)
        rater.join()
        before = (folder / ANSWERS_FILE).read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("stylegan_swap.evaluation.study.answers.os.fsync", full)
            assert rater.answer(0, "left")[0] == 507
        assert (folder / ANSWERS_FILE).read_bytes() == before
        assert rater.plan()["answered"] == []
        assert rater.answer(0, "right")[0] == 200


def test_one_server_per_study(tmp_path):
    folder = make_study(tmp_path, METHODS, 4, items=3, checks=0)
    with serving(folder), pytest.raises(StudyError, match="another server"):
        StudyServer(folder, port=0)


def test_answers_of_another_study_are_refused(tmp_path):
    first = make_study(tmp_path / "a", METHODS, 4, items=3, checks=0)
    second = make_study(tmp_path / "b", METHODS, 4, items=3, checks=0, seed=9)
    log = AnswerLog(first, load_study(first))
    log.join("0" * 32)
    log.close()
    (second / ANSWERS_FILE).write_bytes((first / ANSWERS_FILE).read_bytes())
    with pytest.raises(StudyError, match="another study"):
        AnswerLog(second, load_study(second))
    (first / ANSWERS_FILE).write_bytes(b"nonsense\n" + (first / ANSWERS_FILE).read_bytes())
    with pytest.raises(StudyError, match="line 1 is damaged"):
        read_answers(first, load_study(first))
