"""From a folder of photographs to directions: labels, the fit, and what the generator shows of it.

Behind ``stylegan-swap directions fit``. Start with ``from_folder``.
"""
