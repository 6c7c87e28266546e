"""A flat folder of images."""

import numpy as np
import pytest

from rim_lightning.data.readers.folder import read_folder


def test_images_directly_in_the_folder_are_of_one_split_and_of_nobody(tmp_path, picture):
    for name in ("b.jpg", "a.png", "deeper/c.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    points = "\n".join(f"{i + 1} {2 * i + 1}" for i in range(68))
    (tmp_path / "b.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    records = read_folder(tmp_path, split="val")
    assert [(record.name, record.identity, record.split) for record in records] == [
        ("a.png", None, "val"),
        ("b.jpg", None, "val"),
    ]
    assert records[0].landmarks == {}
    np.testing.assert_array_equal(records[1].landmarks["ibug68"], [(i, 2 * i) for i in range(68)])
    shifted = read_folder(tmp_path, first_pixel=0.0)[1]
    np.testing.assert_array_equal(shifted.landmarks["ibug68"], records[1].landmarks["ibug68"] + 1)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no images; expected face images there"):
        read_folder(tmp_path)
