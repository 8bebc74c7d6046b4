"""The command ``stylegan-swap evaluate``: swap a list of pairs with several methods, measure, report."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stylegan_swap._version import __version__
from stylegan_swap.cli import options


def evaluate(
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns identity and attribute, paths relative to --photos."),
    ] = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of the photos of --pairs; its own if absent.")
    ] = None,
    identities: Annotated[
        Path | None, typer.Option(help="Instead of --pairs: folder of identity photos.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="Instead of --pairs: folder of attribute photos.")
    ] = None,
    faceforensics: Annotated[
        Path | None, typer.Option(help="Instead of --pairs: root of FaceForensics++, official layout.")
    ] = None,
    entries: Annotated[
        Path | None, typer.Option(help="With --faceforensics: its train, val or test JSON file of pairs.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pairs of the two folders.")
    ] = None,
    method: Annotated[str, typer.Option(help="Names or weights, separated by commas.")] = "copy,paste,warp",
    out: Annotated[
        Path, typer.Option(help="Folder for rows, pictures, summary.json and report.html.")
    ] = Path("evaluation"),
    distractors: Annotated[
        int, typer.Option(min=0, help="People of manifest.csv who join the gallery though in no pair.")
    ] = 0,
    two_sample: Annotated[
        int, typer.Option(min=0, help="Train a classifier on so many swaps of split train; 0 leaves it out.")
    ] = 0,
    arcface: Annotated[
        Path | None,
        typer.Option(help="model_ir_se50.pth: identity by ArcFace as well, in columns of its own."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Measure methods on pairs of photos. A run that was stopped goes on where it ended."""
    import json

    import numpy as np

    from stylegan_swap.evaluation.benchmark import (
        Settings,
        columns_of,
        default_measures,
        method_folder,
        run_method,
        start_run,
    )
    from stylegan_swap.evaluation.cost import cost_columns
    from stylegan_swap.evaluation.pairs import (
        cross_pairs,
        faceforensics_pairs,
        manifest_of,
        people_of,
        read_pairs,
    )
    from stylegan_swap.evaluation.realism import (
        COLUMN,
        kid_of_method,
        perceptual_of_method,
        training_pairs,
        two_sample_of_method,
    )
    from stylegan_swap.evaluation.report import write_report
    from stylegan_swap.evaluation.table import add_measure, as_table, summarise
    from stylegan_swap.files.atomic import replacing
    from stylegan_swap.images.photo import read_photo
    from stylegan_swap.metrics.identity import ArcFaceRecogniser, IdentityMeasure
    from stylegan_swap.provenance.photo_file import write_photo

    folders = identities is not None and attributes is not None
    if [pairs is not None, folders, faceforensics is not None].count(True) != 1:
        raise typer.BadParameter("give --pairs, or --identities and --attributes, or --faceforensics")
    if faceforensics is not None:
        if entries is None:
            raise typer.BadParameter("--faceforensics needs --entries", param_hint="--entries")
        root = faceforensics
        todo, people = faceforensics_pairs(faceforensics, entries, out / "frames")
    elif pairs is not None:
        root = photos or pairs.parent
        todo = read_pairs(pairs, root)
        people = dict(people_of(root))
    else:
        assert identities is not None and attributes is not None
        root = identities
        todo = cross_pairs(identities, attributes, limit)
        people = {**people_of(attributes), **people_of(identities)}
    methods = [name.strip() for name in method.split(",") if name.strip()]
    if not methods:
        raise typer.BadParameter("name at least one method", param_hint="--method")
    start_run(
        out, Settings([(pair.identity_name, pair.attribute_name) for pair in todo], distractors, __version__)
    )
    gallery, frontal = _enrolled(todo, root, manifest_of(root), people, distractors)
    measures = default_measures(gallery, frontal)
    if arcface is not None:
        measures.append(IdentityMeasure(ArcFaceRecogniser.load(arcface)))
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in methods:
        rows[name] = run_method(name, todo, people, measures, out, device=device, progress=_progress)
    command = "stylegan-swap " + " ".join(sys.argv[1:])
    summary = summarise(rows, columns_of(measures), people, command=command)
    for name in methods:
        for column, value in cost_columns(name, todo, device):
            add_measure(summary, name, column, value)
        if (kernel_distance := kid_of_method(todo, rows[name], out)) is not None:
            add_measure(summary, name, *kernel_distance)
        for column, value in perceptual_of_method(todo, rows[name], out):
            add_measure(summary, name, column, value)
    if two_sample:
        trained = training_pairs(root, manifest_of(root), two_sample)
        for name in methods:
            _progress(f"{name}, two-sample test", 0, 1)
            test = two_sample_of_method(name, todo, rows[name], trained, people, out, device=device)
            by_person = test.by_person
            add_measure(summary, name, COLUMN, by_person.estimate, by_person.low, by_person.high)
            heat = (255 * np.clip(test.heat / max(float(test.heat.max()), 1e-6), 0, 1)).astype(np.uint8)
            heat_map = np.repeat(heat[..., None], 3, axis=2)
            write_photo(out / method_folder(name) / "heat.png", heat_map, mark=False, overwrite=True)
    with replacing(out / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    with replacing(out / "summary.csv") as temporary:
        temporary.write_text(as_table(summary), encoding="utf-8")
    paths = {pair.number: pair for pair in todo}

    def triple(name: str, row: Any) -> tuple[Any, Any, Any]:
        pair = paths[row["number"]]
        pictures = (pair.identity, pair.attribute, out / row["result"])
        first, second, third = (read_photo(path).pixels for path in pictures)
        return first, second, third

    write_report(out / "report.html", summary, rows, triple)
    _print_table(summary)
    typer.echo(f"{out / 'report.html'}")


def _enrolled(
    todo: list[Any], root: Path, manifest: list[dict[str, str]], people: dict[str, str], distractors: int
) -> tuple[list[Any], list[Any]]:
    """The gallery: all photos of everybody in the pairs, and of some more people; and which are frontal."""
    from stylegan_swap.images.collection import Collection
    from stylegan_swap.metrics.robustness import aligned_view
    from stylegan_swap.metrics.sample import look

    photos = {pair.identity_name: pair.identity for pair in todo}
    photos |= {pair.attribute_name: pair.attribute for pair in todo}
    involved = {people.get(name, name) for name in photos}
    strangers = sorted({row["person"] for row in manifest} - involved)
    involved |= set(random.Random(0).sample(strangers, min(distractors, len(strangers))))
    photos |= {row["file"]: root / row["file"] for row in manifest if row["person"] in involved}
    # Only the studio sets say that their people look into the camera with a resting face.
    neutral = {row["file"] for row in manifest if row.get("expression") == "neutral"}
    gallery, frontal, photographs = [], [], Collection(root)
    for number, (name, path) in enumerate(photos.items()):
        _progress("gallery", number, len(photos))
        photo = photographs.read(path, name)
        if photo is None:
            continue
        view = look(photo.pixels, name, people.get(name, name))
        if view.landmarks is None:
            options.note(f"{path}: no face was found; not in the gallery")
            continue
        crop = aligned_view(view)
        gallery.append(crop)
        if name in neutral:
            frontal.append(crop)
    _progress("gallery", len(photos), len(photos))
    photographs.list_damaged()
    return gallery, frontal


def _progress(step: str, count: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if count == total else "\r"
        typer.echo(f"{step}: {count}/{total}{end}", err=True, nl=False)


def _print_table(summary: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['pairs']} pairs, {summary['people']} people")
    table.add_column("measure")
    for name in summary["methods"]:
        table.add_column(name, justify="right")
    for column, about in summary["columns"].items():
        cells = []
        for values in summary["methods"].values():
            value = values["measures"][column]["value"]
            cells.append("–" if value is None else f"{value:.3f}")
        table.add_row(f"{column} {about['unit']}", *cells)
    Console(soft_wrap=True).print(table)
