"""A server on this machine that answers as it is told to, and leave to speak to it."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stylegan_swap.weights.download import drive, transfer
from stylegan_swap.weights.registry import PublishedWeights

Answer = Callable[[BaseHTTPRequestHandler], None]
DATA = bytes(range(256)) * 12_000
SHA = hashlib.sha256(DATA).hexdigest()
PART = [".net.pt.part", ".net.pt.part.json"]


class Server:
    """Answers with `answers` in order, the last for ever; `requests` holds what was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[dict[str, str]] = []
        self.released = threading.Event()
        outer, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    outer.requests.append({"path": self.path, **dict(self.headers.items())})
                    number = min(len(outer.requests), len(outer.answers)) - 1
                with contextlib.suppress(ConnectionError):
                    outer.answers[number](self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@contextlib.contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def file(
    data: bytes = DATA,
    *,
    etag: str = '"one"',
    ranges: bool = True,
    cut: int | None = None,
    length: bool = True,
    before: Callable[[], object] | None = None,
    **headers: str,
) -> Answer:
    """Sends a file, or the asked part of it; `cut` bytes of the answer, then the connection breaks.

    Args:
        data: the file.
        etag: its version; a request for a part of another version gets the whole.
        ranges: whether parts are sent at all.
        cut: after how many bytes the connection breaks off.
        length: whether Content-Length is sent.
        before: called before the bytes after `cut`, which are then sent after all.
        headers: more of them, with _ for -.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        start = 0
        if asked and ranges and handler.headers.get("If-Range", etag) == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(data)}")
                handler.send_header("Content-Type", "text/html")
                handler.end_headers()
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(len(data) - start))
        if etag:
            handler.send_header("ETag", etag)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        body = data[start:]
        handler.wfile.write(body[:cut])
        handler.wfile.flush()
        if before is not None and cut is not None:
            before()
            handler.wfile.write(body[cut:])
        handler.close_connection = True

    return answer


def status(code: int, body: str = "", kind: str = "text/plain", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body.encode())))
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def page(body: str) -> Answer:
    return status(200, body, "text/html; charset=utf-8")


def entry(url: str = "", **more: object) -> PublishedWeights:
    fields = {"about": "a test", "file": "net.pt", "licence": "MIT", "cite": "nobody", "format": "test"}
    return PublishedWeights(name="net", url=url, **{**fields, **more})  # type: ignore[arg-type]


def reach(server_url: str) -> None:
    """Let this process speak plain HTTP, to this machine."""
    transfer.SCHEMES = ("http",)
    drive.DRIVE, drive.DRIVE_DOMAINS = server_url, ("127.0.0.1",)


def left(cache: Path) -> list[str]:
    """The files in the folder of the name."""
    folder = cache / "weights" / "net"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
