"""Inputs and outputs of the page that gradio does not have as we need them; used by ``tab_*``.

Gradio opens every uploaded picture itself, with its own limits and messages, and converts clips with FFmpeg.
Here files pass as they are: ``decode`` and ``video.reading`` judge them.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import gradio as gr
from gradio.data_classes import FileData

from stylegan_swap.app.folder import PageFolder
from stylegan_swap.errors import StyleganSwapError

_Input = TypeVar("_Input", gr.Image, gr.Video)


def photo_input(label: str, elem_id: str, height: int = 250) -> gr.Image:
    """A picture to upload, paste or take, given on as the path of the file.

    Args:
        label: above it.
        elem_id: its name in the page.
        height: in pixels.
    """
    return _as_path(
        gr.Image(
            label=label,
            height=height,
            type="filepath",
            sources=["upload", "clipboard", "webcam"],
            # On a phone there is no room for more beside the label.
            buttons=[],
            elem_id=elem_id,
            interactive=True,
        )
    )


def clip_input(label: str, elem_id: str, height: int = 250) -> gr.Video:
    """A clip to upload, given on as the path of the file; arguments as above."""
    return _as_path(
        gr.Video(
            label=label, height=height, sources=["upload"], buttons=[], elem_id=elem_id, interactive=True
        )
    )


def clip_output(label: str, elem_id: str, height: int = 420) -> gr.Video:
    """A clip as the library wrote it: a conversion would lose the marks; arguments as above."""
    video = gr.Video(label=label, height=height, buttons=[], elem_id=elem_id, interactive=False)

    def as_it_is(value: str | None) -> FileData | None:
        return None if value is None else FileData(path=value, orig_name=Path(value).name)

    vars(video)["postprocess"] = as_it_is
    return video


def _as_path(component: _Input) -> _Input:
    """Let the component give on the path of the upload; nothing is opened or converted."""
    # Not a subclass: gradio writes a file beside the module of each, into the installed package.
    vars(component)["preprocess"] = lambda payload: None if payload is None else payload.path
    # Gradio's own examples are addresses on the internet.
    vars(component)["example_payload"] = vars(component)["example_value"] = lambda: None
    return component


def before_and_after(elem_id: str) -> gr.ImageSlider:
    """The slider over a photo and its result."""
    return gr.ImageSlider(
        label="Before and after",
        type="filepath",
        buttons=["fullscreen"],
        interactive=False,
        max_height=560,
        elem_id=elem_id,
    )


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
        raise gr.Error(message, duration=None, print_exception=False) from error
    except (MemoryError, RuntimeError) as error:
        # torch's OutOfMemoryError is a RuntimeError.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        message = "not enough memory: use a smaller picture, or try again later"
        raise gr.Error(message, duration=None, print_exception=False) from error


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
