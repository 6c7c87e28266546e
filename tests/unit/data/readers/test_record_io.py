"""RecordIO: what MXNet writes is read without it, and damaged files are named with the place."""

import re
import struct

import numpy as np
import pytest

from rim_lightning.data.images import read_image
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record_io import read_record_io
from tests.helpers.packs import MAGIC, divided, jpeg, labeled, record, write_records


def test_faces_are_listed_and_read_where_they_lie(tmp_path):
    faces = write_records(tmp_path)
    records = read_record_io(tmp_path / "train.rec", tmp_path / "train.idx")
    assert [entry.name for entry in records] == ["3/1.jpg", "3/2.jpg", "7/3.jpg"]
    assert [entry.identity for entry in records] == ["3", "3", "7"]
    assert [entry.content() for entry in records] == faces
    assert records[0].split == records[1].split
    without = read_record_io(tmp_path / "train.rec")
    assert [entry.name for entry in without] == [entry.name for entry in records]


def test_a_picture_that_holds_the_magic_number_is_put_together(tmp_path):
    face = jpeg(0)
    face = face[:2] + b"\xff\xfe\x00\x0e" + MAGIC * 3 + face[2:]  # a comment
    content = labeled(5.0, b"")
    assert (len(content) + 6) % 4 == 2  # the comment does not lie at whole words: it is not divided
    shifted = face[:2] + b"\xff\xfe\x00\x10\0\0" + MAGIC * 3 + face[2 + 4 + 12 :]
    (tmp_path / "train.rec").write_bytes(divided(content + face) + divided(content + shifted))
    assert divided(content + shifted).count(MAGIC) == 4  # one before each part
    records = read_record_io(tmp_path / "train.rec")
    assert [entry.content() for entry in records] == [face, shifted]


def test_several_labels_begin_with_the_person(tmp_path):
    (tmp_path / "train.rec").write_bytes(record(labeled((4.0, 0.5, 0.25), jpeg(0))))
    (entry,) = read_record_io(tmp_path / "train.rec")
    assert (entry.identity, entry.content()) == ("4", jpeg(0))


def test_faces_are_prepared_by_other_processes(tmp_path):
    faces = write_records(tmp_path)
    records = read_record_io(tmp_path / "train.rec", tmp_path / "train.idx")
    store = prepare(records, tmp_path / "store", name="rec", hr_size=112, margin=0.0, workers=1, progress=False)
    for number, face in enumerate(faces):
        np.testing.assert_array_equal(store.images[number], read_image(face))
    assert store.identities == ["3", "7"]


def test_a_record_that_is_no_picture_is_left_out(tmp_path):
    content = record(labeled(1.0, jpeg(0))) + record(labeled(2.0, b"no picture")) + record(labeled(2.0, jpeg(1, 64)))
    (tmp_path / "train.rec").write_bytes(content)
    records = read_record_io(tmp_path / "train.rec")
    store = prepare(records, tmp_path / "store", name="rec", hr_size=32, workers=0, progress=False)
    assert store.names == ["1/0.jpg"]
    assert [entry["name"] for entry in store.manifest["skipped"]] == ["2/1.jpg", "2/2.jpg"]
    assert "64 x 64 pixels" in store.manifest["skipped"][1]["reason"]


WHOLE = record(labeled(1.0, b"abcd"))
DAMAGED = {
    "wrong magic": (WHOLE + b"\0" * 8, f"at byte {len(WHOLE)} has no record"),
    "cut in the content": (WHOLE + WHOLE[:-4], f"ends within the record at byte {len(WHOLE)}"),
    "cut in the header": (WHOLE + WHOLE[:6], f"ends within the record at byte {len(WHOLE)}"),
    "a huge length": (MAGIC + struct.pack("<I", 2**29 - 1) + b"\0" * 64, "ends within the record at byte 0"),
    "too short for a header": (record(b"abcd"), "at byte 0 has a record without the header"),
    "a huge number of labels": (record(struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + b"a" * 8), "with 4294967295 labels"),
    "more labels than bytes": (record(struct.pack("<IfQQ", 3, 0, 0, 0) + b"a" * 8), "with 3 labels"),
    "no beginning": (record(labeled(1.0, b"abcd"), kind=2), "at byte 0 goes on with a record"),
    "no end": (record(labeled(1.0, b"abcd"), kind=1) + WHOLE, "begins a record within another"),
    "a fraction as label": (record(labeled(0.5, b"abcd")), "at byte 0 has the label 0.5"),
    "no number as label": (record(labeled(float("nan"), b"abcd")), "at byte 0 has the label nan"),
    "a negative label": (record(labeled(-1.0, b"abcd")), "at byte 0 has the label -1"),
    "no pictures": (record(labeled((1.0, 2.0))), "holds no pictures"),
    "nothing": (b"", "holds no pictures"),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_damaged_files_are_refused_with_the_place(tmp_path, fault):
    content, said = DAMAGED[fault]
    file = tmp_path / "train.rec"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read_record_io(file)
    assert str(file) in str(caught.value)


def test_an_index_of_another_file_is_refused(tmp_path):
    write_records(tmp_path)
    index = tmp_path / "train.idx"
    index.write_text("0\t0\n1\t4\n")
    with pytest.raises(ValueError, match="belongs to another file"):
        read_record_io(tmp_path / "train.rec", index)
    index.write_text("0\t0\n1\tx\n")
    with pytest.raises(ValueError, match=re.escape(f"{index} line 2 is '1\\tx'")):
        read_record_io(tmp_path / "train.rec", index)
    with pytest.raises(FileNotFoundError, match=r"none.idx"):
        read_record_io(tmp_path / "train.rec", tmp_path / "none.idx")
