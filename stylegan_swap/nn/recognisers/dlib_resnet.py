"""dlib's face recognition ResNet in torch, and the readers of its weights.

The only free recogniser trained on millions of people. The file is CC0; it comes with the package
face_recognition_models or as a converted safetensors file.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from stylegan_swap.errors import CheckpointError, MissingDependencyError
from stylegan_swap.files.atomic import replacing

CHIP_SIZE = 150
EMBEDDING_DIM = 128
FEATURE_CHANNELS = (32, 64, 128, 256)
DAT_NAME = "dlib_face_recognition_resnet_model_v1.dat"
FORMAT = "stylegan_swap.dlib_resnet"
# (channels, blocks); the first block of every group but the first halves the resolution.
GROUPS = ((32, 3), (64, 4), (128, 3), (256, 3), (256, 1))
# dlib subtracts these from RGB in 0..255 and divides by 256.
RGB_MEAN = (122.782, 117.001, 104.298)


class DlibBlock(nn.Module):
    """Residual block of dlib's network; each affine layer is folded into its convolution.

    ``[batch, in_channels, s, s]`` → ``[batch, channels, s', s']``. A down-sampling block pads
    nothing in its first convolution and average-pools its shortcut, so the two may differ by a row
    and by channels: both are zero-padded at the end to the larger.
    """

    def __init__(self, in_channels: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.conv1 = nn.Conv2d(in_channels, channels, 3, 2 if down else 1, 0 if down else 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(residual + shortcut)."""
        residual = self.conv2(F.relu(self.conv1(x), inplace=True))
        shortcut = F.avg_pool2d(x, 2) if self.down else x
        if self.down:
            size = [max(a, b) for a, b in zip(residual.shape[1:], shortcut.shape[1:], strict=True)]
            residual, shortcut = _pad_end(residual, size), _pad_end(shortcut, size)
        return F.relu(residual + shortcut, inplace=True)


class DlibResNet(nn.Module):
    """dlib's recogniser: chips ``[batch, 3, 150, 150]``, RGB in [-1, 1] → ``[batch, 128]``.

    Agrees with dlib itself to some 1e-7. Vectors have length of about 1 but are not normalised;
    two photographs show one person when they are closer than 0.6 (dlib's
    ``dnn_face_recognition_ex``). 5.6 M parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        blocks: list[nn.Module] = []
        in_channels = 32
        for group, (channels, count) in enumerate(GROUPS):
            for index in range(count):
                blocks.append(DlibBlock(in_channels, channels, down=group > 0 and index == 0))
                in_channels = channels
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(256, EMBEDDING_DIM, bias=False)
        self.register_buffer("rgb_mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)

    rgb_mean: Tensor

    def describe(self, chips: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return the features at 35, 17, 8 and 4 pixels and the embedding, in one pass.

        The features have 32, 64, 128 and 256 channels and are not negative (they follow a ReLU).

        Raises:
            ValueError: if ``chips`` is not ``[batch, 3, 150, 150]``.
        """
        taps = self.features(chips)
        x = taps[-1]
        for block in self.blocks[_group_ends()[-1] + 1 :]:
            x = block(x)
        return taps, self.head(x.mean((2, 3)))

    def features(self, chips: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the features of :meth:`describe` without the layers behind them.

        Raises:
            ValueError: if ``chips`` is not ``[batch, 3, 150, 150]``.
        """
        if chips.ndim != 4 or chips.shape[1:] != (3, CHIP_SIZE, CHIP_SIZE):
            raise ValueError(
                f"DlibResNet reads chips [batch, 3, {CHIP_SIZE}, {CHIP_SIZE}], got {tuple(chips.shape)}."
            )
        x = ((chips + 1) * 127.5 - self.rgb_mean) / 256
        x = F.max_pool2d(F.relu(self.stem(x), inplace=True), 3, 2)
        taps: list[Tensor] = []
        ends = _group_ends()
        for index, block in enumerate(self.blocks[: ends[-1] + 1]):
            x = block(x)
            if index in ends:
                taps.append(x)
        return taps[0], taps[1], taps[2], taps[3]

    def forward(self, chips: Tensor) -> Tensor:
        """Return the embeddings ``[batch, 128]`` of chips in [-1, 1]."""
        return self.describe(chips)[1]


def find_dlib_weights() -> Path:
    """Locate the weights in the package face_recognition_models, without importing it.

    Its ``__init__`` imports pkg_resources, which recent setuptools no longer have.

    Raises:
        MissingDependencyError: if the package, or the file in it, is absent.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "models" / DAT_NAME
        if path.is_file():
            return path
    raise MissingDependencyError(
        f"{DAT_NAME} was not found: install it with 'pip install face_recognition_models', or pass a "
        "safetensors file written by save_identity()."
    )


def load_dlib_resnet(path: str | Path | None = None) -> DlibResNet:
    """Build the network from dlib's ``.dat`` or from a file of :func:`save_identity`.

    Args:
        path: file to read; None finds the one in face_recognition_models.

    Returns:
        The network in float32, in evaluation mode, without gradients for its parameters.

    Raises:
        CheckpointError: if the file is missing, cut short, or something else.
        MissingDependencyError: if ``path`` is None and the package is not installed.
    """
    path = find_dlib_weights() if path is None else Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file; expected {DAT_NAME} or a converted .safetensors."
        )
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_dat(path)
    # Building draws random weights, which the stored ones replace: the caller's draws stay theirs.
    with torch.random.fork_rng(devices=[]):
        network = DlibResNet()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: not dlib's recognition network: {error}") from error
    return network.eval().requires_grad_(False)


