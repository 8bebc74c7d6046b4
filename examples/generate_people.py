"""Draw people who do not exist, and swap between them: pictures that need nobody's consent."""

import argparse
from pathlib import Path

import numpy as np

from stylegan_swap import Swapper
from stylegan_swap.provenance.photo_file import (
    write_photo,
)


def main(out: Path) -> None:
    """Draw three people, and put the first into the picture of the second."""
    out.mkdir(parents=True, exist_ok=True)
    swapper = Swapper.from_pretrained()
    people = swapper.generate(n=3, truncation_psi=0.7, seed=11)
    for number, image in enumerate(people):
        # write_photo marks a picture as made with AI, as SwapResult.save does.
        write_photo(out / f"person{number}.png", np.asarray(image), overwrite=True)
    result = swapper(people[0], people[1])
    result.save(out / "first_as_second.png", overwrite=True)
    print(f"distance to the first: {result.faces[0].distance:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/generate_people"))
    main(parser.parse_args().out)
