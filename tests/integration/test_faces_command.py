"""Faces in pictures with several of them: rim faces numbers them; --face, --box, --faces and --aligned choose."""

import json
import shutil

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.inference.face_pictures import CAPTION_HEIGHT
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
    assert drawn.shape == (600 + CAPTION_HEIGHT, 960, 3)  # above a legend
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
        ("frame.png", "is read, and would be overwritten"),
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
    assert "(--gallery-face N takes another one" in rim("verify", "-m", model, files[0], frame).stderr


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
    size = float(answer["faces"][0]["probe_pixels"][0])
    too_large = rim("verify", "-m", model, frame, frame, "--faces", "all", "--size", size)
    assert "frame.png: face 2 has" in too_large.stderr
    done = rim("hallucinate", "-m", model, frame, tmp_path / "sharp.png", "--faces", "all", "--json")
    written = json.loads(done.stdout)["written"]
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["sharp_1.png", "sharp_2.png", "sharp_3.png"]
    assert [located(row["found"]) for row in written] == [1, 2, 3]
    again = rim("hallucinate", "-m", model, frame, tmp_path / "sharp.png", "--faces", "all")
    assert again.exit_code == 2
    assert "sharp_1.png exists already" in again.output
    (tmp_path / "frames").mkdir()
    for name in ("frame.png", "frame.dat"):  # the second is named as left out, and is none of the pictures read
        shutil.copy(frame, tmp_path / "frames" / name)
    done = rim("hallucinate", "-m", model, tmp_path / "frames", tmp_path / "sharp", "--faces", "all")
    assert done.exit_code == 3
    assert "3 faces of 1 pictures written beside" in done.stdout


def test_faces_are_pasted_into_their_picture(model, frame, tmp_path):
    plain = np.asarray(Image.open(frame).convert("RGB"))
    small = tmp_path / "small.png"
    Image.fromarray(cv2.resize(plain, (160, 100), interpolation=cv2.INTER_AREA)).save(small)
    for source, more, faces in ((frame, ("--faces", "all"), 3), (frame, (), 1), (small, ("--face", 1), 1)):
        target = tmp_path / f"{source.stem}_{len(more)}_{faces}.png"
        done = rim("hallucinate", "-m", model, source, target, "--paste", *more, "--json")
        assert done.exit_code == 0, done.output
        written = json.loads(done.stdout)["written"]
        assert [located_or_none(row, source, frame) for row in written] == (
            [1, 2, 3][:faces] if source == frame else [None]
        )
        (factor,) = {row["enlarged"] for row in written}
        assert factor == max(1, round(32 / min(row["found"]["size"] for row in written)))
        with Image.open(target) as picture:
            assert picture.text["Title"] == "hallucinated: not a photograph"
            assert picture.text["Source"].startswith("model mine, digest ")
            pasted = np.asarray(picture)
        before = np.asarray(Image.open(source).convert("RGB")).repeat(factor, 0).repeat(factor, 1)
        changed = (pasted[: len(before)] != before).any(-1)
        assert 0 < changed.mean() < 0.5
        for row in written:
            x, y = (factor * np.mean(row["found"]["points"], axis=0)).astype(int)
            assert changed[y - 2 : y + 3, x - 2 : x + 3].mean() > 0.5
        again = rim("hallucinate", "-m", model, source, target, "--paste", *more)
        assert (again.exit_code, "exists already" in again.output) == (2, True)
    for words in (("--strip",), ("--aligned",)):
        assert rim("hallucinate", "-m", model, frame, tmp_path / "no.png", "--paste", *words).exit_code == 2
    face = rim("hallucinate", "-m", model, frame, tmp_path / "face.png")
    assert face.exit_code == 0
    with Image.open(tmp_path / "face.png") as picture:
        assert picture.text["Title"] == "hallucinated: not a photograph"


def located_or_none(row, source, frame):
    return located(row["found"]) if source == frame else None


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("verify", "--aligned", "probe", "face.png"),
            "--aligned took 'probe' as the side, so that GALLERY is missing",
        ),
        (("verify", "--aligned", "gallery", "face.png"), "write --aligned ./gallery if it is a path"),
        (("hallucinate", "--aligned", "probe", "out.png"), "so that TARGET is missing"),
        (("enroll", "-i", "known", "--aligned", "gallery"), "so that FOLDER is missing"),
        (("identify", "-i", "known", "--aligned", "both"), "write --aligned ./both if it is a path"),
        (
            ("identify", "-i", "known", "--aligned", "probe", "face.png"),
            "write --aligned=probe, or ./probe for the path",
        ),
    ],
)
def test_a_path_that_is_called_like_a_side(model, portraits, tmp_path, monkeypatch, words, sentence):
    pytest.importorskip("lancedb")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(portraits[0][12:-12, 12:-12]).save("face.png")
    for name in ("probe", "gallery"):
        Image.open("face.png").save(name, "PNG")
    done = rim(words[0], "-m", model, *words[1:])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())


