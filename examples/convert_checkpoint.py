"""Read weights in the layout in which StyleGAN2 generators are published, and keep them as this library's.

No foreign file comes with the library, so the default network's generator is first written as one.
"""

import argparse
from pathlib import Path

import numpy as np

from stylegan_swap import Swapper
from stylegan_swap.cli.main import app
from stylegan_swap.images.photo import demo_photos


def main(out: Path) -> None:
    """Write a `.pt` file in rosinality's layout, convert it, and draw the same face with both."""
    import torch

    out.mkdir(parents=True, exist_ok=True)
    library = Swapper.from_pretrained(device="cpu", dtype="float32")
    generator = library.method.generator
    published = out / "published.pt"
    torch.save({"g_ema": generator.state_dict(), "latent_avg": generator.mean_latent(1000)}, published)

    # As in a shell: stylegan-swap convert published.pt converted/
    app(["convert", str(published), str(out / "converted"), "--overwrite"], standalone_mode=False)
    converted = Swapper.from_pretrained(out / "converted", device="cpu", dtype="float32")
    # Or without a folder; it is then converted in memory each time.
    direct = Swapper.from_pretrained(published, device="cpu", dtype="float32")

    codes = library.invert(demo_photos()[0].pixels)
    faces = [np.asarray(swapper.generate(codes)[0]).astype(int) for swapper in (library, converted, direct)]
    print("greatest difference in grey levels:", max(np.abs(faces[0] - face).max() for face in faces[1:]))
    converted.generate(codes)[0].save(out / "face.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/convert_checkpoint"))
    main(parser.parse_args().out)
