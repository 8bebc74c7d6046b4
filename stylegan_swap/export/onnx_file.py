"""Writing the default network as one ONNX file, checked before it appears. Needs the extra ``onnx``."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylegan_swap._version import __version__
from stylegan_swap.errors import ExportError, MissingDependencyError, UnsupportedOptionError
from stylegan_swap.export.swap_graph import INPUTS, OUTPUTS, SwapGraph
from stylegan_swap.files.atomic import replacing
from stylegan_swap.methods.default.method import DefaultMethod
from stylegan_swap.swapping.find_method import find_method
from stylegan_swap.weights.cache import sha256_of
from stylegan_swap.weights.store import find_weights, registered_weights

SUFFIX = ".onnx"
# On [-1, 1]; one step of eight bits is 0.008.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportedFile:
    """An exported file.

    Attributes:
        path: the file.
        side: S, the side of its images.
        opset: version of ONNX's operators.
        difference: greatest difference to torch on an example, of image ([-1, 1]) and mask (0..1).
        metadata: what the file says about itself.
    """

    path: Path
    side: int
    opset: int
    difference: float
    metadata: dict[str, str]


def export_onnx(
    path: str | os.PathLike[str],
    weights: str | os.PathLike[str] = "default",
    *,
    licence: str | None = None,
    overwrite: bool = False,
) -> ExportedFile:
    """Write the swap network of some weights as an ONNX file: float32, batch 1, fixed noise.

    The file appears only after ``onnx.checker`` has passed it and ONNX Runtime has given the same picture as
    torch. Takes about half a minute.

    Args:
        path: the file, ``.onnx``.
        weights: a registered name, or a folder or file with weights of this library's own network.
        licence: of weights of your own, for the file's metadata; shipped ones bring theirs.
        overwrite: whether an existing file may be replaced.

    Raises:
        MissingDependencyError: the extra ``onnx`` is not installed.
        ExportError: the path cannot be written to or exists, or the file does not pass its checks.
        CheckpointError: the weights are missing or damaged.
        UnsupportedOptionError: they belong to another method.
    """
    target = check_exportable(path, overwrite)
    onnx, runtime = _libraries()
    file = find_weights(weights)
    method, _ = find_method(weights, "cpu", "float32")
    if not isinstance(method, DefaultMethod):
        raise UnsupportedOptionError(
            f"{weights}: belongs to method {method.name!r}; only this library's own network is exported"
        )
    graph = SwapGraph(method.network)
    entry = registered_weights().get(str(weights))
    metadata = {
        "stylegan_swap.version": __version__,
        "stylegan_swap.weights": entry.name if entry else file.parent.name or file.name,
        "stylegan_swap.weights_sha256": sha256_of(file),
        "stylegan_swap.licence": licence or (entry.licence if entry else "not stated"),
        "stylegan_swap.recogniser_licence": "CC0-1.0 (dlib_face_recognition_resnet_model_v1)",
        "stylegan_swap.side": str(graph.side),
        "stylegan_swap.noise": "fixed: the maps stored with the weights",
        "stylegan_swap.duty": "results are synthetic: mark them, and swap only with consent",
    }
    try:
        with replacing(target) as temporary:
            opset = _write(graph, temporary, metadata)
            _check_file(onnx, temporary, target)
            difference = _difference(runtime, temporary, graph)
            if not difference < TOLERANCE:
                raise ExportError(
                    f"{target}: ONNX Runtime {runtime.__version__} differs from torch by {difference:.2g}, "
                    f"more than {TOLERANCE:g}; nothing was written; try other versions of torch"
                )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(
            f"{target}: torch {torch.__version__} and onnxscript cannot translate the network "
            f"({' '.join(str(error).split())[:300]}); try other versions of them"
        ) from error
    except OSError as error:
        raise ExportError(
            f"{target}: could not be written ({error.strerror or error}); free some space or choose another"
        ) from error
    return ExportedFile(target, graph.side, opset, difference, metadata)


def check_exportable(path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Refuse a path that cannot be written, before the work begins.

    Raises:
        ExportError: no ``.onnx``, a folder, no such folder, no permission, or it exists.
    """
    target = Path(path)
    if target.suffix.lower() != SUFFIX:
        raise ExportError(f"{target}: the suffix must be {SUFFIX}; choose such a name")
    if target.is_dir() or not target.parent.is_dir():
        cause = "is a folder" if target.is_dir() else f"the folder {target.parent} does not exist"
        raise ExportError(f"{target}: {cause}; give the name of a file in an existing folder")
    if target.exists() and not overwrite:
        raise ExportError(f"{target}: exists already; choose another name or allow overwriting (--overwrite)")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ExportError(f"{target}: no permission to write there; choose another folder")
    return target


def _libraries() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"the export needs onnx, onnxruntime and onnxscript ({error}); "
            "install them with: pip install 'stylegan-swap[onnx]'"
        ) from error
    return onnx, onnxruntime


def _write(graph: SwapGraph, path: Path, metadata: dict[str, str]) -> int:
    """Translate the network into a file; returns the opset."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    from stylegan_swap.export.linear_solve import OPSET, translation_table

    with _silent(), torch.no_grad():
        # Fills the caches of the modules with real tensors; the tracer's would stay there.
        graph(*graph.example())
        program = torch.onnx.export(
            graph,
            graph.example(),
            input_names=[port.name for port in INPUTS],
            output_names=[port.name for port in OUTPUTS],
            opset_version=OPSET,
            dynamo=True,
            # The rewriter takes longest, and ONNX Runtime does the same optimisations by itself.
            optimize=False,
            custom_translation_table=translation_table(),
            verbose=False,
        )
    assert program is not None
    model = program.model
    fold_constants(model)
    RemoveUnusedNodesPass()(model)
    # Where each node comes from, with paths of this machine.
    ClearMetadataAndDocStringPass()(model)
    for values, ports in ((model.graph.inputs, INPUTS), (model.graph.outputs, OUTPUTS)):
        for value, port in zip(values, ports, strict=True):
            value.doc_string = port.about
    model.producer_name, model.producer_version = "stylegan_swap", __version__
    model.doc_string = "Face swap between two aligned crops; inputs and outputs: docs/export.md"
    model.metadata_props.update(metadata)
    program.save(path)
    return OPSET


def _check_file(onnx: Any, path: Path, target: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"{target}: onnx.checker refuses it ({' '.join(str(error).split())[:300]}); nothing was written; "
            "try other versions of onnx, onnxscript and torch"
        ) from error


def _difference(runtime: Any, path: Path, graph: SwapGraph) -> float:
    """The greatest difference between ONNX Runtime and torch on an example the graph was not made with."""
    example = graph.example(seed=1)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [port.name for port in OUTPUTS]
    feed = {port.name: value.numpy() for port, value in zip(INPUTS, example, strict=True)}
    results = session.run(names, feed)
    with torch.no_grad():
        expected = graph(*example)
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(results, expected, strict=True))


@contextmanager
def _silent() -> Iterator[None]:
    """The exporter reports its steps and warns of its own deprecations; neither helps a user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.__trace", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
