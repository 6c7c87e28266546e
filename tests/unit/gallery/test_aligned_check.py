"""Photographs that are said to be aligned faces are refused, whatever their number."""

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data.alignment import template
from rim_lightning.data.detectors import Face
from rim_lightning.gallery import aligned_check
from rim_lightning.gallery.aligned_check import LOOKED_AT, check_aligned
from rim_lightning.inference.faces import FaceAligner


@pytest.fixture
def pictures(tmp_path):
    for number in range(30):
        Image.fromarray(np.full((100, 100, 3), number, np.uint8)).save(tmp_path / f"{number:02d}.png")
    return sorted(tmp_path.iterdir())


def finding(monkeypatch, shares):
    """A detector that finds a face of the next share of the picture, or none."""
    looked, coming = [], iter(shares)

    def find(images, *_):
        looked.append(images[0][0, 0, 0])
        share = next(coming)
        return [[] if share is None else [Face(np.zeros(4), template(round(share * 100)), 1.0)]]

    monkeypatch.setattr(aligned_check, "find_faces", find)
    return looked


def test_photographs_are_refused(monkeypatch, pictures):
    looked = finding(monkeypatch, [0.5, 0.52, 1.0, *[None] * 20])
    with pytest.raises(ValueError, match=r"in 3 of them the face takes 52% of the side .*Leave --aligned out"):
        check_aligned(pictures, FaceAligner(32))
    assert len(looked) == LOOKED_AT
    assert max(looked) - min(looked) > 15  # from all parts of the folder


@pytest.mark.parametrize("shares", [[0.9, 0.97, 0.3, 1.05, *[None] * 20], [0.5, 0.5, *[None] * 20], [None] * 20])
def test_aligned_faces_and_those_that_are_not_found_pass(monkeypatch, pictures, shares):
    finding(monkeypatch, shares)
    check_aligned(pictures, FaceAligner(32))
    check_aligned([], FaceAligner(32))
