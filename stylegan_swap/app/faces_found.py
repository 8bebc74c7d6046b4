"""Numbered thumbnails of a photo's faces, to tick or to choose from; on ``tab_photo`` and ``tab_edit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from stylegan_swap.app.components import told
from stylegan_swap.app.edit import ALL_FACES
from stylegan_swap.app.look import tile_pictures
from stylegan_swap.app.pictures import FoundFaces, find_faces
from stylegan_swap.app.workshop import LOOKING, Workshop


def faces_to_pick(workshop: Workshop, photo: gr.Image, *, name: str, several: bool) -> tuple[Any, gr.State]:
    """Put the thumbnails here; they appear when a photo is chosen.

    Args:
        workshop: of the page.
        photo: whose faces they are.
        name: of the group in the page.
        several: whether several can be ticked; otherwise one is chosen, or all.

    Returns:
        The group, whose value is a list of numbers or one number, and the state with the number of faces.
    """
    pictures = gr.HTML(visible="hidden", elem_id=f"{name}-pictures")
    options: dict[str, Any] = {
        "choices": [],
        "visible": False,
        "interactive": True,
        "elem_id": name,
        "elem_classes": "face-tiles",
    }
    group: Any
    if several:
        group = gr.CheckboxGroup(
            label="Faces to replace", info="Tick one, several or all.", show_select_all=True, **options
        )
    else:
        group = gr.Radio(label="Face to edit", **options)
    count = gr.State(0)

    def forget() -> tuple[Any, Any, int]:
        return gr.HTML(""), _hidden(several), 0

    def look(path: str | None) -> tuple[Any, Any, int]:
        if not path:
            return forget()
        with told(workshop.folder):
            found = find_faces(Path(path))
        return gr.HTML(tile_pictures(name, found.thumbnails)), _shown(found, several), len(found.usable)

    outputs = [pictures, group, count]
    # The choice of the photo before is forgotten at once, whatever happens to this one.
    photo.change(forget, None, outputs, queue=False, show_progress="hidden", api_visibility="private").then(
        look,
        photo,
        outputs,
        concurrency_id=LOOKING,
        concurrency_limit=workshop.at_once,
        show_progress="minimal",
        show_progress_on=photo,
        api_visibility="private",
    )
    return group, count


def _hidden(several: bool) -> Any:
    if several:
        return gr.CheckboxGroup(choices=[], value=[], visible=False)
    return gr.Radio(choices=[], value=None, visible=False)


def _shown(found: FoundFaces, several: bool) -> Any:
    names = [
        (f"{number}" if usable else f"{number}: too small", number - 1)
        for number, usable in enumerate(found.usable, 1)
    ]
    if several:
        return gr.CheckboxGroup(choices=names, value=[found.largest], visible=True)
    if len(names) > 1:
        names.append(("all", ALL_FACES))
    return gr.Radio(choices=names, value=found.largest, visible=True)
