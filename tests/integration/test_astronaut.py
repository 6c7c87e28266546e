"""The picture of the README is made of the face that it names."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.face_pictures import CAPTION_HEIGHT, GAP
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL, perturbed

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "astronaut.py"


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("astronaut", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_row_shows_probe_bicubic_hallucinated_and_original(script, tmp_path):
    torch.manual_seed(0)
    model = Recognizer(perturbed(RIM(**MODEL)).eval())
    script.draw_astronaut(model, tmp_path / "row.png")
    row = np.asarray(Image.open(tmp_path / "row.png"))
    side = script.SIDE
    assert row.shape == (side + CAPTION_HEIGHT, 4 * side + 3 * GAP, 3)
    columns = [row[CAPTION_HEIGHT:, start : start + side] for start in range(0, 4 * (side + GAP), side + GAP)]
    (face,) = model.align(str(script.ASTRONAUT))
    assert face.found.fault is None
    small = reduce(face.pixels[None], 16)
    expected = [
        (small[0], Image.Resampling.NEAREST),
        (enlarge(small, MODEL["hr_size"])[0], Image.Resampling.BICUBIC),
        (model.rim.fhn(enlarge(small, MODEL["hr_size"])).sr[0], Image.Resampling.BICUBIC),
        (face.pixels, Image.Resampling.BICUBIC),
    ]
    for column, (pixels, method) in zip(columns, expected, strict=True):
        picture = Image.fromarray(to_pixels(pixels)).resize((side, side), method)
        np.testing.assert_allclose(column.astype(int), np.asarray(picture).astype(int), atol=1)
