"""The options of the swap stage: factors of its terms, rates, and when what begins."""

from __future__ import annotations

from pydantic import Field

from stylegan_swap.training.config import FilePath, Settings


class SwapWeights(Settings):
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


class SwapOptions(Settings):
    """Options of the swap stage.

    Attributes:
        weights: factors of the terms.
        learning_rate: Adam's, of the network; equalised layers want about 0.002.
        discriminator_learning_rate: Adam's, of the discriminator.
        discriminator_channels: channels at 32 pixels and below; they halve with every doubling.
        adversarial_from_kimg: thousands of images before the discriminator starts.
        adversarial_ramp_kimg: thousands of images over which its weight on the network rises.
        discriminate_every: steps between two adversarial steps; 1 is every step.
        r1_gamma: strength of the gradient penalty.
        r1_every: discriminator steps between two penalties.
        ada_target: overtraining indicator that augmentation holds; 0 fixes the probability at 0.
        ada_kimg: thousands of images in which the probability can rise by 1.
        virtual_share: share of the cross pairs whose identity is a mixture of two people.
        inversion_share: share of the batch whose target is also redrawn from its codes alone, so that the
            generator knows faces without an attribute photo.
        detail_drop: share of the photographs of the identity of which only the codes enter.
        return_share: share of the cross pairs that are swapped back to the attribute person.
        appearance_share: share of the cross pairs that take the identity's colour row as well.
        guided_mask_kimg: thousands of images in which the true mask guides the blending.
        half_size_kimg: thousands of images for which the generator stops at half of its side: three times
            as fast, and long enough for identity, pose and colour.
        ada_items: pipeline of the augmentation, see ``ada``.
        landmark_net: weights of LandmarkNet; None takes those that come with the library.
        validation: photographs of other people for sheets and measures, a folder (its split ``val``) or a
            packed file; None takes those of the training.
    """

    weights: SwapWeights = SwapWeights()
    learning_rate: float = Field(0.002, gt=0)
    discriminator_learning_rate: float = Field(0.002, gt=0)
    discriminator_channels: int = Field(128, ge=4)
    adversarial_from_kimg: float = Field(5.0, ge=0)
    adversarial_ramp_kimg: float = Field(20.0, gt=0)
    discriminate_every: int = Field(1, ge=1)
    r1_gamma: float = Field(2.0, ge=0)
    r1_every: int = Field(16, ge=1)
    ada_target: float = Field(0.6, ge=0, le=1)
    ada_kimg: float = Field(100.0, gt=0)
    virtual_share: float = Field(0.3, ge=0, le=1)
    inversion_share: float = Field(0.25, ge=0, le=1)
    detail_drop: float = Field(0.15, ge=0, le=1)
    return_share: float = Field(0.25, ge=0, le=1)
    appearance_share: float = Field(0.1, ge=0, le=1)
    guided_mask_kimg: float = Field(3.0, ge=0)
    half_size_kimg: float = Field(0.0, ge=0)
    ada_items: str = "bgc"
    landmark_net: str | None = None
    validation: FilePath | None = None
