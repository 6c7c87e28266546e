"""The face in a picture is found, cut out and brought to the template; wrong pictures get a sentence."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.data.alignment import template, transform_points
from rim_lightning.data.detectors import Face
from rim_lightning.data.images import ImageError
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference import faces
from rim_lightning.inference.faces import AlignedFace, FaceAligner, as_list
from rim_lightning.types import to_unit

SIDE = 32


@pytest.fixture(scope="module")
def sharp():
    """(5, 3, 32, 32) uint8: smooth random faces."""
    small = torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    large = F.interpolate(small, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    return (large * 255).round().byte()


def test_an_aligner_travels_to_loader_processes_as_a_few_bytes():
    content = pickle.dumps(FaceAligner(SIDE))
    assert len(content) < 200
    assert pickle.loads(content) == FaceAligner(SIDE)


def test_one_or_many():
    picture = np.zeros((9, 11, 3), np.uint8)
    assert as_list("a.jpg") == ["a.jpg"]
    assert as_list(["a.jpg", "b.jpg"]) == as_list(("a.jpg", "b.jpg")) == ["a.jpg", "b.jpg"]
    assert as_list(b"content") == [b"content"]
    assert len(as_list(picture)) == 1
    assert len(as_list(np.stack([picture, picture]))) == 2
    assert len(as_list(torch.zeros(3, 8, 8))) == 1
    assert len(as_list(torch.zeros(5, 3, 8, 8))) == 5


def test_one_picture_a_list_and_a_batch_are_all_taken(sharp, tmp_path):
    aligner = FaceAligner(SIDE)
    array = sharp[0].permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "a.png")
    cases = {
        1: (
            tmp_path / "a.png",
            str(tmp_path / "a.png"),
            array,
            sharp[0],
            Image.fromarray(array),
            (tmp_path / "a.png").read_bytes(),
        ),
        2: ([array, tmp_path / "a.png"], (sharp[0], array), sharp[[0, 0]], np.stack([array, array])),
    }
    for count, sources in cases.items():
        for pictures in sources:
            aligned = list(aligner.align(pictures, aligned=True))
            assert len(aligned) == count
            assert all(torch.equal(face.pixels, to_unit(sharp[0])) for face in aligned)
            assert list(aligner.align(aligned)) == aligned  # an aligned face is taken as it is
    names = [face.name for face in aligner.align([array, str(tmp_path / "a.png")], aligned=True)]
    assert names == ["picture 1", str(tmp_path / "a.png")]


def placed(sharp, monkeypatch, scale, degrees, shift, also=(), fault=None):
    """A picture in which the face lies scaled, turned and moved, and a detector that knows where."""
    import cv2

    turn = cv2.getRotationMatrix2D((0, 0), degrees, scale)
    turn[:, 2] += shift
    face = sharp.permute(1, 2, 0).numpy()
    picture = cv2.warpAffine(face, turn, (200, 160), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    points = transform_points(template(SIDE), turn)
    detected = [Face(np.zeros(4), points, 1.0, fault), *also]
    monkeypatch.setattr(faces, "find_faces", lambda images, *choice: [detected for _ in images])
    return picture


def test_a_face_in_a_picture_is_cut_out(sharp, monkeypatch):
    picture = placed(sharp[0], monkeypatch, 2.0, 10.0, (60.0, 70.0))
    (face,) = FaceAligner(SIDE).align(picture)
    assert face.pixels_across == pytest.approx(2 * SIDE)
    assert face.faces == 1
    inner = (slice(None), slice(4, -4), slice(4, -4))  # beyond the face's edge there is another picture
    assert (face.pixels - to_unit(sharp[0]))[inner].abs().mean() < 0.02


def test_a_small_face_is_seen_as_in_training(sharp, monkeypatch):
    small = reduce(to_unit(sharp[:1]), SIDE // 2)
    picture = placed(sharp[0], monkeypatch, 0.5, 0.0, (60.0, 70.0))
    (face,) = FaceAligner(SIDE).align(picture)
    assert face.pixels_across == pytest.approx(SIDE / 2)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert (face.pixels - enlarge(small, SIDE)[0])[inner].abs().mean() < 0.02


def test_a_face_that_cannot_be_used_is_refused_with_the_reason(sharp, monkeypatch):
    picture = placed(sharp[0], monkeypatch, 0.2, 0.0, (60.0, 70.0), fault="it has 6.4 px; at least 7")
    with pytest.raises(ImageError, match=r"the picture shows no face that can be used, it has 6.4 px; at least 7: cut"):
        list(FaceAligner(SIDE).align(picture))


def test_a_face_that_was_aligned_for_another_model_is_refused():
    face = AlignedFace(torch.zeros(3, 40, 40), 40.0, 0, "a.png")
    with pytest.raises(ImageError, match=r"a.png was aligned for another model"):
        list(FaceAligner(SIDE).align([face]))


def test_of_several_faces_the_first_that_the_detector_gives(sharp, monkeypatch):
    other = Face(np.zeros(4), template(SIDE) + 5, 1.0)
    picture = placed(sharp[0], monkeypatch, 2.0, 0.0, (60.0, 70.0), also=[other])
    (face,) = FaceAligner(SIDE).align(picture)
    assert face.faces == 2
    assert face.pixels_across == pytest.approx(2 * SIDE)


def test_a_picture_without_a_face_gets_a_sentence(tmp_path):
    Image.new("RGB", (64, 48), "gray").save(tmp_path / "wall.png")
    with pytest.raises(ImageError, match=r"wall.png shows no face that could be found: cut out the part with the face"):
        list(FaceAligner(SIDE).align(tmp_path / "wall.png"))
