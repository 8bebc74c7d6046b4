"""Where the trained LandmarkNet comes from: a file of one's own, or the one that ships with the library."""

from __future__ import annotations

from pathlib import Path

from stylegan_swap.errors import CheckpointError
from stylegan_swap.nn.perception.landmark_net import WIDTHS, LandmarkNet
from stylegan_swap.weights.store import find_weights, load_state, load_weights

NAME = "landmark_net"


def load_landmark_net(path: str | Path | None = None) -> LandmarkNet:
    """Load LandmarkNet, frozen and in evaluation mode.

    Args:
        path: folder or file that the ``landmarks`` stage exported; None takes the shipped weights.

    Raises:
        CheckpointError: the file is missing or something else.
    """
    try:
        file = find_weights(NAME if path is None else path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}. LandmarkNet comes from the stage landmarks: "
            "stylegan-swap train landmarks --config landmarks, then options.landmark_net=FOLDER"
        ) from error
    state, config = load_weights(file)
    network = LandmarkNet(tuple(config.get("widths", WIDTHS)))
    load_state(network, state, str(file))
    return network.eval().requires_grad_(False)
