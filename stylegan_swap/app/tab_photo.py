"""The first tab: two photos, one swap."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stylegan_swap.app.actions import MOST_REFINE, SwapChoices, mask_choices, swap_photo, whole_number
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
from stylegan_swap.app.pictures import FILE_TYPES
from stylegan_swap.app.workshop import Workshop
from stylegan_swap.faces.masks.mask_options import EDGE, REGIONS, WIDEST_BLUR
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.provenance.photo_file import write_photo

_MASKS = [
    ("spare hands, hair and glasses", "predicted"),
    ("whole face, whatever lies before it", "hull"),
    ("whole face, but spare what lies before it", "hull+predicted"),
    ("brows, eyes, nose and mouth only", "inner"),
    ("rectangle round the face", "box"),
]


def photo_tab(workshop: Workshop) -> gr.Image:
    """Lay the tab out; returns the identity's input, which other tabs may fill."""
    # Inputs, dials and the result.
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                identity = photo_input("Identity (who)", "identity")
                attribute = photo_input("Attribute (where)", "attribute")
            faces, count = face_picker(workshop, attribute, name="faces", several=True)
            with gr.Row():
                press = button("Swap", "swap", variant="primary", scale=3)
                example = button("Try an example", "example", scale=1, min_width=150)
            dials = _dials(workshop)
            masks = _masks()
        placeholder = "The result appears here. Drag its middle line to compare."
        result = photo_result("", "Download the result", placeholder)

    # The parameters' names are those of the API.
    def run(
        identity: str | None,
        attribute: str | None,
        faces: list[int],
        faces_found: int,
        structure: float,
        appearance: float,
        detail: float,
        refine: float,
        match_colour: bool,
        own_noise: bool,
        seed: float | None,
        file_type: str,
        mask: str,
        keep: list[str],
        own_edge: bool,
        blur: float,
        top: float,
        right: float,
        bottom: float,
        left: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, str, Any]:
        with page_errors(workshop.folder):
            choices = SwapChoices(
                faces=tuple(faces),
                of=int(faces_found or 0),
                refine=int(refine),
                options={
                    "structure": structure,
                    "appearance": appearance,
                    "detail": detail,
                    "match_colour": match_colour,
                    "seed": whole_number(seed, "the seed") if own_noise else None,
                    "mask": mask_choices(mask, keep, own_edge, blur, (top, right, bottom, left)),
                },
                file_type=file_type,
            )
            folder = workshop.folder.fresh()
            outcome = swap_photo(workshop.swapper, identity, attribute, choices, folder, progress)
        return show_outcome(workshop, outcome, "the identity")

    def fill() -> tuple[str, ...]:
        with page_errors(workshop.folder):
            return portraits(workshop)

    queue_click(workshop, press, run, [identity, attribute, faces, count, *dials, *masks], result, "swap")
    example.click(fill, None, [identity, attribute], show_progress="minimal", api_visibility="private")
    return identity


def portraits(workshop: Workshop) -> tuple[str, ...]:
    """Files of the two public-domain portraits: identity and attribute photo."""
    folder = workshop.folder.fresh()
    paths = folder / "astronaut.png", folder / "grace_hopper.png"
    for path, photo in zip(paths, demo_photos(), strict=True):
        write_photo(path, photo.pixels, mark=False)
    return tuple(map(str, paths))


def dial(workshop: Workshop, option: str, value: float, label: str, info: str) -> gr.Slider:
    """A slider from 0 to 1 for an option of the method; hidden where the method has none."""
    return gr.Slider(0, 1, value, step=0.05, label=label, info=info, visible=workshop.offers(option))


def _dials(workshop: Workshop) -> list[Any]:
    """Dials of ``swap``; those the method does not understand stay hidden at a value without effect."""
    with gr.Accordion("Dials and file type", open=False):
        dials: list[Any] = [
            dial(workshop, "structure", 1, "Structure", "Shape of the face: 1 is the identity's."),
            dial(workshop, "appearance", 0, "Appearance", "Colours: 0 keeps the attribute photo's."),
            dial(workshop, "detail", 1, "Detail", "Detail finer than the network draws, from both photos."),
            gr.Slider(
                *(0, MOST_REFINE, 0),
                step=1,
                label="Refine",
                info="Steps of tuning a copy of the network to the identity; 10 take a while.",
                visible=workshop.offers("refine"),
            ),
            gr.Checkbox(False, label="Match the skin's colours to the attribute photo"),
        ]
        with gr.Row(visible=workshop.offers("seed")):
            own_noise = gr.Checkbox(False, label="Draw fresh noise", info="Other pores and hairs, by a seed.")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, visible=False)
        file_type = gr.Dropdown(list(FILE_TYPES), value=FILE_TYPES[0], label="Type of the file to download")
    own_noise.change(lambda on: gr.Number(visible=on), own_noise, seed, **QUIET)
    return [*dials, own_noise, seed, file_type]


def _masks() -> list[Any]:
    with gr.Accordion("Mask: what is replaced", open=False):
        kind = gr.Dropdown(_MASKS, value="predicted", label="Replace")
        keep = gr.CheckboxGroup(list(REGIONS), label="Keep the attribute photo's")
        own_edge = gr.Checkbox(False, label="Set the softness of the edge")
        info = "As a share of the face."
        blur = gr.Slider(0, WIDEST_BLUR, EDGE, step=0.01, label="Width of the edge", info=info, visible=False)
        hint("Cut off so much of the face, as a share of it:")
        sides = []
        for pair in (("Top", "Right"), ("Bottom", "Left")):
            with gr.Row(elem_classes="pairs"):
                sides += [gr.Slider(0, 0.9, 0, step=0.05, label=side, min_width=150) for side in pair]
    own_edge.change(lambda on: gr.Slider(visible=on), own_edge, blur, **QUIET)
    return [kind, keep, own_edge, blur, *sides]
