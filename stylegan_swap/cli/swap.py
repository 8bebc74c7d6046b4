"""``stylegan-swap swap``: the face of one photo into another; a thin skin over ``Swapper``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylegan_swap.cli import options
from stylegan_swap.errors import ImageWriteError

if TYPE_CHECKING:
    from stylegan_swap.faces.masks.mask_options import MaskOptions


def swap(
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="[IDENTITY ATTRIBUTE]", help="Who, and into which photo.")
    ] = None,
    identity: options.Identities = None,
    attribute: Annotated[
        Path | None, typer.Option("--attribute", "--target", "-t", help="The photo to swap into.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Result: .png, .jpg, .webp or .tif.")] = Path(
        "swapped.png"
    ),
    method: options.Method = "default",
    face: options.Face = "largest",
    identity_face: options.IdentityFace = "largest",
    structure: options.Structure = 1.0,
    appearance: options.Appearance = 0.0,
    seed: options.Seed = None,
    match_colour: options.MatchColour = False,
    detail: options.Detail = 1.0,
    option: options.MethodOptions = None,
    refine: options.Refine = 0,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="OLD=NEW", help="Whom (a photo, or a number from the left) by whom; once each."
        ),
    ] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="With --map: go on without those who are not in the photo.")
    ] = False,
    mask: Annotated[
        str, typer.Option(help="predicted, hull, inner or box; joined by + they are cut to what all share.")
    ] = "predicted",
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Keep the photo's mouth, eyes, brows, nose or forehead; once per region."),
    ] = None,
    mask_blur: Annotated[
        float | None, typer.Option(help="Width of the mask's edge, 0..0.5 of the crop.")
    ] = None,
    mask_padding: Annotated[
        str,
        typer.Option(metavar="SHARES", help="Cut off so much of the face: TOP,RIGHT,BOTTOM,LEFT, each 0..1."),
    ] = "0",
    device: options.Device = "auto",
    dtype: options.Precision = "auto",
    landmarks: options.Landmarks = "dlib",
    quality: options.Quality = 95,
    mark: options.Mark = True,
    save_mask: Annotated[Path | None, typer.Option(help="Also write the mask, as a picture.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Put the face of one photo into another."""
    identities, target = _who_and_where(photos or [], identity or [], attribute, replace or [])
    pairs = replacements(replace or [])
    masking = _mask_options(mask, keep, mask_blur, mask_padding)
    from stylegan_swap.images.photo import read_photo
    from stylegan_swap.provenance.photo_file import check_writable

    # --face and --identity-face may name a reference photo.
    inputs = [*identities, target, face, identity_face]
    inputs += [path for old, news in pairs for path in (str(old), *news)]
    check_writable(output, overwrite, inputs=inputs)
    if save_mask is not None:
        check_writable(save_mask, overwrite, inputs=inputs)
        if save_mask.resolve() == output.resolve():
            raise ImageWriteError(f"{save_mask}: is the result's file as well; choose another for the mask")
    from stylegan_swap.api import Swapper

    swapper = Swapper.from_pretrained(method, device=device, dtype=dtype, landmarks=landmarks)
    # Both are read before the work on either, so that a wrong path is told at once.
    identity_photos, photo = [read_photo(path) for path in identities], read_photo(target)
    preparing: dict[str, Any] = {
        "face": options.face_choice(identity_face),
        "refine": refine,
        "seed": seed or 0,
    }
    person: Any
    if pairs:
        person = swapper.prepare_people(pairs, missing="skip" if skip_missing else "error", **preparing)
    else:
        person = swapper.prepare(identity_photos, **preparing)
    result = swapper(
        person,
        photo,
        face=options.face_choice(face),
        structure=structure,
        appearance=appearance,
        seed=seed,
        match_colour=match_colour,
        detail=detail,
        options=options.method_options(option),
        mask=masking,
    )
    result.save(output, overwrite=overwrite, quality=quality, mark=mark)
    if save_mask is not None:
        _write_mask(save_mask, result.mask, overwrite)
    for text in result.notes:
        options.note(text)
    for number, swapped in enumerate(result.faces):
        typer.echo(
            f"face {number}: distance to the identity {swapped.distance:.2f} (below 0.6: the same person "
            "for dlib's recogniser)"
        )
    typer.echo(f"{output}  ({result.image.width} × {result.image.height}, method {result.method})")


def _who_and_where(
    photos: list[Path], identities: list[Path], attribute: Path | None, replace: list[str]
) -> tuple[list[Path], Path]:
    """Identity photos and the photo to swap into; with --map the latter alone."""
    if not replace:
        return options.identity_and_target(photos, identities, attribute, "two photos", "photo")
    if identities or len(photos) + (attribute is not None) != 1:
        raise typer.BadParameter("with --map, give one photo: the one to swap into")
    return [], photos[0] if photos else Path(str(attribute))


def replacements(pairs: list[str]) -> list[tuple[int | str, list[str]]]:
    """Pairs of old and new from ``OLD=NEW``; one OLD given several times has several photos of one NEW.

    Raises:
        typer.BadParameter: a side is missing.
    """
    new_of: dict[str, list[str]] = {}
    for pair in pairs:
        old, new = _split(pair)
        if not old or not new:
            raise typer.BadParameter(f"{pair!r}: write whom=by-whom, two photos", param_hint="--map")
        new_of.setdefault(old, []).append(new)
    return [(options.face_choice(old), news) for old, news in new_of.items()]


def _split(pair: str) -> tuple[str, str]:
    """At the first ``=`` that leaves a number or an existing file on the left; at the first one otherwise."""
    parts = pair.split("=")
    for count in range(1, len(parts)):
        old, new = "=".join(parts[:count]), "=".join(parts[count:])
        if old.isdecimal() or Path(old).is_file():
            return old, new
    return parts[0], "=".join(parts[1:])


def _mask_options(kind: str, keep: list[str] | None, blur: float | None, padding: str) -> MaskOptions:
    """The options of the mask; one number of padding stands for all four sides."""
    from stylegan_swap.faces.masks.mask_options import MaskOptions

    try:
        shares = [float(part) for part in padding.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{padding!r}: write TOP,RIGHT,BOTTOM,LEFT", param_hint="--mask-padding"
        ) from None
    four: Any = tuple(shares * 4 if len(shares) == 1 else shares)
    return MaskOptions(kind, tuple(keep or ()), blur, four)


def _write_mask(path: Path, mask: Any, overwrite: bool) -> None:
    import numpy as np

    from stylegan_swap.provenance.photo_file import write_photo

    levels = np.rint(mask * 255).astype(np.uint8)
    write_photo(path, np.repeat(levels[..., None], 3, axis=2), mark=False, overwrite=overwrite)
