"""Faces of a photograph: detection, 68 landmarks, choice of one."""
