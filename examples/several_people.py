"""Give every person of a group photo an identity of their own; everybody else stays as they are."""

import argparse
from pathlib import Path

import numpy as np

from stylegan_swap import Swapper
from stylegan_swap.images.photo import demo_photos


def main(out: Path) -> None:
    """Let two people of one photo change places."""
    out.mkdir(parents=True, exist_ok=True)
    astronaut, hopper = (photo.pixels for photo in demo_photos())
    below = hopper.shape[0] - astronaut.shape[0]
    group = np.hstack([np.pad(astronaut, ((0, below), (0, 0), (0, 0)), mode="edge"), hopper])

    swapper = Swapper.from_pretrained()
    # Whom to replace: a photo of them, or a number from the left.
    people = swapper.prepare_people([(astronaut, hopper), (1, astronaut)])
    result = swapper(people, group)
    result.save(out / "both.png", overwrite=True)
    for number, face in enumerate(result.faces):
        print(f"face {number}: distance to the new person {face.distance:.2f}")

    # One person, prepared once, into any number of photos; a photo as `face` says who is replaced.
    person = swapper.prepare(hopper)
    swapper(person, group, face=astronaut).save(out / "one.png", overwrite=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/several_people"))
    main(parser.parse_args().out)
