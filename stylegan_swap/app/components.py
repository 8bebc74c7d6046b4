"""Inputs, outputs and events of the page as its tabs use them, and its theme.

Gradio opens every uploaded picture itself, with its own limits and messages, and converts clips with FFmpeg.
Here files pass unopened: ``images.decode`` and ``video.reading`` judge them.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from gradio.data_classes import FileData
from PIL import Image

from stylegan_swap.app.actions import ALL_FACES
from stylegan_swap.app.pictures import FaceThumbnails, Outcome, find_faces, likenesses
from stylegan_swap.app.workshop import LOOKING, NETWORK, PageFolder, Workshop
from stylegan_swap.errors import StyleganSwapError

_Input = TypeVar("_Input", gr.Image, gr.Video)

#: Options of events that neither wait in a queue nor appear in the API.
QUIET: dict[str, Any] = {"queue": False, "api_visibility": "private"}


def photo_input(label: str, elem_id: str, height: int = 250) -> gr.Image:
    """A picture to upload, paste or take; its value is the path of the file. ``height`` in px."""
    image = gr.Image(
        label=label,
        height=height,
        type="filepath",
        sources=["upload", "clipboard", "webcam"],
        # On a phone there is no room for more beside the label.
        buttons=[],
        elem_id=elem_id,
        interactive=True,
    )
    return _as_path(image)


def clip_input(label: str, elem_id: str, height: int = 250) -> gr.Video:
    """A clip to upload; its value is the path of the file."""
    options: dict[str, Any] = {"label": label, "height": height, "elem_id": elem_id}
    return _as_path(gr.Video(sources=["upload"], buttons=[], interactive=True, **options))


def clip_output(label: str, elem_id: str, height: int = 420) -> gr.Video:
    """A clip as the library wrote it: a conversion would lose the marks."""
    video = gr.Video(label=label, height=height, buttons=[], elem_id=elem_id, interactive=False)

    def unconverted(value: str | None) -> FileData | None:
        return None if value is None else FileData(path=value, orig_name=Path(value).name)

    vars(video)["postprocess"] = unconverted
    return video


def _as_path(component: _Input) -> _Input:
    """Make the component's value the path of the upload; nothing is opened or converted."""
    # Not a subclass: gradio writes a file beside the module of each, into the installed package.
    vars(component)["preprocess"] = lambda payload: None if payload is None else payload.path
    # Gradio's own examples are addresses on the internet.
    vars(component)["example_payload"] = vars(component)["example_value"] = lambda: None
    return component


def button(label: str, elem_id: str | None = None, **options: Any) -> gr.Button:
    """A button tall enough for a finger; options as gradio's."""
    return gr.Button(label, elem_id=elem_id, elem_classes="pressable", **options)


def download_button(label: str, elem_id: str) -> gr.DownloadButton:
    """The button under a result, grey until :func:`downloadable` gives it a file."""
    return gr.DownloadButton(label, interactive=False, elem_id=elem_id, elem_classes="pressable")


def downloadable(file: Path) -> gr.DownloadButton:
    """Update of a download button: this file."""
    return gr.DownloadButton(value=str(file), interactive=True, variant="primary")


def hint(text: str) -> None:
    """A line of explanation."""
    gr.Markdown(text, elem_classes="hint")


def photo_result(prefix: str, label: str, placeholder: str) -> list[Any]:
    """The column of a result: slider over photo and result, sentences, download button.

    ``prefix``: of the names in the page; ``label``: of the download button; ``placeholder``: sentence before
    there is a result.
    """
    with gr.Column(scale=6, min_width=320):
        slider = gr.ImageSlider(
            label="Before and after",
            type="filepath",
            buttons=["fullscreen"],
            interactive=False,
            max_height=560,
            elem_id=f"{prefix}result",
        )
        text = gr.HTML(sentences([], aside=[placeholder]), elem_id=f"{prefix}outcome")
        return [slider, text, download_button(label, f"{prefix}download")]


def show_outcome(workshop: Workshop, outcome: Outcome, person: str) -> tuple[Any, str, Any]:
    """Values of the three parts of :func:`photo_result`; ``person`` is compared with, in words."""
    width, height = outcome.size
    text = sentences(
        likenesses(outcome.distances, person),
        [workshop.folder.plain(note) for note in outcome.notes],
        [f"{outcome.file.name}, {width} × {height} pixels. {outcome.marked}"],
    )
    return (str(outcome.original), str(outcome.result)), text, downloadable(outcome.file)


