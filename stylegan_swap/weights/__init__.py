"""Weights on disk: registry, store, readers of foreign files, formats of StyleGAN projects, download."""
