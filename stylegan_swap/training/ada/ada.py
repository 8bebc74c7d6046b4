"""ADA: augmentations that a discriminator sees photographs and results through, and how often.

Beside the road; training with a discriminator uses this. With few photographs a discriminator learns them
by heart; seeing everything through random augmentations keeps it from that, and below a certain probability
the generator does not copy the augmentations. Karras et al. (2020), "Training generative adversarial
networks with limited data".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.distributed
from torch import Tensor, nn

from stylegan_swap.training.ada import ada_colour, ada_corruption, ada_geometry
from stylegan_swap.training.ada.ada_draws import Draws
from stylegan_swap.training.loop.gradients import several_processes

_BLIT = ("xflip", "rotate90", "xint")
_GEOMETRY = ("scale", "rotate", "aniso", "xfrac")
_COLOUR = ada_colour.ITEMS

PIPELINES: dict[str, tuple[str, ...]] = {
    "none": (),
    "blit": _BLIT,
    "geom": _GEOMETRY,
    "color": _COLOUR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": _BLIT + _GEOMETRY,
    "bgc": _BLIT + _GEOMETRY + _COLOUR,
    "bgcf": (*_BLIT, *_GEOMETRY, *_COLOUR, "imgfilter"),
    "bgcfn": (*_BLIT, *_GEOMETRY, *_COLOUR, "imgfilter", "noise"),
    "bgcfnc": (*_BLIT, *_GEOMETRY, *_COLOUR, "imgfilter", "noise", "cutout"),
}
"""Named sets of items; "bgc" is the paper's choice."""

ALL_ITEMS = ada_geometry.ITEMS + ada_colour.ITEMS + ada_corruption.ITEMS


class Augmentation(nn.Module):
    """The pipeline: every item applies to every image with probability p, independently.

    Differentiable in the images, twice: R1 takes the slope of the discriminator through it. Works in
    float32 (or float64), also under autocast. Draws from torch's global random stream of the CPU.

    Args:
        items: a name of ``PIPELINES``, or names out of ``ALL_ITEMS``; their order does not matter.

    Raises:
        ValueError: there is no such pipeline or item.
    """

    lowpass: Tensor
    bands: Tensor

    def __init__(self, items: str | Iterable[str] = "bgc") -> None:
        super().__init__()
        if isinstance(items, str):
            if items not in PIPELINES:
                raise ValueError(f"ADA has no pipeline {items!r}; there are: {', '.join(PIPELINES)}.")
            items = PIPELINES[items]
        self.items = frozenset(items)
        if unknown := sorted(self.items - set(ALL_ITEMS)):
            raise ValueError(f"ADA has no items {unknown}; there are: {', '.join(ALL_ITEMS)}.")
        self.register_buffer("lowpass", ada_geometry.lowpass(), persistent=False)
        self.register_buffer("bands", ada_corruption.band_filters(), persistent=False)

    def forward(self, images: Tensor, probability: float = 1.0, draws: Draws | None = None) -> Tensor:
        """Augment images.

        Args:
            images: ``[batch, 3, S, S]``, RGB around [-1, 1].
            probability: p, 0..1.
            draws: random numbers for this batch; None draws them. With ``draws`` the probability is theirs.

        Returns:
            Like ``images``, at least float32; where nothing applies to any image, ``images`` itself.

        Raises:
            ValueError: no batch of square RGB images, or a probability outside 0..1.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"ADA reads square images [batch, 3, S, S], got {list(images.shape)}.")
        if not 0 <= probability <= 1:
            raise ValueError(f"ADA: p is a probability, got {probability}.")
        draws = Draws(len(images), probability) if draws is None else draws
        # In 16 bits the resampling would leave marks that only augmented images have.
        with torch.autocast(images.device.type, enabled=False):
            images = images.to(torch.promote_types(images.dtype, torch.float32))
            matrix = ada_geometry.draw_geometry(draws, self.items, images.shape[-1])
            if matrix is not None:
                images = ada_geometry.move(images, matrix, self.lowpass)
            if (change := ada_colour.draw_colour(draws, self.items)) is not None:
                images = ada_colour.recolour(images, change)
            return self._corrupted(images, draws)

    def _corrupted(self, images: Tensor, draws: Draws) -> Tensor:
        if "imgfilter" in self.items and (gains := ada_corruption.draw_bands(draws)) is not None:
            images = ada_corruption.weigh_bands(images, gains, self.bands)
        if "noise" in self.items and (strength := ada_corruption.draw_noise(draws)) is not None:
            images = ada_corruption.add_noise(images, strength)
        if "cutout" in self.items and (hole := ada_corruption.draw_hole(draws)) is not None:
            images = ada_corruption.cut_hole(images, *hole)
        return images


class AdaptiveProbability(nn.Module):
    """p of ADA, raised while the discriminator knows the photographs by heart and lowered otherwise.

    Every ``every`` batches p takes a step of the size (photographs seen) / (1000·kimg) up where the mean sign
    of the photographs' logits is above ``target``, down where it is below, within 0..1: p can rise from
    0 to 1 within ``kimg`` thousand photographs. With several processes all see the mean of all.

    Args:
        target: mean sign to hold; the paper's 0.6.
        kimg: see above: 500 from scratch, 100 where training starts from trained weights.
        every: batches between steps.
        start: first p.

    State: ``p`` ``[]`` and ``batches`` ``[]`` (since the last step), which stay on the CPU so that reading
    them never waits for the device, and ``signs`` ``[2]``, sum and number of signs since the last step.

    Raises:
        ValueError: a number out of range.
    """

    p: Tensor
    batches: Tensor
    signs: Tensor

    def __init__(self, target: float = 0.6, kimg: float = 500.0, every: int = 4, start: float = 0.0) -> None:
        super().__init__()
        if not 0 <= start <= 1 or every < 1 or kimg <= 0:
            raise ValueError(
                f"AdaptiveProbability: start 0..1, every >= 1 and kimg > 0, got {start}, {every} and {kimg}."
            )
        self.target = target
        self.kimg = kimg
        self.every = every
        self.register_buffer("p", torch.tensor(float(start), dtype=torch.float64))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("signs", torch.zeros(2))

    @property
    def value(self) -> float:
        """The present p, 0..1."""
        return float(self.p)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdaptiveProbability:
        p, batches = self.p, self.batches
        super()._apply(fn, recurse)
        self.p, self.batches = p, batches
        return self

    @torch.no_grad()
    def observe(self, real: Tensor) -> None:
        """Take note of one batch; every ``every``-th call moves p.

        Args:
            real: the discriminator's logits of augmented photographs, in one tensor for the whole batch of
                this process.
        """
        logits = real.detach().float()
        self.signs += torch.stack([logits.sign().sum(), logits.new_tensor(float(logits.numel()))])
        self.batches += 1
        if int(self.batches) < self.every:
            return
        signs = self.signs.clone()
        if several_processes():
            torch.distributed.all_reduce(signs)
        total, count = signs.tolist()
        mean = total / count
        direction = (mean > self.target) - (mean < self.target)
        self.p.copy_((self.p + direction * count / (1000 * self.kimg)).clamp(0, 1))
        self.signs.zero_()
        self.batches.zero_()
