"""SCface, TinyFace and QMUL-SurvFace: who is searched and who is searched for."""

import pytest

from rim_lightning.data.images import ImageError
from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.surveillance import (
    read_scface,
    read_survface,
    read_survface_faces,
    read_survface_pairs,
    read_tinyface,
    read_tinyface_aligned,
)
from rim_lightning.schemes import FIVE_POINT_TEMPLATE_112
from tests.helpers.mat_files import write_survface_lists


@pytest.fixture
def scface(tmp_path, picture):
    picture(tmp_path / "mugshot_frontal_original_all" / "001_frontal.jpg")
    picture(tmp_path / "mugshot_frontal_original_all" / "002_frontal.jpg")
    picture(tmp_path / "mugshot_frontal_cropped_all" / "001_frontal.JPG")
    picture(tmp_path / "surveillance_cameras_IR_cam8" / "001_cam8.jpg")
    for distance in (1, 2, 3):
        for camera in (1, 7):
            folder = tmp_path / f"surveillance_cameras_distance_{distance}" / f"cam_{camera}"
            picture(folder / f"002_cam{camera}_{distance}.jpg")
    return tmp_path


@pytest.fixture
def tinyface(tmp_path, picture):
    for name in (
        "Gallery_Match/12_4.jpg",
        "Gallery_Match/3_1.jpg",
        "Gallery_Distractor/0_1_x.jpg",
        "Gallery_Distractor/12_9.jpg",
        "Probe/12_1.jpg",
        "Probe/12_4.jpg",
    ):
        picture(tmp_path / "Testing_Set" / name)
    return tmp_path


def test_scface_searches_mugshots_for_camera_pictures(scface):
    records, gallery, probe = read_scface(scface)
    assert gallery == ["001/001_frontal.jpg", "002/002_frontal.jpg"]
    assert probe == [f"002/002_cam{c}_{d}.jpg" for d in (1, 2, 3) for c in (1, 7)]
    assert [record.name for record in records] == gallery + probe
    assert [record.identity for record in records] == ["001", *["002"] * 7]
    assert {record.split for record in records} == {"test"}
    assert all(record.image.is_file() for record in records)
    assert read_scface(scface, "mugshot_frontal_cropped_all").gallery == ["001/001_frontal.JPG"]


def test_another_layout_than_scface_is_refused(scface, tmp_path, picture):
    with pytest.raises(FileNotFoundError, match="mugshots is not a folder"):
        read_scface(scface, "mugshots")
    stray = picture(scface / "surveillance_cameras_distance_2" / "cam_1" / "002_cam1_3.jpg")
    with pytest.raises(ValueError, match=r"002_cam1_3.jpg is not named '<person>_cam1_2.jpg'"):
        read_scface(scface)
    stray.unlink()
    (scface / "surveillance_cameras_distance_3").rename(scface / "distance_3")
    with pytest.raises(FileNotFoundError, match="surveillance_cameras_distance_3 is not a folder"):
        read_scface(scface)
    (scface / "surveillance_cameras_distance_3").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no folders cam_1"):
        read_scface(scface)


def test_tinyface_searches_matches_and_distractors(tinyface):
    records, gallery, probe = read_tinyface(tinyface)
    assert gallery == [
        "Gallery_Match/12_4.jpg",
        "Gallery_Match/3_1.jpg",
        "Gallery_Distractor/0_1_x.jpg",
        "Gallery_Distractor/12_9.jpg",
    ]
    assert probe == ["Probe/12_1.jpg", "Probe/12_4.jpg"]
    assert [record.identity for record in records] == ["12", "3", None, None, "12", "12"]
    assert [record.name for record in records] == gallery + probe
    assert {record.split for record in records} == {"test"}


def test_another_layout_than_tinyface_is_refused(tinyface, picture):
    with pytest.raises(FileNotFoundError, match="Testing_Set is not a folder"):
        read_tinyface(tinyface / "Testing_Set")
    picture(tinyface / "Testing_Set" / "Probe" / "face.jpg")
    with pytest.raises(ValueError, match=r"face.jpg is not named '<person>_<n>.jpg'"):
        read_tinyface(tinyface)


