"""Faces in photographs: find them, align them, say which pixels are face, and put them back.

The order of the road: ``detect`` → ``landmarks`` → ``align`` → (a method) → ``mask`` → ``paste``.
"""