def test_the_path_and_the_side_can_both_be_said(model, portraits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(portraits[0][12:-12, 12:-12]).save("probe", "PNG")
    Image.fromarray(portraits[0]).save("photo.png")
    for words, kinds in (
        (("--aligned", "./probe", "./probe"), (None, None)),
        (("--aligned", "both", "probe", "probe"), (None, None)),
        (("--aligned=probe", "probe", "photo.png"), (None, dict)),
        (("probe", "photo.png", "--aligned", "probe"), (None, dict)),
    ):
        answer = json.loads(rim("verify", "-m", model, "--json", *words).stdout)
        found = (answer["probe_found"][0], answer["gallery_found"][0])
        assert tuple(None if face is None else type(face) for face in found) == kinds


def turned_folder(folder, portraits):
    """Pictures on their side, upright ones, and one with two faces, in a folder for each person."""
    upright = cv2.resize(
        cv2.copyMakeBorder(portraits[0], 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(120,) * 3), (400, 400)
    )
    two = np.concatenate([upright, cv2.resize(upright, (400, 400))[:, ::-1]], axis=1)
    for name, picture in {
        "ana/1.png": upright,
        "ana/2.png": np.rot90(upright),
        "eve/1.png": np.rot90(upright, 2),
        "eve/2.png": two,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / name)
    return folder


TURNED = {"ana/2.png": 90, "eve/1.png": 180}


def test_enroll_says_what_was_turned_and_where_faces_lie(model, portraits, tmp_path):
    pytest.importorskip("lancedb")
    people = turned_folder(tmp_path / "people", portraits)
    printed = rim("enroll", "-m", model, "-i", tmp_path / "printed", people)
    assert printed.exit_code == 0
    lines = printed.stderr.splitlines()
    for name, turned in TURNED.items():
        assert f"{people / name} shows the face turned: the picture was turned by {turned}° clockwise" in lines
    assert f"{people}/eve/2.png shows several faces: the largest was taken" in lines
    answer = json.loads(rim("enroll", "-m", model, "-i", tmp_path / "known", people, "--json").stdout)
    assert answer["turned"] == {str(people / name): turned for name, turned in TURNED.items()}
    rows = {row["picture"]: row for row in answer["pictures"]}
    assert len(rows) == answer["added"] == 4
    for name, row in rows.items():
        verified = json.loads(rim("verify", "-m", model, name, name, "--json").stdout)
        assert row["found"] == verified["gallery_found"][0]
        assert row["faces"] == verified["gallery_faces"][0] == (2 if name.endswith("eve/2.png") else 1)
        assert (row["size"], row["pixels"]) == (verified["gallery_size"], verified["gallery_pixels"][0])
    chosen = rim("enroll", "-m", model, "-i", tmp_path / "second", people / "eve", "--face", 1)
    assert "the largest was taken" not in chosen.output  # somebody chose it


def test_many_turned_pictures_are_counted(model, portraits, tmp_path):
    pytest.importorskip("lancedb")
    people = turned_folder(tmp_path / "people", portraits)
    for number in range(3, 7):
        picture = np.rot90(np.asarray(Image.open(people / "ana" / "1.png"))).copy()
        picture[:number] = 0  # no two are alike
        Image.fromarray(picture).save(people / f"ana/{number}.png")
    done = rim("enroll", "-m", model, "-i", tmp_path / "known", people)
    note = "shows the face turned: the picture was turned by 90° clockwise"
    names = ", ".join(f"{people}/ana/{number}.png" for number in (2, 3, 4))
    assert f"5 pictures, each of which {note}: {names} and 2 more; --json names them all" in done.stderr.splitlines()


def test_rim_prepare_says_what_was_turned(portraits, tmp_path, capsys):
    from rim_lightning.commands.prepare import main as prepare

    people = turned_folder(tmp_path / "people", portraits)
    with pytest.MonkeyPatch.context() as patch:
        words = ["source=folders", f"source.reader.root={people}", f"output={tmp_path / 'store'}", "hr_size=32"]
        patch.setattr("sys.argv", ["rim-prepare", *words, "workers=0"])
        prepare()
    printed = [line.strip() for line in capsys.readouterr().out.splitlines()]
    rows = [line.split("\t") for line in (tmp_path / "store" / "notes.tsv").read_text().splitlines()]
    for name, turned in TURNED.items():
        note = f"shows the face turned: the picture was turned by {turned}° clockwise"
        assert f"{name} {note}" in printed
        assert [name, note] in rows
    note = "shows several faces: the one nearest to the center was taken"
    assert f"eve/2.png {note}" in printed
    assert len(rows) == 3
    samples = json.loads((tmp_path / "store" / "manifest.json").read_text())["samples"]
    assert {sample["name"]: sample["turned"] for sample in samples if "turned" in sample} == TURNED
    assert {sample["name"]: sample["faces"] for sample in samples if "faces" in sample} == {"eve/2.png": 2}
