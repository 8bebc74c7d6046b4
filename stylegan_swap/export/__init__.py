"""The default network as a file that other runtimes and other languages read.

Beside the road photo → detect → align → **encoder → swapper → generator** → paste: the part in bold becomes
one ONNX graph (``swap_graph``), written and checked by ``onnx_file``; ``feed`` prepares its inputs here.
What remains for the user, finding faces and pasting, is told in docs/export.md.
"""

from stylegan_swap.export.feed import feed_of
from stylegan_swap.export.onnx_file import ExportedFile, export_onnx
from stylegan_swap.export.swap_graph import INPUTS, OUTPUTS, SwapGraph

__all__ = ["INPUTS", "OUTPUTS", "ExportedFile", "SwapGraph", "export_onnx", "feed_of"]
