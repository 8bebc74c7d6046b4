"""Packages: every folder with an ``__init__.py``, and ``checkpoints`` as ``stylegan_swap.checkpoints``."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["stylegan_swap*", "inversion*", "cuda_ops*"]),
        "stylegan_swap.checkpoints",
    ],
    package_dir={"stylegan_swap.checkpoints": "checkpoints"},
)
