"""Names of files that are no plain text, and places that cannot be written to: `rim` says one sentence, and early."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.page import Page
from rim_lightning.commands.page_cards import PageAnswer
from rim_lightning.commands.rim.main import main
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card import CARD, CARD_DIGEST
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.stores import noise_store
from tests.helpers.tiny import MODEL, perturbed

NO_UTF8 = os.fsdecode(b"caf\xe9")
NAMES = {"a line\nbreak": r"a line\nbreak", "red \x1b[31m": r"red \x1b[31m", NO_UTF8: r"caf\xe9", "é" * 123: "é" * 123}
"""Name of a picture without its ending -> the name as it is printed. The last one has 250 bytes with its ending."""


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def network():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mine"
    points = np.zeros((1, 1, 2, 1))
    write_model(folder, network(), Calibration("c", "0", 4, 4, 24, (1,), (8, 32), (1e-3,), points, points), {}, False)
    return folder


@pytest.fixture
def faces(tmp_path):
    """Pictures of all names, beside a file that is none."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        Image.fromarray(np.full((9, 9, 3), 40 * number, np.uint8)).save(folder / f"{name}.png")
        (folder / f"{name[:40]}.txt.png").write_text("no picture")
    return folder


def lines_of(done):
    assert "\x1b" not in done.output
    return done.stdout.splitlines() + done.stderr.splitlines()


def test_every_name_is_printed_on_one_line(model, faces, tmp_path):
    lines = lines_of(rim("identify", "-m", model, "-i", gallery_of(model, tmp_path), faces, "--aligned"))
    for shown in NAMES.values():
        assert any(line.startswith(f"{faces / shown}.png: 9 px") for line in lines), shown
        assert any(line.startswith(f"left out: {faces / shown[:40]}") for line in lines), shown
    assert all(line.startswith((str(faces), "left out: ", "  ", "of 1 pictures", "thresholds")) for line in lines)
    (line,) = lines_of(rim("verify", "-m", model, faces / "no\nthing.png", faces / "a line\nbreak.png"))
    assert line == rf"rim: There is no image {faces}/no\nthing.png."


def gallery_of(model, tmp_path):
    (tmp_path / "known").mkdir()
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(tmp_path / "known" / "ana.png")
    assert rim("enroll", "-m", model, "-i", tmp_path / "index", tmp_path / "known", "--aligned").exit_code == 0
    return tmp_path / "index"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("verify", "-m", "{model}", "no.png", "{faces}/a.png"), "There is no image no.png."),
        (("verify", "-m", "{model}", "{faces}/a.png", "{faces}/a.png", "--face", "0"), "0 is not in the range x>=1"),
        (("verify", "-m", "{model}", "{faces}/a.png", "{faces}/a.png", "--far", "2"), "false accept rate of 2"),
        (("verify", "{faces}/a.png"), "Missing argument 'GALLERY'."),
        (("identify", "-m", "{model}", "-i", "none", "{faces}/a.png"), "There is no gallery at none"),
        (("enroll", "-m", "{model}", "-i", "new", "none"), "There is no folder none."),
        (("gallery", "list", "-i", "none"), "There is no gallery at none"),
        (("faces", "none.png"), "There is no image none.png."),
        (("info", "none"), "There is no model folder at none: rim export makes one."),
        (("no-command",), "No such command 'no-command'."),
    ],
)
def test_what_is_wrong_is_said_in_json_too(model, faces, words, sentence):
    done = rim(*(word.format(model=model, faces=faces) for word in words), "--json")
    assert done.exit_code == 2
    assert list(content := json.loads(done.stdout)) == ["error"]
    assert sentence in content["error"]
    assert sentence in " ".join(done.stderr.split())


def test_json_is_utf8_whatever_the_names(model, faces, tmp_path):
    calls = [
        ("identify", "-m", model, "-i", gallery_of(model, tmp_path), faces, "--aligned", "--json"),
        ("enroll", "-m", model, "-i", tmp_path / "more", faces, "--aligned", "--json"),
        ("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned", "--json"),
        ("verify", "-m", model, faces, tmp_path / "known", "--aligned", "--json"),
    ]
    for call in calls:
        content = json.loads(rim(*call).stdout)
        text = json.dumps(content, ensure_ascii=False)
        assert text.encode().decode() == text  # raises for bytes of a name
        assert r"caf\\xe9" in text
        assert r"a line\nbreak" in text  # JSON has a word for it


