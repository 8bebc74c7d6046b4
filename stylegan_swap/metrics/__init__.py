"""How good a swap is: one file per measure, each defined by formula in ``docs/evaluation.md``.

A measure of one swap takes a ``Sample`` and returns a number per column; a measure of many swaps takes what
the samples gave. ``benchmark`` runs them over a list of pairs.
"""
