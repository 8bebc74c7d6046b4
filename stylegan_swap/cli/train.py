"""``stylegan-swap train``, ``pack`` and ``convert-identity``: a thin skin over the package ``training``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan_swap.cli import options


def train(
    stage: Annotated[
        str,
        typer.Argument(help="What to train: gan, invert, landmarks, or a method (swap: the default)."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="A YAML file, or a configuration that comes with the library; left out, the stage's own.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(help="Go on where the folder's run ended; --no-resume refuses a folder with a run."),
    ] = True,
    checkpoint: Annotated[Path | None, typer.Option(help="Go on from this checkpoint instead.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Weights to begin with: a registered name, a folder or a file.")
    ] = None,
    portable: Annotated[
        Path | None,
        typer.Option(help="With --start: portable.safetensors of the run these weights come from; goes on."),
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value: run.batch=8")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes on a CPU.")] = 1,
) -> None:
    """Train a network. Ctrl-C saves and stops; the same command goes on."""
    from stylegan_swap.errors import ConfigError
    from stylegan_swap.training.config import load_config
    from stylegan_swap.training.loop.run import AUTO
    from stylegan_swap.training.loop.run import train as run_training

    if checkpoint is not None and not resume:
        raise typer.BadParameter("--checkpoint goes on with a run, --no-resume begins one; give one of them")
    settings = load_config(config or stage, changes or [], stage=stage)
    if start is not None:
        settings = settings.started_from(start)
    if portable is not None and start is None:
        raise ConfigError(f"{portable}: is half of a run; give the weights exported with it as --start")
    origin: str | Path | None = checkpoint or (AUTO if resume else None)
    outcome = run_training(settings, out, resume=origin, portable=portable, devices=devices)
    if not outcome.first_process:
        return
    typer.echo(f"{out}: {int(outcome.stage.images_seen)} images seen, weights in {out / 'weights'}")
    if outcome.interrupted:
        raise typer.Exit(130)


def pack(
    folder: Annotated[Path, typer.Argument(help="Photographs, with manifest.csv or without.")],
    out: Annotated[Path, typer.Argument(help="The packed file to write: *.faces")],
    split: Annotated[str, typer.Option(help="The part of the manifest.")] = "train",
    side: Annotated[int, typer.Option(min=16, max=2048, help="Side of the aligned crops, pixels.")] = 256,
    overwrite: options.Overwrite = False,
) -> None:
    """Align the faces of a folder once and keep them in one file, for training here or elsewhere."""
    from stylegan_swap.training.data.open_photos import PACKED_SUFFIX

    options.check_new_file(out, PACKED_SUFFIX, overwrite, "packed faces", typer.BadParameter)
    from stylegan_swap.training.data.photos import Photos

    photos = Photos.from_folder(folder, split=split, side=side)
    photos.save_pack(out)
    typer.echo(f"{out}  ({len(photos)} faces of {len(photos.people())} people, {side} px)")


def convert_identity(
    out: Annotated[Path, typer.Argument(help="The file to write: *.safetensors")],
    dat: Annotated[Path | None, typer.Option(help="dlib's .dat file; None: from its package.")] = None,
    full: Annotated[bool, typer.Option("--full", help="float32 instead of float16.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Write dlib's recogniser as safetensors, so that training needs no dlib."""
    options.check_new_file(out, ".safetensors", overwrite, "recognisers", typer.BadParameter)
    import torch

    from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
    from stylegan_swap.nn.recognisers.dlib_resnet import save_identity

    save_identity(DlibIdentity.load(dat).network, out, torch.float32 if full else torch.float16)
    typer.echo(f"{out}")
