"""What a swap takes, passes on and returns: ``Person``, ``PastedPhoto``, ``SwappedFace``, ``SwapResult``."""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_swap.errors import ImageWriteError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.geometry.align import Alignment, ffhq_alignment
from stylegan_swap.faces.tensors import from_pixels
from stylegan_swap.methods.base.protocol import AlignedSwap
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.provenance.photo_file import photo_bytes, write_photo
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.swapping.finish.detail import FinePhoto
from stylegan_swap.swapping.person_file import write_person

if TYPE_CHECKING:
    from stylegan_swap.provenance.credentials import Credentials

# Side of the crop that identity descriptors are computed on.
IDENTITY_SIZE = 256


@dataclass(frozen=True, eq=False)
class Person:
    """An identity, ready for any number of swaps. Made by ``Swapper.prepare``.

    Attributes:
        prepared: what the method keeps of the identity photos.
        embedding: dlib's descriptor, ``[1, 128]``, mean over the photos.
        method: fingerprint of the method that prepared it.
        names: the photos it comes from.
        notes: what a user should know about those photos.
        photo: the most typical of them at its own resolution, for what is finer than the method's crops.
    """

    prepared: Any
    embedding: Tensor
    method: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    photo: FinePhoto | None = None

    def __repr__(self) -> str:
        """One line: the photos and the method, no arrays."""
        return f"Person(names={list(self.names)}, method={self.method!r})"

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the person as safetensors, completely or not at all; ``Swapper.load_person`` reads it.

        The file holds the descriptor, what the method keeps, and the face in the photo: treat it as a
        photograph of the person.

        Raises:
            CheckpointError: the name does not end in .safetensors, the file exists or cannot be written.
            UnsupportedOptionError: the person was made with ``refine`` and holds a network.
        """
        photo = self.photo
        content = {
            "prepared": self.prepared,
            "embedding": self.embedding,
            "names": self.names,
            "notes": self.notes,
            "photo": None if photo is None else {"crop": photo.crop, "landmarks": photo.landmarks},
        }
        write_person(path, self.method, content, overwrite)


class AlignedTarget(NamedTuple):
    """A face that is to be swapped.

    Attributes:
        pixels: the photo or frame it is in, uint8 ``[H, W, 3]``.
        face: where.
        alignment: the map to its crop.
        person: who it becomes.
    """

    pixels: np.ndarray
    face: Face
    alignment: Alignment
    person: Person


class PastedFace(NamedTuple):
    """A face that was swapped or edited: where it was found, the map to its crop, and the crop."""

    face: Face
    alignment: Alignment
    swapped: AlignedSwap


@dataclass(eq=False)
class PastedPhoto:
    """A photo with its new faces.

    Attributes:
        pixels: uint8 ``[H, W, 3]``.
        mask: where pixels were changed, float32 ``[H, W]`` in 0..1.
        faces: from left to right.
    """

    pixels: np.ndarray
    mask: np.ndarray
    faces: list[PastedFace]


@dataclass(eq=False, kw_only=True)
class SwappedFace:
    """One swapped face of the result.

    Attributes:
        box: float32 ``[4]`` x0, y0, x1, y1 in photo pixels.
        landmarks: float32 ``[68, 2]`` of the attribute face, in photo pixels.
        aligned: the swapped crop as the method made it, ``[3, S, S]``, RGB in [-1, 1].
        mask: mask of that crop, ``[1, S, S]`` in 0..1.
        wplus: mixed codes ``[L, D]``, or None where the method has none.
        alignment: the map between photo and crop.
        photo: the photo with this face in it, uint8 ``[H, W, 3]``.
        recogniser: makes the descriptors that are compared.
        reference: descriptor of the identity, ``[1, 128]``.
    """

    box: np.ndarray
    landmarks: np.ndarray
    aligned: Tensor
    mask: Tensor
    wplus: Tensor | None
    alignment: Alignment
    photo: np.ndarray = field(repr=False)
    recogniser: DlibIdentity = field(repr=False)
    reference: Tensor = field(repr=False)

    def __repr__(self) -> str:
        """One line: where the face is and the crop's side, no arrays."""
        box = [round(float(corner)) for corner in self.box]
        return f"SwappedFace(box={box}, side={self.aligned.shape[-1]})"

    @functools.cached_property
    def distance(self) -> float:
        """L2 distance of dlib's descriptors of result and identity; below 0.6 they pass for one person."""
        return float(self.recogniser.distance(self._embedding, self.reference))

    @functools.cached_property
    def similarity(self) -> float:
        """Cosine of both descriptors about the mean person: 1 the same, 0 unrelated."""
        return float(self.recogniser.similarity(self._embedding, self.reference))

    @functools.cached_property
    def _embedding(self) -> Tensor:
        return describe_face(self.recogniser, self.photo, self.landmarks)


