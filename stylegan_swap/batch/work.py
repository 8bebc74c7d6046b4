"""What one worker does with one item: swap, write to a staging file, say how it went.

Runs in a process of its own or in a Ray actor. The worker never touches the results themselves: the process
that conducts the batch gives finished files their names, so that a worker that dies or is thought dead can
neither leave half a picture nor write one twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stylegan_swap.batch.jobs import Job
from stylegan_swap.batch.journal import Row
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.faces.masks.mask_options import MaskOptions
from stylegan_swap.weights.cache import sha256_of

# Prepared people a worker remembers; at 1024 px one is some tens of MB.
_REMEMBERED = 32


@dataclass(frozen=True)
class Settings:
    """What all items of a batch share; arguments as in ``run_batch``.

    Attributes:
        weights: hash of the weights' file, or empty.
        threads: of torch and OpenCV in each worker; None leaves them alone.
    """

    method: str = "default"
    device: str = "auto"
    dtype: str = "auto"
    landmarks: str = "dlib"
    quality: int = 95
    mark: bool = True
    weights: str = ""
    threads: int | None = None


def digest_of(job: Job, settings: Settings) -> str:
    """A hash of everything an item's result depends on: its photos' bytes, its options, the weights.

    Raises:
        CheckpointError: a photo cannot be read.
    """
    shared = asdict(settings)
    # The same picture, but for rounding, wherever and however fast it is made.
    for name in ("device", "threads"):
        del shared[name]
    options = {
        name: asdict(value) if isinstance(value, MaskOptions) else value
        for name, value in job.options.items()
        if name not in ("face", "identity_face") or value not in job.inputs
    }
    photos = [sha256_of(Path(path)) for path in job.inputs]
    text = json.dumps([shared, options, photos], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class SwapWorker:
    """A swapper that answers every job with a row, whatever happens.

    Args:
        settings: of the batch.

    Raises:
        StyleganSwapError: the swapper cannot be built; the batch cannot go on.
    """

    def __init__(self, settings: Settings) -> None:
        import cv2
        import torch

        from stylegan_swap.swapping.swapper import PhotoSwapper

        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
            cv2.setNumThreads(settings.threads)
        self._settings = settings
        with warnings.catch_warnings():
            # What a warning says comes with every result's notes as well.
            warnings.simplefilter("ignore")
            self._swapper = PhotoSwapper.from_pretrained(
                settings.method, device=settings.device, dtype=settings.dtype, landmarks=settings.landmarks
            )
        self._people: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

    def __call__(self, job: Job, staged: str) -> Row:
        """Swap and write.

        Args:
            job: the item.
            staged: where to write the picture; its suffix is the result's.

        Returns:
            The row of ``results.csv``, without ``attempts``.
        """
        start = time.perf_counter()
        row: Row = {
            "output": job.output,
            "identity": "|".join(job.identity),
            "attribute": job.attribute,
            "worker": f"{platform.node()}:{os.getpid()}",
        }
        try:
            row |= self._swap(job, Path(staged)) | {"status": "ok"}
        except StyleganSwapError as error:
            row |= {"status": "error", "error": f"{type(error).__name__}: {error}"}
        except Exception as error:  # noqa: BLE001 — one item must not end the work on the others
            reason = " ".join(str(error).split())[:500]
            row |= {"status": "error", "error": f"unexpected {type(error).__name__}: {reason}"}
        return row | {"seconds": f"{time.perf_counter() - start:.3f}"}

    def _swap(self, job: Job, staged: Path) -> Row:
        from stylegan_swap.images.photo import read_photo

        options = {name: job.options[name] for name in job.options if name not in ("identity_face", "refine")}
        photo = read_photo(job.attribute)
        result = self._swapper(self._person(job), photo, **options)
        result.save(staged, overwrite=True, quality=self._settings.quality, mark=self._settings.mark)
        distances = [face.distance for face in result.faces]
        return {
            "faces": len(distances),
            "distance": f"{sum(distances) / len(distances):.4f}",
            "notes": "; ".join(result.notes),
            "sha256": sha256_of(staged),
            "digest": digest_of(job, self._settings),
        }

    def _person(self, job: Job) -> Any:
        """The identity, prepared once; a photo that is no identity is told again without a second try."""
        if job.person not in self._people:
            prepared: Any
            try:
                options = {"face": job.options.get("identity_face", "largest")}
                if refine := job.options.get("refine", 0):
                    # Tuned once for all items of the person, not in every swap.
                    options |= {"refine": refine, "seed": job.options.get("seed", 0)}
                prepared = self._swapper.prepare(list(job.identity), **options)
            except StyleganSwapError as error:
                prepared = error
            self._people[job.person] = prepared
            if len(self._people) > _REMEMBERED:
                self._people.popitem(last=False)
        self._people.move_to_end(job.person)
        person = self._people[job.person]
        if isinstance(person, StyleganSwapError):
            raise person
        return person
