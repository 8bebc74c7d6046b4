"""The second tab: a photo into a clip. What happens is in ``clip``."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from stylegan_swap.app.clip import CLIP_TYPES, ClipChoices, ClipJob, Stopped
from stylegan_swap.app.components import clip_input, clip_output, photo_input, sentences, told
from stylegan_swap.app.tab_photo import dial, whole_number
from stylegan_swap.app.words import duration, remaining
from stylegan_swap.app.workshop import CLIPS, Workshop

_EMPTY = sentences([], aside=["The swapped clip appears here, with its sound."])
_NONE_MADE = sentences(["No clip was made."])
_WHO = [("the largest face", "largest"), ("all faces", "all"), ("a face from the left", "number")]


def clip_tab(workshop: Workshop) -> None:
    """Lay the tab out."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                identity = photo_input("Identity (who)", "clip-identity")
                clip = clip_input("Clip", "clip")
            gr.Markdown(
                f"Up to {duration(workshop.clip_seconds)} are swapped; of a longer clip, choose a part.",
                elem_classes="hint",
            )
            with gr.Row():
                start = gr.Number(0, label="From (seconds)", minimum=0, min_width=120)
                end = gr.Number(0, label="To (0: the end)", minimum=0, min_width=120)
            with gr.Row():
                who = gr.Radio(_WHO, value="largest", label="Who is replaced", scale=3)
                number = gr.Number(1, label="Which one", precision=0, minimum=1, visible=False, min_width=100)
            with gr.Row():
                press = gr.Button(
                    "Swap the clip", variant="primary", elem_id="swap-clip", elem_classes="pressable", scale=3
                )
                cancel = gr.Button(
                    "Cancel",
                    variant="stop",
                    interactive=False,
                    elem_id="cancel-clip",
                    elem_classes="pressable",
                )
            with gr.Accordion("Dials and file type", open=False):
                structure = dial(
                    workshop, "structure", 1, "Structure", "Shape of the face: 1 is the identity's."
                )
                detail = dial(workshop, "detail", 1, "Detail", "Detail finer than the network draws.")
                match_colour = gr.Checkbox(False, label="Match the skin's colours to the clip")
                smooth = gr.Checkbox(True, label="Steady the face over time")
                file_type = gr.Dropdown(list(CLIP_TYPES), value=CLIP_TYPES[0], label="Type of the file")
        with gr.Column(scale=6, min_width=320):
            video = clip_output("Swapped clip", "clip-result")
            text = gr.HTML(_EMPTY, elem_id="clip-outcome")
            download = gr.DownloadButton(
                "Download the clip", interactive=False, elem_id="download-clip", elem_classes="pressable"
            )

    def run(
        identity: str | None,
        clip: str | None,
        start: float | None,
        end: float | None,
        who: str,
        number: float | None,
        structure: float,
        detail: float,
        match_colour: bool,
        smooth: bool,
        file_type: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        with told(workshop.folder):
            face = whole_number(number, "the number of the face") - 1 if who == "number" else who
            choices = ClipChoices(
                face, start or 0.0, end or None, structure, detail, match_colour, smooth, file_type
            )
            job = ClipJob(
                workshop.swapper, identity, clip, choices, workshop.folder.fresh(), workshop.clip_seconds
            )
            with workshop.jobs.running(str(request.session_hash), job):
                try:
                    for _ in job.run():
                        yield None, _progress(job), gr.DownloadButton(interactive=False), *_buttons(True)
                except Stopped:
                    yield None, _cancelled(job.done), gr.DownloadButton(interactive=False), *_buttons(False)
                    return
        yield *_shown(workshop, job), *_buttons(False)

    def stop(request: gr.Request) -> tuple[Any, ...]:
        workshop.jobs.stop(str(request.session_hash))
        return _NONE_MADE, *_buttons(False)

    outputs = [video, text, download, press, cancel]
    running = press.click(
        run,
        [identity, clip, start, end, who, number, structure, detail, match_colour, smooth, file_type],
        outputs,
        api_name="swap_clip",
        concurrency_id=CLIPS,
        concurrency_limit=1,
        show_progress="minimal",
        show_progress_on=text,
    )
    # After an error or a cancellation the page must not stay as it was while the clip ran.
    running.failure(
        lambda: (_NONE_MADE, *_buttons(False)),
        None,
        [text, press, cancel],
        queue=False,
        api_visibility="private",
    )
    cancel.click(stop, None, [text, press, cancel], queue=False, cancels=[running], api_visibility="private")
    who.change(
        lambda chosen: gr.Number(visible=chosen == "number"),
        who,
        number,
        queue=False,
        api_visibility="private",
    )


def _buttons(running: bool) -> tuple[Any, Any]:
    return gr.Button(interactive=not running), gr.Button(interactive=running)


def _progress(job: ClipJob) -> str:
    if job.began is None:
        words, bar = "Looking at the identity and the first frames", "<progress></progress>"
    else:
        words = remaining(job.done, job.total, time.monotonic() - job.began)
        most = f' max="{job.total}" value="{min(job.done, job.total)}"' if job.total else ""
        bar = f"<progress{most}></progress>"
    return f'<div class="outcome" role="status"><p class="first">{html.escape(words)}</p>{bar}</div>'


def _cancelled(done: int) -> str:
    return sentences([f"Cancelled after {done} frames."])


def _shown(workshop: Workshop, job: ClipJob) -> tuple[Any, str, Any]:
    outcome = job.outcome
    text = sentences(
        [f"{outcome.swapped} of {outcome.frames} frames swapped in {duration(outcome.seconds)}."],
        [
            *(
                [f"{outcome.without_face} frames show no face; they are as they were."]
                * bool(outcome.without_face)
            ),
            *(workshop.folder.plain(note) for note in outcome.notes),
        ],
        [
            f"{outcome.file.name}. Marked as made with AI: metadata of the file, an invisible watermark "
            "in its frames. Tell who sees it."
        ],
    )
    button = gr.DownloadButton(value=str(outcome.file), interactive=True, variant="primary")
    return str(outcome.file), text, button
