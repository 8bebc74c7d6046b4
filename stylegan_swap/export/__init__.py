"""The default network as an ONNX file for other runtimes and languages; docs/export.md.

``swap_graph`` is the exported part with its inputs and outputs, ``onnx_file`` writes and checks the file.
Detecting faces and pasting remain with the user.
"""
