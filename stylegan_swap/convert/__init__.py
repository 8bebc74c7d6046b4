"""Weights of other projects: one file per layout, from theirs to ours and back."""
