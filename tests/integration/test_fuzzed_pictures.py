"""A thousand damaged files through the whole path: an embedding or one sentence, no crash, no growing memory."""

import gc
import io
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.data.alignment import align, center_square_matrix
from rim_lightning.data.images import ImageError, read_image
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record import Record
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.hostile import damaged
from tests.helpers.tiny import MODEL

KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000")
FILES = 1200


def whole(kind):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    file = io.BytesIO()
    picture.save(file, kind, **({"exif": _exif()} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    return file.getvalue()


def _exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def embedding_or_sentence(model, path):
    try:
        return model.embed_probes(path, aligned=True), ""
    except ImageError as error:
        return None, str(error)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the process from /proc")
def test_damaged_files_give_an_embedding_or_a_sentence(tmp_path):
    model, rng = Recognizer(RIM(**MODEL)), random.Random(0)
    contents = {kind: whole(kind) for kind in KINDS}
    embedded = refused = 0
    path = tmp_path / "picture"
    early = None
    for number in range(FILES):
        path.write_bytes(damaged(contents[KINDS[number % len(KINDS)]], rng))
        embedding, sentence = embedding_or_sentence(model, path)
        if embedding is None:
            assert sentence.startswith(str(path))
            assert "\n" not in sentence
            refused += 1
        else:
            assert embedding.shape == (1, 16)
            assert torch.isfinite(embedding).all()
            embedded += 1
        if number == FILES // 3:
            gc.collect()
            early = resident()
    gc.collect()
    assert embedded > FILES // 10
    assert refused > FILES // 10
    assert resident() - early < 64 * 2**20


@pytest.mark.slow
def test_training_skips_the_damaged_files_that_use_refuses_and_sees_the_same_pixels(tmp_path):
    rng = random.Random(1)
    contents = {kind: whole(kind) for kind in KINDS}
    records = []
    for number in range(FILES // 4):
        path = tmp_path / f"{number:04d}"
        path.write_bytes(damaged(contents[KINDS[number % len(KINDS)]], rng))
        records.append(Record(path.name, path, None, "train", {}))
    settings = {"name": "damaged", "hr_size": 24, "margin": 0.0, "alignment": "none", "workers": 0, "progress": False}
    store = prepare(records, tmp_path / "store", **settings)
    reasons = {entry["name"]: entry["reason"] for entry in store.manifest["skipped"]}
    assert len(store) > len(records) // 10
    assert len(reasons) > len(records) // 10
    for record in records:
        pixels, sentence = pixels_or_sentence(record)
        if pixels is None:
            assert f"{record.name} {reasons[record.name]}." == sentence
        else:
            square, _, _ = align(pixels, center_square_matrix(*pixels.shape[:2], 24), 24, {}, None)
            np.testing.assert_array_equal(store.images[store.index_of(record.name)], square)


def pixels_or_sentence(record):
    try:
        return read_image(record.image, name=record.name), None
    except ImageError as error:
        return None, str(error)
