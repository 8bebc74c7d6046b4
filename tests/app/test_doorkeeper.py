"""What the outermost layer lets through, asked without a server."""

from __future__ import annotations

import asyncio
import json

from stylegan_swap.app.doorkeeper import MOST_JSON, Doorkeeper

HERE = "127.0.0.1:7860"


def ask(
    path, method="GET", *, host=HERE, origin=None, body=b"", length=None, only_here=True, most_bytes=1000
):
    """Status, headers, what the page behind it received, and the answer's body."""
    seen = {}

    async def page(scope, receive, send):
        seen["body"] = b""
        while True:
            message = await receive()
            seen["body"] += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"page"})

    parts = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:]},
    ]
    sent = []

    async def receive():
        return parts.pop(0)

    async def send(message):
        sent.append(message)

    headers = [(b"host", host.encode())]
    if origin:
        headers.append((b"origin", origin.encode()))
    if length != "none":
        headers.append((b"content-length", str(len(body) if length is None else length).encode()))
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    asyncio.run(Doorkeeper(page, only_here=only_here, most_bytes=most_bytes)(scope, receive, send))
    start = sent[0]
    return start["status"], dict(start["headers"]), seen.get("body"), sent[-1]["body"]


def test_what_the_page_asks_for_passes():
    for path in (
        "/",
        "/config",
        "/theme.css",
        "/assets/index.js",
        "/gradio_api/file=/tmp/x/a.png",
        "/gradio_api/info",
    ):
        status, headers, _, body = ask(path)
        assert (status, body) == (200, b"page")
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "http" not in policy and "*" not in policy
        assert headers[b"referrer-policy"] == b"no-referrer" and headers[b"x"] == b"y"


def test_everything_else_does_not_exist():
    for path, method in (
        ("/gradio_api/proxy=https://example.org/", "GET"),
        ("/gradio_api/openapi.json", "GET"),
        ("/gradio_api/vibe-code/", "GET"),
        ("/monitoring", "GET"),
        ("/gradio_api/run-history/records", "GET"),
        ("/gradio_api/process_recording", "POST"),
        ("/gradio_api/api/predict", "POST"),
        ("/custom_component/1/client/component/x", "GET"),
        ("/", "POST"),
    ):
        status, _, received, _ = ask(path, method)
        assert status == 404 and received is None
        assert ask(path, "DELETE")[0] == 405


def test_addresses_are_not_fetched():
    for place in (
        "http://example.org/a",
        "HTTPS://example.org/a",
        " http://example.org",
        "ftp:x",
        "//example.org/a",
        "\\\\host\\a",
    ):
        status, _, received, _ = ask(f"/gradio_api/file={place}")
        assert (status, received) == (403, None)
        form = json.dumps(
            {"data": [1, [{"deep": {"path": place, "meta": {"_type": "gradio.FileData"}}}]]}
        ).encode()
        for path in ("queue/join", "call/swap", "run/predict"):
            status, _, received, _ = ask(f"/gradio_api/{path}", "POST", body=form)
            assert (status, received) == (403, None)


def test_forms_pass_unchanged():
    form = json.dumps(
        {"data": [{"path": "/tmp/a.png", "url": "http://127.0.0.1:7860/x"}, "https://text"]}
    ).encode()
    status, _, received, _ = ask("/gradio_api/queue/join", "POST", body=form)
    assert (status, received) == (200, form)


def test_foreign_names_are_refused_on_loopback():
    for host, origin, status in (
        (HERE, None, 200),
        ("localhost:7860", "http://localhost:7860", 200),
        ("[::1]:7860", None, 200),
        ("evil.example:7860", None, 403),
        (HERE, "https://evil.example", 403),
        (HERE, "null", 403),
        ("", None, 403),
    ):
        assert ask("/", host=host, origin=origin)[0] == status
        assert ask("/", host=host, origin=origin, only_here=False)[0] == 200


def test_sizes_are_limited():
    assert ask("/gradio_api/upload", "POST", body=b"x" * 900)[0] == 200
    status, _, received, text = ask("/gradio_api/upload", "POST", length=1000 + (1 << 20))
    assert (status, received) == (413, None) and b"at most" in text
    assert ask("/gradio_api/upload", "POST", length="none")[0] == 411
    assert ask("/gradio_api/queue/join", "POST", length=MOST_JSON + 1)[0] == 413
    assert ask("/gradio_api/queue/join", "POST", body=b"{no json")[0] == 400
    assert ask("/gradio_api/queue/join", "POST", body=b"[" * 200_000)[0] == 400
