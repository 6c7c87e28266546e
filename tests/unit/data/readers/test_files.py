"""Listings, landmark tables, splits."""

import json

import numpy as np
import pytest

from rim_lightning.data.listing import image_files
from rim_lightning.data.readers.files import (
    hash_split,
    list_images,
    read_landmark_table,
    read_splits,
    require_a_match,
    resized_mask,
    same_name,
    split_of,
)


def test_images_are_listed_in_order_and_other_files_are_not(tmp_path, picture):
    for name in ("b.jpg", "a.PNG"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [file.name for file in list_images(tmp_path, "images")] == ["a.PNG", "b.jpg"]


def test_training_lists_what_use_lists(tmp_path):
    """Also formats that only some data sets have."""
    for name in ("a.jpg", "b.gif", "c.PPM", "d.jp2", "notes.txt", "._a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    names = [file.name for file in list_images(tmp_path, "images")]
    assert names == [file.name for file in image_files(tmp_path)] == ["a.jpg", "b.gif", "c.PPM", "d.jp2"]


def test_a_missing_or_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; expected portraits there"):
        list_images(tmp_path / "nowhere", "portraits")
    with pytest.raises(FileNotFoundError, match="holds no images; expected portraits there"):
        list_images(tmp_path, "portraits")


def test_a_table_of_five_and_68_points(tmp_path):
    header = ["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")]
    header += ["cosine", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    row = ["p/1.jpg", *map(str, range(10)), "0.9", *map(str, range(100, 236))]
    (tmp_path / "t.tsv").write_text("\t".join(header) + "\n" + "\t".join(row) + "\n")
    landmarks = read_landmark_table(tmp_path / "t.tsv")["p/1.jpg"]
    np.testing.assert_array_equal(landmarks["five"], np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(landmarks["ibug68"], np.arange(100, 236).reshape(68, 2))


def test_a_table_with_named_points_and_an_empty_cell(tmp_path):
    parts = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    header = ["image", *(f"{part}_{axis}" for part in parts for axis in "xy")]
    (tmp_path / "t.tsv").write_text("\t".join(header) + "\na.jpg\t1\t2\t3\t4\t\t6\t7\t8\t9\t10\n")
    five = read_landmark_table(tmp_path / "t.tsv")["a.jpg"]["five"]
    np.testing.assert_array_equal(five, [[1, 2], [3, 4], [np.nan, 6], [7, 8], [9, 10]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\tx\n", "no column 'image'"),
        ("", "no column 'image'"),
        ("{header}\na.jpg\t1\t2\n", "line 2 has 3 columns where the header has 11"),
        ("{header}\na.jpg\t1\t2\t3\t4\tfive\t6\t7\t8\t9\t10\n", "line 2 holds something that is not a number"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, text, message):
    header = "\t".join(["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")])
    (tmp_path / "t.tsv").write_text(text.format(header=header))
    with pytest.raises(ValueError, match=message):
        read_landmark_table(tmp_path / "t.tsv")


FIVE_HEADER = ["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")]
FIVE_ROW = [str(number) for number in range(10)]


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_program_are_read_alike(tmp_path, separator, line_end, encoding):
    names = ["josé/1 2.jpg", '"quoted/1.jpg"']
    lines = [FIVE_HEADER, *([name, *FIVE_ROW] for name in names), []]
    file = tmp_path / "landmarks.tsv"
    file.write_bytes(line_end.join(separator.join(line) for line in lines).encode(encoding))
    table = read_landmark_table(file)
    assert list(table) == ["josé/1 2.jpg", "quoted/1.jpg"]
    np.testing.assert_array_equal(table["josé/1 2.jpg"]["five"], np.arange(10).reshape(5, 2))


@pytest.mark.parametrize(
    "name",
    ["{root}/p/é.jpg", "./p/é.jpg", "p/../p/é.jpg", "p\\é.jpg", " p/é.jpg ", "p/e\N{COMBINING ACUTE ACCENT}.jpg"],
)
def test_ways_to_write_the_name_of_an_image(tmp_path, name):
    file = tmp_path / "landmarks.tsv"
    file.write_text(
        "\t".join(FIVE_HEADER) + "\n" + "\t".join([name.format(root=tmp_path), *FIVE_ROW]), encoding="utf-8"
    )
    assert list(read_landmark_table(file, tmp_path)) == [same_name("p/é.jpg")] == ["p/é.jpg"]


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    file = tmp_path / "landmarks.tsv"
    row, other = "\t".join(["a.jpg", *FIVE_ROW]), "\t".join(["./a.jpg", *reversed(FIVE_ROW)])
    file.write_text("\n".join(["\t".join(FIVE_HEADER), row, row]))
    assert list(read_landmark_table(file)) == ["a.jpg"]
    file.write_text("\n".join(["\t".join(FIVE_HEADER), row, other]))
    with pytest.raises(ValueError, match=r"line 3 gives other landmarks of a.jpg than an earlier line; keep one"):
        read_landmark_table(file)


def test_a_table_of_other_images_is_refused(tmp_path):
    require_a_match(tmp_path / "t.tsv", {"a.jpg", "x.jpg"}, ["a.jpg", "b.jpg"])
    with pytest.raises(ValueError, match=r"t.tsv names none of the 2 images: its first is x.jpg, that of the"):
        require_a_match(tmp_path / "t.tsv", {"x.jpg": None}, ["a.jpg", "b.jpg"])


def test_labels_that_are_no_text_are_named(tmp_path):
    (tmp_path / "labels").write_bytes(b"\x89PNG\r\n")
    for read in (read_landmark_table, lambda file: read_splits(file, "people")):
        with pytest.raises(ValueError, match=r"labels is no text in UTF-8 \(line \d+.*\); expected .* there"):
            read(tmp_path / "labels")
    (tmp_path / "labels").write_bytes(b'"' + b"x" * 200_000)
    with pytest.raises(ValueError, match=r"labels is no table \(line \d+: field larger than field limit"):
        read_landmark_table(tmp_path / "labels")


def test_splits_with_a_byte_order_mark_and_without_names(tmp_path):
    file = tmp_path / "splits.json"
    file.write_text('{"people": {"train": ["a"]}}', encoding="utf-8-sig")
    assert read_splits(file, "people") == {"a": "train"}
    file.write_text('{"people": {"train": []}}')
    with pytest.raises(ValueError, match=r"splits.json lists no names of 'people'"):
        read_splits(file, "people")


@pytest.mark.parametrize(("shape", "size"), [((8, 8), (8, 8)), ((4, 6), (12, 8)), ((5, 7), (10, 7))])
def test_a_mask_is_resized_to_a_picture_of_its_shape(shape, size):
    numbers = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    resized = resized_mask(numbers, size)
    rows = (np.arange(size[1]) + 0.5) * shape[0] // size[1]
    columns = (np.arange(size[0]) + 0.5) * shape[1] // size[0]
    np.testing.assert_array_equal(resized, numbers[np.ix_(rows.astype(int), columns.astype(int))])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="the mask of 60 x 40 pixels has another shape than the picture of 40 x 60"):
        resized_mask(np.zeros((40, 60), np.uint8), (40, 60))


def test_splits_are_read_by_name(tmp_path):
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"people": {"train": ["a"], "val": ["b"]}}))
    splits = read_splits(file, "people")
    assert splits == {"a": "train", "b": "val"}
    assert split_of("b", splits, file) == "val"
    with pytest.raises(ValueError, match=r"splits.json puts 'c' in no split"):
        split_of("c", splits, file)


def test_broken_splits_are_refused(tmp_path):
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"people": {"train": ["a"], "val": ["a"]}}))
    with pytest.raises(ValueError, match="a name of 'people' in two splits"):
        read_splits(file, "people")
    with pytest.raises(ValueError, match="is not JSON with an entry 'dogs'"):
        read_splits(file, "dogs")


def test_the_hash_split_is_fixed_and_keeps_a_tenth():
    splits = [hash_split(str(i)) for i in range(5000)]
    assert splits == [hash_split(str(i)) for i in range(5000)]
    assert 0.08 < splits.count("val") / 5000 < 0.12
