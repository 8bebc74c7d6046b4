"""The page: ``stylegan-swap app``, the library in a browser.

Beside the road: it calls ``swap``, ``swap_video``, ``edit`` and ``generate`` and nothing below them. What the
page does lies in ``photo``, ``clip``, ``edit`` and ``generate``: files in, files and sentences out, without
gradio. ``tab_*`` and ``page`` lay it out, ``server`` serves it behind ``doorkeeper``.
"""
