"""Landmark-driven warp and blend: the classical method, without weights."""
