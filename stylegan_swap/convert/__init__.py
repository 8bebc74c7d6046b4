"""Weights of other projects in this library's format and back: one file per foreign format.

Road: before it, once. ``formats`` is the table, ``detect`` finds and reads the files that belong together,
``converted`` and ``swap_system`` hold and save the result, ``direct`` hands it to a method without saving;
nothing in a foreign file is ever executed (``restricted_pickle``, ``torch_file``, ``torch_program``).
"""
