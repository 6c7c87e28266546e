"""Verification sets in one file: what pickle and pyarrow write is read, and nothing of it is executed."""

import os
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.data.images import read_image
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers import pickled_pack
from rim_lightning.data.readers.pack import consecutive_folds, read_pack
from tests.helpers.packs import jpeg, python_2_pack, write_pack


def array(face):
    return np.frombuffer(face, np.uint8)


def column(face):
    return np.frombuffer(bytearray(face), np.uint8).reshape(-1, 1)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", [bytes, array, column, bytearray])
def test_what_pickle_wrote_is_read(tmp_path, protocol, form):
    file = tmp_path / "lfw.bin"
    if form is bytearray and protocol < 5:
        pytest.skip("Python calls a class for it")
    faces, labels = write_pack(file, 3, protocol, form)
    records, pairs = read_pack(file)
    assert [record.content() for record in records] == faces
    assert [pair.same for pair in pairs] == labels
    assert [(pair.gallery, pair.probe) for pair in pairs][1] == ("000002.jpg", "000003.jpg")
    assert {record.split for record in records} == {"test"}
    assert {record.identity for record in records} == {None}


@pytest.mark.parametrize("protocol", range(6))
def test_decoded_pixels_are_read_as_they_are(tmp_path, protocol):
    file = tmp_path / "lfw.bin"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    file.write_bytes(pickle.dumps(([*pixels[:3], jpeg(3)], [True, False]), protocol))
    records, pairs = read_pack(file)
    for record, face in zip(records, pixels[:3], strict=False):
        np.testing.assert_array_equal(read_image(record.content()), face)
    assert records[3].content() == jpeg(3)
    assert [pair.same for pair in pairs] == [True, False]
    options = {"name": "lfw", "hr_size": 112, "margin": 0.0, "workers": 0, "progress": False}
    store = prepare(records, tmp_path / "store", **options)
    for number, face in enumerate(pixels[:3]):
        np.testing.assert_array_equal(store.images[number], face)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "face",
    [
        np.asfortranarray(np.zeros((112, 112, 3), np.uint8)),
        np.zeros((3, 112, 112), np.uint8),
        np.zeros((112, 112), np.uint8),
        np.zeros((112, 112, 4), np.uint8),
        np.zeros((1, 112, 112, 3), np.uint8),
        np.zeros((160, 160, 3), np.uint8),
        np.zeros((112, 112, 3), bool).reshape(112, 336),
    ],
    ids=lambda face: str(face.shape),
)
def test_other_arrays_are_refused(tmp_path, protocol, face):
    file = tmp_path / "lfw.bin"
    file.write_bytes(pickle.dumps(([face, face], [True]), protocol))
    with pytest.raises(ValueError, match=r"lfw.bin: face 0 is an array of shape .* or pixels of the shape \(112, 112"):
        read_pack(file)


def test_what_python_2_wrote_is_read(tmp_path):
    file = tmp_path / "lfw.bin"
    faces = [jpeg(number) for number in range(4)]
    content = python_2_pack(faces, [True, False])
    assert pickle.loads(content, encoding="bytes") == (faces, [True, False])
    file.write_bytes(content)
    records, pairs = read_pack(file)
    assert [record.content() for record in records] == faces
    assert [pair.same for pair in pairs] == [True, False]


@pytest.mark.parametrize("label", [np.bool_, np.uint8, int])
def test_labels_of_numpy_are_read(tmp_path, label):
    file = tmp_path / "lfw.bin"
    file.write_bytes(pickle.dumps(([jpeg(0), jpeg(1), jpeg(2), jpeg(3)], [label(1), label(0)])))
    assert [pair.same for pair in read_pack(file)[1]] == [True, False]


def test_folds_are_those_of_k_fold(tmp_path):
    model_selection = pytest.importorskip("sklearn.model_selection")
    for pairs in (10, 6000, 7003):
        folds = np.array(consecutive_folds(pairs))
        for number, (_, held_out) in enumerate(model_selection.KFold(10).split(np.zeros(pairs))):
            np.testing.assert_array_equal(np.flatnonzero(folds == number), held_out)


