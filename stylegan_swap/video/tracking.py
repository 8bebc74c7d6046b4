"""Follow faces from frame to frame: after ``reading``, before the swap.

A face once chosen is looked for near its last place, which is cheap, and its identity is checked every few
frames and whenever two faces come close. Only where it is lost, and at cuts, whole frames are searched. The
person chosen in the beginning stays the person chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from stylegan_swap.errors import NoFaceError
from stylegan_swap.faces.detection.boxes import overlap
from stylegan_swap.faces.detection.centerface import centerface_file
from stylegan_swap.faces.detection.detect import SMALLEST_FACE, Face, detect_faces, largest_face
from stylegan_swap.faces.detection.landmarks import LandmarkBackend
from stylegan_swap.faces.detection.redetect import redetect
from stylegan_swap.faces.geometry.align import ffhq_alignment
from stylegan_swap.video.cuts import CutDetector
from stylegan_swap.video.frame import Frame
from stylegan_swap.video.memory import IN_PLACE, SAME_PERSON, STRANGER, SURELY, Memory
from stylegan_swap.video.smoothing import LandmarkSmoother

Describe = Callable[[np.ndarray, Face], np.ndarray]
Side = Callable[[np.ndarray], int]

# Frames between two looks at the identity of a face, and between two searches of everything.
_CHECK_EVERY = 10
_SEARCH_EVERY = 25
# Looks in a row at which somebody resembles the person too little to be that person.
_DOUBTS = 3
# Grey levels by which the small picture of a face may change in a frame before its identity is looked at.
_CHANGED = 22.0
_GLANCE = (12, 12)
# Seconds for which the place of a lost face says something, and how much of it a face must cover.
_PLACE_COUNTS = 0.5
_SAME_PLACE = 0.3


@dataclass(eq=False)
class Track:
    """One face that is followed.

    Attributes:
        face: as it was last seen, landmarks as predicted.
        memory: who it is.
        side: of the crop the method works on; it may grow, so that results do not pump.
        age: frames since it was found.
        smoother: of its landmarks; None leaves them as they are.
        doubts: looks in a row at which it resembled the person too little.
        glance: the face as a small grey picture, uint8.
    """

    face: Face
    memory: Memory
    side: int
    age: int = 0
    smoother: LandmarkSmoother | None = None
    doubts: int = 0
    glance: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Observation:
    """What a frame shows of those who are swapped.

    Attributes:
        faces: from left to right, landmarks smoothed, each with the side of its crop.
        bystanders: whether there are faces, but not of those who are swapped.
        cut: whether a new scene begins.
    """

    faces: list[tuple[Face, int]]
    bystanders: bool
    cut: bool


@dataclass(eq=False)
class Tracker:
    """Follows the faces that are to be swapped, frame by frame in order.

    Args:
        which: ``"largest"`` or a number from the left, which count in the first frame that has such a face;
            ``"all"``; or the ``Memory`` of a person.
        backend: landmark backend.
        describe: pixels and face → identity descriptor ``[128]``.
        side: landmarks → side of the crop the method wants.
        smooth: whether landmarks are smoothed.
    """

    person: str | int | Memory
    backend: LandmarkBackend
    describe: Describe
    side: Side
    smooth: bool = True
    most_faces: int = 0
    _cuts: CutDetector = field(default_factory=CutDetector)
    _tracks: list[Track] = field(default_factory=list)
    _person: Memory | None = None
    _last_place: Face | None = None
    _lost_at: float = 0.0
    _until_search: int = 0
    _shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.person, Memory):
            self._person = self.person

    def __call__(self, frame: Frame) -> Observation:
        """The faces of the next frame."""
        pixels = frame.pixels
        cut = self._cuts(pixels) or (bool(self._shape) and self._shape != pixels.shape)
        self._shape = pixels.shape
        if cut:
            self._tracks, self._last_place, self._until_search = [], None, 0
        track_count = len(self._tracks)
        self._tracks = [track for track in self._tracks if self._follow(track, pixels, frame.time)]
        bystanders = False
        if self._wants_search(len(self._tracks) < track_count):
            bystanders = self._search(pixels, frame.time) and not self._tracks
        faces = []
        for track in self._tracks:
            track.side = max(track.side, self.side(track.face.landmarks))
            points = track.face.landmarks
            if track.smoother is not None:
                points = track.smoother(points, frame.time)
            if track.face.side >= SMALLEST_FACE:
                faces.append(
                    (Face(track.face.box, points, track.face.score, track.face.found_by), track.side)
                )
        return Observation(sorted(faces, key=lambda entry: float(entry[0].box[0])), bystanders, cut)

    def _follow(self, track: Track, pixels: np.ndarray, time: float) -> bool:
        """Find the face again; False if it is lost."""
        faces, guess = redetect(pixels, track.face.landmarks, self.backend)
        track.age += 1
        if not faces:
            same_person = guess is not None and track.memory.distance(self.describe(pixels, guess)) < SURELY
            if not same_person or guess is None:
                return self._lose(track, time)
            track.face = guess
            return True
        glance = _glance_at(pixels, faces[0])
        recoloured = track.glance is not None and float(cv2.absdiff(track.glance, glance).mean()) > _CHANGED
        track.glance = glance
        if len(faces) == 1 and not recoloured and not track.doubts and track.age % _CHECK_EVERY:
            track.face = faces[0]
            return True
        return self._look_closely(track, faces, pixels)

    def _look_closely(self, track: Track, faces: list[Face], pixels: np.ndarray) -> bool:
        """Which of the faces near the last place is the person; False if none."""
        described = [self.describe(pixels, face) for face in faces]
        distances = [track.memory.distance(descriptor) for descriptor in described]
        best = int(np.argmin(distances))
        track.doubts = track.doubts + 1 if distances[best] > SAME_PERSON else 0
        if distances[best] > STRANGER or track.doubts >= _DOUBTS:
            # Somebody else stands in the place, which therefore says nothing any more.
            self._last_place = None
            return False
        if track.doubts and self._is_elsewhere(track, pixels, distances[best]):
            return False
        track.memory.learn(described[best])
        track.face = faces[best]
        return True

    def _lose(self, track: Track, time: float) -> bool:
        self._last_place, self._lost_at = track.face, time
        return False

    def _is_elsewhere(self, track: Track, pixels: np.ndarray, distance: float) -> bool:
        """Whether another face of the frame is the person, rather than the one that was followed."""
        faces = self._detect(pixels, quick=True)
        away = [face for face in faces if overlap(face.box, track.face.box) < _SAME_PLACE]
        distances = [track.memory.distance(self.describe(pixels, face)) for face in away]
        return bool(distances) and min(distances) < min(SAME_PERSON, distance - 0.1)

    def _wants_search(self, track_lost: bool) -> bool:
        if self.person == "all":
            self._until_search -= 1
            return track_lost or not self._tracks or self._until_search <= 0
        return not self._tracks

    def _search(self, pixels: np.ndarray, time: float) -> bool:
        """Look through the whole frame; returns whether it shows any face."""
        thoroughly = self._until_search <= 0
        self._until_search = _SEARCH_EVERY if thoroughly else self._until_search - (self.person != "all")
        faces = self._detect(pixels, quick=not thoroughly)
        large = [face for face in faces if face.side >= SMALLEST_FACE]
        self.most_faces = max(self.most_faces, len(faces))
        if self.person == "all":
            boxes = [track.face.box for track in self._tracks]
            for face in large:
                if all(overlap(face.box, box) < _SAME_PLACE for box in boxes):
                    self._start(face, Memory(self.describe(pixels, face)))
            return bool(faces)
        if self._person is None:
            chosen = self._first_choice(faces)
            if chosen is not None and chosen.side >= SMALLEST_FACE:
                self._person = Memory(self.describe(pixels, chosen))
                self._start(chosen, self._person)
            return bool(faces)
        match = self._known(pixels, large, time)
        if match is not None:
            self._start(match, self._person)
        return bool(faces)

    def _first_choice(self, faces: list[Face]) -> Face | None:
        if not faces:
            return None
        if isinstance(self.person, int):
            return faces[self.person] if self.person < len(faces) else None
        return largest_face(faces)

    def _known(self, pixels: np.ndarray, faces: list[Face], time: float) -> Face | None:
        """The face of the person, by looks, or by looks and place right after it was lost."""
        if not faces or self._person is None:
            return None
        distances = [self._person.distance(self.describe(pixels, face)) for face in faces]
        best = int(np.argmin(distances))
        if distances[best] < SAME_PERSON:
            return faces[best]
        recent = self._last_place is not None and time - self._lost_at < _PLACE_COUNTS
        if recent and self._last_place is not None and distances[best] < IN_PLACE:
            return faces[best] if overlap(faces[best].box, self._last_place.box) > _SAME_PLACE else None
        return None

    def _start(self, face: Face, memory: Memory) -> None:
        smoother = LandmarkSmoother() if self.smooth else None
        self._tracks.append(Track(face, memory, self.side(face.landmarks), smoother=smoother))

    def _detect(self, pixels: np.ndarray, *, quick: bool) -> list[Face]:
        # A number or a person may mean a small face beside large ones.
        # dlib's ladder takes two seconds to see nobody; the network looks at a frame once.
        network = centerface_file() is not None
        thorough = self.person != "largest" and (network or not quick)
        try:
            return detect_faces(pixels, landmarks=self.backend, thorough=thorough, quick=quick or network)
        except NoFaceError:
            return []

    def state(self) -> dict[str, object]:
        """Everything the next frame depends on, as plain lists and numbers."""
        return {
            "cuts": self._cuts.state(),
            "person": None if self._person is None else self._person.state(),
            "tracks": [_track_state(track) for track in self._tracks],
            "last_place": None if self._last_place is None else _face_state(self._last_place),
            "lost_at": self._lost_at,
            "until_search": self._until_search,
            "shape": list(self._shape),
            "most_faces": self.most_faces,
        }

    def restore(self, state: dict) -> None:
        """Take a state of ``state``: the next frame is followed as if nothing had happened in between."""
        self._cuts.restore(state["cuts"])
        self._person = None if state["person"] is None else Memory.of_state(state["person"])
        self._tracks = [self._restored(entry) for entry in state["tracks"]]
        self._last_place = None if state["last_place"] is None else _face_of_state(state["last_place"])
        self._lost_at, self._until_search = float(state["lost_at"]), int(state["until_search"])
        self._shape, self.most_faces = tuple(state["shape"]), int(state["most_faces"])

    def _restored(self, state: dict) -> Track:
        # Of one person there is one memory, which the search and the track share.
        alone = self.person != "all" and self._person is not None
        memory = self._person if alone and self._person is not None else Memory.of_state(state["memory"])
        smoother = LandmarkSmoother() if self.smooth else None
        if smoother is not None:
            smoother.restore(state["smoother"])
        glance = None if state["glance"] is None else np.array(state["glance"], np.uint8)
        face = _face_of_state(state["face"])
        return Track(face, memory, state["side"], state["age"], smoother, state["doubts"], glance)


def _glance_at(pixels: np.ndarray, face: Face) -> np.ndarray:
    """The face upright, as a small grey picture."""
    crop = ffhq_alignment(face.landmarks, 48).crop(pixels)
    return cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), _GLANCE, interpolation=cv2.INTER_AREA).astype(
        np.uint8
    )


def _track_state(track: Track) -> dict[str, object]:
    smoother = None if track.smoother is None else track.smoother.state()
    return {
        "face": _face_state(track.face),
        "memory": track.memory.state(),
        "side": track.side,
        "age": track.age,
        "smoother": smoother,
        "doubts": track.doubts,
        "glance": None if track.glance is None else track.glance.tolist(),
    }


def _face_state(face: Face) -> list[object]:
    return [face.box.tolist(), face.landmarks.tolist(), face.score, face.found_by]


def _face_of_state(state: list) -> Face:
    box, landmarks, score, found_by = state
    return Face(np.array(box, np.float32), np.array(landmarks, np.float32), float(score), str(found_by))
