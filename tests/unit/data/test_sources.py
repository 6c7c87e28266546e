"""Sources are prepared where their stores are missing."""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data import detection
from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.data.detection import Face
from rim_lightning.data.readers.record import Record
from rim_lightning.data.sources import MAX_EMPTY, Source, call_reader, check_on_faces, prepare_missing
from rim_lightning.data.stores.prepared import PreparedStore


def source(folder, name):
    (folder / name).mkdir(parents=True)
    image = folder / name / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(image)
    return Source(name, lambda: [Record("a.png", image, None, "test", {"five": FIVE_POINT_TEMPLATE_112 * 0.4})])


def test_every_source_has_a_store_of_its_name_and_size(tmp_path):
    sources = [source(tmp_path / "files", name) for name in ("helen", "lfw")]
    for size in (32, 32, 48):  # the second call has nothing to do
        prepare_missing(sources, tmp_path / "prepared", size, workers=0)
    stores = [folder for folder in sorted((tmp_path / "prepared").iterdir()) if folder.is_dir()]
    assert [folder.name for folder in stores] == ["helen_32", "helen_48", "lfw_32", "lfw_48"]
    assert [PreparedStore(folder).hr_size for folder in stores] == [32, 48, 32, 48]
    assert PreparedStore(stores[0]).manifest["name"] == "helen"


def test_the_files_of_a_source_that_are_missing_are_named(tmp_path):
    def read():
        raise FileNotFoundError("data/helen is not a folder; expected photographs there.")

    with pytest.raises(FileNotFoundError, match="data/helen is not a folder"):
        prepare_missing([Source("helen", read)], tmp_path, 32, workers=0)


@pytest.fixture
def finding(monkeypatch):
    """finding(points, ...) makes the detector find these faces in the pictures one after the other; it counts them."""

    def begin(*points_of):
        looks = iter(points_of)
        seen = []

        def find(images):
            seen.append(len(images))
            points = next(looks)
            return [[] if points is None else [Face(np.zeros(4), five, 1.0) for five in points]]

        monkeypatch.setattr(detection, "find_faces", find)
        return seen

    return begin


def records_of(folder, count, five):
    records = []
    for index in range(count):
        image = folder / f"{index}.png"
        Image.fromarray(np.full((120, 120, 3), 100, np.uint8)).save(image)
        records.append(Record(image.name, image, None, "train", {"five": five}))
    return records


HALF = FIVE_POINT_TEMPLATE_112 / 2


TURNED = FIVE_POINT_TEMPLATE_112[:, ::-1] * [1, -1] + [0, 112]


@pytest.mark.parametrize("points", [HALF, FIVE_POINT_TEMPLATE_112 - 16, FIVE_POINT_TEMPLATE_112 * 0.5 + 28, TURNED])
def test_landmarks_beside_the_faces_of_all_pictures_are_refused(tmp_path, finding, points):
    """As those of half the size, another cut-out or the orientation on the screen: they fit a face and lie inside."""
    seen = finding(*[[FIVE_POINT_TEMPLATE_112]] * 12)
    with pytest.raises(
        ValueError, match=r"The landmarks of set do not lie on faces: in 12 pictures .* the first is 0.png"
    ):
        check_on_faces(records_of(tmp_path, 30, points), "set")
    assert len(seen) == 12


def test_one_face_under_its_landmarks_ends_the_check(tmp_path, finding):
    records = records_of(tmp_path, 30, HALF)
    seen = finding([FIVE_POINT_TEMPLATE_112], [FIVE_POINT_TEMPLATE_112, HALF + 1])
    check_on_faces(records, "set")
    assert len(seen) == 2


def test_pictures_without_faces_and_few_pictures_say_nothing(tmp_path, finding):
    seen = finding(*[None] * 12)
    check_on_faces(records_of(tmp_path, 30, HALF), "set")
    assert len(seen) == MAX_EMPTY
    finding(*[[FIVE_POINT_TEMPLATE_112]] * 3)
    check_on_faces(records_of(tmp_path, 3, HALF), "set")


def test_landmarks_with_a_fault_of_their_own_are_left_to_that(tmp_path, finding):
    seen = finding()
    check_on_faces(records_of(tmp_path, 30, FIVE_POINT_TEMPLATE_112 * 2), "set")
    check_on_faces(records_of(tmp_path, 30, np.full((5, 2), np.nan)), "set")
    assert seen == []


def test_an_argument_that_a_reader_does_not_have_is_named():
    assert call_reader(lambda root: [root], {"root": 1}) == [1]
    with pytest.raises(ValueError, match=r"source.reader: got an unexpected keyword argument 'depth'"):
        call_reader(lambda root: [root], {"root": 1, "depth": 2})
    with pytest.raises(ValueError, match=r"source.reader: missing a required argument: 'root'"):
        call_reader(lambda root: [root], {})


def test_what_a_training_leaves_out_is_said_once(tmp_path, capsys):
    helen = source(tmp_path / "files", "helen")
    for name in ("b.png", "points.tsv"):
        (tmp_path / "files" / "helen" / name).write_bytes(b"x")
    read = partial(lambda landmarks: helen.read(), landmarks=str(tmp_path / "files" / "helen" / "points.tsv"))
    for _ in range(2):
        prepare_missing([Source("helen", read)], tmp_path / "prepared", 32, workers=0)
    file = tmp_path / "prepared" / "helen_32" / "left_out.tsv"
    said = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert said == [f"helen: 1 files were left out, {file} names them"]
    assert file.read_text() == "b.png\tis not in this data set: its reader does not name it\n"


def test_what_a_training_turned_is_said_once(tmp_path, capsys, monkeypatch):
    points = FIVE_POINT_TEMPLATE_112 * 0.4
    sideways = np.stack([points[:, 1], 50 - points[:, 0]], axis=1)
    central = detection.CentralFace(detection.Face(np.zeros(4), sideways, 0.9), 2)
    monkeypatch.setattr(detection, "find_central_faces", lambda images, detector: [central] * len(images))
    Image.new("RGB", (60, 60), "red").save(tmp_path / "a.png")
    records = [Record("a.png", tmp_path / "a.png", None, "train", {}, None)]
    for _ in range(2):
        prepare_missing([Source("set", lambda: records)], tmp_path / "prepared", 32, workers=0)
    file = tmp_path / "prepared" / "set_32" / "notes.tsv"
    said = [line for line in capsys.readouterr().err.splitlines() if "were turned" in line]
    assert said == [f"set: pictures were turned or show several faces, {file} names them"]
    assert file.read_text().splitlines() == [
        "a.png\tshows several faces: the one nearest to the center was taken",
        f"a.png\tshows the face turned: the picture was turned by {central.face.turned}° clockwise",
    ]
    assert central.face.turned == 90
