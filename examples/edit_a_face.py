"""Edit faces in latent space: in a photo, within a swap, and as codes."""

import argparse
from pathlib import Path

from stylegan_swap import Swapper
from stylegan_swap.editing import edit, interpolate
from stylegan_swap.images.photo import demo_photos


def main(out: Path) -> None:
    """Make Grace Hopper smile, in her photo and in another, and turn her head."""
    out.mkdir(parents=True, exist_ok=True)
    astronaut, hopper = (photo.pixels for photo in demo_photos())
    swapper = Swapper.from_pretrained()
    print("directions:", ", ".join(sorted(swapper.directions)))

    swapper.edit(hopper, {"smile": 1.5}).save(out / "smiling.png", overwrite=True)
    swapped = swapper(hopper, astronaut, edit={"yaw": 5.0})
    swapped.save(out / "swapped_and_turned.png", overwrite=True)

    # Codes alone: the generator's own, softer pictures, and every step between two people.
    codes, second = swapper.invert(hopper), swapper.invert(astronaut)
    turned = edit(codes, swapper.directions["yaw"], -10)
    swapper.generate(turned)[0].save(out / "codes_turned.png")
    swapper.generate(interpolate(codes, second, 0.5))[0].save(out / "between.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/edit_a_face"))
    main(parser.parse_args().out)