def test_an_aligned_face_is_stored_as_it_is(tmp_path):
    file = tmp_path / "lfw.bin"
    faces, _ = write_pack(file, 2)
    records, _ = read_pack(file)
    np.testing.assert_array_equal(records[0].landmarks["five"], FIVE_POINT_TEMPLATE_112)
    options = {"name": "lfw", "hr_size": 112, "margin": 0.0, "progress": False}
    store = prepare(records, tmp_path / "store", workers=0, **options)
    for number, face in enumerate(faces):
        np.testing.assert_array_equal(store.images[number], read_image(face))
    assert prepare(records, tmp_path / "store", workers=0, **options).names == store.names
    write_pack(file, 2, form=lambda face: face[:-2] + b"\xff\xd9")  # the same
    other, _ = read_pack(file)
    changed = [record._replace(load_content=other[1].load_content) for record in records]
    with pytest.raises(ValueError, match="have been replaced by others"):
        prepare(changed, tmp_path / "store", workers=0, **options)


def test_a_face_of_another_size_is_left_out_with_the_reason(tmp_path):
    file = tmp_path / "lfw.bin"
    file.write_bytes(pickle.dumps(([jpeg(0), jpeg(1, side=160)], [True])))
    records, _ = read_pack(file)
    store = prepare(records, tmp_path / "store", name="lfw", hr_size=32, workers=0, progress=False)
    assert store.names == ["000000.jpg"]
    (skipped,) = store.manifest["skipped"]
    assert skipped["name"] == "000001.jpg"
    assert skipped["reason"].startswith("has 160 x 160 pixels; the points are known of aligned faces of 112 x 112")


class _Attack:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def hostile(tmp_path):
    """Name of an attack -> its bytes, and what is said."""
    planted = tmp_path / "planted"
    good = ([jpeg(0), jpeg(1)], [True])
    whole = pickle.dumps(good)
    huge = b"\x80\x02cnumpy\nndarray\n(M\xff\xffM\xff\xffM\xff\xfft\x85R]\x86."
    pixels = [np.zeros((4, 4, 3), np.uint8)] * 2
    return {
        "a shell": (pickle.dumps(([_Attack(os.system, f"touch {planted}")], [True])), "(posix|nt).system"),
        "eval": (pickle.dumps(_Attack(eval, f"open({str(planted)!r}, 'w')")), "eval"),
        "old protocol": (pickle.dumps(([_Attack(os.system, f"touch {planted}")], [True]), 0), "(posix|nt).system"),
        "instance": (b"(S'touch'\nios\nsystem\n.", "a INST, which"),
        "object of a class": (pickle.dumps([_Attack], 2)[:-1] + b")\x81.", "a NEWOBJ"),
        "numpy file": (pickle.dumps(_Attack(np.fromfile, str(planted))), "numpy.fromfile"),
        "truncated": (whole[:-40], "whole pickle"),
        "empty": (b"", "whole pickle"),
        "a picture": (jpeg(0), "whole pickle"),
        "a huge length": (b"\x80\x04]\x8e" + struct.pack("<Q", 2**60) + b"abc", "whole pickle"),
        "a huge place": (b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b"]\x86.", "more steps"),
        "a huge array": (huge, "not hold the two lists|whole pack"),
        "a word of objects": (pickle.dumps(([np.array([None])], [True])), "whole pack"),
        "real numbers": (pickle.dumps(([np.zeros(4), np.zeros(4)], [True])), "an array of f8"),
        "decoded pixels": (pickle.dumps((pixels, [True])), r"face 0 is an array of shape \(4, 4, 3\)"),
        "words": (pickle.dumps((["a", "b"], [True])), "face 0 is a str"),
        "labels of words": (pickle.dumps(([b"a", b"b"], ["yes"])), "a label that is a bytes|a label that is a str"),
        "a label of 2": (pickle.dumps(([b"a", b"b"], [2])), "a label that is a int"),
        "too few labels": (pickle.dumps(([b"a", b"b", b"c"], [True])), "3 faces and 1 labels"),
        "nothing": (pickle.dumps(([], [])), "0 faces and 0 labels"),
        "a list": (pickle.dumps([b"a"]), "not hold the two lists"),
    }


