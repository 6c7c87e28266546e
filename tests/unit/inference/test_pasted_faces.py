"""A pasted face is the hallucinated one, in its place; around it stands the picture; and it says what it is."""

import math

import numpy as np
import pytest
from PIL import Image, ImageFont

from rim_lightning.data.alignment import align, template
from rim_lightning.inference import pasted_faces
from rim_lightning.inference.face_pictures import HALLUCINATED, MARK_COLOR, hallucination_texts, save_picture
from rim_lightning.inference.pasted_faces import (
    BORDER_WIDTH,
    WORDS_HEIGHT,
    PastedFace,
    face_matrix,
    frame_factor,
    paste_faces,
    with_caption,
)

SIDE = 64


def placed(side, degrees, left, top, seed=0):
    """A smooth face whose square has this side and turn, with its corners in pixels of the picture."""
    waves = np.random.default_rng(seed).uniform(0.5, 2, (3, 2))
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    pixels = [128 + 90 * np.sin(2 * np.pi * (a * rows + b * columns)) for a, b in waves]
    turn = np.array([[math.cos(degrees / 57.2958), -math.sin(degrees / 57.2958)], [0, 0]])
    turn[1] = -turn[0, 1], turn[0, 0]
    scale = side / SIDE

    def to_picture(points):
        return (points + 0.5) @ (scale * turn).T + (left, top) - 0.5

    corners = to_picture(np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]]) - 0.5)
    face = PastedFace(np.stack(pixels, -1).round().astype(np.uint8), to_picture(template(SIDE)), side)
    return face, corners


def outside(shape, corners, factor):
    """Pixels of the enlarged picture whose middle lies outside of a square: on the outer side of one of its edges."""
    rows, columns = np.mgrid[: shape[0] * factor, : shape[1] * factor]
    x, y = (columns + 0.5) / factor - 0.5, (rows + 0.5) / factor - 0.5
    found = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        found |= (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) < -1e-6
    return found


@pytest.fixture
def picture():
    return np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)


CASES = [(16, 0, 20, 30, 4), (16, 25, 40, 30, 4), (25, -70, 50, 60, 3), (80, 10, 25, 1, 1), (50, 180, 80, 70, 1)]


@pytest.mark.parametrize(("side", "degrees", "left", "top", "factor"), CASES)
def test_the_picture_around_a_face_is_untouched(picture, side, degrees, left, top, factor):
    face, corners = placed(side, degrees, left, top)
    frame = paste_faces(picture, [face], factor)
    plain = np.kron(picture, np.ones((factor, factor, 1), np.uint8))
    apart = outside(picture.shape, corners, factor)
    np.testing.assert_array_equal(frame[apart], plain[apart])
    assert (frame != plain).any(-1).sum() > 0.95 * (~apart).sum()


@pytest.mark.parametrize(("side", "degrees", "left", "top", "factor"), CASES)
def test_the_same_alignment_cuts_the_face_out_again(picture, side, degrees, left, top, factor):
    face, _ = placed(side, degrees, left, top)
    again, _, _ = align(paste_faces(picture, [face], factor), face_matrix(face, factor), SIDE, {}, None)
    border = math.ceil(SIDE * BORDER_WIDTH) + 3  # with what interpolation takes in
    inner = (slice(border + math.ceil(SIDE * WORDS_HEIGHT), SIDE - border), slice(border, SIDE - border))
    difference = np.abs(again[inner].astype(int) - face.pixels[inner])
    assert difference.mean() < 2
    assert difference.max() < 20
    beside = face_matrix(face, factor) + np.array([0, 0, 3])
    wrong, _, _ = align(paste_faces(picture, [face], factor), beside, SIDE, {}, None)
    assert np.abs(wrong[inner].astype(int) - face.pixels[inner]).mean() > 4  # three pixels beside it


def test_the_border_and_the_words_are_there(picture):
    face, _ = placed(64, 0, 20, 10)
    frame = paste_faces(np.zeros_like(picture), [face], 2)  # the square is that from (40, 20) to (168, 148)
    width = 2 * SIDE * BORDER_WIDTH  # 3.84 pixels of the frame
    assert (frame[147, 104] == 0).all()  # black outside, then orange
    assert tuple(frame[148 - round(0.7 * width), 104]) == MARK_COLOR
    assert tuple(frame[84, 40 + round(0.6 * width)]) == MARK_COLOR
    band = frame[round(20 + width) + 1 : round(20 + width + 2 * SIDE * WORDS_HEIGHT) - 1, 48:160].astype(int)
    assert (band.min(-1) > 180).any()
    assert (band.max(-1) < 40).mean() > 0.4


