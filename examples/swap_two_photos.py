"""Put one person into another's photo, and look at what comes back."""

import argparse
from pathlib import Path

from stylegan_swap import swap
from stylegan_swap.images.photo import demo_photos


def main(out: Path) -> None:
    """Swap both ways between two portraits."""
    out.mkdir(parents=True, exist_ok=True)
    # Paths, PIL images and uint8 arrays [height, width, 3] all do.
    astronaut, hopper = (photo.pixels for photo in demo_photos())

    result = swap(identity=hopper, attribute=astronaut)
    result.save(out / "hopper_as_astronaut.png", overwrite=True)
    face = result.faces[0]
    print(f"distance to Grace Hopper: {face.distance:.2f}; below 0.6 passes for the same person")
    print(f"pixels changed: {(result.mask > 0).mean():.1%}")

    # The dials: half the shape, all the colours, and no detail finer than the network's pixels.
    half = swap(astronaut, hopper, structure=0.5, appearance=1.0, detail=0.0)
    half.save(out / "half_astronaut.png", overwrite=True)
    # No weights at all: moved pixels.
    swap(astronaut, hopper, method="warp").save(out / "astronaut_as_hopper_warp.png", overwrite=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/swap_two_photos"))
    main(parser.parse_args().out)
