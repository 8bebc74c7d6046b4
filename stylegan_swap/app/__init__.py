"""The page of ``stylegan-swap app``: the library in a browser.

``actions``, ``clip`` and ``pictures`` work without gradio: files in, files and sentences out. ``page``,
``tab_photo``, ``tab_clip`` and ``components`` lay the page out, ``server`` serves it behind ``doorkeeper``.
"""
