"""Identities of boxes that are followed are those with which they were made."""

import numpy as np
import pytest

from rim_lightning.data.face_tracker import PATIENCE, FaceTracker, Track, buffered, overlaps_of

SIDE = 20.0


def box(x, y, side=SIDE):
    return np.array([x, y, x + side, y + side])


def followed(paths, frames, fps=25.0, seed=0):
    """Person -> the numbers of its tracks in the order of the frames; the boxes of a frame come in any order."""
    tracker = FaceTracker()
    rng = np.random.default_rng(seed)
    numbers = {person: [] for person in paths}
    for frame in range(frames):
        seen = [(person, at) for person, path in paths.items() if (at := path(frame)) is not None]
        rng.shuffle(seen)
        tracks, _ = tracker.follow([box(*at) for _, at in seen], frame / fps)
        for (person, _), track in zip(seen, tracks, strict=True):
            numbers[person].append(track)
    return numbers


def test_overlap_of_two_boxes_is_that_of_arithmetic_by_hand():
    boxes = np.array([[0.0, 0, 4, 2], [10, 10, 12, 12]])
    others = np.array([[2.0, 0, 6, 2], [0, 0, 4, 2], [11, 11, 13, 13]])
    np.testing.assert_allclose(overlaps_of(boxes, others), [[4 / 12, 1, 0], [0, 0, 1 / 7]])
    np.testing.assert_array_equal(buffered(np.array([[0.0, 0, 4, 2]])), [[-2, -1, 6, 3]])


def test_a_face_that_moves_steadily_is_predicted_where_it_will_be():
    track = Track(1, box(0, 0), 0.0)
    track.follow(box(5, -2), 0.5)
    np.testing.assert_allclose(track.predicted(1.0), box(10, -4))
    track.follow(box(10, -4), 1.0)
    np.testing.assert_allclose(track.predicted(3.0), box(30, -12))


@pytest.mark.parametrize("speed", [1, 4, 12, 19])
def test_faces_that_cross_keep_their_tracks(speed):
    frames = 300 // speed
    paths = {
        "right": lambda n: (speed * n, 50),
        "left": lambda n: (300 - speed * n, 54),
        "down": lambda n: (150, speed * n - 120),
    }
    numbers = followed(paths, frames)
    assert {person: len(set(tracks)) for person, tracks in numbers.items()} == dict.fromkeys(paths, 1)
    assert len({tracks[0] for tracks in numbers.values()}) == 3


def test_a_face_that_was_hidden_for_a_while_keeps_its_track_and_another_face_does_not_take_it():
    paths = {
        "walker": lambda n: None if 20 <= n < 35 else (6 * n, 40),  # hidden for .6 seconds
        "sitter": lambda n: (120, 90),
    }
    numbers = followed(paths, 50)
    assert len(set(numbers["walker"])) == len(set(numbers["sitter"])) == 1


def test_a_face_that_comes_back_after_a_second_has_a_new_track():
    gap = int(PATIENCE * 25) + 2
    numbers = followed({"one": lambda n: None if 10 <= n < 10 + gap else (30, 30)}, 20 + gap)
    assert numbers["one"] == [1] * 10 + [2] * 10


def test_frames_that_are_far_apart_end_no_track_at_once():
    assert set(followed({"one": lambda n: (30 + n, 30)}, 12, fps=0.2)["one"]) == {1}


def test_tracks_that_have_ended_are_named_once():
    tracker = FaceTracker()
    assert tracker.follow([box(0, 0), box(100, 0)], 0.0) == ([1, 2], [])
    for frame in range(1, 25):
        assert tracker.follow([box(0, 0)], frame / 25) == ([1], [])
    ended = [tracker.follow([box(0, 0)], frame / 25)[1] for frame in range(25, 60)]
    assert [numbers for numbers in ended if numbers] == [[2]]
    assert [track.number for track in tracker.live] == [1]


def test_a_track_of_a_damaged_time_ends_too():
    tracker = FaceTracker()
    for time in (0.0, 0.04, 0.08):
        tracker.follow([box(0, 0)], time)
    assert tracker.follow([box(2, 0)], 1000.0) == ([1], [])
    assert tracker.follow([box(4, 0)], 0.16) == ([1], [])  # where it was seen last, not where it was 1,000 s before
    tracker.follow([box(4, 0)], 1000.0)
    ended = [number for frame in range(4, 60) for number in tracker.follow([], frame / 25)[1]]
    assert ended == [1]
