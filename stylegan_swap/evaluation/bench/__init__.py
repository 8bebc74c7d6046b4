"""Timing on the user's own machine: what `stylegan-swap bench` and the scripts in `benchmarks/` share.

Beside the road photo → detect → align → encoder → swapper → generator → paste: it only looks on.
"""
