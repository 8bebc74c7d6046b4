"""Faces in photographs: find them, align them, say which pixels are face, and put them back."""

from stylegan_swap.errors import MissingDependencyError

try:
    import cv2  # noqa: F401
except ImportError as _error:
    # face-alignment brings opencv-python, which overwrites the headless build and needs libGL.
    raise MissingDependencyError(
        f"OpenCV cannot be imported ({_error}): "
        "pip install --force-reinstall --no-deps opencv-python-headless"
    ) from _error
