"""CelebAMask-HQ in both layouts; parsing in Helen's classes with the viewer's sides."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data.readers.celebamask import (
    load_index_mask,
    load_part_masks,
    read_celebamask,
    read_celebamask_official,
    with_viewer_sides,
)


def face_mask() -> np.ndarray:
    """(8, 8) official classes: skin, the subject's left eye and brow on the right of the image, an earring, cloth."""
    mask = np.ones((8, 8), np.uint8)
    mask[2, 5:7], mask[2, 1:3] = 6, 7
    mask[3, 5:7], mask[3, 1:3] = 4, 5
    mask[4, 0], mask[7] = 15, 18
    return mask


def helen_mask() -> np.ndarray:
    mask = np.ones((8, 8), np.uint8)
    mask[2, 5:7], mask[2, 1:3] = 3, 2
    mask[3, 5:7], mask[3, 1:3] = 5, 4
    mask[4, 0], mask[7] = 0, 0
    return mask


def test_index_masks_become_helen_classes_at_the_size_of_the_image(tmp_path, picture, gray):
    image, mask = picture(tmp_path / "a.jpg", (16, 16)), gray(tmp_path / "a.png", face_mask())
    np.testing.assert_array_equal(load_index_mask(mask, image), helen_mask().repeat(2, axis=0).repeat(2, axis=1))


def test_a_palette_is_read_by_number_not_by_color(tmp_path, picture):
    palette = Image.fromarray(face_mask()).convert("P")
    palette.putdata(face_mask().ravel().tolist())
    palette.putpalette([channel for i in range(256) for channel in (255 - i, 3 * i % 256, 40)])
    palette.save(tmp_path / "a.png")
    parsing = load_index_mask(tmp_path / "a.png", picture(tmp_path / "a.jpg", (8, 8)))
    np.testing.assert_array_equal(parsing, helen_mask())


def test_a_color_picture_is_no_mask(tmp_path, picture):
    with pytest.raises(ValueError, match="has mode RGB; expected a gray or palette PNG"):
        load_index_mask(picture(tmp_path / "m.png"), picture(tmp_path / "a.jpg"))


def test_maps_with_exchanged_sides_are_put_right():
    expected = helen_mask()
    exchanged = expected.copy()
    for left, right in ((2, 3), (4, 5)):
        exchanged[expected == left], exchanged[expected == right] = right, left
    np.testing.assert_array_equal(with_viewer_sides(exchanged), expected)
    np.testing.assert_array_equal(with_viewer_sides(expected), expected)
    one_eye = np.where(expected == 2, 1, np.where(expected == 4, 1, expected)).astype(np.uint8)
    np.testing.assert_array_equal(with_viewer_sides(one_eye), one_eye)


def test_part_masks_are_merged_in_the_publishers_order(tmp_path, picture, gray):
    image = picture(tmp_path / "7.jpg", (8, 8))
    mask = face_mask()
    for number, part in ((1, "skin"), (4, "l_eye"), (5, "r_eye"), (6, "l_brow"), (7, "r_brow"), (18, "cloth")):
        # skin covers the whole face, the parts lie over it
        gray(tmp_path / f"00007_{part}.png", (np.ones_like(mask) if part == "skin" else mask == number) * 255)
    expected = helen_mask()
    expected[4, 0] = 1  # no earring file
    np.testing.assert_array_equal(load_part_masks(tmp_path, "00007", image), expected)


def test_the_compact_layout(tmp_path, picture, gray):
    for name in ("0a", "0b"):
        picture(tmp_path / "images" / f"{name}.jpg", (8, 8))
    gray(tmp_path / "masks" / "0a.png", face_mask())
    header = ["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")]
    (tmp_path / "landmarks.tsv").write_text("\t".join(header) + "\n0a\t" + "\t".join(map(str, range(10))) + "\n")
    (tmp_path / "splits.json").write_text(json.dumps({"celebamask": {"train": ["0a.jpg"], "test": ["0b.jpg"]}}))

    first, second = read_celebamask(tmp_path, tmp_path / "splits.json")
    assert (first.name, first.split, second.name, second.split) == ("0a.jpg", "train", "0b.jpg", "test")
    np.testing.assert_array_equal(first.landmarks["five"], np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(first.load_parsing))(), helen_mask())
    assert second.load_parsing is None
    assert second.landmarks == {}


def test_the_official_layout(tmp_path, picture, gray):
    for number in (0, 1, 2, 2001):
        picture(tmp_path / "CelebA-HQ-img" / f"{number}.jpg", (8, 8))
    masks = tmp_path / "CelebAMask-HQ-mask-anno"
    gray(masks / "0" / "00001_hair.png", np.full((4, 4), 255))
    gray(masks / "1" / "02001_nose.png", np.full((4, 4), 255))
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "    idx  orig_idx  orig_file\n"
        "      0    162769 162770.jpg\n      1    162770 162771.jpg\n      2    182637 182638.jpg\n"
    )
    records = {record.name: record for record in read_celebamask_official(tmp_path)}
    assert [records[f"{n}.jpg"].split for n in (0, 1, 2)] == ["train", "val", "test"]
    assert records["2001.jpg"].split in ("train", "val")
    assert (records["1.jpg"].load_parsing() == 10).all()
    assert records["1.jpg"].load_parsing().shape == (8, 8)
    assert (records["2001.jpg"].load_parsing() == 6).all()
    assert (records["0.jpg"].load_parsing() == 0).all()


def test_other_layouts_are_refused(tmp_path, picture):
    with pytest.raises(FileNotFoundError, match="images is not a folder; expected the portraits of CelebAMask-HQ"):
        read_celebamask(tmp_path)
    picture(tmp_path / "CelebA-HQ-img" / "face.jpg")
    (tmp_path / "CelebAMask-HQ-mask-anno").mkdir()
    with pytest.raises(ValueError, match=r"face.jpg is not named by its number"):
        read_celebamask_official(tmp_path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((10, 12), 19), r"mask.png holds the class 19; CelebAMask-HQ has 0 to 18, and 255 is not labeled"),
        (np.zeros((12, 10)), "the mask of 10 x 12 pixels has another shape than the picture of 12 x 10"),
    ],
)
def test_masks_that_cannot_belong_to_their_picture(tmp_path, picture, gray, values, sentence):
    image, mask = picture(tmp_path / "image.png"), gray(tmp_path / "mask.png", values)
    with pytest.raises(ValueError, match=sentence):
        load_index_mask(mask, image)


def test_what_is_not_labeled_stays_so(tmp_path, picture, gray):
    mask = gray(tmp_path / "mask.png", np.full((20, 24), 255))
    assert (load_index_mask(mask, picture(tmp_path / "image.png")) == 255).all()
