"""What all tabs of the page share: one network, one folder, one set of limits. Made by ``server``."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stylegan_swap.app.clip import ClipJobs
from stylegan_swap.app.edit import Dial, dials_of
from stylegan_swap.app.folder import PageFolder
from stylegan_swap.errors import StyleganSwapError
from stylegan_swap.methods.base.protocol import HasLatents

if TYPE_CHECKING:
    from stylegan_swap.api import Swapper

#: Names of the queues: swaps share one, so that clips do not hold up photos for long and the other way round.
NETWORK, CLIPS, LOOKING = "network", "clips", "looking"


@dataclass(frozen=True)
class Workshop:
    """What the tabs work with; nothing of it belongs to one visitor but the running clips, kept apart.

    Attributes:
        swapper: the one network.
        folder: where files go.
        at_once: photos that are worked on at the same time.
        clip_seconds: the longest clip.
        jobs: running clips by visitor.
    """

    swapper: Swapper
    folder: PageFolder
    at_once: int = 1
    clip_seconds: float = 60.0
    jobs: ClipJobs = field(default_factory=ClipJobs)

    @functools.cached_property
    def generates(self) -> bool:
        """Whether the method has a generator."""
        return isinstance(self.swapper.method, HasLatents)

    @functools.cached_property
    def dials(self) -> list[Dial]:
        """Sliders for editing; none where the method or its directions do not allow it."""
        if not self.generates:
            return []
        try:
            return dials_of(self.swapper.directions)
        except StyleganSwapError:
            return []

    def offers(self, option: str) -> bool:
        """Whether the method understands a dial of ``swap``."""
        return any(option == declared.name for declared in self.swapper.method.options)
