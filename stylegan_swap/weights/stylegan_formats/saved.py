"""Writing what was converted: single networks (``converted``) and whole systems (``swap_system``) alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from stylegan_swap.weights.store import LoadedWeights, save_weights


class Saved(ABC):
    """Something that knows its weights in memory, and can therefore be written."""

    @abstractmethod
    def weights(self) -> LoadedWeights:
        """Everything as it is saved, in memory."""

    def save(self, folder: Path, *, dtype: str | None = None) -> Path:
        """Write model.safetensors and config.json.

        Args:
            folder: created where it does not exist.
            dtype: as in ``save_weights``; None keeps every number as it is.

        Returns:
            The path of model.safetensors.

        Raises:
            CheckpointError: NaN or infinity in a tensor, overflow, or no space.
        """
        made = self.weights()
        return save_weights(folder, made.state, made.config, dtype=dtype)
