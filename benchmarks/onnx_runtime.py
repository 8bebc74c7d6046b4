"""Time the exported default network in ONNX Runtime against torch, in turn, on the CPU.

    python benchmarks/onnx_runtime.py [--file swap.onnx] [--threads 2] [--rounds 15] [--csv file.csv]

All calls do the same work, identity and swap of the demonstration's two faces, from aligned crop to swapped
crop; "prepared" leaves the identity's part out, as the library does from a person's second photo on. Where no
file is given one is exported first, which takes half a minute; the timing takes about ten seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import onnxruntime
import torch

from stylegan_swap.api import Swapper
from stylegan_swap.evaluation.bench.clock import describe_machine, in_turn
from stylegan_swap.evaluation.table import Row, lines_of, write_csv
from stylegan_swap.export.onnx_file import export_onnx
from stylegan_swap.export.swap_graph import INPUTS, feed_of
from stylegan_swap.faces.detection.detect import detect_faces, largest_face
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.images.photo import demo_photos

BASE = "torch, float32"


def demo_feed() -> dict:
    """The inputs of the file: Grace Hopper into Eileen Collins' portrait."""
    crops, points = [], []
    for photo in demo_photos():
        landmarks = largest_face(detect_faces(photo.pixels)).landmarks
        alignment = ffhq_alignment(landmarks, 256)
        crops.append(from_pixels(alignment.crop(photo.pixels)))
        points.append(torch.from_numpy(alignment.to_crop(landmarks))[None])
    return feed_of(crops[1], crops[0], points[1], points[0])


def rows_of(file: Path, threads: int, rounds: int) -> list[Row]:
    """One row per way to run the network: the median of the rounds, and its share of the first."""
    torch.set_num_threads(threads)
    feed = demo_feed()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin between two calls would be charged to torch's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    calls = {}
    for name, dtype in ((BASE, "float32"), ("torch, auto", "auto")):
        method = Swapper.from_pretrained(device="cpu", dtype=dtype).method
        values = [torch.from_numpy(feed[port.name]) for port in INPUTS]

        @torch.no_grad()
        def person(network=method.network, values=values, precision=method.precision):
            with precision():
                return network.identity_codes(*values[:4])

        @torch.no_grad()
        def swap(codes, network=method.network, values=values, precision=method.precision):
            with precision():
                return network(codes, values[4], values[5]).image

        prepared = person()
        label = f"{name} ({str(method.dtype).removeprefix('torch.')})" if dtype == "auto" else name
        calls[label] = lambda person=person, swap=swap: swap(person())
        calls[f"{label}, prepared"] = lambda prepared=prepared, swap=swap: swap(prepared)
    calls["ONNX Runtime, float32"] = lambda: session.run(["image", "mask"], feed)
    timings = in_turn(calls, rounds=rounds, seconds=45)
    base = timings[BASE].median
    return [
        {"runs": name, "milliseconds": 1000 * timing.median, "of torch float32": timing.median / base}
        for name, timing in timings.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--file", type=Path, help="what `stylegan-swap export` wrote")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or export_onnx(Path(folder, "swap.onnx")).path
        rows = rows_of(file, options.threads, options.rounds)
    machine = describe_machine(torch.device("cpu"))
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print("\n".join(lines_of(rows)))
    if options.csv:
        write_csv(options.csv, [{**row, **machine} for row in rows])


if __name__ == "__main__":
    main()
