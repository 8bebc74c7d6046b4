"""RAFSwap (Xu et al., Region-Aware Face Swapping, CVPR 2022)."""
