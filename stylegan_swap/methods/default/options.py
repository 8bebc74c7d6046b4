"""The options of the default's training: factors of its terms, rates, and when what begins."""

from __future__ import annotations

from pydantic import Field

from stylegan_swap.training.pair_stage import PairOptions, PairWeights


class SwapWeights(PairWeights):
    """Factors of the loss terms; 0 leaves a term out."""

    pixel: float = 10.0
    features: float = 5.0
    landmarks: float = 2.0
    identity: float = 6.0
    push_away: float = 2.0
    brightness: float = 5.0
    hue: float = 30.0
    expression: float = 1.0
    mask: float = 1.0
    inversion: float = 5.0
    adversarial: float = 1.0


class SwapOptions(PairOptions):
    """Options of the default's training, besides those of every pair stage.

    Attributes:
        weights: factors of the terms.
        virtual_share: share of the cross pairs whose identity is a mixture of two people.
        inversion_share: share of the batch whose target is also redrawn from its codes alone, so that the
            generator knows faces without an attribute photo.
        detail_drop: share of the photographs of the identity of which only the codes enter.
        return_share: share of the cross pairs that are swapped back to the attribute person.
        appearance_share: share of the cross pairs that take the identity's colour row as well.
        guided_mask_kimg: thousands of images in which the true mask guides the blending.
        half_size_kimg: thousands of images for which the generator stops at half of its side: three times
            as fast, and long enough for identity, pose and colour.
    """

    weights: SwapWeights = SwapWeights()
    virtual_share: float = Field(0.3, ge=0, le=1)
    inversion_share: float = Field(0.25, ge=0, le=1)
    detail_drop: float = Field(0.15, ge=0, le=1)
    return_share: float = Field(0.25, ge=0, le=1)
    appearance_share: float = Field(0.1, ge=0, le=1)
    guided_mask_kimg: float = Field(3.0, ge=0)
    half_size_kimg: float = Field(0.0, ge=0)
