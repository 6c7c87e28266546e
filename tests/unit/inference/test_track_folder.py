"""The journal of faces that were found: what was written comes back, and nothing else counts."""

import json
import zlib

import numpy as np
import pytest

from rim_lightning.data.detectors import Face
from rim_lightning.inference.track_folder import _known_lines, _line


def faces(seed):
    rng = np.random.default_rng(seed)
    return [
        Face(rng.uniform(0, 99, 4), rng.uniform(0, 99, (5, 2)), float(rng.random()), fault) for fault in (None, "x")
    ]


def test_faces_come_back_bit_for_bit():
    content = b"".join(_line(number, faces(number)) for number in range(3)) + _line(9, [])
    known, length = _known_lines(content)
    assert [number for number, _ in known] == [0, 1, 2, 9]
    assert length == len(content)
    for number, found in known[:3]:
        for face, written in zip(found, faces(number), strict=True):
            np.testing.assert_array_equal(face.box, written.box)
            np.testing.assert_array_equal(face.points, written.points)
            assert face[2:] == written[2:]


def test_lines_behind_a_damaged_one_do_not_count():
    lines = [_line(number, faces(number)) for number in range(4)]
    for damaged in (lines[2][:-1], lines[2][:20] + b"x" + lines[2][21:], b"\n"):
        known, length = _known_lines(lines[0] + lines[1] + damaged + lines[3])
        assert [number for number, _ in known] == [0, 1]
        assert length == len(lines[0] + lines[1])


@pytest.mark.parametrize(
    "content",
    [
        [1],
        {"a": 1},
        [1, [[[1, 2, 3], [], 0.5, None]]],
        [1, [[[1, 2, 3, "x"], [[0, 0]] * 5, 1, None]]],
        ["n", []],
        [1, 2],
    ],
)
def test_a_line_of_somebody_else_does_not_count(content):
    text = json.dumps(content).encode()
    assert _known_lines(b"%08x %s\n" % (zlib.crc32(text), text)) == ([], 0)
