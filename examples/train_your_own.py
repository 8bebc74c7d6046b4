"""Train a swap network on a folder of photographs and swap with it: all steps, far too few images.

With a folder of some hundred people and `swap-128` instead of `swap-tiny` this becomes a real training:
docs/training.md.
"""

import argparse
from pathlib import Path

from PIL import Image

from stylegan_swap import Swapper
from stylegan_swap.images.photo import demo_photos
from stylegan_swap.training.config import load_config
from stylegan_swap.training.data.photos import Photos
from stylegan_swap.training.loop.run import train


def main(out: Path) -> None:
    """Align faces once, train for a few steps, and load what was trained."""
    photos = out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    people = dict(zip(("astronaut", "hopper"), demo_photos(), strict=True))
    for name, photo in people.items():
        Image.fromarray(photo.pixels).save(photos / f"{name}.png")

    packed = out / "people.faces"
    Photos.from_folder(photos, split="train", side=128).save_pack(packed)
    changes = {"data.folder": packed, "run.images": 8, "run.batch": 4, "run.workers": 0}
    changes |= {"run.sheet_every": 8, "run.measure_every": 8, "run.log_every": 1}
    config = load_config("swap-tiny", [f"{key}={value}" for key, value in changes.items()], stage="swap")
    # The same call goes on with a run that was stopped; --out of a finished one has nothing left to do.
    outcome = train(config, out / "run")
    print(f"{int(outcome.stage.images_seen)} images seen; every loss in {out / 'run' / 'history.csv'}")

    swapper = Swapper.from_pretrained(out / "run" / "weights", device="cpu")
    result = swapper(people["hopper"].pixels, people["astronaut"].pixels)
    result.save(out / "swapped.png", overwrite=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/train_your_own"))
    main(parser.parse_args().out)
