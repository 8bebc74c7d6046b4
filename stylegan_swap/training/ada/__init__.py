"""Adaptive discriminator augmentation (Karras et al., NeurIPS 2020)."""
