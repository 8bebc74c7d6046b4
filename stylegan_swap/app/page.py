"""The page: heading, notice, four tabs. Served by ``server``."""

from __future__ import annotations

import gradio as gr

from stylegan_swap.app.tab_clip import clip_tab
from stylegan_swap.app.tab_edit import edit_tab
from stylegan_swap.app.tab_generate import generate_tab
from stylegan_swap.app.tab_photo import photo_tab
from stylegan_swap.app.workshop import Workshop
from stylegan_swap.provenance.consent import CONSENT

_HEADING = """<h1>stylegan_swap</h1>
<p>Puts the face of the identity into another picture. Everything happens on the computer that serves this
page.</p>"""
_PHOTO = "photo"


def build_page(workshop: Workshop, *, keep_seconds: int, queue: int) -> gr.Blocks:
    """Lay the whole page out.

    Args:
        workshop: what its tabs work with.
        keep_seconds: age at which uploads and results are deleted.
        queue: requests that may wait; further ones are told that the page is busy.
    """
    # Four times within the age, so that nothing stays much longer.
    often = max(1, keep_seconds // 4)
    with gr.Blocks(
        title="stylegan_swap", analytics_enabled=False, delete_cache=(often, keep_seconds), fill_width=True
    ) as page:
        gr.HTML(_HEADING, elem_id="heading")
        gr.HTML(f"<span>{CONSENT[0].upper()}{CONSENT[1:]}.</span>", elem_id="consent")
        with gr.Tabs() as tabs:
            with gr.Tab("Photo", id=_PHOTO):
                identity = photo_tab(workshop)
            with gr.Tab("Clip", id="clip"):
                clip_tab(workshop)
            with gr.Tab("Edit", id="edit"):
                edit_tab(workshop)
            with gr.Tab("Generate", id="generate"):
                generate_tab(workshop, identity, tabs, _PHOTO)

        def leave(request: gr.Request) -> None:
            workshop.jobs.stop(str(request.session_hash))

        # Nobody waits for the clip of a closed window.
        page.unload(leave)
    # Nobody calls past the queue.
    page.queue(api_open=False, max_size=queue, default_concurrency_limit=workshop.at_once)
    return page
