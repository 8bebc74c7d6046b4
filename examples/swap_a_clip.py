"""Swap a person through a clip; killed and started again it goes on where it stopped."""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stylegan_swap import swap_video
from stylegan_swap.images.photo import demo_photos

FRAMES, WIDTH, HEIGHT = 10, 320, 256


def film(photo: np.ndarray, file: Path) -> None:
    """Make a clip to swap into: a window that moves over a photo."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            x = 40 + 2 * number
            window = np.ascontiguousarray(photo[:HEIGHT, x : x + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
        container.mux(stream.encode())


def main(out: Path) -> None:
    """Film the astronaut's portrait and swap Grace Hopper in."""
    out.mkdir(parents=True, exist_ok=True)
    astronaut, hopper = (photo.pixels for photo in demo_photos())
    clip = out / "clip.mp4"
    film(astronaut, clip)
    result = swap_video(
        hopper,
        clip,
        out / "swapped.mp4",
        overwrite=True,
        preview=out / "preview.png",
        preview_every=5,
        progress=lambda count, total: print(f"{count} of {total or '?'} frames", end="\r"),
    )
    print(f"{result.swapped} of {result.frames} frames swapped; {out / 'swapped.mp4'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/swap_a_clip"))
    main(parser.parse_args().out)
