"""Baselines of the measured table: the attribute photo itself, and the identity's crop pasted."""