def test_the_smaller_of_two_faces_lies_on_top(picture):
    small, corners = placed(16, 0, 40, 40)
    large, _ = placed(60, 0, 20, 20, seed=1)
    alone = paste_faces(picture, [small], 2)
    inside = ~outside(picture.shape, corners, 2)
    inside[[*range(82)], :] = inside[:, [*range(82)]] = inside[110:] = inside[:, 110:] = False  # not its edges
    assert inside.sum() > 700
    for faces in ([small, large], [large, small]):
        np.testing.assert_array_equal(paste_faces(picture, faces, 2)[inside], alone[inside])


@pytest.mark.parametrize(
    ("shape", "sides", "factor"),
    [
        ((100, 100), [8], 8),  # 64 / 8
        ((100, 100), [50, 16], 4),
        ((100, 100), [45], 1),
        ((100, 100), [300], 1),
        ((2160, 3840), [8], 2),  # √(50 / 8.3) = 2.4
        ((9000, 9000), [8], 1),  # larger than any frame that is enlarged
    ],
)
def test_a_frame_is_enlarged_for_its_smallest_face(shape, sides, factor):
    assert frame_factor(shape, [placed(side, 0, 0, 0)[0] for side in sides]) == factor


def test_a_face_beyond_the_picture_is_cut_off(picture):
    for left, top in ((-10, -10), (110, 80), (500, 20)):
        face, corners = placed(30, 20, left, top)
        frame = paste_faces(picture, [face], 1)
        apart = outside(picture.shape, corners, 1)
        np.testing.assert_array_equal(frame[apart], picture[apart])


def test_a_caption_touches_no_pixel_and_fits(picture):
    lines = ["hallucinated: not a photograph. Many words that do not fit on one line of so few pixels", "and another"]
    captioned = np.asarray(with_caption(picture, lines))
    np.testing.assert_array_equal(captioned[:90], picture)
    assert captioned.shape[1:] == (120, 3)
    words = (captioned[96:] < 100).all(-1)
    assert words.any()
    assert not words[:, -3:].any()


def test_a_caption_on_a_narrow_frame_loses_no_letter(picture):
    """A word that is wider than the frame is broken: every piece of it has its width."""
    font = ImageFont.load_default(size=12)
    pieces = pasted_faces._broken("hallucinated: not a photograph model_of_mine_with_a_long_name", font, 40)
    assert max(map(font.getlength, pieces)) <= 40
    assert "".join(pieces).replace(" ", "") == "hallucinated:notaphotographmodel_of_mine_with_a_long_name"
    assert "not a" in pieces
    assert pasted_faces._broken("W", font, 1) == ["W"]


@pytest.mark.parametrize(("top", "seen"), [(20, "top"), (-12, "bottom"), (60, "top"), (-20, "bottom")])
def test_words_stand_where_the_frame_shows_them(picture, top, seen):
    """At the border of a picture the top of the square may lie outside; then the words stand at its bottom."""
    face, _ = placed(40, 0, 30, top)
    white = face._replace(pixels=np.full_like(face.pixels, 255))
    frame = paste_faces(picture, [white], 4).astype(int)
    first, last = (BORDER_WIDTH + 0.02) * 40, (BORDER_WIDTH + WORDS_HEIGHT - 0.02) * 40
    bands = {"top": (top + first, top + last), "bottom": (top + 40 - last, top + 40 - first)}
    dark = {
        place: (frame[max(0, round(4 * low)) : max(0, round(4 * high)), 4 * 32 : 4 * 68] < 90).all(-1).mean()
        for place, (low, high) in bands.items()
        if low >= 0 and high <= len(picture)
    }
    assert dark.pop(seen) > 0.4
    assert not any(dark.values())


def test_the_file_says_what_it_is(tmp_path):
    save_picture(Image.new("RGB", (4, 4)), tmp_path / "a.png", hallucination_texts("mine é", "0123"))
    with Image.open(tmp_path / "a.png") as written:
        assert written.text["Title"] == HALLUCINATED == "hallucinated: not a photograph"
        assert written.text["Source"] == "model mine é, digest 0123"
        assert written.text["Software"].startswith("rim-lightning 0.")
        assert "no evidence" in written.text["Description"]


def test_a_large_face_is_pasted_in_strips(picture, monkeypatch):
    """A face that fills a photograph of 40 million pixels took eight gigabytes at once."""
    face, _ = placed(70, 20, 30, 5)
    whole = paste_faces(picture, [face], 2)
    seen = []
    paste = pasted_faces._pasted
    monkeypatch.setattr(pasted_faces, "STRIP", 1000)
    monkeypatch.setattr(pasted_faces, "_pasted", lambda part, *rest: (seen.append(part.size), paste(part, *rest))[1])
    strips = paste_faces(picture, [face], 2)
    assert len(seen) > 10
    assert max(seen) <= 3 * 1000
    np.testing.assert_allclose(strips.astype(int), whole, atol=1)
