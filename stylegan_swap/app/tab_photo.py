"""The first tab: two photos, one swap. What happens is in ``photo``."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stylegan_swap.app.components import before_and_after, photo_input, sentences, told
from stylegan_swap.app.faces_found import faces_to_pick
from stylegan_swap.app.photo import MOST_REFINE, SwapChoices, mask_choices, swap_photo
from stylegan_swap.app.pictures import FILE_TYPES, Outcome
from stylegan_swap.app.words import likenesses
from stylegan_swap.app.workshop import NETWORK, Workshop
from stylegan_swap.errors import AppError
from stylegan_swap.faces.masks.mask_options import EDGE, REGIONS, WIDEST_BLUR

_MASKS = [
    ("spare hands, hair and glasses", "predicted"),
    ("whole face, whatever lies before it", "hull"),
    ("whole face, but spare what lies before it", "hull+predicted"),
    ("brows, eyes, nose and mouth only", "inner"),
    ("rectangle round the face", "box"),
]
_EMPTY = sentences([], aside=["The result appears here. Drag its middle line to compare."])


def photo_tab(workshop: Workshop) -> gr.Image:
    """Lay the tab out; returns the identity's input, which other tabs may fill."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=320):
            with gr.Row():
                identity = photo_input("Identity (who)", "identity")
                attribute = photo_input("Attribute (where)", "attribute")
            faces, count = faces_to_pick(workshop, attribute, name="faces", several=True)
            with gr.Row():
                press = gr.Button(
                    "Swap", variant="primary", elem_id="swap", elem_classes="pressable", scale=3
                )
                example = gr.Button(
                    "Try an example",
                    elem_id="example",
                    elem_classes="pressable",
                    scale=1,
                    min_width=150,
                )
            dials = _dials(workshop)
            masks = _masks()
        with gr.Column(scale=6, min_width=320):
            slider = before_and_after("result")
            text = gr.HTML(_EMPTY, elem_id="outcome")
            download = gr.DownloadButton(
                "Download the result", interactive=False, elem_id="download", elem_classes="pressable"
            )

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
        with told(workshop.folder):
            choices = SwapChoices(
                tuple(faces),
                int(faces_found or 0),
                structure,
                appearance,
                whole_number(seed, "the seed") if own_noise else None,
                match_colour,
                detail,
                int(refine),
                mask_choices(mask, keep, own_edge, blur, (top, right, bottom, left)),
                file_type,
            )
            outcome = swap_photo(
                workshop.swapper, identity, attribute, choices, workshop.folder.fresh(), progress
            )
        return shown(workshop, outcome, "the identity")

    def fill() -> tuple[str, str]:
        with told(workshop.folder):
            return portraits(workshop)

    press.click(
        run,
        [identity, attribute, faces, count, *dials, *masks],
        [slider, text, download],
        api_name="swap",
        concurrency_id=NETWORK,
        concurrency_limit=workshop.at_once,
        show_progress_on=slider,
    )
    example.click(fill, None, [identity, attribute], show_progress="minimal", api_visibility="private")
    return identity


def shown(workshop: Workshop, outcome: Outcome, whom: str) -> tuple[Any, str, Any]:
    """What slider, text and button show of an outcome."""
    width, height = outcome.size
    text = sentences(
        likenesses(outcome.distances, whom),
        [workshop.folder.plain(note) for note in outcome.notes],
        [f"{outcome.file.name}, {width} × {height} pixels. {outcome.marked}"],
    )
    button = gr.DownloadButton(value=str(outcome.file), interactive=True, variant="primary")
    return (str(outcome.before), str(outcome.after)), text, button


def whole_number(value: float | None, what: str) -> int:
    """A number field's value as a whole number.

    Raises:
        AppError: the field is empty, or the number has decimals.
    """
    if value is None or value != int(value):
        raise AppError(f"{what} is a whole number, got {value}")
    return int(value)


def portraits(workshop: Workshop) -> tuple[str, str]:
    """Files of the two public-domain portraits: identity and attribute photo."""
    from stylegan_swap.images.demo_photos import demo_photos
    from stylegan_swap.provenance.photo_file import (
        write_photo,
    )

    folder = workshop.folder.fresh()
    paths = folder / "astronaut.png", folder / "grace_hopper.png"
    for path, photo in zip(paths, demo_photos(), strict=True):
        write_photo(path, photo.pixels, mark=False)
    return str(paths[0]), str(paths[1])


def _dials(workshop: Workshop) -> list[Any]:
    """Dials of ``swap``; those the method does not understand stay hidden at what changes nothing."""
    with gr.Accordion("Dials and file type", open=False):
        structure = dial(workshop, "structure", 1, "Structure", "Shape of the face: 1 is the identity's.")
        appearance = dial(
            workshop, "appearance", 0, "Appearance", "Colours of the face: 0 keeps the attribute photo's."
        )
        detail = dial(
            workshop, "detail", 1, "Detail", "Detail finer than the network draws, taken from both photos."
        )
        refine = gr.Slider(
            0,
            MOST_REFINE,
            0,
            step=1,
            label="Refine",
            info="Steps of tuning a copy of the network to the identity; 10 is a start, and takes a while.",
            visible=workshop.offers("refine"),
        )
        match_colour = gr.Checkbox(False, label="Match the skin's colours to the attribute photo")
        with gr.Row(visible=workshop.offers("seed")):
            own_noise = gr.Checkbox(False, label="Draw fresh noise", info="Other pores and hairs, by a seed.")
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, visible=False)
        file_type = gr.Dropdown(list(FILE_TYPES), value=FILE_TYPES[0], label="Type of the file to download")
    own_noise.change(lambda on: gr.Number(visible=on), own_noise, seed, queue=False, api_visibility="private")
    return [structure, appearance, detail, refine, match_colour, own_noise, seed, file_type]


def dial(workshop: Workshop, option: str, value: float, label: str, info: str) -> gr.Slider:
    """A slider from 0 to 1 for an option of the method; hidden where the method has none."""
    return gr.Slider(0, 1, value, step=0.05, label=label, info=info, visible=workshop.offers(option))


def _masks() -> list[Any]:
    with gr.Accordion("Mask: what is replaced", open=False):
        kind = gr.Dropdown(_MASKS, value="predicted", label="Replace")
        keep = gr.CheckboxGroup(list(REGIONS), label="Keep the attribute photo's")
        own_edge = gr.Checkbox(False, label="Set the softness of the edge")
        blur = gr.Slider(
            0,
            WIDEST_BLUR,
            EDGE,
            step=0.01,
            label="Width of the edge",
            info="As a share of the face.",
            visible=False,
        )
        gr.Markdown("Cut off so much of the face, as a share of it:", elem_classes="hint")
        sides = []
        for pair in (("Top", "Right"), ("Bottom", "Left")):
            with gr.Row(elem_classes="pairs"):
                sides += [gr.Slider(0, 0.9, 0, step=0.05, label=side, min_width=150) for side in pair]
    own_edge.change(lambda on: gr.Slider(visible=on), own_edge, blur, queue=False, api_visibility="private")
    return [kind, keep, own_edge, blur, *sides]
