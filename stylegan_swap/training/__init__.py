"""Training: one run for every kind of network, described by a configuration file.

``config`` reads what is wanted, ``run`` does it; ``stage`` is what the kinds of training share, and
``gan``, ``invert``, ``swap`` and ``landmarks`` are the kinds. Photographs come through ``photos``.
"""
