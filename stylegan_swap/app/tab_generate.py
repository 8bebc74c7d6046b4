"""The fourth tab: faces of people who do not exist, and the way from there to a swap. See ``generate``."""

from __future__ import annotations

import secrets
from typing import Any

import gradio as gr

from stylegan_swap.app.components import told
from stylegan_swap.app.generate import MOST_FACES, generate_faces
from stylegan_swap.app.pictures import chosen_file
from stylegan_swap.app.tab_photo import whole_number
from stylegan_swap.app.workshop import NETWORK, Workshop
from stylegan_swap.errors import AppError

_NONE = "This method has no generator: start the page with weights of a network."
_LARGEST_RANDOM_SEED = 1_000_000


def generate_tab(workshop: Workshop, identity: gr.Image, tabs: gr.Tabs, photo_tab: str) -> None:
    """Lay the tab out.

    Args:
        workshop: of the page.
        identity: the input that a chosen face goes to.
        tabs: of the page.
        photo_tab: the name of the tab with that input.
    """
    if not workshop.generates:
        gr.Markdown(_NONE, elem_classes="hint")
        return
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280):
            number = gr.Slider(1, MOST_FACES, 8, step=1, label="Number of faces")
            psi = gr.Slider(
                0,
                1,
                0.7,
                step=0.05,
                label="Variety (truncation_psi)",
                info="0: the average face, 1: all",
            )
            with gr.Row():
                seed = gr.Number(0, label="First seed", precision=0, minimum=0, min_width=110)
                dice = gr.Button("Random seed", elem_classes="pressable", min_width=110)
            press = gr.Button("Generate", variant="primary", elem_id="generate", elem_classes="pressable")
            use = gr.Button(
                "Use the chosen face as identity", interactive=False, elem_id="use", elem_classes="pressable"
            )
            gr.Markdown(
                "Nobody here exists. Click a face to choose it. The same seed always gives the same face.",
                elem_classes="hint",
            )
        with gr.Column(scale=8, min_width=320):
            gallery = gr.Gallery(
                label="Generated faces",
                columns=4,
                height=560,
                object_fit="contain",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="gallery",
            )
    drawn, chosen = gr.State([]), gr.State(None)

    def run(
        number: float,
        psi: float,
        seed: float | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, list[str], None, Any]:
        with told(workshop.folder):
            faces = generate_faces(
                workshop.swapper,
                int(number),
                whole_number(seed, "the seed"),
                psi,
                workshop.folder.fresh(),
                progress,
            )
        pictures = [(str(path), caption) for path, caption in faces]
        return gr.Gallery(pictures, selected_index=None), [path for path, _ in pictures], None, _button(None)

    def choose(event: gr.SelectData) -> tuple[int, Any]:
        return event.index, _button(event.index)

    def hand_over(drawn: list[str], chosen: int | None) -> tuple[str, Any]:
        with told(workshop.folder):
            if chosen is None or not 0 <= chosen < len(drawn):
                raise AppError("click a face first")
            return str(chosen_file(drawn[chosen], "a face")), gr.Tabs(selected=photo_tab)

    press.click(
        run,
        [number, psi, seed],
        [gallery, drawn, chosen, use],
        api_name="generate",
        concurrency_id=NETWORK,
        concurrency_limit=workshop.at_once,
        show_progress_on=gallery,
    )
    dice.click(
        lambda: secrets.randbelow(_LARGEST_RANDOM_SEED), None, seed, queue=False, api_visibility="private"
    )
    gallery.select(choose, None, [chosen, use], queue=False, api_visibility="private")
    use.click(hand_over, [drawn, chosen], [identity, tabs], api_visibility="private")


def _button(chosen: int | None) -> Any:
    return gr.Button(interactive=chosen is not None, variant="secondary" if chosen is None else "primary")
