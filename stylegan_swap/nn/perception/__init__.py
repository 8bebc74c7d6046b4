"""Frozen networks that losses and measures look through: 68 landmarks, LPIPS."""