def save_identity(network: DlibResNet, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the network as safetensors (11 MB in fp16), so that dlib's file is not needed.

    In fp16 the embeddings move by about 1e-4; dlib's threshold is 0.6.

    Raises:
        CheckpointError: the folder is missing or cannot be written to, or the disk is full.
    """
    state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in network.state_dict().items()}
    try:
        with replacing(Path(path)) as temporary:
            temporary.write_bytes(save(state, metadata={"format": FORMAT, "version": "1"}))
    except OSError as error:
        raise CheckpointError(
            f"{path}: could not be saved ({error.strerror}); free some space or choose another"
        ) from error


def _group_ends() -> tuple[int, ...]:
    ends, total = [], 0
    for _, count in GROUPS[: len(FEATURE_CHANNELS)]:
        total += count
        ends.append(total - 1)
    return tuple(ends)


def _pad_end(x: Tensor, size: list[int]) -> Tensor:
    channels, height, width = size[0] - x.shape[1], size[1] - x.shape[2], size[2] - x.shape[3]
    return F.pad(x, (0, width, 0, height, 0, channels))


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            if (file.metadata() or {}).get("format") != FORMAT:
                raise CheckpointError(f"{path}: not a file of save_identity() (its format is not {FORMAT}).")
            return {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged safetensors file: {error}") from error


def _read_dat(path: Path) -> dict[str, Tensor]:
    """Translate the tensors of a ``.dat`` into the state of :class:`DlibResNet`."""
    data = path.read_bytes()
    state: dict[str, Tensor] = {}
    position = 0
    with torch.device("meta"):  # names and shapes only
        shapes = DlibResNet().state_dict()
    try:
        for key, value in shapes.items():
            if key == "head.weight":
                matrix, position = _next_tensor(data, position, value.shape[1], value.shape[0])
                state[key] = matrix.view(value.shape[1], value.shape[0]).T.contiguous()
            elif key.endswith("weight"):
                count, channels = value.numel(), value.shape[0]
                convolution, position = _next_tensor(data, position, count + channels)
                affine, position = _next_tensor(data, position, 2 * channels)
                gamma, beta = affine.chunk(2)
                state[key] = convolution[:count].view(value.shape) * gamma.view(-1, 1, 1, 1)
                state[key.replace("weight", "bias")] = convolution[count:] * gamma + beta
    except ValueError as error:
        raise CheckpointError(
            f"{path}: cut short or not {DAT_NAME} (22,466,066 bytes): {error} "
            "Install face_recognition_models again."
        ) from error
    return state


def _next_tensor(data: bytes, position: int, rows: int, columns: int = 1) -> tuple[Tensor, int]:
    """Find the next tensor of a known size; return it flat, and the position after it.

    A dlib tensor is the byte pair 01 02 (its version, 2), four dimensions as variable-length
    integers (low four bits of the first byte = number of bytes that follow, little endian), then
    raw little-endian float32. The layers' settings lie in between and are skipped.
    """
    header = b"\x01\x02" + b"".join(_variable_length(n) for n in (rows, columns, 1, 1))
    start = data.find(header, position) + len(header)
    end = start + 4 * rows * columns
    if start < position + len(header) or end > len(data):
        raise ValueError(f"no complete tensor of {rows}×{columns} values after byte {position}.")
    values = np.frombuffer(data, "<f4", rows * columns, start)
    return torch.from_numpy(values.astype(np.float32)), end


def _variable_length(number: int) -> bytes:
    payload = number.to_bytes((number.bit_length() + 7) // 8, "little")
    return bytes([len(payload)]) + payload
