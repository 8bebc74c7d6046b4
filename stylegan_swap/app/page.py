"""The page: heading, notice, and four tabs, of which editing and generating are laid out here."""

from __future__ import annotations

import secrets
from typing import Any

import gradio as gr

from stylegan_swap.app.actions import FILE_TYPES, MOST_FACES, edit_photo, generate_faces, whole_number
from stylegan_swap.app.components import (
    QUIET,
    button,
    face_picker,
    hint,
    page_errors,
    photo_input,
    photo_result,
    queue_click,
    show_outcome,
)
from stylegan_swap.app.pictures import chosen_file
from stylegan_swap.app.tab_clip import clip_tab
from stylegan_swap.app.tab_photo import photo_tab
from stylegan_swap.app.workshop import Workshop
from stylegan_swap.errors import AppError
from stylegan_swap.provenance.consent import CONSENT

_HEADING = """<h1>stylegan_swap</h1>
<p>Puts the face of the identity into another picture. Everything happens on the computer that serves this
page.</p>"""
_PHOTO_TAB = "photo"
_LARGEST_RANDOM_SEED = 1_000_000


def build_page(workshop: Workshop, *, keep_seconds: int, queue: int) -> gr.Blocks:
    """Lay the whole page out.

    Args:
        workshop: shared state of its tabs.
        keep_seconds: age at which uploads and results are deleted.
        queue: requests that may wait; further ones are refused.
    """
    # Deletion runs four times within the age, so that nothing stays much longer.
    interval = max(1, keep_seconds // 4)
    cache = (interval, keep_seconds)
    with gr.Blocks(
        title="stylegan_swap", analytics_enabled=False, delete_cache=cache, fill_width=True
    ) as page:
        gr.HTML(_HEADING, elem_id="heading")
        gr.HTML(f"<span>{CONSENT[0].upper()}{CONSENT[1:]}.</span>", elem_id="consent")
        with gr.Tabs() as tabs:
            with gr.Tab("Photo", id=_PHOTO_TAB):
                identity = photo_tab(workshop)
            with gr.Tab("Clip", id="clip"):
                clip_tab(workshop)
            with gr.Tab("Edit", id="edit"):
                edit_tab(workshop)
            with gr.Tab("Generate", id="generate"):
                generate_tab(workshop, identity, tabs)

        def leave(request: gr.Request) -> None:
            workshop.jobs.stop(str(request.session_hash))

        # The clip of a closed window is not needed any more.
        page.unload(leave)
    # No calls past the queue.
    page.queue(api_open=False, max_size=queue, default_concurrency_limit=workshop.parallel)
    return page


def edit_tab(workshop: Workshop) -> None:
    """The third tab: expression, pose and more of a face in a photo."""
    if not workshop.dials:
        hint(
            "This method cannot edit: no directions lie beside its weights. Start the page with the default "
            "weights, or fit directions with `stylegan-swap directions fit`."
        )
        return
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            photo = photo_input("Photo", "edit-photo", height=280)
            face, _ = face_picker(workshop, photo, name="edit-faces", several=False)
            hint("1 is the usual spread among people; yaw and pitch are degrees. Small changes look best.")
            sliders = []
            for first in range(0, len(workshop.dials), 2):
                with gr.Row(elem_classes="pairs"):
                    for dial in workshop.dials[first : first + 2]:
                        slider = gr.Slider(-dial.reach, dial.reach, 0, step=dial.step, label=dial.label)
                        slider.min_width, slider.elem_id = 170, f"edit-{dial.name}"
                        sliders.append(slider)
            with gr.Row():
                press = button("Edit", "edit", variant="primary", scale=3)
                reset = button("All to 0")
            types = list(FILE_TYPES)
            file_type = gr.Dropdown(types, value=types[0], label="Type of the file to download")
        placeholder = "The edited photo appears here. Drag its middle line to compare."
        result = photo_result("edit-", "Download the result", placeholder)
    names = [dial.name for dial in workshop.dials]

    def run(
        photo: str | None,
        face: int | None,
        file_type: str,
        *strengths: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, str, Any]:
        with page_errors(workshop.folder):
            edits = dict(zip(names, strengths, strict=True))
            folder = workshop.folder.fresh()
            outcome = edit_photo(workshop.swapper, photo, edits, face, file_type, folder, progress)
        return show_outcome(workshop, outcome, "the photo")

    queue_click(workshop, press, run, [photo, face, file_type, *sliders], result, "edit")
    reset.click(lambda: [0.0] * len(names), None, sliders, **QUIET)


def generate_tab(workshop: Workshop, identity: gr.Image, tabs: gr.Tabs) -> None:
    """The fourth tab: faces of nobody; a chosen one goes to ``identity`` on the first tab."""
    if not workshop.generates:
        hint("This method has no generator: start the page with weights of a network.")
        return
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280):
            number = gr.Slider(1, MOST_FACES, 8, step=1, label="Number of faces")
            info = "0: the average face, 1: all"
            psi = gr.Slider(0, 1, 0.7, step=0.05, label="Variety (truncation_psi)", info=info)
            with gr.Row():
                seed = gr.Number(0, label="First seed", precision=0, minimum=0, min_width=110)
                random_seed = button("Random seed", min_width=110)
            press = button("Generate", "generate", variant="primary")
            use = button("Use the chosen face as identity", "use", interactive=False)
            hint("Nobody here exists. Click a face to choose it. The same seed always gives the same face.")
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
    files, chosen = gr.State([]), gr.State(None)

    def run(
        number: float,
        psi: float,
        seed: float | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, list[str], None, Any]:
        with page_errors(workshop.folder):
            first, folder = whole_number(seed, "the seed"), workshop.folder.fresh()
            faces = generate_faces(workshop.swapper, int(number), first, psi, folder, progress)
        pictures = [(str(path), caption) for path, caption in faces]
        paths = [path for path, _ in pictures]
        return gr.Gallery(pictures, selected_index=None), paths, None, _use_button(None)

    def choose(event: gr.SelectData) -> tuple[int, Any]:
        return event.index, _use_button(event.index)

    def hand_over(files: list[str], chosen: int | None) -> tuple[str, Any]:
        with page_errors(workshop.folder):
            if chosen is None or not 0 <= chosen < len(files):
                raise AppError("click a face first")
            return str(chosen_file(files[chosen], "a face")), gr.Tabs(selected=_PHOTO_TAB)

    queue_click(workshop, press, run, [number, psi, seed], [gallery, files, chosen, use], "generate")
    random_seed.click(lambda: secrets.randbelow(_LARGEST_RANDOM_SEED), None, seed, **QUIET)
    gallery.select(choose, None, [chosen, use], **QUIET)
    use.click(hand_over, [files, chosen], [identity, tabs], api_visibility="private")


def _use_button(chosen: int | None) -> Any:
    return gr.Button(interactive=chosen is not None, variant="secondary" if chosen is None else "primary")
