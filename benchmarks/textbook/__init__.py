"""The same networks written with the textbook recipe, to be timed against.

Grouped convolution with weights per sample, the filter, the noise and the bias each in a pass of its own,
everything channels first: what the common ports of StyleGAN2 do. Weights are those of our modules, and so,
within rounding, are the images (``tests/benchmarks/test_textbook.py``).
"""
