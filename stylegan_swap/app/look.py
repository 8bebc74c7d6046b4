"""Colours, type and spacing of the page; used by ``page`` and ``server``.

Fonts are those of the visitor's computer: nothing is fetched from anywhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import gradio as gr
import numpy as np
from PIL import Image

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")

CSS = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important;
  padding: 0 !important; }
.gradio-container > .main { padding: 14px 20px 24px !important; }
.gradio-container .html-container { padding: 0 !important; }
footer { display: none !important; }
#heading h1 { font-size: 1.35rem; line-height: 1.25; margin: 0; font-weight: 650; }
#heading p { margin: 2px 0 0; color: var(--body-text-color-subdued); font-size: 0.92rem; }
#consent { border-left: 3px solid var(--color-accent); padding: 7px 12px;
  font-size: 0.9rem; background: var(--background-fill-secondary); border-radius: 0 6px 6px 0; }
.outcome { font-size: 0.95rem; line-height: 1.5; }
.outcome p { margin: 0 0 4px; }
.outcome .first { font-weight: 600; }
.outcome .aside { color: var(--body-text-color-subdued); font-size: 0.88rem; }
.outcome ul { margin: 4px 0 0; padding-left: 1.2em; list-style: disc; }
.outcome progress { appearance: none; display: block; width: 100%; height: 10px; border: 0;
  border-radius: 5px; overflow: hidden; background: var(--border-color-primary); color: var(--color-accent); }
.outcome progress::-webkit-progress-bar { background: var(--border-color-primary); }
.outcome progress::-webkit-progress-value { background: var(--color-accent); }
.outcome progress::-moz-progress-bar { background: var(--color-accent); }
.outcome progress:indeterminate { opacity: 0.6; }
.hint p { color: var(--body-text-color-subdued); font-size: 0.9rem; margin: 0; }
.face-tiles .wrap { gap: 8px; }
.face-tiles .wrap label { width: 100px; height: 128px; box-sizing: border-box; padding: 6px; gap: 6px;
  justify-content: flex-start; align-items: flex-end; border-width: 2px; border-style: solid;
  background-image: var(--face); background-size: 86px 86px; background-position: 5px 5px;
  background-repeat: no-repeat; }
.face-tiles .wrap label.selected { border-color: var(--color-accent); }
.face-tiles .wrap label span { margin: 0 !important; font-size: 0.85rem; }
.pressable { min-height: 44px; white-space: nowrap; }
.dark { --color-accent: var(--primary-400); }
#gallery .grid-container { grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)) !important; }
@media (max-width: 640px) {
  .pairs .form > * { min-width: 100% !important; }
  #gallery .grid-container { grid-template-columns: repeat(3, 1fr) !important; }
  .gradio-container > .main { padding: 8px 10px 20px !important; }
}
"""


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


def tile_pictures(group: str, thumbnails: Sequence[np.ndarray]) -> str:
    """A style sheet that puts faces behind the choices of a group, in their order.

    Args:
        group: the ``elem_id`` of the group, of class ``face-tiles``.
        thumbnails: uint8 RGB.
    """
    rules = [
        f"#{group} .wrap label:nth-of-type({number}) {{ --face: url({_as_address(pixels)}); }}"
        for number, pixels in enumerate(thumbnails, 1)
    ]
    return f"<style>{' '.join(rules)}</style>" if rules else ""


def _as_address(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
