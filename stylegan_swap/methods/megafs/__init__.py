"""MegaFS (Zhu et al., One Shot Face Swapping on Megapixels, CVPR 2021)."""
