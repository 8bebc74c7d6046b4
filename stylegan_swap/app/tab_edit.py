"""The third tab: expression, pose and more of a face in a photo. What happens is in ``edit``."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stylegan_swap.app.components import before_and_after, photo_input, sentences, told
from stylegan_swap.app.edit import FILE_TYPES, edit_photo
from stylegan_swap.app.faces_found import faces_to_pick
from stylegan_swap.app.tab_photo import shown
from stylegan_swap.app.workshop import NETWORK, Workshop

_EMPTY = sentences([], aside=["The edited photo appears here. Drag its middle line to compare."])
_NONE = (
    "This method cannot edit: no directions lie beside its weights. Start the page with the default weights, "
    "or fit directions with `stylegan-swap directions fit`."
)


def edit_tab(workshop: Workshop) -> None:
    """Lay the tab out."""
    if not workshop.dials:
        gr.Markdown(_NONE, elem_classes="hint")
        return
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            photo = photo_input("Photo", "edit-photo", height=280)
            face, _ = faces_to_pick(workshop, photo, name="edit-faces", several=False)
            gr.Markdown(
                "1 is the usual spread among people; yaw and pitch are degrees. Small changes look best.",
                elem_classes="hint",
            )
            sliders = []
            for pair in range(0, len(workshop.dials), 2):
                with gr.Row(elem_classes="pairs"):
                    for dial in workshop.dials[pair : pair + 2]:
                        sliders.append(
                            gr.Slider(
                                -dial.reach,
                                dial.reach,
                                0,
                                step=dial.step,
                                label=dial.label,
                                min_width=170,
                                elem_id=f"edit-{dial.name}",
                            )
                        )
            with gr.Row():
                press = gr.Button(
                    "Edit", variant="primary", elem_id="edit", elem_classes="pressable", scale=3
                )
                reset = gr.Button("All to 0", elem_classes="pressable")
            file_type = gr.Dropdown(
                list(FILE_TYPES), value=FILE_TYPES[0], label="Type of the file to download"
            )
        with gr.Column(scale=6, min_width=320):
            slider = before_and_after("edit-result")
            text = gr.HTML(_EMPTY, elem_id="edit-outcome")
            download = gr.DownloadButton(
                "Download the result", interactive=False, elem_id="download-edit", elem_classes="pressable"
            )
    names = [dial.name for dial in workshop.dials]

    def run(
        photo: str | None,
        face: int | None,
        file_type: str,
        *strengths: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, str, Any]:
        with told(workshop.folder):
            outcome = edit_photo(
                workshop.swapper,
                photo,
                dict(zip(names, strengths, strict=True)),
                face,
                file_type,
                workshop.folder.fresh(),
                progress,
            )
        return shown(workshop, outcome, "the photo")

    press.click(
        run,
        [photo, face, file_type, *sliders],
        [slider, text, download],
        api_name="edit",
        concurrency_id=NETWORK,
        concurrency_limit=workshop.at_once,
        show_progress_on=slider,
    )
    reset.click(lambda: [0.0] * len(names), None, sliders, queue=False, api_visibility="private")
