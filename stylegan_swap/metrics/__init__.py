"""Measures of swaps: one file each, defined by formula in ``docs/evaluation.md``.

A measure of one swap takes a ``Sample`` and returns a number per column; a measure of many swaps takes the
samples or their crops. ``evaluation.benchmark`` runs them over a list of pairs.
"""
