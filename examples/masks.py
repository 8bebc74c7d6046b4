"""Say which part of the face is replaced, and what stays the photo's own to the pixel."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_swap import MaskOptions, Swapper
from stylegan_swap.images.photo import demo_photos

MASKS = {
    "predicted": "predicted",
    "inner": "inner",
    "cut": "hull+predicted",
    "own_mouth": MaskOptions("predicted", keep=("mouth",), blur=0.08),
}


def main(out: Path) -> None:
    """Swap with several masks, and write each mask beside its result."""
    out.mkdir(parents=True, exist_ok=True)
    astronaut, hopper = (photo.pixels for photo in demo_photos())
    swapper = Swapper.from_pretrained()
    person = swapper.prepare(hopper)
    for name, mask in MASKS.items():
        result = swapper(person, astronaut, mask=mask)
        result.save(out / f"{name}.png", overwrite=True)
        Image.fromarray(np.rint(result.mask * 255).astype(np.uint8)).save(out / f"{name}_mask.png")
        print(f"{name:10} {(result.mask > 0).sum():6} pixels changed")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/masks"))
    main(parser.parse_args().out)
