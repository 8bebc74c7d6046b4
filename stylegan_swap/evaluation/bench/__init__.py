"""Timing on the user's own machine: what `stylegan-swap bench` and the scripts in `benchmarks/` share."""
