"""Cut-outs, the choice of the best pictures, and the search on several threads."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.data.detectors import Face
from rim_lightning.data.video import Frame
from rim_lightning.inference.tracks import SHARP_EDGES, TrackCollector, cut_out, face_score, find_in_frames
from tests.helpers.clips import drawn_frames, portrait


def face_at(left, top, side, confidence=0.9, fault=None):
    """A face whose aligned square, and box, are the square of a side."""
    points = FIVE_POINT_TEMPLATE_112 * side / 112 + [left, top]
    return Face(np.array([left, top, left + side, top + side], float), points, confidence, fault)


def frame_of(image, number=0):
    return Frame(number, Fraction(number, 25), image)


def numbered_pixels():
    """Each pixel says where it is."""
    rows, columns = np.mgrid[:100, :120]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def test_a_cut_out_holds_the_face_and_as_much_again_around_it():
    picture = cut_out(frame_of(numbered_pixels()), face_at(40, 30, 20))
    assert picture.image.shape == (40, 40, 3)
    assert picture.image[0, 0].tolist() == [20, 30, 0]
    assert picture.within == (10, 10, 30, 30)
    assert picture.box == (40, 30, 60, 50)
    assert picture.size == pytest.approx(20)


def test_the_border_of_the_frame_cuts_it_off():
    picture = cut_out(frame_of(numbered_pixels()), face_at(2, 82, 16))
    assert picture.image.shape == (26, 26, 3)
    assert picture.image[0, 0].tolist() == [74, 0, 0]
    assert picture.within == (2, 8, 18, 24)


def test_the_frame_itself_is_not_kept():
    image = numbered_pixels()
    assert not np.shares_memory(cut_out(frame_of(image), face_at(40, 30, 20)).image, image)


def test_the_score_is_a_product():
    assert face_score(40, 0.5, 3 * SHARP_EDGES) == pytest.approx(40 * 0.5 * 0.75)
    assert face_score(40, 0.5, 0) == 0


def test_of_equal_faces_the_sharper_is_better_and_faces_with_a_fault_do_not_count():
    sharp = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    images = [blurred, sharp, blurred, 255 - sharp, sharp]
    faults = [None, None, None, None, "the border of the picture cuts through it"]
    collector = TrackCollector(2)
    for number, (image, fault) in enumerate(zip(images, faults, strict=True)):
        assert collector.add(frame_of(image, number), [face_at(40, 30, 20, fault=fault)]) == []
    (track,) = collector.finish()
    assert (track.number, track.frames) == (1, 4)
    assert [picture.frame for picture in track.pictures] == [1, 3]
    assert collector.finish() == []


def test_a_repeated_frame_is_no_second_picture():
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    collector = TrackCollector(4)
    for number in range(3):
        collector.add(frame_of(image, number), [face_at(40, 30, 20)])
    (track,) = collector.finish()
    assert (track.frames, [picture.frame for picture in track.pictures]) == (3, [0])


def test_a_track_that_has_ended_is_given_away_with_its_pictures():
    collector = TrackCollector(3)
    image = numbered_pixels()
    assert collector.add(frame_of(image), [face_at(40, 30, 20)]) == []
    found = [track for number in range(1, 60) for track in collector.add(frame_of(image, number), [])]
    assert [(track.number, track.frames, len(track.pictures)) for track in found] == [(1, 1, 1)]
    assert collector.finish() == []


def test_the_faces_of_a_frame_do_not_depend_on_the_number_of_threads():
    images = drawn_frames(10, [(portrait(1, 44), lambda n: (4 + 3 * n, 8)), (portrait(2, 44), lambda n: (100, 70))])
    frames = [frame_of(image, number) for number, image in enumerate(images)]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append([pair for chunk in find_in_frames(iter(frames), "yunet", "cpu") for pair in chunk])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for (frame, faces), (other_frame, others) in zip(*found, strict=True):
        assert frame is other_frame
        assert len(faces) == len(others) == 2
        for face, other in zip(faces, others, strict=True):
            np.testing.assert_array_equal(face.points, other.points)
            assert face.confidence == other.confidence
