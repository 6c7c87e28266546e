"""Helen and 300-W with .pts files."""

import json

import numpy as np
import pytest

from rim_lightning.data.readers.folder import read_folder
from rim_lightning.data.readers.pts import read_points, read_pts

POINTS = np.random.default_rng(0).uniform(1, 10, (68, 2)).round(3)


def write_points(path, points=POINTS):
    lines = "\n".join(f"{x} {y}" for x, y in points)
    path.write_text(f"version: 1\nn_points:  {len(points)}\n{{\n{lines}\n}}\n")


@pytest.fixture
def root(tmp_path, picture):
    for folder, name in (("trainset", "100_1"), ("trainset", "100_2"), ("trainset", "200_1"), ("testset", "300_1")):
        write_points(picture(tmp_path / folder / f"{name}.jpg").with_suffix(".pts"))
    return tmp_path


def test_points_are_counted_from_the_first_pixel_of_the_format(tmp_path):
    write_points(tmp_path / "a.pts")
    np.testing.assert_allclose(read_points(tmp_path / "a.pts")["ibug68"], POINTS - 1)
    np.testing.assert_allclose(read_points(tmp_path / "a.pts", first_pixel=0.0)["ibug68"], POINTS)


@pytest.mark.parametrize("text", ["", "version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n", "{\n1 2\nx y\n}", "{\n1 2\n3\n}"])
def test_a_broken_points_file_is_named(tmp_path, text):
    (tmp_path / "a.pts").write_text(text)
    with pytest.raises(ValueError, match=r"a.pts (holds|does not hold)"):
        read_points(tmp_path / "a.pts")


def test_faces_of_one_photograph_share_a_split(root):
    records = {record.name: record for record in read_pts(root)}
    assert sorted(records) == ["testset/300_1.jpg", "trainset/100_1.jpg", "trainset/100_2.jpg", "trainset/200_1.jpg"]
    assert records["trainset/100_1.jpg"].split == records["trainset/100_2.jpg"].split in ("train", "val")
    assert records["testset/300_1.jpg"].split == "test"
    np.testing.assert_allclose(records["trainset/200_1.jpg"].landmarks["ibug68"], POINTS - 1)


def test_a_split_file_decides(root):
    splits = {"helen": {"train": ["100_1.jpg", "300_1.jpg"], "val": ["100_2.jpg"], "test": ["200_1.jpg"]}}
    (root / "splits.json").write_text(json.dumps(splits))
    records = read_pts(root, root / "splits.json")
    assert [record.split for record in records] == ["train", "val", "test", "train"]


def test_an_image_without_points_is_kept_for_detection(root):
    (root / "trainset" / "100_1.pts").unlink()
    assert read_pts(root)[0].landmarks == {}


def test_another_layout_is_refused(root):
    for file in root.rglob("*.pts"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no .pts files"):
        read_pts(root)
    with pytest.raises(FileNotFoundError, match="trainset is not a folder"):
        read_pts(root / "testset")


def test_a_flat_folder(root):
    records = read_folder(root / "trainset", split="val")
    assert [(record.name, record.split, record.identity) for record in records] == [
        ("100_1.jpg", "val", None),
        ("100_2.jpg", "val", None),
        ("200_1.jpg", "val", None),
    ]
    np.testing.assert_allclose(records[0].landmarks["ibug68"], POINTS - 1)


def test_a_first_pixel_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match="first_pixel is abc; it must be the coordinate of the first pixel, 0 or 1"):
        read_points(tmp_path / "a.pts", "abc")
