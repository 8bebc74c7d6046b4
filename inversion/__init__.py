"""GAN inversion: encoders, projection and pivotal tuning, from a photograph to codes of StyleGAN2.

Generators and trunks come as arguments; the package imports only ``cuda_ops``.
"""

from inversion.e4e import E4EEncoder, progressive_stage
from inversion.hierfe import HieRFE
from inversion.inverted import Inversion, peak_signal_to_noise
from inversion.irse import IRSE50, IRSE50Trunk, crop_identity
from inversion.latents import Encoder, Latents, as_latent_avg
from inversion.light import FaceTrunk, LightEncoder
from inversion.pivotal import pivotal_tuning, with_tuned
from inversion.projector import code_statistics, project
from inversion.psp import BackboneEncoderIntoW, BackboneEncoderIntoWPlus, GradualStyleEncoder

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
    "Inversion",
    "Latents",
    "LightEncoder",
    "as_latent_avg",
    "code_statistics",
    "crop_identity",
    "peak_signal_to_noise",
    "pivotal_tuning",
    "progressive_stage",
    "project",
    "with_tuned",
]
