"""GAN inversion: encoders that turn an aligned photograph into codes of a StyleGAN2 generator.

On the road photo → detect → align → **encoder** → swapper → generator → paste. The package takes
generators and trunks as arguments and imports only ``cuda_ops``.
"""

from inversion.e4e import E4EEncoder, progressive_stage
from inversion.hierfe import HieRFE
from inversion.irse import IRSE50, IRSE50Trunk, crop_identity
from inversion.landmark_encoder import LandmarkEncoder
from inversion.latents import Encoder, Latents, as_latent_avg
from inversion.light import FaceTrunk, LightEncoder
from inversion.psp import BackboneEncoderIntoW, BackboneEncoderIntoWPlus, GradualStyleEncoder
from inversion.region_encoder import RegionEncoder, RegionIdentity

__all__ = [
    "IRSE50",
    "BackboneEncoderIntoW",
    "BackboneEncoderIntoWPlus",
    "E4EEncoder",
    "Encoder",
    "FaceTrunk",
    "GradualStyleEncoder",
    "HieRFE",
    "IRSE50Trunk",
    "LandmarkEncoder",
    "Latents",
    "LightEncoder",
    "RegionEncoder",
    "RegionIdentity",
    "as_latent_avg",
    "crop_identity",
    "progressive_stage",
]
