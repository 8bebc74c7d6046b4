"""Checks that break a network on purpose: what does not matter when it is broken was not doing the work.

With the generator's weights drawn afresh, results must lose the identity. With a blank identity (the mean
embedding, no photo) they must show the average person and not the attribute person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from aligned_swap import contact_sheet, swapped_sample
from findings import Finding, of_interval

from stylegan_swap.faces.masks.mask import hull_mask
from stylegan_swap.methods.default.method import DefaultMethod
from stylegan_swap.methods.default.network import IdentityCodes, SwapNetwork
from stylegan_swap.metrics.background import masked_psnr
from stylegan_swap.metrics.identity import DlibRecogniser
from stylegan_swap.metrics.intervals import bootstrap_over_people
from stylegan_swap.metrics.sample import Sample, View
from stylegan_swap.nn.recognisers.dlib_identity import SAME_PERSON

GENERATOR = "mutation: the generator's weights drawn at random"
BLANK = "mutation: a blank identity embedding"
SHOWN = 24
# No seed that a training starts from: the generator would come out as it once was.
SEED = 20261124


def with_random_generator(method: DefaultMethod, seed: int = SEED) -> DefaultMethod:
    """The method with a generator as before any training; the rest has the method's values."""
    original = method.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SwapNetwork(original.config, original.identity)
    state = {
        name: value for name, value in original.state_dict().items() if not name.startswith("generator.")
    }
    network.load_state_dict(state, strict=False)
    return DefaultMethod(network, device=method.device, dtype=method.dtype)


def blank_identity(method: DefaultMethod) -> IdentityCodes:
    """The mean person: standardised embedding 0, no photo."""
    width = method.network.identity.embedding_dim
    return IdentityCodes(torch.zeros(1, width, device=method.device)).without_photo()


def check_generator(
    method: DefaultMethod, samples: Sequence[Sample], recogniser: DlibRecogniser, seed: int = SEED
) -> tuple[list[Finding], np.ndarray]:
    """Repeat swaps of the method with a random generator.

    Args:
        method: the unbroken one.
        samples: its swaps of aligned views.
        recogniser: measures the distance to the identity.
        seed: of the weights.

    Returns:
        The findings, and a sheet of identity, attribute, swap and broken swap.
    """
    broken = with_random_generator(method, seed)
    original_distances, broken_distances, likeness = [], [], []
    rows: list[list[np.ndarray]] = []
    for sample in samples:
        ruined = swapped_sample(broken, sample.identity, sample.attribute)
        descriptor = recogniser.embed(sample.identity)
        original_distances.append(recogniser.distance(recogniser.embed(sample.result), descriptor))
        broken_distances.append(recogniser.distance(recogniser.embed(ruined.result), descriptor))
        assert sample.attribute.landmarks is not None
        inside = hull_mask(sample.attribute.landmarks, sample.attribute.pixels.shape[0]) > 0.5
        likeness.append(masked_psnr(sample.result.pixels, ruined.result.pixels, inside))
        if len(rows) < SHOWN:
            rows.append([v.pixels for v in (sample.identity, sample.attribute, sample.result, ruined.result)])
    people = [sample.identity.person for sample in samples]
    rise = bootstrap_over_people(np.array(broken_distances) - np.array(original_distances), people)
    findings = [
        Finding(GENERATOR, "distance to the identity, unbroken", float(np.mean(original_distances))),
        Finding(GENERATOR, "distance to the identity, broken", float(np.mean(broken_distances))),
        of_interval(GENERATOR, "rise of the distance", rise),
        Finding(GENERATOR, "lower end of the rise's interval", rise.low, requirement=(">", 0.0)),
        Finding(GENERATOR, "PSNR of broken against unbroken, inside", float(np.mean(likeness)), "dB"),
    ]
    return findings, contact_sheet(rows)


def check_blank_identity(
    method: DefaultMethod, attributes: Sequence[View], recogniser: DlibRecogniser
) -> tuple[list[Finding], np.ndarray]:
    """Put nobody into every attribute photo, one photo per person.

    Returns:
        The findings, and a sheet of attribute and result.
    """
    blank = blank_identity(method)
    mean = method.network.identity.mean.cpu().numpy()
    results, photos = [], []
    rows: list[list[np.ndarray]] = []
    for attribute in attributes:
        result = swapped_sample(method, attribute, attribute, blank).result
        results.append(recogniser.embed(result))
        photos.append(recogniser.embed(attribute))
        if len(rows) < SHOWN:
            rows.append([attribute.pixels, result.pixels])
    drawn, real = np.stack(results), np.stack(photos)
    to_person = np.linalg.norm(drawn - real, axis=1)
    to_mean = np.linalg.norm(drawn - mean, axis=1)
    people = [attribute.person for attribute in attributes]
    nearer = bootstrap_over_people(to_person - to_mean, people)
    findings = [
        Finding(BLANK, "distance of results to the attribute person", float(to_person.mean())),
        Finding(BLANK, "distance of results to the mean embedding", float(to_mean.mean())),
        Finding(BLANK, "distance of real photos to it", float(np.linalg.norm(real - mean, axis=1).mean())),
        of_interval(BLANK, "attribute person − mean embedding", nearer, requirement=(">", 0.0)),
        Finding(BLANK, "share of results nearer to the mean", 100 * float((to_person > to_mean).mean()), "%"),
        Finding(BLANK, "distance between results", _between(drawn), requirement=("<", SAME_PERSON)),
        Finding(BLANK, "distance between the real photos", _between(real)),
    ]
    return findings, contact_sheet(rows)


def _between(embeddings: np.ndarray) -> float:
    """Mean distance of two different rows."""
    distances = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    return float(distances[np.triu_indices(len(embeddings), 1)].mean())
