"""Operations of StyleGAN2 networks: resampling, modulated convolution, layers; compiled kernels.

The lowest package: it imports only torch. `ops_backend` says what is in use.
"""

from cuda_ops.bias_act import ACTIVATIONS, bias_act
from cuda_ops.captured_call import CapturedCall
from cuda_ops.conv2d_resample import conv2d_resample
from cuda_ops.cpu_passes import cpu_kernels
from cuda_ops.dispatch import OpsBackend, ops_backend
from cuda_ops.layers import (
    BiasedLeakyReLU,
    Blur,
    ConvLayer,
    EqualizedConv2d,
    EqualizedLinear,
    ModulatedConv2d,
    PixelNorm,
    Upsample,
)
from cuda_ops.modulated_conv2d import modulated_conv2d, square_sum
from cuda_ops.upfirdn2d import downsample2d, filter2d, setup_filter, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "BiasedLeakyReLU",
    "Blur",
    "CapturedCall",
    "ConvLayer",
    "EqualizedConv2d",
    "EqualizedLinear",
    "ModulatedConv2d",
    "OpsBackend",
    "PixelNorm",
    "Upsample",
    "bias_act",
    "conv2d_resample",
    "cpu_kernels",
    "downsample2d",
    "filter2d",
    "modulated_conv2d",
    "ops_backend",
    "setup_filter",
    "square_sum",
    "upfirdn2d",
    "upsample2d",
]
