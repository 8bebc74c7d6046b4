"""What somebody looks like: the descriptors by which ``tracking`` knows a person again.

dlib's descriptor of one person moves with the pose; a few views, learnt while the face was followed without a
break, keep a profile from being taken for a stranger.
"""

from __future__ import annotations

import numpy as np

#: Below this distance two faces are one person (dlib's own threshold).
SAME_PERSON = 0.6
#: Above this it is surely somebody else. Strangers: 0.84 on average.
STRANGER = 0.75
#: Below this a face that appears where the person was a moment ago is taken for the person.
IN_PLACE = 0.65
#: Below this a place where the detector sees nothing still shows the person.
SURELY = 0.5

_LEARNT_WITHIN = 0.45
_WORTH_LEARNING = 0.25
_MOST = 12


class Memory:
    """Views of one person.

    Args:
        descriptors: float32 ``[128]`` each; the first are never forgotten.
    """

    def __init__(self, *descriptors: np.ndarray) -> None:
        self._views = [np.asarray(view, np.float32) for view in descriptors]

    def distance(self, descriptor: np.ndarray) -> float:
        """L2 distance to the nearest view."""
        return min(float(np.linalg.norm(view - descriptor)) for view in self._views)

    def learn(self, descriptor: np.ndarray) -> None:
        """Keep a view that is surely this person's and differs from those known."""
        if len(self._views) < _MOST and _WORTH_LEARNING < self.distance(descriptor) < _LEARNT_WITHIN:
            self._views.append(np.asarray(descriptor, np.float32))

    def state(self) -> list[object]:
        """The views as plain lists."""
        return [view.tolist() for view in self._views]

    @classmethod
    def of_state(cls, state: list) -> Memory:
        """The memory that ``state`` came from."""
        return cls(*(np.array(view, np.float32) for view in state))
