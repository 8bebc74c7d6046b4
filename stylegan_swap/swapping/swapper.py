"""The road of a photograph: identity and attribute photo in, result out. Written once, called by all.

identity photo → detect → align → prepare ─┐
attribute photo → detect → align ──────────┴→ swap_aligned → finish → paste into the attribute photo.

Each step is one call into ``images``, ``faces``, ``finish`` or a method of ``methods``. Clips call the single
steps (``swap_faces``, ``paste``), everybody else a swapper as a whole.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_swap.errors import CheckpointError, UnsupportedOptionError
from stylegan_swap.faces.detection.detect import Face
from stylegan_swap.faces.detection.select import select_faces
from stylegan_swap.faces.geometry.align import Alignment
from stylegan_swap.faces.geometry.reshape import Reshaping
from stylegan_swap.faces.masks.mask_options import MaskOptions, paste_mask
from stylegan_swap.faces.paste import paste_back
from stylegan_swap.faces.tensors import from_pixels, to_pixels
from stylegan_swap.images.photo import Photo, PhotoSource, read_photo
from stylegan_swap.methods.base.options import checked_options, checked_seed
from stylegan_swap.methods.base.prepared import joined
from stylegan_swap.methods.base.protocol import AlignedSwap, Method, dlib_of, refinable
from stylegan_swap.nn.recognisers.dlib_identity import DlibIdentity
from stylegan_swap.provenance.watermark import Kind
from stylegan_swap.swapping.find_method import find_method
from stylegan_swap.swapping.finish.detail import FinePhoto, add_fine_detail
from stylegan_swap.swapping.options import checked_refine
from stylegan_swap.swapping.people import (
    People,
    Replacements,
    find_people,
    prepare_people,
    refined,
    require_method,
)
from stylegan_swap.swapping.person_file import read_person
from stylegan_swap.swapping.result import (
    AlignedTarget,
    PastedFace,
    PastedPhoto,
    Person,
    SwappedFace,
    SwapResult,
    describe_face,
)

if TYPE_CHECKING:
    from typing_extensions import Self

FaceChoice: TypeAlias = "str | int | PhotoSource"
#: Works on a photo after its faces were swapped and pasted.
PhotoStep: TypeAlias = "Callable[[PastedPhoto], PastedPhoto]"
#: Faces that go through a network together; more would save no time and fill the memory.
FACES_AT_ONCE = 16
_LANDMARKS = ("dlib", "face-alignment")


class PhotoSwapper:
    """A method on a device, with everything round it. Safe to share between threads.

    Args:
        method: the method; ``from_pretrained`` finds it by name.
        landmarks: ``"dlib"`` or ``"face-alignment"``.
        notes: what to tell the user with every result.

    Raises:
        UnsupportedOptionError: there is no such landmark backend.
    """

    def __init__(self, method: Method, *, landmarks: str = "dlib", notes: Sequence[str] = ()) -> None:
        if landmarks not in _LANDMARKS:
            raise UnsupportedOptionError(
                f"unknown landmark backend {landmarks!r}: choose {' or '.join(_LANDMARKS)}"
            )
        self.method = method
        self.landmarks = landmarks
        #: What to tell the user about the weights, one line each; every result repeats it.
        self.notes = tuple(notes)

    def __repr__(self) -> str:
        """One line: method, device and landmark backend."""
        return (
            f"{type(self).__name__}(method={self.method.name!r}, device={str(self.method.device)!r}, "
            f"landmarks={self.landmarks!r})"
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str] = "default",
        *,
        device: str = "auto",
        dtype: str = "auto",
        landmarks: str = "dlib",
    ) -> Self:
        """Build a swapper by method name, or from a folder or file with weights, ours or published ones.

        Files of MegaFS, FSLSD and RAFSwap give those methods; a generator or an encoder of another project
        gives a swapper that inverts and generates, and says what a swap would need. They are converted in
        memory each time, which ``notes`` says. Where the default weights are missing from the installation,
        ``"default"`` falls back to ``"warp"``, with a warning.

        Raises:
            CheckpointError: the weights are missing, damaged or do not fit, or make no faces.
            UnsupportedOptionError: the name, device or dtype is not to be had.
        """
        method, notes = find_method(name, device, dtype)
        return cls(method, landmarks=landmarks, notes=notes)

    @functools.cached_property
    def recogniser(self) -> DlibIdentity:
        """The network behind every descriptor and distance: the method's own where it has one."""
        return dlib_of(self.method)

    def prepare(
        self,
        identity: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        refine: int = 0,
        seed: int = 0,
    ) -> Person:
        """Do once what depends on the identity alone.

        Args:
            identity: one photo, or several of the same person.
            face: which face of the photo; see ``swap``.
            refine: steps in which a copy of the network is tuned to this person, kept with the person.
            seed: of that tuning.

        Raises:
            NoFaceError, FaceSelectionError, FaceTooSmallError, ImageReadError: see ``stylegan_swap.errors``.
        """
        if isinstance(face, str) and face == "all":
            raise UnsupportedOptionError(
                "one identity is one face: choose 'largest', a number or a reference photo"
            )
        refine = checked_refine(self.method, refine)
        sources = identity if isinstance(identity, (list, tuple)) else [cast("PhotoSource", identity)]
        if not sources:
            raise UnsupportedOptionError("no identity photo was given: give one, or several of one person")

        # Prepare every photo by itself.
        prepared, embeddings, fine_photos, names, notes = [], [], [], [], []
        for source in sources:
            photo = read_photo(source)
            landmarks = self.choose_faces(photo, face)[0].landmarks
            alignment = self.align(landmarks)
            points = torch.from_numpy(alignment.to_crop(landmarks))[None]
            prepared.append(self.method.prepare(from_pixels(alignment.crop(photo.pixels)), points))
            embeddings.append(describe_face(self.recogniser, photo.pixels, landmarks))
            fine_photos.append(FinePhoto.cut(photo.pixels, landmarks, alignment))
            names.append(photo.name)
            notes += [f"{photo.name}: {note}" for note in photo.notes]

        # Make one person of them; the most typical photo gives what is finer than the method's crops.
        person = prepared[0] if len(prepared) == 1 else self.method.combine(prepared)
        if refine:
            person = refinable(self.method).refine(person, refine, checked_seed(seed))
        descriptors = torch.cat(embeddings)
        embedding = descriptors.mean(0, keepdim=True)
        typical = fine_photos[int((descriptors - embedding).square().sum(1).argmin())]
        return Person(person, embedding, self.method.fingerprint, tuple(names), tuple(notes), typical)

    def load_person(self, path: str | os.PathLike[str]) -> Person:
        """Read a person that ``Person.save`` wrote; swaps come out as with the person that was saved.

        Raises:
            CheckpointError: the file is missing or damaged, holds no person, or one that was prepared by
                another method or with other weights.
        """
        package = type(self.method).__module__.partition(".")[0]
        content = read_person(path, self.method.fingerprint, package, self.method.device)
        try:
            photo = content["photo"]
            return Person(
                content["prepared"],
                content["embedding"].cpu(),
                self.method.fingerprint,
                content["names"],
                content["notes"],
                None if photo is None else FinePhoto(photo["crop"], photo["landmarks"]),
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: is no complete person; save the person again") from error

    def prepare_people(
        self,
        replacements: Replacements,
        *,
        missing: str = "error",
        face: FaceChoice = "largest",
        refine: int = 0,
        seed: int = 0,
    ) -> People:
        """Do once what depends on who becomes whom alone, for several people of the same photos.

        ``replacements`` are a mapping, or pairs: a photo of the person to replace, or a face number from the
        left → the identity, a prepared person, a photo or several. ``missing`` is ``"error"`` where a photo
        lacks somebody, or ``"skip"`` to go on with the others. ``face`` (of the identity photos), ``refine``
        and ``seed`` are as in ``prepare``.

        Raises:
            StyleganSwapError: as in ``prepare``.
        """

        def prepare(identity: Any) -> Person:
            if isinstance(identity, Person):
                return identity
            return self.prepare(identity, face=face, refine=refine, seed=seed)

        return prepare_people(
            replacements, missing, prepare=prepare, embed=self.describe, landmarks=self.landmarks
        )

    def __call__(
        self,
        person: Person | People | PhotoSource | Mapping[Any, Any],
        attribute: PhotoSource,
        *,
        face: FaceChoice = "largest",
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
        match_colour: bool = False,
        detail: float = 1.0,
        options: Mapping[str, Any] | None = None,
        refine: int = 0,
        mask: str | MaskOptions = "predicted",
        then: PhotoStep | None = None,
    ) -> SwapResult:
        """Swap; arguments as in ``swap``, with a prepared person, prepared people or a photo.

        ``refine`` here tunes for this one call; ``prepare(..., refine=n)`` does so once for all. ``then``
        works on the photo after the faces were pasted.

        Raises:
            FaceSelectionError: of several people, somebody is not in the photo; see docs/masks.md.
            StyleganSwapError: with the cause and the remedy; see ``stylegan_swap.errors``.
        """
        # Check what was asked for, and read, before any work is done.
        options = checked_options(
            self.method.name,
            self.method.options,
            {"structure": structure, "appearance": appearance, "seed": seed, "detail": detail}
            | dict(options or {}),
        )
        mask_options = MaskOptions.of(mask)
        refine = checked_refine(self.method, refine)
        photo = read_photo(attribute)
        if isinstance(person, Mapping):
            person = self.prepare_people(person)
        elif not isinstance(person, Person | People):
            person = self.prepare(person)
        require_method(person, self.method.fingerprint)
        if refine:
            person = refined(person, self.method, refine, seed or 0)

        # Find the faces, cut them out and swap them together.
        chosen, bystanders, notes = self._who_is_whom(person, photo, face)
        targets = [
            AlignedTarget(photo.pixels, target, self.align(target.landmarks), identity)
            for target, identity in chosen
        ]
        swaps = self.swap_faces(targets, options)

        # Paste them one after the other.
        pasted = PastedPhoto(photo.pixels, np.zeros(photo.pixels.shape[:2], np.float32), [])
        for (_, target, alignment, identity), swapped in zip(targets, swaps, strict=True):
            bystander_points = [alignment.to_crop(other.landmarks) for other in bystanders]
            predicted = swapped.mask[0, 0].cpu().numpy()
            weights = paste_mask(
                mask_options, predicted, alignment.to_crop(target.landmarks), bystander_points
            )
            swapped = swapped._replace(mask=torch.from_numpy(weights)[None, None])
            pasted.pixels, changed = self.paste(
                AlignedTarget(pasted.pixels, target, alignment, identity),
                swapped,
                detail=options.get("detail", 0.0),
                match_colour=match_colour,
            )
            pasted.mask = np.maximum(pasted.mask, changed)
            pasted.faces.append(PastedFace(target, alignment, swapped))
        if then is not None:
            pasted = then(pasted)
        return self.result(
            photo,
            pasted,
            [identity.embedding for _, identity in chosen],
            seed=seed,
            notes=[*person.notes, *photo.notes, *self.notes, *notes],
            sources=(photo.name, *person.names),
        )

    def swap_aligned(
        self,
        x_id: Tensor,
        x_attr: Tensor,
        landmarks: Tensor | None = None,
        *,
        structure: float = 1.0,
        appearance: float = 0.0,
        seed: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Swap a batch of faces that are aligned as the method wants them (``method.crop``).

        ``x_id`` is ``[batch, 3, s, s]`` (or one for all), ``x_attr`` ``[batch, 3, S, S]``, both RGB in
        [-1, 1]; ``landmarks`` are of ``x_attr``, ``[batch, 68, 2]`` in crop pixels, predicted where not
        given; the others as in ``swap``. Returns the swapped faces ``[batch, 3, S, S]`` and masks
        ``[batch, 1, S, S]``.
        """
        options = {"structure": structure, "appearance": appearance, "seed": seed}
        result = self.method.swap_aligned(self.method.prepare(x_id), x_attr, landmarks, options)
        return result.image, result.mask

    def choose_faces(self, photo: Photo, choice: FaceChoice) -> list[Face]:
        """Find the faces of a photo that are meant, from left to right; see ``select_faces``."""
        which: str | int | Photo
        if isinstance(choice, int | np.integer):
            which = int(choice)
        elif isinstance(choice, str) and choice in ("largest", "all"):
            which = choice
        else:
            which = read_photo(choice)
        return select_faces(photo, which, landmarks=self.landmarks, embed=self.describe)

    def describe(self, photo: Photo, face: Face) -> np.ndarray:
        """Descriptor of a face in a photo, float32 ``[128]``."""
        return describe_face(self.recogniser, photo.pixels, face.landmarks)[0].numpy()

    def crop_side(self, landmarks: np.ndarray) -> int:
        """Side of the crop the method wants of a face with landmarks ``[68, 2]`` in photo pixels."""
        return self.method.size or self.method.crop.free_side(landmarks)

    def align(self, landmarks: np.ndarray) -> Alignment:
        """The crop the method wants of a face with landmarks ``[68, 2]`` in photo pixels."""
        return self.method.crop.align(landmarks, self.crop_side(landmarks))

    def swap_faces(
        self, targets: Iterable[AlignedTarget], options: Mapping[str, Any], *, at_once: int = FACES_AT_ONCE
    ) -> Iterator[AlignedSwap]:
        """Swap faces of photos or frames; those of one crop size go through the method together.

        ``targets``: the faces; ``options``: of the method, see ``checked_options``; ``at_once``: at most so
        many together.

        Yields:
            One result per face, in order.
        """
        for _, alike in itertools.groupby(targets, lambda target: target.alignment.size):
            remaining = iter(alike)
            while batch := list(itertools.islice(remaining, at_once)):
                for people, members in _with_people(batch):
                    crops = [from_pixels(target.alignment.crop(target.pixels)) for target in members]
                    points = np.stack([target.alignment.to_crop(target.face.landmarks) for target in members])
                    swapped = self.method.swap_aligned(
                        people, torch.cat(crops), torch.from_numpy(points), options
                    )
                    for row in range(len(members)):
                        yield swapped.row(row)

    def paste(
        self, target: AlignedTarget, swapped: AlignedSwap, *, detail: float = 0.0, match_colour: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Raise a swapped crop to the resolution of its photo and blend it in.

        Args:
            target: the face with the photo it is pasted into, and who it becomes.
            swapped: of that one face.
            detail: 0..1, how much of what is finer than the crop's pixels is added from both photos.
            match_colour: bring the result's skin to the photo's in Lab first.

        Returns:
            As of ``paste_back``: the new photo, uint8 ``[H, W, 3]``, and where it changed, ``[H, W]``.
        """
        pixels, face, alignment, person = target
        image, mask = to_pixels(swapped.image)[0], swapped.mask[0, 0].cpu().numpy()
        if detail:
            # What is finer is looked for where the method has put it.
            shaped, landmarks, nodes = pixels, face.landmarks, swapped.identity_nodes
            if swapped.spline_points is not None and swapped.spline_weights is not None:
                spline = swapped.spline_points[0].cpu().numpy(), swapped.spline_weights[0].cpu().numpy()
                shaped = Reshaping(*spline, alignment.size).apply(pixels, landmarks, alignment)
            if swapped.landmarks is not None:
                landmarks = alignment.to_photo(swapped.landmarks[0].cpu().numpy())
            # Of several photos the method may have taken another one than finishing does.
            nodes = None if nodes is None or len(person.names) > 1 else nodes.cpu()
            image, alignment = add_fine_detail(
                image, shaped, landmarks, alignment, person.photo, detail, nodes
            )
        return paste_back(pixels, image, mask, alignment, colour=match_colour)

    def result(
        self,
        photo: Photo,
        pasted: PastedPhoto,
        references: Sequence[Tensor],
        *,
        notes: Sequence[str],
        sources: tuple[str, ...],
        seed: int | None = None,
        kind: Kind = Kind.SWAP,
    ) -> SwapResult:
        """Put together what a swap or an edit returns.

        Args:
            photo: the attribute photo.
            pasted: what became of it.
            references: per face the descriptor ``[1, 128]`` its distance is measured to.
            notes: what the user should know.
            sources: the photos that went in, the attribute photo first.
            seed: of the noise maps.
            kind: what was done.
        """
        pixels = pasted.pixels
        faces = [
            SwappedFace(
                box=face.box,
                landmarks=face.landmarks,
                aligned=swapped.image[0],
                mask=swapped.mask[0],
                wplus=None if swapped.wplus is None else swapped.wplus[0],
                alignment=alignment,
                photo=pixels,
                recogniser=self.recogniser,
                reference=reference,
            )
            for (face, alignment, swapped), reference in zip(pasted.faces, references, strict=True)
        ]
        return SwapResult(
            image=Image.fromarray(pixels if photo.alpha is None else np.dstack([pixels, photo.alpha])),
            faces=faces,
            mask=pasted.mask,
            method=self.method.name,
            seed=seed,
            notes=list(notes),
            credit=photo.credit,
            sources=sources,
            kind=kind,
        )

    def _who_is_whom(
        self, person: Person | People, photo: Photo, choice: FaceChoice
    ) -> tuple[list[tuple[Face, Person]], list[Face], list[str]]:
        """Faces that are swapped and who they become, the other people's faces, and notes."""
        if isinstance(person, Person):
            return [(face, person) for face in self.choose_faces(photo, choice)], [], []
        if not (isinstance(choice, str) and choice == "largest"):
            raise UnsupportedOptionError("people are found by their own photos or numbers: leave 'face' out")
        return find_people(person, photo, embed=self.describe, landmarks=self.landmarks)


def _with_people(batch: list[AlignedTarget]) -> list[tuple[Any, list[AlignedTarget]]]:
    """Prepared people with the faces that become them; one batch unless the people are of different kinds."""
    if len({id(target.person) for target in batch}) == 1:
        return [(batch[0].person.prepared, batch)]
    try:
        return [(joined([target.person.prepared for target in batch]), batch)]
    except ValueError:
        # Refined people bring a network each.
        return [(target.person.prepared, [target]) for target in batch]