ATTACKS = list(hostile(Path("nowhere")))


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_packs_are_refused_in_one_sentence(tmp_path, attack):
    content, said = hostile(tmp_path)[attack]
    file = tmp_path / "hostile.bin"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_pack(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "planted").exists()


def test_text_that_is_asked_for_again_and_again_is_refused(tmp_path):
    text = "x" * 2000
    again = b"h\x00h\x01h\x02\x86R" * 200  # encode(text, "latin1") once more
    start = b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<I", len(text)) + text.encode() + b"q\x01"
    start += b"X\x06\0\0\0latin1q\x02"
    file = tmp_path / "bomb.bin"
    file.write_bytes(start + b"](" + again + b"e](e\x86.")
    with pytest.raises(ValueError, match="more text than the file holds"):
        read_pack(file)


def test_a_face_that_stands_there_too_often_is_refused(tmp_path, monkeypatch):
    face = bytearray(jpeg(0))
    content = pickle.dumps(([face] * 100, [True] * 50), 5)  # the pickle holds it once
    file = tmp_path / "bomb.bin"
    file.write_bytes(content)
    assert len(read_pack(file)[0]) == 100
    monkeypatch.setattr(pickled_pack, "LARGEST_PACK", 50 * len(face))
    with pytest.raises(ValueError, match=r"bomb.bin holds faces of more than 0 MB"):
        read_pack(file)


def test_a_missing_pack_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "lfw.bin"))):
        read_pack(tmp_path / "lfw.bin")


# ---- Parquet ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """table(columns) writes a Parquet file."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(**columns):
        file = tmp_path / "pairs.parquet"
        pq.write_table(pa.table(columns), file, row_group_size=2)
        return file

    return write


FACES = [jpeg(number) for number in range(6)]


def test_a_table_of_two_pictures_a_row_is_read(table):
    plain = table(image1=FACES[::2], image2=FACES[1::2], same=[True, False, True])
    records, pairs = read_pack(plain)
    assert [record.content() for record in records] == FACES
    assert [pair.same for pair in pairs] == [True, False, True]
    structures = [{"bytes": face, "path": "a.jpg"} for face in FACES]
    named = table(a=structures[::2], b=structures[1::2], label=[1, 0, 1])
    again, labels = read_pack(named, ["a", "b"], "label")
    assert [record.content() for record in again] == FACES
    assert labels == pairs


def test_a_table_of_one_picture_a_row_is_read(table):
    file = table(image=FACES, index=list(range(6)), is_same=[True, True, False, False, True, True])
    records, pairs = read_pack(file, ["image"], "is_same")
    assert [record.content() for record in records] == FACES
    assert [pair.same for pair in pairs] == [True, False, True]
    with pytest.raises(ValueError, match="not every two rows have one label"):
        read_pack(table(image=FACES[:2], same=[True, False]), ["image"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image1": FACES[:1], "same": [True]}, "has no column 'image2'; it has image1, same"),
        ({"image1": FACES[:1], "image2": [None], "same": [True]}, "row 0: image2 holds no bytes"),
        ({"image1": FACES[:1], "image2": ["a"], "same": [True]}, "row 0: image2 holds no bytes"),
        ({"image1": FACES[:1], "image2": FACES[:1], "same": [2]}, "row 0: same is no label"),
        ({"image1": FACES[:1], "image2": FACES[:1], "same": [0.5]}, "row 0: same is no label"),
    ],
)
def test_wrong_tables_are_refused(table, columns, said):
    file = table(**columns)
    with pytest.raises(ValueError, match=said) as caught:
        read_pack(file)
    assert str(file) in str(caught.value)


def test_damaged_tables_are_refused(table, tmp_path):
    file = table(image1=FACES[::2], image2=FACES[1::2], same=[True, False, True])
    whole = file.read_bytes()
    overwritten = whole[:300] + b"\0" * 300 + whole[600:]
    for content in (whole[:100], whole[:-20], b"PAR1" + b"\xff" * 200 + b"PAR1", overwritten):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(file))) as caught:
            read_pack(file)
        assert "\n" not in str(caught.value)
