"""How far the two-sample test's answer depends on chance: more classifiers on the results of an evaluation.

    python benchmarks/two_sample_seeds.py runs/eval ../shared/faces --methods default,warp --seeds 8

One run of the test asks about as many swaps as there are photos, a small part of them where many swaps share
few photos, and trains one classifier. Others are trained here, and other swaps drawn, on the pictures that
``stylegan-swap evaluate --pairs ... --two-sample N --out runs/eval`` left there.
"""

from __future__ import annotations

import argparse
import csv
import functools
from pathlib import Path

import numpy as np
import torch

from stylegan_swap.evaluation.benchmark import ROWS, method_folder
from stylegan_swap.evaluation.pairs import manifest_of, people_of, read_pairs
from stylegan_swap.evaluation.realism import training_pairs, two_sample_crops
from stylegan_swap.metrics.two_sample import TwoSampleConfig, two_sample_test

HERE = Path(__file__).parent


def main() -> None:
    """Print the accuracy of every classifier, and mean and standard error for each method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path, help="--out of the evaluation")
    parser.add_argument("photos", type=Path, help="folder of the photos, with manifest.csv")
    parser.add_argument("--pairs", type=Path, default=HERE / "val_pairs.csv")
    parser.add_argument("--methods", default="default,warp")
    parser.add_argument("--trained", type=int, default=400, help="--two-sample of the evaluation")
    parser.add_argument("--seeds", type=int, default=8)
    options = parser.parse_args()
    config = TwoSampleConfig(precision=torch.bfloat16)
    pairs, people = read_pairs(options.pairs, options.photos), dict(people_of(options.photos))
    excluded = {
        people.get(name, name) for pair in pairs for name in (pair.identity_name, pair.attribute_name)
    }
    trained = training_pairs(options.photos, manifest_of(options.photos), options.trained)
    for method in options.methods.split(","):
        with open(options.run / method_folder(method) / ROWS, newline="", encoding="utf-8") as stream:
            rows = [{**row, "number": int(row["number"])} for row in csv.DictReader(stream)]
        crops = two_sample_crops(method, pairs, rows, trained, people, options.run)
        test = functools.partial(two_sample_test, *crops, config=config, test_people=excluded)
        accuracies = np.array([test(seed=seed).accuracy for seed in range(options.seeds)])
        error = accuracies.std(ddof=1) / np.sqrt(len(accuracies))
        print(
            method,
            " ".join(f"{accuracy:.3f}" for accuracy in accuracies),
            f"mean {accuracies.mean():.3f} ± {error:.3f}",
        )


if __name__ == "__main__":
    main()
