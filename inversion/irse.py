"""IR-SE-50: the improved residual network with squeeze-and-excitation behind pSp, e4e and ArcFace.

The trunk of the published encoders; with its output layer the recogniser of their identity loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch.nn.functional as F
from torch import Tensor, nn

# Units per stage; the first of every stage halves the resolution, and from the second stage on doubles the
# channels, of which the first has WIDTH.
UNITS = (3, 4, 14, 3)
WIDTH = 64
CROP_ROWS = slice(35, 223)
CROP_COLUMNS = slice(32, 220)
FACE_SIZE = 112


class SqueezeExcite(nn.Module):
    """Channel attention: global mean → bottleneck → sigmoid → scale (Hu et al. 2018, reduction 16).

    Maps ``[batch, channels, h, w]`` to the same shape.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Scale every channel by its attention."""
        weight = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * weight.sigmoid()


class ResidualUnit(nn.Module):
    """Unit of the IR-SE trunk: BN, conv, PReLU, conv, BN, SE, beside a shortcut (Deng et al. 2019, ArcFace).

    Maps ``[batch, in_channels, h, w]`` to ``[batch, channels, h/stride, w/stride]``.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
            SqueezeExcite(channels),
        )
        self.shortcut_layer: nn.Module
        if in_channels == channels:
            self.shortcut_layer = nn.MaxPool2d(1, stride)
        else:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return residual plus shortcut."""
        return self.res_layer(x) + self.shortcut_layer(x)


class IRSE50Trunk(nn.Module):
    """Body of IR-SE-50 with the taps that pSp's feature pyramid reads.

    ``[batch, input_nc, s, s]`` → c1 ``[batch, 128, s/4, s/4]``, c2 ``[batch, 256, s/8, s/8]``,
    c3 ``[batch, 512, s/16, s/16]``. Parameter names are those of the published checkpoints
    (``input_layer.*``, ``body.*``), so encoders inherit from it instead of holding it.

    Args:
        input_nc: channels of the image: 3, or 1 / 19 for the sketch and segmentation models, or
            the number of landmark maps.
        width: channels of the first stage, 64 in every published network; the taps have 2, 4 and 8 times
            as many.
        units: units per stage, four numbers.

    Raises:
        ValueError: if there are not four stages, or a number is too small.
    """

    def __init__(self, input_nc: int = 3, width: int = WIDTH, units: Sequence[int] = UNITS) -> None:
        super().__init__()
        if len(units) != 4 or min(units) < 1 or width < 16:
            raise ValueError(
                f"IR-SE has four stages of at least one unit and 16 channels, got units={tuple(units)}, "
                f"width={width}."
            )
        self.input_layer = nn.Sequential(
            nn.Conv2d(input_nc, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width)
        )
        body: list[nn.Module] = []
        in_channels = width
        for stage, count in enumerate(units):
            channels = width * 2**stage
            body.append(ResidualUnit(in_channels, channels, 2))
            body.extend(ResidualUnit(channels, channels, 1) for _ in range(count - 1))
            in_channels = channels
        self.body = nn.Sequential(*body)
        self.tap_channels = (2 * width, 4 * width, 8 * width)
        self._tap_units = [last - 1 for last in accumulate(units)][1:]

    def taps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the feature maps (c1, c2, c3) of the last units of the stages 2, 3 and 4."""
        x = self.input_layer(x)
        taps: list[Tensor] = []
        for index, unit in enumerate(self.body):
            x = unit(x)
            if index in self._tap_units:
                taps.append(x)
        return taps[0], taps[1], taps[2]


class IRSE50(IRSE50Trunk):
    """ArcFace recogniser (``model_ir_se50.pth``): RGB faces in [-1, 1] → unit embeddings.

    ``[batch, 3, 112, 112]`` → ``[batch, 512]`` of length 1; 43.8 M parameters
    (Deng et al. 2019, "ArcFace"; names of the pSp release).
    """

    def __init__(self) -> None:
        super().__init__(3)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 512),
            nn.BatchNorm1d(512),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the L2-normalised embedding of faces already cropped to 112 pixels.

        Raises:
            ValueError: if ``x`` is not ``[batch, 3, 112, 112]``.
        """
        if x.ndim != 4 or x.shape[1:] != (3, FACE_SIZE, FACE_SIZE):
            raise ValueError(
                f"IRSE50 reads faces of shape [batch, 3, {FACE_SIZE}, {FACE_SIZE}], got {tuple(x.shape)}; "
                "crop_identity() cuts them out of FFHQ-aligned images."
            )
        return F.normalize(self.output_layer(self.taps(x)[2]), dim=1)

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Load the published state; absent ``num_batches_tracked`` entries are tolerated.

        Raises:
            ValueError: if any other entry is missing, unknown, or of another shape.
        """
        expected = self.state_dict()
        missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
        wrong = [k for k, v in state.items() if k not in expected or expected[k].shape != v.shape]
        if missing or wrong:
            raise ValueError(
                f"This state is not IR-SE-50: {len(missing)} entries missing (first: {missing[:3]}), "
                f"{len(wrong)} unknown or of another shape (first: {wrong[:3]})."
            )
        self.load_state_dict(dict(state), strict=False)


def crop_identity(x: Tensor) -> Tensor:
    """Cut the face the identity loss looks at out of FFHQ-aligned images.

    ``[batch, 3, S, S]`` → ``[batch, 3, 112, 112]``: pooled to 256, rows 35:223 and columns 32:220,
    averaged down to 112 (pSp and e4e, ``id_loss``). Differentiable.

    Raises:
        ValueError: if ``x`` is not a batch of square images.
    """
    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"crop_identity reads square images [batch, 3, S, S], got {tuple(x.shape)}.")
    if x.shape[2] > 256:
        x = F.adaptive_avg_pool2d(x, 256)
    elif x.shape[2] < 256:
        # Averaging cannot enlarge: it would repeat pixels into blocks the recogniser never saw.
        x = F.interpolate(x, size=(256, 256), mode="bilinear", align_corners=False)
    return F.adaptive_avg_pool2d(x[:, :, CROP_ROWS, CROP_COLUMNS], FACE_SIZE)
