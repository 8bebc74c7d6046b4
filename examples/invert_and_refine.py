"""Codes of a photo, made better by projection; and a swap tuned to one person."""

import argparse
from pathlib import Path

from stylegan_swap import Swapper
from stylegan_swap.editing.codes import load_codes, save_codes
from stylegan_swap.images.photo import demo_photos


def main(out: Path) -> None:
    """Invert the astronaut with and without projection, and refine a swap of her."""
    out.mkdir(parents=True, exist_ok=True)
    astronaut, hopper = (photo.pixels for photo in demo_photos())
    swapper = Swapper.from_pretrained()

    quick = swapper.invert(astronaut)
    better = swapper.invert(astronaut, steps=10)
    print(f"encoder: {quick.psnr:.1f} dB, distance {quick.distance:.2f}")
    print(f"and 10 steps of projection: {better.psnr:.1f} dB, distance {better.distance:.2f}")
    save_codes(out / "codes.safetensors", better)
    swapper.generate(load_codes(out / "codes.safetensors"))[0].save(out / "redrawn.png")

    plain = swapper(swapper.prepare(astronaut), hopper)
    tuned = swapper(swapper.prepare(astronaut, refine=4), hopper)
    print(f"swap: distance {plain.faces[0].distance:.2f}; refined: {tuned.faces[0].distance:.2f}")
    tuned.save(out / "refined.png", overwrite=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/invert_and_refine"))
    main(parser.parse_args().out)
