"""Inputs and outputs of the page that gradio does not have as we need them; used by ``tab_*``.

Gradio opens every uploaded picture itself, with its own limits and messages, and converts clips with FFmpeg.
Here files pass as they are: ``decode`` and ``video.reading`` judge them.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData, ImageData

from stylegan_swap.app.folder import PageFolder
from stylegan_swap.errors import StyleganSwapError


class PhotoInput(gr.Image):
    """A picture to upload, paste or take, given on as the path of the file.

    Args:
        label: above it.
        height: in pixels.
        elem_id: its name in the page.
    """

    is_template = True

    def __init__(self, label: str, *, height: int = 250, elem_id: str | None = None) -> None:
        super().__init__(
            label=label,
            height=height,
            type="filepath",
            sources=["upload", "clipboard", "webcam"],
            buttons=["fullscreen"],
            elem_id=elem_id,
            interactive=True,
        )

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path of the upload; nothing is opened."""
        return None if payload is None else payload.path

    def example_payload(self) -> Any:
        """Gradio's own example is an address on the internet."""
        return None

    def example_value(self) -> Any:
        """Likewise."""
        return None


class ClipInput(gr.Video):
    """A clip to upload, given on as the path of the file.

    Args:
        label: above it.
        height: in pixels.
        elem_id: its name in the page.
    """

    is_template = True

    def __init__(self, label: str, *, height: int = 250, elem_id: str | None = None) -> None:
        super().__init__(
            label=label, height=height, sources=["upload"], buttons=[], elem_id=elem_id, interactive=True
        )

    def preprocess(self, payload: FileData | None) -> str | None:
        """The path of the upload; nothing is opened or converted."""
        return None if payload is None else payload.path

    def example_payload(self) -> Any:
        """Gradio's own example is an address on the internet."""
        return None

    def example_value(self) -> Any:
        """Likewise."""
        return None


class ClipOutput(gr.Video):
    """A clip as the library wrote it.

    Args:
        label: above it.
        height: in pixels.
        elem_id: its name in the page.
    """

    is_template = True

    def __init__(self, label: str, *, height: int = 420, elem_id: str | None = None) -> None:
        super().__init__(label=label, height=height, buttons=[], elem_id=elem_id, interactive=False)

    def postprocess(self, value: str | Path | None) -> FileData | None:
        """The file as it is: a conversion would lose the marks."""
        return None if value is None else FileData(path=str(value), orig_name=Path(value).name)


class FaceTiles(gr.CheckboxGroup):
    """Faces to tick. What is ticked is judged by the work, as the faces differ from photo to photo."""

    is_template = True

    def preprocess(self, payload: list[Any]) -> list[Any]:
        """The numbers of the faces, unchecked."""
        return list(payload or [])


class FaceChoice(gr.Radio):
    """One face to choose; see ``FaceTiles``."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The number of the face, unchecked."""
        return payload


@contextlib.contextmanager
def told(folder: PageFolder) -> Iterator[None]:
    """What the library raises on purpose appears on the page in its own words.

    Raises:
        gr.Error: with the message, and files by their bare names.
    """
    try:
        yield
    except StyleganSwapError as error:
        message = html.escape(folder.plain(str(error)), quote=False)
        raise gr.Error(message, duration=None, title="That did not work", print_exception=False) from error
    except (MemoryError, RuntimeError) as error:
        # torch's OutOfMemoryError is a RuntimeError.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        message = "not enough memory: use a smaller picture, or try again later"
        raise gr.Error(message, duration=None, title="That did not work", print_exception=False) from error


def sentences(first: Sequence[str], notes: Sequence[str] = (), aside: Sequence[str] = ()) -> str:
    """Sentences as HTML; whatever they hold is text.

    Args:
        first: what matters most.
        notes: warnings, as a list.
        aside: what is good to know.
    """
    parts = [f'<p class="first">{html.escape(line)}</p>' for line in first]
    if notes:
        parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in notes) + "</ul>")
    parts += [f'<p class="aside">{html.escape(line)}</p>' for line in aside]
    return f'<div class="outcome" role="status">{"".join(parts)}</div>'
