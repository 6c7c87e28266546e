"""`rim calibrate`, and what answers with its file."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.inference.calibration_file import read_calibration
from rim_lightning.inference.recognizer import Recognizer, Verification
from rim_lightning.inference.verdict import CalibrationSet
from tests.integration.test_cli import model_folder


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model whose detector takes every picture as a face; thresholds of few people count."""
    align = Recognizer.align

    def whole(recognizer, pictures, aligned=False, name=None, face=None):
        return align(recognizer, pictures, True, name, face)

    monkeypatch.setattr(Recognizer, "align", whole)
    return model_folder(tmp_path / "model")


@pytest.fixture
def people(tmp_path):
    """Nine people, four pictures each."""
    random = np.random.default_rng(0)
    for person in range(9):
        face = random.integers(0, 256, (32, 32, 3))
        for number in range(4):
            path = tmp_path / "people" / f"person {person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = (face + random.normal(0, 30, face.shape)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "people"


def test_photographs_make_a_file_that_answers(model, people, tmp_path):
    file, plot = tmp_path / "mine.json", tmp_path / "mine.png"
    done = rim("calibrate", "-m", model, file, "--photographs", people, "--plot", plot)
    assert done.exit_code == 0, done.output
    assert "thresholds chosen on 9 people of people, 108 genuine and 1,152 impostor pairs (photographs)" in done.stdout
    assert "no usable face is found in (not among the rates above): 7 px 0.0%, 8 px 0.0%" in done.stdout
    with Image.open(plot) as picture:
        assert picture.size == (1210, 550)
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 200  # it shows curves
    recognizer = Recognizer.from_checkpoint(model)
    calibration = read_calibration(file, recognizer.probe_fingerprint)
    assert calibration.probes == "camera of whole photographs, faces found by yunet"
    assert calibration.not_acquired == (0.0,) * len(calibration.sizes)
    probe, sharp = people / "person 0" / "0.png", people / "person 0" / "1.png"
    call = ("verify", "-m", model, probe, sharp, "--far", "0.1", "--calibration", file)
    answer = json.loads(rim(*call, "--json").stdout)
    point = calibration.operating_point(answer["probe_size"], 0.1)
    assert answer["threshold"] == point.threshold
    assert answer["far_interval"] == list(point.far_interval)
    assert answer["chosen_on"]["people"] == 9
    assert "a usable face was found in all probes of this size" in rim(*call).stdout
    assert rim(*call[:-2]).exit_code == 2  # the card of the model has no thresholds for 0.1
    assert rim("calibrate", "-m", model, file, "--photographs", people).exit_code == 2
    again = rim("calibrate", "-m", model, file, "--photographs", people, "--degradation", "bicubic", "--overwrite")
    assert again.exit_code == 0
    assert read_calibration(file, recognizer.probe_fingerprint).probes.startswith("bicubic of whole photographs")


def test_faces_that_are_not_found_are_in_the_answer():
    shared = (0.5, 0.4, True, 1e-2, 0.5, 16.0, 112.0, 1, 1, CalibrationSet("mine", 40, "photographs"))
    answer = Verification(*shared, not_acquired=0.2)
    expected = "in 2 of 10 probes of this size no usable face is found; with these, 6 of 10 true pairs would be missed"
    assert expected in answer.in_words()


def test_true_probes_make_a_file_that_answers(model, people, tmp_path):
    for number, picture in enumerate(sorted(people.rglob("*.png"))):
        place = tmp_path / ("probes" if number % 2 else "portraits") / picture.parent.name
        place.mkdir(parents=True, exist_ok=True)
        with Image.open(picture) as image:
            (image.resize((16, 16)) if number % 2 else image).save(place / picture.name)
    for person in range(9, 14):  # more strangers, and two more probes to make twenty
        place = tmp_path / "probes" / f"person {person}"
        place.mkdir()
        Image.fromarray(np.full((16, 16, 3), 10 * person, np.uint8)).save(place / "1.png")
    (tmp_path / "probes" / "person 0" / "broken.png").write_bytes(b"nothing")
    file = tmp_path / "camera.json"
    places = ("--probes", tmp_path / "probes", "--gallery", tmp_path / "portraits")
    done = rim("calibrate", "-m", model, file, *places)
    assert done.exit_code == 3, done.output
    assert "broken.png is not an image" in done.stderr
    calibration = read_calibration(file, Recognizer.from_checkpoint(model).probe_fingerprint)
    assert calibration.sizes == (16,)
    assert calibration.people == 14
    assert calibration.set_name == "probes and portraits"
    assert calibration.not_acquired == (0,)  # a damaged file is no probe without a face
    large = people / "person 1" / "0.png"
    refused = rim("verify", "-m", model, large, large, "--far", "0.1", "--calibration", file)
    assert refused.exit_code == 2
    assert "measured on probes of 16 to 16 px, and this one has 32 px" in refused.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Give --probes and --gallery, or --photographs."),
        (("--probes", "people"), "Give --probes and --gallery, or --photographs."),
        (("--photographs", "people", "--gallery", "people"), "Give --probes and --gallery, or --photographs."),
        (("--photographs", "nowhere"), "There is no folder nowhere"),
        (("--photographs", "flat"), "flat has no folder for each person"),
        (("--photographs", "one"), "one must show at least two people"),
        (("--photographs", "flat", "--plot", "mine.txt"), "mine.txt does not end in .png or .pdf or .svg"),
        (("--photographs", "flat", "--plot", "flat/a.png"), "a.png exists already"),
    ],
)
def test_what_cannot_be_measured_gets_a_sentence(model, people, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    for place in ("flat", "one/person"):
        (tmp_path / place).mkdir(parents=True)
        for name in ("a.png", "b.png"):
            Image.new("RGB", (32, 32), "gray").save(tmp_path / place / name)
    done = rim("calibrate", "-m", model, "mine.json", *words)
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert not (tmp_path / "mine.json").exists()
