"""HTTP server of a study, by default for this computer only.

It sends the page (``page.html.j2``, ``page.css``, ``page.js``), pictures of the study under their random
names and plans without methods; it takes two kinds of short JSON: joining and answering. The page knows
steps, pictures and texts, but neither methods, sides nor checks.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from ipaddress import ip_address
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jinja2

from stylegan_swap.evaluation.study.answers import TOKEN, AnswerLog, allowed
from stylegan_swap.evaluation.study.manifest import PICTURES, SCALE, TEXTS, Study, StudyError, load_study
from stylegan_swap.evaluation.study.plan import Step, make_plan

#: Largest request body; an answer has some hundred bytes.
MOST_BYTES = 4096

_STATIC = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
_LABELS = {"left": "A", "tie": "no difference", "right": "B"}
_ONE_DAY_MS = 86_400_000
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'"


class StudyServer(ThreadingHTTPServer):
    """Serves one study.

    Attributes:
        study: the study served.
        page: its HTML document, UTF-8.
        log: the log of answers.
    """

    daemon_threads = True
    # A class of students begins at once; five waiting connections would not do.
    request_queue_size = 128

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Opens the study and the port.

        Args:
            folder: made by ``build_study``.
            host: address to listen on.
            port: 0 takes a free one.

        Raises:
            StudyError: damaged study or log, another server, or the port is taken.
        """
        self.study = load_study(folder)
        self.pictures, self.folder = self.study.pictures, folder / PICTURES
        if missing := [name for name in self.pictures if not (self.folder / name).is_file()]:
            raise StudyError(
                f"{self.folder / missing[0]}: is missing; copy the whole study or build it again"
            )
        template = jinja2.Environment(autoescape=True).from_string(_page_file("page.html.j2"))
        consent = [line for line in self.study.consent.split("\n") if line.strip()]
        self.page = template.render(title=self.study.title, consent=consent).encode()
        self.log = AnswerLog(folder, self.study)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            self.log.close()
            raise StudyError(f"{host}:{port}: cannot listen there ({error}); choose another port") from error

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"

    @property
    def only_here(self) -> bool:
        """Whether only this computer can reach the page."""
        return ip_address(str(self.server_address[0])).is_loopback

    def server_bind(self) -> None:
        """Binds without http.server's look-up of this computer's name, which asks the network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def server_close(self) -> None:
        """Closes the port and the log."""
        super().server_close()
        self.log.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Phones go away in the middle of a picture; that is no error. Others are told in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"request failed: {error!r}", file=sys.stderr)


class _Refused(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: StudyServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "study", ""
    # A connection that says nothing gives its thread back.
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        """Addresses of raters are written nowhere."""

    def _answer(self, respond: Any) -> None:
        try:
            self._check_host()
            self._reply(HTTPStatus.OK, *respond())
        except _Refused as refusal:
            # The body may be unread: what follows on this connection would be taken for a request.
            self.close_connection = True
            self._reply(refusal.status, "application/json", json.dumps({"error": str(refusal)}).encode())

    def _check_host(self) -> None:
        """A foreign page whose name was bent to 127.0.0.1 must not read the study."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.only_here and host not in ("127.0.0.1", "localhost", "::1"):
            raise _Refused(HTTPStatus.FORBIDDEN, "wrong host name")

    def _reply(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        cache = "private, max-age=3600" if kind == "image/jpeg" else "no-store"
        self.send_header("Cache-Control", cache)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY)
        # The address of the page holds the rater's token.
        self.send_header("Referrer-Policy", "no-referrer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> tuple[str, bytes]:
        address = urlsplit(self.path)
        if address.path == "/":
            return "text/html; charset=utf-8", self.server.page
        if address.path in _STATIC:
            return _STATIC[address.path], _page_file(address.path[1:]).encode()
        if address.path == "/api/plan":
            return self._json(self._plan(parse_qs(address.query).get("rater", [""])[0]))
        name = address.path.removeprefix("/picture/")
        # Only names from study.json, so no path from outside ever reaches the disk.
        if name in self.server.pictures and address.path.startswith("/picture/"):
            return "image/jpeg", (self.server.folder / name).read_bytes()
        raise _Refused(HTTPStatus.NOT_FOUND, "no such page")

    def _post(self) -> tuple[str, bytes]:
        actions = {"/api/join": self._join, "/api/answer": self._record}
        action = actions.get(urlsplit(self.path).path)
        if action is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such page")
        body = self._body()
        try:
            return self._json(action(body))
        except OSError as error:
            # 5xx: the page keeps the answer and tries again.
            print(f"an answer could not be stored: {error}", file=sys.stderr)
            raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, "not stored; try again") from error

    def _body(self) -> dict[str, Any]:
        # Forms of foreign pages cannot send this type.
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "tell the length")
        if int(length) > MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "is no JSON") from None
        if not isinstance(body, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "send an object")
        return body

    def _join(self, body: dict[str, Any]) -> dict[str, Any]:
        token = body.get("rater")
        if body.get("consent") is not True or not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise _Refused(HTTPStatus.BAD_REQUEST, "consent and a token of 32 hexadecimal digits are needed")
        try:
            self.server.log.join(token)
        except StudyError as error:
            raise _Refused(HTTPStatus.FORBIDDEN, "the study is full") from error
        return {"joined": True}

    def _record(self, body: dict[str, Any]) -> dict[str, Any]:
        rater = self._rater(body.get("rater"))
        step, answer, milliseconds = body.get("step"), body.get("answer"), body.get("ms", 0)
        steps = make_plan(self.server.study, rater)
        if type(step) is not int or not 0 <= step < len(steps):
            raise _Refused(HTTPStatus.BAD_REQUEST, "no such step")
        if not isinstance(answer, str) or answer not in allowed(self.server.study):
            raise _Refused(HTTPStatus.BAD_REQUEST, "no such answer")
        if type(milliseconds) is not int or milliseconds < 0:
            raise _Refused(HTTPStatus.BAD_REQUEST, "ms: a number of milliseconds")
        return {"answer": self.server.log.record(rater, step, answer, min(milliseconds, _ONE_DAY_MS))}

    def _rater(self, token: object) -> int:
        number = self.server.log.raters.get(token) if isinstance(token, str) else None
        if number is None:
            raise _Refused(HTTPStatus.NOT_FOUND, "no such rater; begin again")
        return number

    def _plan(self, token: str) -> dict[str, Any]:
        rater, study = self._rater(token), self.server.study
        return {
            "answered": sorted(self.server.log.answers[rater]),
            "steps": [_as_json(study, step) for step in make_plan(study, rater)],
        }

    @staticmethod
    def _json(content: dict[str, Any]) -> tuple[str, bytes]:
        return "application/json", json.dumps(content).encode()


def _page_file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _as_json(study: Study, step: Step) -> dict[str, Any]:
    """What the page may know of a step: neither its role nor the item behind it."""
    ends = SCALE[step.question]
    notes = {"1": ends[0], "5": ends[1]} if study.kind == "mos" else {}
    return {
        "text": TEXTS[study.kind][step.question],
        "reference": f"/picture/{step.reference}" if step.reference else None,
        "pictures": [f"/picture/{name}" for name in step.pictures],
        "choices": [
            {"value": value, "label": _LABELS.get(value, value), "note": notes.get(value, "")}
            for value in allowed(study)
        ],
    }