@dataclass(eq=False, kw_only=True)
class SwapResult:
    """What a swap returns.

    Attributes:
        image: the attribute photo with the swapped faces; its size, its transparency.
        faces: one per swapped face, from left to right.
        mask: where pixels were changed, float32 ``[H, W]`` in 0..1; exactly 0 elsewhere.
        method: the method that made it.
        seed: the seed of the noise maps, or None.
        notes: what a user should know, one line each.
        credit: whose the attribute photo is, as its metadata say.
        sources: names of the photos that went in, the attribute photo first.
        kind: what was done, for the metadata.
    """

    image: Image.Image
    faces: list[SwappedFace]
    mask: np.ndarray
    method: str
    seed: int | None
    notes: list[str]
    credit: dict[str, str] = field(default_factory=dict, repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)
    kind: Kind = field(default=Kind.SWAP, repr=False)

    def __repr__(self) -> str:
        """One line: size, faces, method and the number of notes, no arrays."""
        width, height = self.image.size
        return (
            f"SwapResult({width}x{height}, faces={len(self.faces)}, method={self.method!r}, "
            f"seed={self.seed}, notes={len(self.notes)})"
        )

    def save(
        self,
        path: str | os.PathLike[str] | IO[bytes],
        *,
        format: str | None = None,
        overwrite: bool = False,
        quality: int = 95,
        mark: bool = True,
        credentials: Credentials | None = None,
    ) -> None:
        """Write the picture into a file, completely or not at all, or into a buffer.

        Args:
            path: .png, .jpg, .webp or .tif; the suffix chooses the format. Or a binary file object, as
                ``io.BytesIO()``, that receives the same bytes.
            format: of a file object: ``"png"``, ``"jpg"``, ``"webp"`` or ``"tif"``.
            overwrite: replace an existing file (never one of the input photos).
            quality: of JPEG and WebP, 1 to 100.
            mark: say that it was made with AI: in the metadata (IPTC digital source type), by an invisible
                watermark in the pixels of the file (`image` stays as it is), and in a signed C2PA manifest
                where there are credentials.
            credentials: certificate and key that sign the manifest; None asks the environment variables of
                ``content_credentials``, and without them nothing is signed.

        Raises:
            ImageWriteError: the file exists, the folder is missing or read-only, the disk is full, the
                credentials are no usable ones, or a format is missing, unknown or given for a path.
            MissingDependencyError: there are credentials, but c2pa-python is not installed.
        """
        how = {**self._picture(), "mark": mark, "credentials": credentials, "quality": quality}
        if isinstance(path, str | os.PathLike):
            if format is not None:
                raise ImageWriteError(f"{path}: the suffix chooses the format of a file; leave 'format' out")
            notes = write_photo(path, **how, overwrite=overwrite, inputs=self.sources)
        else:
            if format is None:
                raise ImageWriteError("a file object has no suffix: give the format, as format='png'")
            content, notes = photo_bytes(format, **how)
            path.write(content)
        self.notes += [note for note in notes if note not in self.notes]

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the bytes of a PNG, marked as a saved file is."""
        return photo_bytes("png", **self._picture())[0]

    def _picture(self) -> dict[str, Any]:
        """What every way of writing the picture takes."""
        pixels = np.asarray(self.image)
        return {
            "pixels": np.ascontiguousarray(pixels[..., :3]),
            "alpha": np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None,
            "credit": self.credit,
            "result": self.kind,
            "parent": self._photo(),
        }

    def _photo(self) -> Path | None:
        """The file of the attribute photo, where it came from one that is still there."""
        photo = Path(self.sources[0]) if self.sources else None
        with contextlib.suppress(OSError, ValueError):
            return photo if photo is not None and photo.is_file() else None
        return None


def describe_face(identity: DlibIdentity, pixels: np.ndarray, landmarks: np.ndarray) -> Tensor:
    """Dlib's descriptor ``[1, 128]`` of the face with landmarks ``[68, 2]`` in a photo's pixels."""
    with torch.no_grad():
        crop = from_pixels(ffhq_alignment(landmarks, IDENTITY_SIZE).crop(pixels))
        return identity.embed(crop.to(identity.mean.device)).cpu()
