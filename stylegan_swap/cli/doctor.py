"""``stylegan-swap doctor``, for bug reports: versions, device, op backend, weights, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from stylegan_swap._version import __version__
from stylegan_swap.errors import StyleganSwapError

# Distribution name, whether swapping photos needs it, and what it is for.
_PACKAGES = (
    ("torch", True, "networks"),
    ("torchvision", True, "training transforms"),
    ("numpy", True, "arrays"),
    ("scipy", True, "warp method"),
    ("pillow", True, "pictures"),
    ("opencv-python-headless", True, "geometry"),
    ("safetensors", True, "weights"),
    ("dlib-bin", True, "face detection, landmarks"),
    ("face_recognition_models", True, "dlib's model files"),
    ("face-alignment", False, "second landmark backend"),
    ("lpips", False, "training, evaluation"),
    ("pytorch-lightning", False, "training"),
    ("scikit-learn", False, "editing, evaluation"),
    ("scikit-image", False, "demo photo"),
    ("matplotlib", False, "demo photo"),
    ("requests", False, "downloads"),
    ("gdown", False, "downloads"),
    ("c2pa-python", False, "signed C2PA manifests"),
    ("gradio", False, "the page: stylegan-swap app"),
)


def doctor() -> None:
    """Print versions, device, op backend and weights: what a bug report needs."""
    table = Table(title=f"stylegan-swap {__version__}", show_header=False, title_justify="left")
    # Paths are told whole, on several lines if need be.
    for _ in range(2):
        table.add_column(overflow="fold")
    for name, value in report():
        table.add_row(name, value)
    Console(soft_wrap=True).print(table)


def report() -> Iterator[tuple[str, str]]:
    """The lines of the report: what, and its state."""
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for name, required, purpose in _PACKAGES:
        version = _version(name)
        missing = f"MISSING ({purpose}): pip install {name}" if required else f"not installed ({purpose})"
        yield name, version or missing
    yield from _torch_lines()
    yield from _weight_lines()
    yield "C2PA signing", _signing()


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _signing() -> str:
    from stylegan_swap.provenance.credentials import CERTIFICATES_VARIABLE, KEY_VARIABLE, Credentials

    try:
        credentials = Credentials.from_environment()
    except StyleganSwapError as error:
        return f"ERROR: {error}"
    if credentials is None:
        return f"off: {CERTIFICATES_VARIABLE} and {KEY_VARIABLE} are not set"
    return f"with {credentials.certificates}"


def _torch_lines() -> Iterator[tuple[str, str]]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    from cuda_ops import cpu_kernels, ops_backend
    from stylegan_swap.nn.device import choose_device

    device = choose_device()
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    yield "device", f"{device} ({name})"
    try:
        backend = ops_backend()
        yield "op backend", f"{backend.active} ({backend.reason})"
        yield "CPU kernels", cpu_kernels()
    except (RuntimeError, ValueError) as error:
        yield "op backend", f"ERROR: {error}"
    from cuda_ops.toolchain import BuildError, find_nvcc

    try:
        yield "nvcc", find_nvcc()
    except BuildError as error:
        yield "nvcc", f"not found ({error}); used on a GPU alone"


def _weight_lines() -> Iterator[tuple[str, str]]:
    from stylegan_swap.weights.store import default_weights_available, find_weights, shipped_folder

    try:
        yield "weights folder", str(shipped_folder())
        if default_weights_available():
            yield "default weights", str(find_weights("default"))
        else:
            yield (
                "default weights",
                "MISSING (swap() uses the classical 'warp' method): install stylegan-swap again",
            )
    except StyleganSwapError as error:
        yield "default weights", f"ERROR: {error}"
    try:
        from stylegan_swap.files.cache import cache_folder

        yield "cache", str(cache_folder())
    except StyleganSwapError as error:
        yield "cache", f"ERROR: {error}"
    try:
        # Fails where OpenCV cannot be imported, which a report must survive.
        from stylegan_swap.faces.detection.landmarks import dlib_model_file

        yield "dlib model files", str(dlib_model_file("shape_predictor_68_face_landmarks.dat").parent)
    except StyleganSwapError as error:
        yield "dlib model files", f"ERROR: {error}"