def test_tinyface_aligned_is_tinyface_with_the_points_of_the_template(tinyface):
    plain, aligned = read_tinyface(tinyface), read_tinyface_aligned(tinyface / "Testing_Set")
    assert aligned[1:] == plain[1:]
    assert [record[:4] for record in aligned.records] == [record[:4] for record in plain.records]
    assert all(record.landmarks["five"] is FIVE_POINT_TEMPLATE_112 for record in aligned.records)
    with pytest.raises(FileNotFoundError, match="Gallery_Match is not a folder"):
        read_tinyface_aligned(tinyface)
    with pytest.raises(ImageError, match=r"12_4.jpg has .* pixels; the points are known of aligned faces of 112 x 112"):
        aligned.records[0].content()


def test_survface_searches_the_gallery_for_mated_probes(tmp_path, picture):
    test_set = tmp_path / "Face_Identification_Test_Set"
    for name in ("gallery/12_cam1_1.jpg", "gallery/12_cam4_2.jpg", "gallery/3_cam2_1.jpg", "mated_probe/12_cam3_7.jpg"):
        picture(test_set / name)
    picture(test_set / "unmated_probe" / "99_cam1_1.jpg")
    records, gallery, probe = read_survface(tmp_path)
    assert gallery == ["gallery/12_cam1_1.jpg", "gallery/12_cam4_2.jpg", "gallery/3_cam2_1.jpg"]
    assert probe == ["mated_probe/12_cam3_7.jpg"]
    assert [record.identity for record in records] == ["12", "12", "3", "12"]
    picture(test_set / "gallery" / "face.jpg")
    with pytest.raises(ValueError, match=r"face.jpg is not named '<person>_cam<c>_<n>.jpg'"):
        read_survface(tmp_path)
    with pytest.raises(FileNotFoundError, match="Face_Identification_Test_Set is not a folder"):
        read_survface(test_set)


def test_the_verification_test_of_survface_has_pictures_and_pairs(tmp_path, picture):
    folder = tmp_path / "Face_Verification_Test_Set"
    genuine, impostor = [("7_cam1_1.jpg", "7_cam2_5.jpg")], [("7_cam1_1.jpg", "12_cam1_1.jpg")]
    for name in ("7_cam1_1.jpg", "7_cam2_5.jpg", "12_cam1_1.jpg"):
        picture(folder / "verification_images" / name)
    write_survface_lists(folder, genuine, impostor)
    records = read_survface_faces(tmp_path)
    assert [(record.name, record.identity) for record in records] == [
        ("12_cam1_1.jpg", "12"),
        ("7_cam1_1.jpg", "7"),
        ("7_cam2_5.jpg", "7"),
    ]
    assert {record.split for record in records} == {"test"}
    expected = [Pair(*genuine[0], True, 0), Pair(*impostor[0], False, 0)]
    for place in (tmp_path, folder, folder / "positive_pairs_names.mat", folder / "negative_pairs_names.mat"):
        assert read_survface_pairs(place) == expected


def test_other_lists_than_those_of_survface_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="verification_images is not a folder; expected pictures"):
        read_survface_faces(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"positive_pairs_names\.mat does not exist; expected a list of pairs"):
        read_survface_pairs(tmp_path)
    with pytest.raises(
        ValueError, match=r"mine.mat is not called positive_pairs_names.mat or negative_pairs_names.mat"
    ):
        read_survface_pairs(tmp_path / "mine.mat")
    good = [("7_cam1_1.jpg", "7_cam2_5.jpg")]
    write_survface_lists(tmp_path, good, good)
    with pytest.raises(ValueError, match=r"negative_pairs_names.mat row 1 pairs .* expected names .* of two people"):
        read_survface_pairs(tmp_path)
    write_survface_lists(tmp_path, [*good, ("7_cam1_1.jpg", "face.jpg")], good)
    with pytest.raises(ValueError, match=r"positive_pairs_names.mat row 2 pairs .* expected names .* of one person"):
        read_survface_pairs(tmp_path)
    write_survface_lists(tmp_path, [("7_cam1_1.jpg", "../7_cam1_1.jpg")], good)
    with pytest.raises(ValueError, match="which can be no image in the folder"):
        read_survface_pairs(tmp_path)