def queue_click(
    workshop: Workshop,
    press: gr.Button,
    function: Callable[..., Any],
    inputs: list[Any],
    outputs: list[Any],
    api_name: str,
) -> None:
    """Run a function of the network in its queue when a button is pressed; progress over the first output."""
    press.click(
        function,
        inputs,
        outputs,
        api_name=api_name,
        concurrency_id=NETWORK,
        concurrency_limit=workshop.parallel,
        show_progress_on=outputs[0],
    )


@contextlib.contextmanager
def page_errors(folder: PageFolder) -> Iterator[None]:
    """Show errors of the library on the page, with files by their bare names.

    Raises:
        gr.Error: with the message.
    """
    cause: Exception
    try:
        yield
    except StyleganSwapError as error:
        message, cause = html.escape(folder.plain(str(error)), quote=False), error
    except (MemoryError, RuntimeError) as error:
        # torch's OutOfMemoryError is a RuntimeError.
        if not isinstance(error, MemoryError) and type(error).__name__ != "OutOfMemoryError":
            raise
        message, cause = "not enough memory: use a smaller picture, or try again later", error
    else:
        return
    raise gr.Error(message, duration=None, print_exception=False) from cause


def sentences(first: Sequence[str], notes: Sequence[str] = (), aside: Sequence[str] = ()) -> str:
    """Sentences as HTML; whatever they hold is text.

    ``first``: the main statement; ``notes``: warnings, as a list; ``aside``: further information.
    """
    parts = [f'<p class="first">{html.escape(line)}</p>' for line in first]
    if notes:
        parts.append("<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in notes) + "</ul>")
    parts += [f'<p class="aside">{html.escape(line)}</p>' for line in aside]
    return f'<div class="outcome" role="status">{"".join(parts)}</div>'


# Fonts of the visitor's computer: nothing is fetched from anywhere.
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """The page's theme, light and dark."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=list(_SANS),
        font_mono=list(_MONO),
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        button_large_text_size="*text_md",
        slider_color="*primary_600",
        color_accent="*primary_600",
    )


def face_picker(workshop: Workshop, photo: gr.Image, *, name: str, several: bool) -> tuple[Any, gr.State]:
    """Numbered thumbnails of a photo's faces; they appear when a photo is chosen.

    With ``several``, several can be ticked; otherwise one is chosen, or all. Returns the group ``name``,
    whose value is a list of numbers or one number, and the state with the number of faces.
    """
    pictures = gr.HTML(visible="hidden", elem_id=f"{name}-pictures")
    options: dict[str, Any] = {"choices": [], "visible": False, "interactive": True}
    options |= {"elem_id": name, "elem_classes": "face-tiles"}
    group: Any
    if several:
        info = "Tick one, several or all."
        group = gr.CheckboxGroup(label="Faces to replace", info=info, show_select_all=True, **options)
    else:
        group = gr.Radio(label="Face to edit", **options)
    count = gr.State(0)

    def clear() -> tuple[Any, Any, int]:
        empty: dict[str, Any] = {"choices": [], "visible": False}
        return (
            gr.HTML(""),
            gr.CheckboxGroup(value=[], **empty) if several else gr.Radio(value=None, **empty),
            0,
        )

    def update(path: str | None) -> tuple[Any, Any, int]:
        if not path:
            return clear()
        with page_errors(workshop.folder):
            faces = find_faces(Path(path))
        return gr.HTML(_tile_style(name, faces.thumbnails)), _choices(faces, several), len(faces.usable)

    outputs = [pictures, group, count]
    # The earlier photo's choice is cleared at once, whatever happens to this one.
    photo.change(clear, None, outputs, show_progress="hidden", **QUIET).then(
        update,
        photo,
        outputs,
        concurrency_id=LOOKING,
        concurrency_limit=workshop.parallel,
        show_progress="minimal",
        show_progress_on=photo,
        api_visibility="private",
    )
    return group, count


def _choices(faces: FaceThumbnails, several: bool) -> Any:
    names = [
        (f"{number}" if usable else f"{number}: too small", number - 1)
        for number, usable in enumerate(faces.usable, 1)
    ]
    if several:
        return gr.CheckboxGroup(choices=names, value=[faces.largest], visible=True)
    if len(names) > 1:
        names.append(("all", ALL_FACES))
    return gr.Radio(choices=names, value=faces.largest, visible=True)


def _tile_style(group: str, thumbnails: Sequence[np.ndarray]) -> str:
    """A style sheet with thumbnails (uint8 RGB) behind the choices of a group, in their order."""
    rules = []
    for number, pixels in enumerate(thumbnails, 1):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=88)
        address = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
        rules.append(f"#{group} .wrap label:nth-of-type({number}) {{ --face: url({address}); }}")
    return f"<style>{' '.join(rules)}</style>" if rules else ""
