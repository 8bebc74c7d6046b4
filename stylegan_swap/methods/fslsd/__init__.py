"""FSLSD (Xu et al., High-resolution Face Swapping via Latent Semantics Disentanglement, CVPR 2022)."""
