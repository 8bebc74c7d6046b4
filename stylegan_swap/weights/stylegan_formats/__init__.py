"""Weights of StyleGAN projects in this library's layout and back: one file per format."""
