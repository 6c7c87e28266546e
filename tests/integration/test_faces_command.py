"""Faces in pictures with several of them: rim faces numbers them; --face, --box, --faces and --aligned choose."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.stores import small_synthetic_store
from tests.integration.test_cli import model_folder

PLACES = ((40, 60, 200), (300, 90, 150), (480, 260, 100))  # left, top and side of the faces, the largest first


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    """Three synthetic faces, (120, 120, 3)."""
    store = small_synthetic_store(tmp_path_factory.mktemp("faces") / "faces", people=6, views=1, hr_size=96)
    return np.array(store.images[:3])


@pytest.fixture(scope="module")
def frame(tmp_path_factory, portraits):
    picture = np.full((400, 640, 3), 120, np.uint8)
    for portrait, (left, top, side) in zip(portraits, PLACES, strict=True):
        picture[top : top + side, left : left + side] = cv2.resize(portrait, (side, side))
    file = tmp_path_factory.mktemp("frames") / "frame.png"
    Image.fromarray(picture).save(file)
    return file


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def located(found):
    """The number of the place that a face of a JSON object lies in."""
    x, y = np.mean(found["points"], axis=0)
    return next(
        number
        for number, (left, top, side) in enumerate(PLACES, start=1)
        if left < x < left + side and top < y < top + side
    )


def test_faces_are_numbered_the_largest_first(frame, tmp_path):
    done = rim("faces", frame, tmp_path / "numbered.png")
    assert done.exit_code == 0
    rows = [line for line in done.stdout.splitlines() if "box" in line]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all(row.endswith("usable") for row in rows)
    drawn = np.asarray(Image.open(tmp_path / "numbered.png").convert("RGB"))
    assert drawn.shape == (600, 960, 3)
    plain = json.loads(rim("faces", frame, "--json").stdout)
    assert [located(face) for face in plain["faces"]] == [1, 2, 3]
    assert [face["turned"] for face in plain["faces"]] == [0, 0, 0]
    assert (plain["width"], plain["height"]) == (640, 400)
    blue = (drawn == (30, 140, 255)).all(-1)
    for face in plain["faces"]:  # the lower edge of each box is drawn where the JSON object says
        x0, _, x1, y1 = (1.5 * np.array(face["box"])).round().astype(int)
        assert blue[y1 - 3 : y1 + 4, (x0 + x1) // 2].any()


def test_a_picture_without_a_face_answers_no(tmp_path):
    Image.new("RGB", (90, 60), "gray").save(tmp_path / "wall.png")
    done = rim("faces", tmp_path / "wall.png", tmp_path / "out.png")
    assert done.exit_code == 1
    assert "shows no face that could be found" in done.output
    assert json.loads(rim("faces", tmp_path / "wall.png", "--json").stdout)["faces"] == []


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("frame.jpg", "does not end in .png"),
        ("frame.png", "is the picture that is read"),
        ("old.png", "exists already"),
    ],
)
def test_no_file_is_overwritten(frame, tmp_path, target, sentence):
    place = frame if target == "frame.png" else tmp_path / target
    if target == "old.png":
        place.write_bytes(b"mine")
    done = rim("faces", frame, place)
    assert done.exit_code == 2
    assert sentence in done.output


def test_the_number_chooses_the_face(model, frame, tmp_path, portraits):
    files = []
    for number, portrait in enumerate(portraits):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(cv2.copyMakeBorder(portrait, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(120,) * 3)).save(
            files[-1]
        )
    for number in (1, 2, 3):
        answer = json.loads(
            rim("verify", "-m", model, frame, frame, "--face", number, "--gallery-face", 4 - number, "--json").stdout
        )
        (probe,), (gallery,) = answer["probe_found"], answer["gallery_found"]
        assert (located(probe), located(gallery)) == (number, 4 - number)
        assert (probe["number"], gallery["number"]) == (number, 4 - number)
        assert len(probe["points"]) == 5
        assert 0 < probe["confidence"] <= 1
    several = rim("verify", "-m", model, frame, files[0])
    assert "shows 3 faces: the largest was taken (--face N takes another one; rim faces numbers them)" in several.stderr
    assert "the largest was taken" not in rim("verify", "-m", model, frame, files[0], "--face", 1).stderr


def test_the_box_chooses_the_face(model, frame):
    for number, (left, top, side) in enumerate(PLACES, start=1):
        box = f"{left + side // 5},{top + side // 5},{left + side * 4 // 5},{top + side * 4 // 5}"
        answer = json.loads(rim("verify", "-m", model, frame, frame, "--box", box, "--json").stdout)
        assert located(answer["probe_found"][0]) == number
        assert located(answer["gallery_found"][0]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--face", 5), "shows 3 faces: there is no face 5"),
        (("--face", 0), "0 is not in the range"),
        (("--face", "two"), "is not a valid integer"),
        (("--gallery-face", 9), "there is no face 9"),
        (("--box", "1,2,3"), "1,2,3 is no box: give x0,y0,x1,y1 in pixels"),
        (("--box", "a,b,c,d"), "is no box"),
        (("--box", "50,50,10,10"), "x0 must be less than x1"),
        (("--box", "0,0,30,30"), "shows no face that could be found"),
        (("--box", "5000,5000,6000,6000"), "does not lie in"),
        (("--box", "0,0,inf,10"), "is no box"),
        (("--box", "1,1,90,90", "--face", 1), "Give one of --face and --box"),
        (("--face", 1, "--aligned"), "leave --aligned out"),
        (("--face", 1, "--faces", "all"), "--faces all takes every face"),
        (("--aligned", "side"), "640 x 400 pixels: an aligned face is square"),
    ],
)
def test_a_wrong_choice_gets_one_sentence(model, frame, words, sentence):
    done = rim("verify", "-m", model, *([frame] if words[1] == "side" else [frame, frame]), *words)
    if words[1] == "side":  # no word of --aligned, so a path
        done = rim("verify", "-m", model, "--aligned", frame, frame)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output


def test_every_face_gets_an_answer(model, frame, tmp_path):
    answer = json.loads(rim("verify", "-m", model, frame, frame, "--faces", "all", "--json").stdout)
    assert [located(face["probe_found"][0]) for face in answer["faces"]] == [1, 2, 3]
    printed = rim("verify", "-m", model, frame, frame, "--faces", "all").stdout
    assert [line for line in printed.splitlines() if line.startswith("face ")] == ["face 1:", "face 2:", "face 3:"]
    done = rim("hallucinate", "-m", model, frame, tmp_path / "sharp.png", "--faces", "all", "--json")
    written = json.loads(done.stdout)["written"]
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["sharp_1.png", "sharp_2.png", "sharp_3.png"]
    assert [located(row["found"]) for row in written] == [1, 2, 3]
    again = rim("hallucinate", "-m", model, frame, tmp_path / "sharp.png", "--faces", "all")
    assert again.exit_code == 2
    assert "sharp_1.png exists already" in again.output


def test_identify_answers_for_every_face(model, frame, tmp_path, portraits):
    pytest.importorskip("lancedb")
    folder = tmp_path / "people"
    folder.mkdir()
    Image.open(frame).save(folder / "somebody.png")
    enrolled = rim("enroll", "-m", model, "-i", tmp_path / "known", folder, "--face", 2)
    assert enrolled.exit_code == 0, enrolled.output
    done = rim("identify", "-m", model, "-i", tmp_path / "known", frame, "--faces", "all", "--far", "1e-2", "--json")
    answers = json.loads(done.stdout)["probes"]
    assert [located(answer["found"]) for answer in answers] == [1, 2, 3]
    expected = Recognizer.from_checkpoint(model)
    (gallery,) = expected.embed_gallery(expected.align(frame, face=2))
    for number, answer in enumerate(answers, start=1):
        (probe,) = expected.embed_probes(expected.align(frame, face=number))
        assert answer["hits"][0]["similarity"] == pytest.approx(float(probe @ gallery), abs=1e-4)


def test_one_side_may_be_aligned(model, frame, tmp_path, portraits):
    side = tmp_path / "aligned.png"
    Image.fromarray(portraits[0][12:-12, 12:-12]).save(side)
    for word, found in (
        ("probe", (None, dict)),
        ("gallery", (dict, None)),
        ("both", (None, None)),
        (None, (None, None)),
    ):
        pictures = [side if kind is None else frame for kind in found]
        words = ("--aligned", word) if word else ("--aligned",)
        answer = json.loads(rim("verify", "-m", model, *pictures, *words, "--json").stdout)
        kinds = (answer["probe_found"][0], answer["gallery_found"][0])
        assert tuple(None if kind is None else type(kind) for kind in kinds) == found
    model_ = Recognizer.from_checkpoint(model)
    one = model_.verify(side, frame, aligned="probe").similarity
    two = model_.verify(model_.align(side, aligned=True), frame).similarity
    assert one == two
    with pytest.raises(ValueError, match="aligned is 'left': choose probe, gallery or both"):
        model_.verify(side, frame, aligned="left")
    wrong = rim("hallucinate", "-m", model, side, tmp_path / "out.png", "--aligned", "gallery")
    assert wrong.exit_code == 2
    assert "reads probe pictures: choose probe" in " ".join(wrong.output.split())


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_photograph_on_its_side_is_turned_and_says_so(model, portraits, tmp_path, quarter):
    upright = cv2.resize(
        cv2.copyMakeBorder(portraits[0], 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(120,) * 3), (400, 400)
    )
    Image.fromarray(upright).save(tmp_path / "upright.png")
    Image.fromarray(np.rot90(upright, quarter)).save(tmp_path / "turned.png")
    answer = json.loads(rim("verify", "-m", model, tmp_path / "turned.png", tmp_path / "upright.png", "--json").stdout)
    assert answer["probe_found"][0]["turned"] == 90 * quarter
    assert answer["gallery_found"][0]["turned"] == 0
    printed = rim("verify", "-m", model, tmp_path / "turned.png", tmp_path / "upright.png").stderr
    assert f"the picture was turned by {90 * quarter}° clockwise" in printed
    turned, plain = (
        Recognizer.from_checkpoint(model).align(tmp_path / name)[0] for name in ("turned.png", "upright.png")
    )
    assert (turned.pixels - plain.pixels).abs().mean() < 0.1  # the same face, the same way up
    exif = Image.Exif()
    exif[0x0112] = {1: 6, 2: 3, 3: 8}[quarter]  # the orientation that turns it upright again
    Image.fromarray(np.rot90(upright, quarter)).save(tmp_path / "exif.jpg", exif=exif, quality=95)
    (found,) = Recognizer.from_checkpoint(model).align(tmp_path / "exif.jpg")
    assert found.found.turned == 0
