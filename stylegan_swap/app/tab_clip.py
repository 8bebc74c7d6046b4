"""The second tab: a photo into a clip."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from stylegan_swap.app.actions import whole_number
from stylegan_swap.app.clip import CLIP_TYPES, ClipChoices, ClipJob, Stopped
from stylegan_swap.app.components import (
    QUIET,
    button,
    clip_input,
    clip_output,
    download_button,
    downloadable,
    hint,
    page_errors,
    photo_input,
    sentences,
)
from stylegan_swap.app.pictures import duration, remaining
from stylegan_swap.app.tab_photo import dial
from stylegan_swap.app.workshop import CLIPS, Workshop

_PLACEHOLDER = sentences([], aside=["The swapped clip appears here, with its sound."])
_NONE_MADE = sentences(["No clip was made."])
_FACES = [("the largest face", "largest"), ("all faces", "all"), ("a face from the left", "number")]


def clip_tab(workshop: Workshop) -> None:
    """Lay the tab out."""
    # Inputs, dials and the result.
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                identity = photo_input("Identity (target)", "clip-identity")
                clip = clip_input("Clip", "clip")
            limit = duration(workshop.clip_seconds)
            hint(f"Up to {limit} are swapped; of a longer clip, choose a part.")
            with gr.Row():
                start = gr.Number(0, label="From (seconds)", minimum=0, min_width=120)
                end = gr.Number(0, label="To (0: the end)", minimum=0, min_width=120)
            with gr.Row():
                target = gr.Radio(_FACES, value="largest", label="Who is replaced", scale=3)
                number = gr.Number(1, label="Which one", precision=0, minimum=1, visible=False, min_width=100)
            with gr.Row():
                press = button("Swap the clip", "swap-clip", variant="primary", scale=3)
                cancel = button("Cancel", "cancel-clip", variant="stop", interactive=False)
            with gr.Accordion("Dials and file type", open=False):
                dials: list[Any] = [
                    dial(workshop, "structure", 1, "Structure", "Shape of the face: 1 is the identity's."),
                    dial(workshop, "detail", 1, "Detail", "Detail finer than the network draws."),
                    gr.Checkbox(False, label="Match the skin's colours to the clip"),
                    gr.Checkbox(True, label="Steady the face over time"),
                    gr.Dropdown(list(CLIP_TYPES), value=CLIP_TYPES[0], label="Type of the file"),
                ]
        with gr.Column(scale=6, min_width=320):
            video = clip_output("Swapped clip", "clip-result")
            text = gr.HTML(_PLACEHOLDER, elem_id="clip-outcome")
            download = download_button("Download the clip", "download-clip")

    # The parameters' names are those of the API.
    def run(
        identity: str | None,
        clip: str | None,
        start: float | None,
        end: float | None,
        target: str,
        number: float | None,
        structure: float,
        detail: float,
        match_colour: bool,
        smooth: bool,
        file_type: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        with page_errors(workshop.folder):
            face = whole_number(number, "the number of the face") - 1 if target == "number" else target
            options = {"structure": structure, "detail": detail}
            options |= {"match_colour": match_colour, "smooth": smooth}
            choices = ClipChoices(face, start or 0.0, end or None, options, file_type)
            folder, limit = workshop.folder.fresh(), workshop.clip_seconds
            job = ClipJob(workshop.swapper, identity, clip, choices, folder, limit)
            unfinished = gr.DownloadButton(interactive=False)
            with workshop.jobs.running(str(request.session_hash), job):
                try:
                    for _ in job.run():
                        yield None, _progress(job), unfinished, *_buttons(True)
                except Stopped:
                    cancelled = sentences([f"Cancelled after {job.finished} frames."])
                    yield None, cancelled, unfinished, *_buttons(False)
                    return
        file = job.outcome.path
        yield str(file), _description(workshop, job), downloadable(file), *_buttons(False)

    def stop(request: gr.Request) -> tuple[Any, ...]:
        workshop.jobs.stop(str(request.session_hash))
        return _NONE_MADE, *_buttons(False)

    click = press.click(
        run,
        [identity, clip, start, end, target, number, *dials],
        [video, text, download, press, cancel],
        api_name="swap_clip",
        concurrency_id=CLIPS,
        concurrency_limit=1,
        show_progress="minimal",
        show_progress_on=text,
    )
    # After an error or a cancellation the page must not stay as it was while the clip ran.
    click.failure(lambda: (_NONE_MADE, *_buttons(False)), None, [text, press, cancel], **QUIET)
    cancel.click(stop, None, [text, press, cancel], cancels=[click], **QUIET)
    target.change(lambda kind: gr.Number(visible=kind == "number"), target, number, **QUIET)


def _buttons(in_progress: bool) -> tuple[Any, Any]:
    return gr.Button(interactive=not in_progress), gr.Button(interactive=in_progress)


def _progress(job: ClipJob) -> str:
    if job.began is None:
        words, bar = "Looking at the identity and the first frames", "<progress></progress>"
    else:
        words = remaining(job.finished, job.total, time.monotonic() - job.began)
        share = f' max="{job.total}" value="{min(job.finished, job.total)}"' if job.total else ""
        bar = f"<progress{share}></progress>"
    return f'<div class="outcome" role="status"><p class="first">{html.escape(words)}</p>{bar}</div>'


def _description(workshop: Workshop, job: ClipJob) -> str:
    outcome = job.outcome
    notes = [workshop.folder.plain(note) for note in outcome.notes]
    if outcome.without_face:
        notes.insert(0, f"{outcome.without_face} frames show no face; they are as they were.")
    return sentences(
        [f"{outcome.swapped} of {outcome.frames} frames swapped in {duration(outcome.seconds)}."],
        notes,
        [
            f"{outcome.path.name}. Marked as made with AI: metadata of the file, an invisible watermark "
            "in its frames. Tell target sees it."
        ],
    )
