"""Weights of other projects in this library's format and back: one file per foreign format.

Road: before it, once. ``detect`` reads a file and chooses the format, ``converted`` holds and saves the
result; nothing in a foreign file is ever executed (``restricted_pickle``, ``torch_file``).
"""
