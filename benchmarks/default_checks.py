"""Is a swap a swap? Checks that pictures and distances alone do not answer, with a verdict per line.

Usage: ``python benchmarks/default_checks.py FACES_FOLDER [--method default|PATH] [--out runs/checks]``.

Reverse triplets (does it restore the person), mutations (is the network's work needed; networks only),
expression following, skin chroma; on split val, at the method's size. Writes ``checks.json`` and contact
sheets, which show real people: keep them out of git. Exits with 1 when something asked does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from aligned_swap import photo_view, swapped_sample
from expression_following import check_expression, photographed_twice
from findings import Finding, as_table
from mutations import check_blank_identity, check_generator
from reverse_triplets import check_triplets, draw_triplets
from skin_chroma import check_chroma

from stylegan_swap import Swapper
from stylegan_swap.files.atomic import replacing
from stylegan_swap.methods.base.protocol import Method
from stylegan_swap.methods.default.method import DefaultMethod
from stylegan_swap.methods.warp.method import WarpMethod
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.sample import Sample, View
from stylegan_swap.provenance.photo_file import write_photo
from stylegan_swap.training.data.photos import Photos

SEED = 20261123
# Side for methods that take any; most of the photos hold no more than 210 px.
FREE_SIZE = 256
CHECKS = ("triplets", "mutations", "expression", "chroma")


def cross_samples(method: Method, photos: Photos, size: int, seed: int = SEED) -> list[Sample]:
    """Every photo once as the attribute, with somebody else's drawn at random as the identity."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(len(photos)):
        person = photos.person(number)
        strangers = [candidate for candidate in range(len(photos)) if photos.person(candidate) != person]
        identity = int(rng.choice(strangers))
        samples.append(
            swapped_sample(method, photo_view(photos, identity, size), photo_view(photos, number, size))
        )
    return samples


def one_of_each(photos: Photos, size: int) -> list[View]:
    """The first photo of every person."""
    return [photo_view(photos, numbers[0], size) for numbers in photos.people().values()]


def run_checks(
    swapper: Swapper,
    faces: Path,
    photos: Photos,
    size: int,
    chosen: Sequence[str],
    out: Path,
    repeats: int,
    light: float,
) -> list[Finding]:
    """Run the chosen checks and write their contact sheets."""
    method, findings = swapper.method, list[Finding]()
    sheets: dict[str, np.ndarray] = {}
    samples = cross_samples(method, photos, size) if {"mutations", "chroma"} & set(chosen) else []
    if "triplets" in chosen:
        plain = torch.device("cpu"), torch.float32
        warp = WarpMethod.from_pretrained(None, device=plain[0], dtype=plain[1])
        baseline = None if method.name == warp.name else warp
        triplets = draw_triplets(photos, size, SEED, repeats, light)
        results, sheets["triplets"] = check_triplets(method, baseline, triplets)
        findings += results
    if "mutations" in chosen and isinstance(method, DefaultMethod):
        recogniser = DlibRecogniser(method.network.identity)
        results, sheets["random_generator"] = check_generator(method, samples, recogniser)
        findings += results
        results, sheets["blank_identity"] = check_blank_identity(
            method, one_of_each(photos, size), recogniser
        )
        findings += results
    if "expression" in chosen:
        findings += check_expression(swapper, photographed_twice(faces))
    if "chroma" in chosen:
        findings += check_chroma(samples)
    for name, sheet in sheets.items():
        write_photo(out / f"{name}.jpg", sheet, overwrite=True)
    return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, run, print, write; 1 when something asked does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("faces", type=Path, help="folder with manifest.csv and landmarks68.json")
    parser.add_argument("--method", default="default", help="name, or folder or file with weights")
    parser.add_argument("--out", type=Path, default=Path("runs/checks"))
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=CHECKS)
    parser.add_argument("--size", type=int, default=FREE_SIZE, help="for methods that take any side")
    parser.add_argument("--repeats", type=int, default=2, help="triplets of each photo")
    parser.add_argument("--light", type=float, default=1.0, help="of the identities in triplets, 0 to 1")
    parser.add_argument("--split", default="val")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--report-only", action="store_true", help="exit with 0 whatever is found")
    options = parser.parse_args(arguments)

    started = time.perf_counter()
    swapper = Swapper.from_pretrained(options.method, device=options.device)
    method = swapper.method
    if options.method == "default" and method.name != "default":
        parser.error("the default weights are missing: give --method warp, or a folder with weights")
    size = method.size or options.size
    photos = Photos.from_folder(options.faces, split=options.split, side=max(size, 256))
    options.out.mkdir(parents=True, exist_ok=True)
    findings = run_checks(
        swapper, options.faces, photos, size, options.only, options.out, options.repeats, options.light
    )
    failed = [finding for finding in findings if finding.passed is False]
    judged = sum(finding.passed is not None for finding in findings)
    seconds = time.perf_counter() - started
    print(f"method {options.method}, {size} px, {len(photos)} photos of split {options.split}")
    print(as_table(findings))
    print(f"\n{judged - len(failed)} of {judged} hold; {seconds:.0f} s")
    content = {
        "method": options.method,
        "fingerprint": method.fingerprint,
        "size": size,
        "split": options.split,
        "photos": len(photos),
        "seed": SEED,
        "repeats": options.repeats,
        "light": options.light,
        "seconds": round(seconds, 1),
        "passed": not failed,
        "findings": [finding.as_dict() for finding in findings],
    }
    with replacing(options.out / "checks.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return 1 if failed and not options.report_only else 0


if __name__ == "__main__":
    sys.exit(main())
