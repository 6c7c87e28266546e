"""Who is on a picture, and what cannot be enrolled."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rim_lightning.gallery.enrollment import BLOCK, compare_folder, enroll
from rim_lightning.gallery.folder_pictures import reason_of
from rim_lightning.gallery.index import Gallery
from rim_lightning.gallery.names import person_of, utf8_text
from rim_lightning.gallery.stored_templates import GONE, picture_state
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL


@pytest.mark.parametrize(
    ("picture", "person"),
    [
        ("known/Jane Doe/a.png", "Jane Doe"),
        ("known/Jane Doe/2019/a.png", "Jane Doe"),
        ("known/Jane Doe.png", "Jane Doe"),
        ("known/Zoe\u0308/a.png", "Zo\u00eb"),  # the composed form
    ],
)
def test_the_person_of_a_picture(picture, person):
    assert person_of(Path(picture), Path("known")) == person


def test_a_name_that_is_no_text_is_refused():
    assert utf8_text("caf\u00e9.png") == "caf\u00e9.png"
    with pytest.raises(UnicodeError, match=r"the name caf\\xe9.png is not UTF-8 text: rename the file"):
        utf8_text(os.fsdecode(b"caf\xe9.png"))


def test_the_reason_names_the_picture_once():
    assert reason_of(PermissionError(13, "Permission denied", "/known/a.png"), "a.png") == "a.png: Permission denied"
    assert reason_of(ValueError("a.png is empty."), "a.png") == "a.png is empty."


def test_a_folder_of_more_than_one_block(tmp_path):
    """Every picture is enrolled once; a copy under another name of the same person is known."""
    pytest.importorskip("lancedb")
    count = BLOCK + 3
    (tmp_path / "known" / "a").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "known" / "a" / f"{number:03d}.png")
    Image.fromarray(pixels[0]).save(tmp_path / "known" / "a" / "copy.png")
    model = Recognizer(RIM(**MODEL))
    gallery = Gallery(tmp_path / "index", model.fingerprint, model.embedding_size, create=True)
    result = enroll(model, gallery, tmp_path / "known", aligned=True)
    assert (result.added, result.already_enrolled, result.several, result.left_out) == (count, 1, [], {})
    assert len(result.small) == count  # 12 px are no sharp face
    assert gallery.people() == {"a": count}
    again = enroll(model, gallery, tmp_path / "known", aligned=True)
    assert (again.added, again.already_enrolled) == (0, count + 1)


def test_a_picture_that_is_replaced_while_it_is_enrolled_has_the_digest_of_its_embedding(tmp_path):
    pytest.importorskip("lancedb")
    picture = tmp_path / "known" / "a.png"
    picture.parent.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels[0]).save(picture)
    model = Recognizer(RIM(**MODEL))
    gallery = Gallery(tmp_path / "index", model.fingerprint, model.embedding_size, create=True)
    compared = compare_folder(gallery, tmp_path / "known", aligned=True)
    Image.fromarray(pixels[1]).save(picture)
    enroll(model, gallery, tmp_path / "known", aligned=True, compared=compared)
    (template,) = gallery.enrolled()
    assert template.digest == hashlib.sha256(picture.read_bytes()).hexdigest()
    (hits,) = gallery.search(model.embed_gallery(picture, aligned=True), 1)
    assert hits[0].similarity == pytest.approx(1, abs=1e-3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
def test_a_picture_that_became_a_pipe_is_gone(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert picture_state(str(tmp_path / "a.png"), "0") == GONE
