"""Classifier two-sample test: whether a network can tell swaps from photos, without foreign weights.

A small CNN is trained from scratch on some people and tested on others. Lopez-Paz and Oquab, Revisiting
Classifier Two-Sample Tests (ICLR 2017). Calibration and limits: ``docs/evaluation/realism.md``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor, nn

from stylegan_swap.metrics.intervals import Interval, bootstrap_over_people

People = Sequence[str | tuple[str, ...]]


@dataclass(frozen=True)
class TwoSampleConfig:
    """How the classifier is trained. The defaults take a few minutes for 1,000 crops on two cores.

    Attributes:
        side: of the crops in px; larger ones are scaled down.
        width: channels of the first layer.
        epochs: passes over the training crops.
        batch: crops per step.
        held_out: share of the people in the test.
        precision: of the training; bfloat16 is 1.7 times as fast where the CPU has it, and slower where not.
        device: where it is trained, as torch names it; the answer differs a little between devices.
    """

    side: int = 96
    width: int = 16
    epochs: int = 30
    batch: int = 32
    held_out: float = 0.4
    precision: torch.dtype = torch.float32
    device: str = "cpu"

    @classmethod
    def quick(cls) -> TwoSampleConfig:
        """For tests and a first look: seconds, finds coarse faults only."""
        return cls(side=48, width=8, epochs=10)


@dataclass(frozen=True, eq=False)
class TwoSampleResult:
    """Accuracy of the classifier on people it has never seen.

    Attributes:
        accuracy: share of correct answers, as many swaps as photos: 0.5 = chance, 1 = always correct.
        low: lower end of the 95 % Wilson interval.
        high: upper end.
        by_person: the same with people as the unit that is drawn, wider where one person has many crops.
        p_value: of the accuracy or a higher one if swaps and photos were alike (binomial, one-sided).
        heat: evidence map, float32 ``[side, side]``; the mean over it is by how much swaps score higher
            than photos, and each pixel its share of that.
        train_crops: crops it was trained on.
        test_crops: crops it was tested on.
    """

    accuracy: float
    low: float
    high: float
    by_person: Interval
    p_value: float
    heat: np.ndarray
    train_crops: int
    test_crops: int


class Classifier(nn.Module):
    """Four convolutions, batch norm, global mean, one linear layer: swap (1) or photo (0).

    Global averaging makes the logit the mean of a map, so where it looks is exact and not an estimate: class
    activation mapping (Zhou et al., CVPR 2016), which Grad-CAM becomes for such a network.

    Args:
        width: channels of the first layer; 2, 4 and 6 times as many follow.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        # The first layer keeps full resolution: resampling and blending leave their traces there.
        for wide, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (6 * width, 2)):
            layers += [
                nn.Conv2d(channels, wide, 3, stride, 1, bias=False, padding_mode="replicate"),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
            ]
            channels = wide
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, 1)

    def evidence(self, x: Tensor) -> Tensor:
        """Return the map whose mean is the logit, ``[batch, 3, s, s]`` → ``[batch, 1, s/8, s/8]``."""
        return F.conv2d(self.body(x), self.head.weight[..., None, None], self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits ``[batch]`` of "this is a swap"."""
        return self.evidence(x).mean((1, 2, 3))


def two_sample_test(
    swaps: Tensor,
    photos: Tensor,
    swap_people: People,
    photo_people: People,
    *,
    config: TwoSampleConfig | None = None,
    test_people: Collection[str] | None = None,
    seed: int = 0,
) -> TwoSampleResult:
    """Train on some people, test on the others.

    A crop belongs to all people named with it (for a swap: identity and attribute); crops that show people of
    both parts are left out, so no person of the test was ever seen. Both kinds are balanced in both parts.

    Args:
        swaps: aligned crops ``[n, 3, S, S]``, RGB in [-1, 1].
        photos: aligned crops ``[m, 3, S, S]`` of real photos, prepared as the swaps were.
        swap_people: ``[n]`` names, or tuples of names.
        photo_people: ``[m]``, likewise.
        config: how it is trained.
        test_people: the people of the test; None draws ``config.held_out`` of all.
        seed: of the split, the weights and the order.

    Raises:
        ValueError: lengths differ, or the people do not leave four crops of each kind to train on and two
            of each, of two people, to test on.
    """
    config = config or TwoSampleConfig()
    if len(swaps) != len(swap_people) or len(photos) != len(photo_people):
        raise ValueError(
            f"{len(swaps)} swaps with {len(swap_people)} names, {len(photos)} photos with "
            f"{len(photo_people)} names: give one name (or tuple) per crop"
        )
    # Crops of both kinds, split by people.
    random = np.random.default_rng(seed)
    crops = torch.cat([_shrunk(swaps, config.side), _shrunk(photos, config.side)])
    labels = torch.cat([torch.ones(len(swaps)), torch.zeros(len(photos))])
    people = [names if isinstance(names, tuple) else (names,) for names in [*swap_people, *photo_people]]
    if test_people is None:
        names = sorted({name for crop in people for name in crop})
        chosen = random.permutation(len(names))[: round(config.held_out * len(names))]
        test_people = {names[i] for i in chosen}
    train, test = _split(people, labels.numpy(), test_people, random)
    # Train and test the classifier.
    classifier = _trained(crops[train], labels[train], config, seed)
    evidence = _evidence(classifier, crops[test], config)
    targets = labels[test]
    correct = ((evidence.mean((1, 2, 3)) > 0) == (targets > 0.5)).numpy()
    chance = binomtest(int(correct.sum()), len(correct), 0.5, alternative="greater")
    spread = binomtest(int(correct.sum()), len(correct), 0.5).proportion_ci(0.95, method="wilson")
    return TwoSampleResult(
        accuracy=float(correct.mean()),
        low=float(spread.low),
        high=float(spread.high),
        by_person=bootstrap_over_people(correct, [people[i][0] for i in test], resamples=1000, seed=seed),
        p_value=float(chance.pvalue),
        heat=_enlarged(evidence[targets > 0.5].mean(0) - evidence[targets < 0.5].mean(0), config.side),
        train_crops=len(train),
        test_crops=len(test),
    )


def _split(
    people: list[tuple[str, ...]],
    labels: np.ndarray,
    test_people: Collection[str],
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the crops to train on and to test on: no person in both, both kinds alike in number."""
    in_test = [{name in test_people for name in crop} for crop in people]
    parts = []
    for membership, fewest in (({False}, 4), ({True}, 2)):
        of_part = np.array([i for i, names in enumerate(in_test) if names == membership], int)
        by_kind = [random.permutation(of_part[labels[of_part] == kind]) for kind in (0, 1)]
        count = min(map(len, by_kind))
        if count < fewest:
            raise ValueError(
                f"{len({name for crop in people for name in crop})} people leave only {count} swaps or "
                f"photos to {'test on' if membership == {True} else 'train on'}: give more people, or draw "
                "the pairs within groups of people"
            )
        parts.append(np.concatenate([kind[:count] for kind in by_kind]))
    if len({people[i][0] for i in parts[1]}) < 2:
        raise ValueError("the crops to test on show one person only: give more people")
    return parts[0], parts[1]


def _trained(crops: Tensor, labels: Tensor, config: TwoSampleConfig, seed: int) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier(config.width).to(config.device).to(memory_format=torch.channels_last)
        steps = -(-len(crops) // config.batch)
        kind = torch.device(config.device).type
        optimizer = torch.optim.AdamW(classifier.parameters(), lr=3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=3e-3, total_steps=steps * config.epochs
        )
        for _ in range(config.epochs):
            # A last batch of one has no batch statistics: chunks of nearly equal size instead.
            for chosen in torch.randperm(len(crops)).chunk(steps):
                batch = _augmented(crops[chosen]).to(config.device, memory_format=torch.channels_last)
                with torch.autocast(kind, config.precision, enabled=config.precision != torch.float32):
                    logits = classifier(batch)
                loss = F.binary_cross_entropy_with_logits(logits.float(), labels[chosen].to(config.device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
    return classifier.eval()


def _augmented(crops: Tensor) -> Tensor:
    """Mirrored, and a little lighter or darker: neither makes a photo a swap."""
    flip = torch.rand(len(crops), 1, 1, 1) < 0.5
    light = 1 + 0.1 * torch.randn(len(crops), 1, 1, 1)
    return torch.where(flip, crops.flip(3), crops) * light


@torch.inference_mode()
def _evidence(classifier: Classifier, crops: Tensor, config: TwoSampleConfig) -> Tensor:
    batches = crops.split(config.batch)
    return torch.cat([classifier.evidence(batch.to(config.device)).cpu() for batch in batches])


def _shrunk(crops: Tensor, side: int) -> Tensor:
    crops = crops.float()
    if crops.shape[-2:] == (side, side):
        return crops
    return F.interpolate(crops, size=(side, side), mode="bilinear", align_corners=False, antialias=True)


def _enlarged(heat: Tensor, side: int) -> np.ndarray:
    return F.interpolate(heat[None], size=(side, side), mode="bilinear", align_corners=False)[0, 0].numpy()
