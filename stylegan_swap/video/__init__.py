"""Clips: ``swap_video`` carries the road of a photograph over time.

clip → read → track the face → smooth its landmarks → align → swap → paste → write segments → join with sound.

Read ``run.py`` first; every other file is one of those words.
"""
