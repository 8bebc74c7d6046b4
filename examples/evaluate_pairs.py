"""Measure methods on a list of pairs: who is seen in the result, pose, expression, seams, sharpness."""

import argparse
import json
from pathlib import Path

from PIL import Image

from stylegan_swap.cli.main import app
from stylegan_swap.images.photo import demo_photos

PAIRS = "identity,attribute\nhopper.png,astronaut.png\nastronaut.png,hopper.png\n"


def main(out: Path) -> None:
    """Write two photos and a list of two pairs, and compare a method with doing nothing."""
    photos = out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    for name, photo in zip(("astronaut.png", "hopper.png"), demo_photos(), strict=True):
        Image.fromarray(photo.pixels).save(photos / name)
    (out / "pairs.csv").write_text(PAIRS, encoding="utf-8")

    # As in a shell: stylegan-swap evaluate --pairs … --photos … --method copy,warp --out …
    words = ["--pairs", out / "pairs.csv", "--photos", photos, "--out", out / "evaluation"]
    app(["evaluate", *map(str, words), "--method", "copy,warp"], standalone_mode=False)

    methods = json.loads((out / "evaluation" / "summary.json").read_text(encoding="utf-8"))["methods"]
    for name, method in methods.items():
        distance = method["measures"]["id_distance"]["value"]
        print(f"{name:5} distance to the identity {distance:.2f}")
    print(f"open {out / 'evaluation' / 'report.html'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/evaluate_pairs"))
    main(parser.parse_args().out)
