"""Serving the page: settings, limits, start and end.

One network for everybody, one private folder, one queue; ``doorkeeper`` filters every request.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_address
from types import TracebackType
from typing import Any

from stylegan_swap.app.workshop import PageFolder
from stylegan_swap.errors import AppError, MissingDependencyError

# Read by gradio and by a library below it when they are imported or used.
_SILENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "GRADIO_ALLOWED_PATHS": "",
    "GRADIO_SHARE": "false",
}
# With fewer cores two photos at once slow each other.
_CORES_PER_PHOTO = 4
_MOST_AT_ONCE = 4


@dataclass(frozen=True)
class Settings:
    """Settings of the page.

    Attributes:
        weights: a method's name, or a folder or file with weights.
        device: see ``swap``.
        host: address to listen on; 127.0.0.1 lets nobody else in.
        port: None or 0 looks for a free one from 7860 on.
        most_megabytes: the largest upload, in units of 2²⁰ bytes.
        clip_seconds: the longest clip that is swapped.
        keep_seconds: age at which uploads and results are deleted.
        queue: requests that may wait; further ones are told that the page is busy.
    """

    weights: str = "default"
    device: str = "auto"
    host: str = "127.0.0.1"
    port: int | None = None
    most_megabytes: int = 50
    clip_seconds: float = 60.0
    keep_seconds: int = 3600
    queue: int = 256

    @property
    def only_here(self) -> bool:
        """Whether only this computer can reach the page."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False


class Server:
    """The page, served until it is closed; a context manager.

    Attributes:
        url: where the page is.
        notes: notes about the weights for the user.
    """

    def __init__(self, settings: Settings) -> None:
        """Build the network and the page, and listen.

        Raises:
            MissingDependencyError: gradio is not installed.
            AppError: the address or the port is not to be had.
            StyleganSwapError: as ``PhotoSwapper.from_pretrained``.
        """
        require_gradio()
        from stylegan_swap.swapping.swapper import PhotoSwapper

        swapper = PhotoSwapper.from_pretrained(settings.weights, device=settings.device)
        self.notes = swapper.notes
        self.folder = PageFolder()
        self._ended = threading.Event()
        self._page: Any = None
        try:
            self._page = self._listening(settings, swapper)
        except BaseException:
            self.close()
            raise
        self.url = str(self._page.local_url)
        threading.Thread(target=self._sweep, args=(settings.keep_seconds,), name="sweep", daemon=True).start()

    def _listening(self, settings: Settings, swapper: Any) -> Any:
        """The page, built and listening."""
        # Only here, for the layout imports gradio.
        from starlette.middleware import Middleware

        from stylegan_swap.app.components import theme
        from stylegan_swap.app.doorkeeper import Doorkeeper
        from stylegan_swap.app.page import build_page
        from stylegan_swap.app.workshop import Workshop

        parallel = photos_at_once(str(swapper.method.device), os.cpu_count() or 1)
        workshop = Workshop(swapper, self.folder, parallel, settings.clip_seconds)
        page = build_page(workshop, keep_seconds=settings.keep_seconds, queue=settings.queue)
        most_bytes = settings.most_megabytes << 20
        guard = Middleware(Doorkeeper, only_here=settings.only_here, most_bytes=most_bytes)
        host = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
        try:
            page.launch(
                server_name=host,
                server_port=settings.port or None,
                max_file_size=most_bytes,
                allowed_paths=[],
                share=False,
                show_error=False,
                quiet=True,
                prevent_thread_lock=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                footer_links=[],
                app_kwargs={"middleware": [guard]},
                theme=theme(),
                css=resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8"),
            )
        except (OSError, OverflowError, ValueError) as error:
            page.close(verbose=False)
            port = settings.port or "a free port"
            reason = " ".join(str(error).split())[:200]
            raise AppError(
                f"{settings.host}, {port}: cannot listen there ({reason}); choose another"
            ) from error
        return page

    def wait(self) -> None:
        """Serve until another thread closes the page, or Ctrl-C."""
        self._ended.wait()

    def close(self) -> None:
        """End the server and delete every upload and result."""
        self._ended.set()
        if self._page is not None:
            self._page.close(verbose=False)
            self._page = None
        self.folder.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sweep(self, age: int) -> None:
        # gradio deletes files that an answer named; this deletes the others, and empty folders.
        while not self._ended.wait(max(1, age // 4)):
            self.folder.sweep(age, time.time())


def photos_at_once(device: str, cores: int) -> int:
    """Number of photos to work on at the same time.

    Args:
        device: of the network. A GPU works on one while the processor prepares another.
        cores: of the processor, whose threads one network uses all.
    """
    if not device.startswith("cpu"):
        return 2
    return max(1, min(_MOST_AT_ONCE, cores // _CORES_PER_PHOTO))


def require_gradio() -> None:
    """Import gradio, with everything off that talks to the network.

    Raises:
        MissingDependencyError: it is not installed, or too old.
    """
    os.environ.update(_SILENT)
    try:
        import gradio
    except ImportError as error:
        raise MissingDependencyError(
            f"the page needs the package gradio ({error}): pip install 'stylegan-swap[app]'"
        ) from error
    if int(gradio.__version__.split(".")[0]) < 6:
        raise MissingDependencyError(
            f"the page needs gradio 6 or later, {gradio.__version__} is installed: pip install -U "
            "'stylegan-swap[app]'"
        )
