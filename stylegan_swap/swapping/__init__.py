"""The road of a photograph: detect, align, swap, finish, paste. Start with `swapper.py`."""
