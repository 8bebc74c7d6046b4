"""Request filter in front of gradio: the outermost layer of the page's server.

Gradio serves more than this page needs, and on request it fetches addresses on the internet. Here every
request has to be one that the page makes, by its path, its host and its size, and files are named by their
path on this computer alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_API = "/gradio_api"
_FILE = f"{_API}/file="
_UPLOAD = f"{_API}/upload"
# Whole paths, and beginnings of paths; everything else does not exist here.
_READ = {
    *("/", "/config", "/favicon.ico", "/manifest.json", "/robots.txt", "/theme.css"),
    *(f"{_API}/{name}" for name in ("info", "startup-events", "app_id", "queue/data", "upload_progress")),
    f"{_API}/theme.css",
}
_READ_BELOW = ("/static/", "/assets/", "/svelte/", f"{_API}/heartbeat/", f"{_API}/call/", _FILE)
_WRITE = {_UPLOAD, *(f"{_API}/{name}" for name in ("queue/join", "cancel", "reset"))}
_WRITE_BELOW = (f"{_API}/call/", f"{_API}/run/")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)
#: Largest form in bytes; usual ones have some kilobytes.
MOST_JSON = 1 << 20
# Bytes that an upload adds to the file's size.
_ENVELOPE_BYTES = 1 << 16

_LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
# Gradio's page has its scripts and styles inside, and builds functions from text.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _Refused(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Doorkeeper:
    """An ASGI layer round the page.

    Args:
        app: the page.
        only_here: whether only this computer may ask, under its own names.
        most_bytes: the largest upload.
    """

    def __init__(self, app: Application, *, only_here: bool, most_bytes: int) -> None:
        self.app, self.only_here, self.most_bytes = app, only_here, most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on what the page asks for; answer everything else."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the page speaks HTTP alone, not {scope['type']}")
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            self._check_host(headers)
            self._check_path(scope["method"], scope["path"])
            if scope["method"] == "POST":
                receive = await self._checked_body(scope["path"], headers, receive)
        except _Refused as refusal:
            await _answer(send, refusal.status, str(refusal))
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def _check_host(self, headers: dict[str, str]) -> None:
        """A foreign page whose name was bent to 127.0.0.1 must not use this one."""
        if not self.only_here:
            return
        try:
            host = urlsplit(f"//{headers.get('host', '')}").hostname
            origin = urlsplit(headers["origin"]).hostname if "origin" in headers else host
        except ValueError:
            host = origin = None
        if host not in _LOCAL_NAMES or origin not in _LOCAL_NAMES:
            raise _Refused(403, "this page is for its own computer alone")

    @staticmethod
    def _check_path(method: str, path: str) -> None:
        if method in ("GET", "HEAD"):
            allowed = path in _READ or path.startswith(_READ_BELOW)
        elif method == "POST":
            allowed = path in _WRITE or path.startswith(_WRITE_BELOW)
        else:
            raise _Refused(405, "this page reads and posts, nothing else")
        if not allowed:
            raise _Refused(404, "there is no such page")
        if path.startswith(_FILE) and _is_address(path[len(_FILE) :]):
            raise _Refused(403, "this page fetches nothing from elsewhere")

    async def _checked_body(self, path: str, headers: dict[str, str], receive: Receive) -> Receive:
        length = headers.get("content-length", "")
        if not re.fullmatch(r"[0-9]{1,15}", length):
            raise _Refused(411, "tell the length")
        if path == _UPLOAD:
            if int(length) > self.most_bytes + _ENVELOPE_BYTES:
                raise _Refused(
                    413, f"File size exceeded: at most {self.most_bytes / 2**20:g} MB can be uploaded"
                )
            return receive
        if int(length) > MOST_JSON:
            raise _Refused(413, "the form is too long")
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise _Refused(400, "the connection ended")
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        try:
            content = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            raise _Refused(400, "is no JSON") from None
        if any(_is_address(path) for path in _paths(content)):
            raise _Refused(403, "this page fetches nothing from elsewhere")
        return _replayed(body, receive)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The request's body once more for the next layer, then the messages of the connection."""
    replayed = False

    async def receive_body() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body


def _paths(content: Any) -> Iterator[str]:
    """Every text called "path" in a form, however deep."""
    stack = [content]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            if isinstance(part.get("path"), str):
                yield part["path"]
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _is_address(path: str) -> bool:
    """Whether a file's path is a network address; Windows has one letter before the colon."""
    return bool(_ADDRESS.match(path)) or path.lstrip().startswith(("//", "\\\\"))


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode() if status != 413 else text.encode()
    kind = b"application/json" if status != 413 else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    # The body may be unread: what follows on this connection would be taken for a request.
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