@pytest.mark.parametrize(("encoding", "shown"), [("latin-1", r"\u0436\xe9"), ("utf-8", r"ж\xe9")])
def test_a_terminal_of_any_encoding_shows_the_answer(model, faces, tmp_path, encoding, shown):
    call = [sys.executable, "-m", "rim_lightning", "hallucinate", "-m", model, faces, tmp_path / "ж\udce9", "--aligned"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([os.fsencode(word) for word in call], capture_output=True, env=environment)
    assert done.returncode == 3, done.stderr
    assert done.stdout.decode(encoding).strip().endswith(shown)


def test_a_face_is_written_under_any_name(model, faces, tmp_path):
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned")
    assert "4 of 8 faces written" in done.stdout
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(NAMES)
    longest = tmp_path / ("x" * 251 + ".png")
    assert rim("hallucinate", "-m", model, faces / "a line\nbreak.png", longest, "--aligned").exit_code == 0
    assert Image.open(longest).size == (32, 32)


@pytest.fixture
def untouched(monkeypatch):
    """Whatever takes long must not begin."""

    def begun(*_, **__):
        raise AssertionError("work has begun")

    monkeypatch.setattr(Recognizer, "hallucinate", begun)
    monkeypatch.setattr("rim_lightning.inference.calibrate.calibrate", begun)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    ("place", "why"),
    [("a_file/deep", "a_file is a file"), ("/proc/nowhere", "No such file or directory"), ("o" * 256, "too long")],
)
def test_a_place_for_faces_is_checked_before_they_are_made(model, faces, tmp_path, untouched, many, place, why):
    (tmp_path / "a_file").write_text("")
    target = tmp_path / place
    call = (faces, target) if many else (faces / "a line\nbreak.png", target / "face.png")
    done = rim("hallucinate", "-m", model, *call, "--aligned")
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.fullmatch(f"rim: .*{why}.*\n", done.stderr), done.stderr
    assert not target.exists() if len(place) < 256 else True


