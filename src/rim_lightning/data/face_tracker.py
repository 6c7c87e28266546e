"""Link the faces of successive frames: which of them are of one person who is seen without a break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

LEAST_OVERLAP = 0.2
"""Smallest intersection over union of a predicted and a found box, both enlarged to `ENLARGED`, that are one face."""

ENLARGED = 2.0
"""Factor by which boxes are enlarged before they are compared: a face may move by its own side between two frames."""

PATIENCE = 1.0
"""Seconds without a match after which a track ends."""

PATIENT_FRAMES = 3
"""Frames without a match up to which no track ends, however far apart they are."""

STEADINESS = 0.5
"""Share of the earlier velocity in the new one."""


@dataclass(eq=False)
class Track:
    """A face that is followed.

    Attributes:
        number: Number of the track, from 1, in the order in which tracks begin.
        box: (4,) x0, y0, x1, y1 in pixels where it was seen last.
        time: Seconds at which it was seen last.
        velocity: (2,) pixels per second of the middle of the box.
        missed: Number of frames since then.
    """

    number: int
    box: NDArray[np.float64]
    time: float
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    missed: int = 0
    matches: int = 1

    def predicted(self, time: float) -> NDArray[np.float64]:
        """Return the box at a time, if it moves on as before."""
        elapsed = max(0.0, time - self.time)  # of a damaged clip, times may run backwards
        return self.box + np.tile(self.velocity * elapsed, 2)

    def follow(self, box: NDArray[np.float64], time: float) -> None:
        """Take the box at which the face was found."""
        elapsed = time - self.time
        if elapsed > 0:
            measured = (_middle(box) - _middle(self.box)) / elapsed
            share = STEADINESS if self.matches > 1 else 0.0
            self.velocity = share * self.velocity + (1 - share) * measured
        self.box, self.time, self.missed = box, time, 0
        self.matches += 1


class FaceTracker:
    """Follow faces by the overlap of their boxes, each predicted by its velocity.

    The pairs of tracks and faces with the largest sum of overlaps are matched (Hungarian method, as in SORT, Bewley et
    al., 2016). A face that no track predicts begins a new one.
    """

    def __init__(self) -> None:
        self.live: list[Track] = []
        self._begun = 0

    def follow(self, boxes: Sequence[NDArray[np.float64]], time: float) -> tuple[list[int], list[int]]:
        """Match the faces of the next frame.

        Args:
            boxes: (4,) x0, y0, x1, y1 of each face in pixels.
            time: Time of the frame in seconds.

        Returns:
            The number of the track of each face; and the numbers of the tracks that have ended before this frame.
        """
        ended = [track for track in self.live if abs(time - track.time) > PATIENCE and track.missed >= PATIENT_FRAMES]
        self.live = [track for track in self.live if track not in ended]
        track_of = self._matched(boxes, time)
        for track in self.live:
            track.missed += 1
        for index, box in enumerate(boxes):
            if index in track_of:
                track_of[index].follow(box, time)
            else:
                self._begun += 1
                track_of[index] = Track(self._begun, box, time)
                self.live.append(track_of[index])
        return [track_of[index].number for index in range(len(boxes))], [track.number for track in ended]

    def _matched(self, boxes: Sequence[NDArray[np.float64]], time: float) -> dict[int, Track]:
        """Return index of a face -> its track, for the faces that some track predicts."""
        from scipy.optimize import linear_sum_assignment

        if not boxes or not self.live:
            return {}
        predicted = np.stack([track.predicted(time) for track in self.live])
        overlaps = overlaps_of(buffered(predicted), buffered(np.stack(boxes)))  # (tracks, faces)
        overlaps[overlaps < LEAST_OVERLAP] = 0
        rows, columns = linear_sum_assignment(overlaps, maximize=True)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return {column: self.live[row] for row, column in pairs if overlaps[row, column] > 0}


def overlaps_of(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of each pair of boxes.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        others: (M, 4).

    Returns:
        (N, M), in [0, 1].

    Example:
        >>> overlaps_of(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [4.0, 4, 5, 5]])).round(3).tolist()
        [[0.333, 0.0]]
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.prod((high - low).clip(0), axis=2)
    areas, other_areas = (np.prod(group[:, 2:] - group[:, :2], axis=1) for group in (boxes, others))
    return common / (areas[:, None] + other_areas[None] - common)


def buffered(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 4) boxes, enlarged about their middles by `ENLARGED`."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) * ENLARGED / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def _middle(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return (box[:2] + box[2:]) / 2