def checkpoint(folder):
    path = folder / "last.ckpt"
    state = {f"rim.{name}": value for name, value in network().state_dict().items()}
    torch.save({"architecture": "rim", "model_arguments": MODEL, "state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    ("identities", "split", "sentence"),
    [
        (list("aabb"), "val", r"has no faces in its part val \(train has 4 faces\): choose one by --split"),
        (list("aabb"), "vla", "Split 'vla' is not one of train, val, test"),
        ([None] * 4, "train", "The part train of .*people has no names of people: thresholds need at least two people"),
        (list("aaaa"), "train", "has 4 faces of 1 people: thresholds need at least two people, one of them in two"),
        (list("abcd"), "train", "has 4 faces of 4 people: thresholds need at least two people, one of them in two"),
    ],
)
def test_people_of_the_thresholds_are_checked_first(tmp_path, untouched, identities, split, sentence):
    noise_store(tmp_path / "people", list("wxyz"), identities, {"ibug68": 68}, hr_size=32)
    # No checkpoint: the people are looked at before it is read.
    done = rim("export", tmp_path / "no.ckpt", tmp_path / "new", "--people", tmp_path / "people", "--split", split)
    assert done.exit_code == 2
    assert re.fullmatch(f"rim: .*{sentence}.*\n", done.stderr), done.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("place", ["a_file/model", "/proc/nowhere/model"])
def test_a_place_for_a_model_is_checked_before_thresholds(tmp_path, untouched, place):
    (tmp_path / "a_file").write_text("")
    noise_store(tmp_path / "people", list("wxyz"), list("aabb"), {"ibug68": 68}, hr_size=32)
    call = ("export", checkpoint(tmp_path), tmp_path / place, "--people", tmp_path / "people", "--split", "train")
    done = rim(*call, "--no-onnx")
    assert done.exit_code == 2
    assert re.fullmatch(r"rim: Nothing can be written to .* \(.*\): choose another folder\.\n", done.stderr), (
        done.stderr
    )


def test_a_model_may_have_a_long_name(tmp_path):
    target = tmp_path / ("é" * 125)  # 250 bytes
    done = rim("export", checkpoint(tmp_path), target, "--no-onnx")
    assert done.exit_code == 0, done.stderr
    assert Recognizer.from_checkpoint(target).fingerprint == Recognizer(network()).fingerprint


def test_links_that_lead_nowhere_get_a_sentence(model, tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    why = "is a link that leads to itself: give an image file."
    done = rim("hallucinate", "-m", model, tmp_path / "loop.png", tmp_path / "face.png", "--aligned")
    assert (done.exit_code, done.stderr) == (2, f"left out: {tmp_path}/loop.png {why}\n")
    for call in (("forget", "x"), ("gallery", "list")):  # a folder of links, which is no gallery
        done = rim(*call, "-i", tmp_path)
        assert done.exit_code == 2, done.stderr
        assert re.fullmatch(r"rim: The gallery .* Too many levels of symbolic links .*\n", done.stderr), done.stderr
    assert "the path is empty" in rim("forget", "-i", "", "x").stderr


def test_a_person_whose_name_is_no_text_is_not_in_a_gallery(model, tmp_path):
    done = rim("forget", "-i", gallery_of(model, tmp_path), NO_UTF8)
    assert done.exit_code == 1
    assert r"0 templates of caf\xe9 removed" in done.stdout


def test_an_upload_that_was_removed_is_asked_for_again(model, faces):
    page = Page(Recognizer.from_checkpoint(model))
    gone, there = str(faces / "gone.png"), str(faces / "a line\nbreak.png")
    sentence = "A picture is no longer there: uploads are removed after 10 minutes. Give it again."
    assert page.verify(gone, there, None) == page.reduce(gone, 8, None) == PageAnswer([sentence], refused=True)
    assert page.faces(gone) == (sentence, None)


@pytest.mark.parametrize(("place", "why"), [("a_file", "a_file is a file"), ("/proc/nowhere", "No such file")])
def test_a_place_for_a_gallery_is_checked_before_pictures_are_read(model, tmp_path, monkeypatch, place, why):
    monkeypatch.setattr("rim_lightning.gallery.enrollment.compare_folder", lambda *_: pytest.fail("work has begun"))
    (tmp_path / "a_file").write_text("")
    (tmp_path / "known").mkdir()
    Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(tmp_path / "known" / "ana.png")
    done = rim("enroll", "-m", model, "-i", tmp_path / place, tmp_path / "known", "--aligned")
    assert done.exit_code == 2
    assert re.fullmatch(
        rf"rim: Nothing can be written to .*{why}.*\): choose another place for the gallery\.\n", done.stderr
    )


@pytest.mark.parametrize("command", ["faces", "hallucinate"])
def test_a_folder_where_a_picture_is_to_be_written(model, faces, tmp_path, untouched, command):
    (tmp_path / "folder.png").mkdir()
    options = ("-m", model, "--aligned") if command == "hallucinate" else ()
    done = rim(command, faces / "a line\nbreak.png", tmp_path / "folder.png", "--overwrite", *options)
    assert (done.exit_code, done.stderr) == (
        2,
        f"rim: {tmp_path}/folder.png is a folder: give the PNG file to write.\n",
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"calibration": {"sizes": [8]}}, " has no calibration.faces"),
        ({"calibration": []}, ": calibration is a list"),
        ({"architecture": {}}, " has no architecture.name"),
        ({"limits": None}, ": limits is None; it must be a valid list"),
    ],
)
def test_a_card_that_lacks_something_gets_a_sentence(model, tmp_path, change, fault):
    folder = tmp_path / "copy"
    shutil.copytree(model, folder)
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    (folder / CARD_DIGEST).unlink()
    done = rim("info", folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"rim: {folder / CARD}{fault}")
    assert done.stderr.endswith(": copy the whole folder again, or export the model again from its checkpoint.\n")
    assert done.stderr.count("\n") == 1
