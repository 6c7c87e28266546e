"""How many pixels of a face are its own: pictures whose detail is known by how they were made."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.page import Page
from rim_lightning.commands.rim.main import main
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.faces import FaceAligner
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.resolution import repetition, size_of_detail, without_repetition
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL

FILTERS = ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")


def photograph(number):
    """A painted face with the noise of a sensor, which makes it as rough as a photograph."""
    face = Image.fromarray(paint_face(50 + number, number, 256, 0)[0])
    noise = np.random.default_rng(number).normal(0, 4, (256, 256, 3))
    return Image.fromarray((np.asarray(face) + noise).clip(0, 255).astype(np.uint8))


def resized(picture, side, name="BICUBIC"):
    return picture.resize((side, side), getattr(Image.Resampling, name))


def jpeg(picture, quality=85):
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


def detail(picture):
    side = picture.width
    return size_of_detail(np.asarray(picture), np.array([(side - 1) / 2] * 2), float(side))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("name", FILTERS)
def test_an_enlarged_face_has_the_detail_of_the_small_one(name, factor, compressed):
    for number, side in enumerate((12, 16, 21, 30)):
        small = resized(photograph(number), side)
        large = resized(small, factor * side, name)
        assert detail(jpeg(large) if compressed else large) == pytest.approx(side, rel=0.4)


@pytest.mark.parametrize("factor", [4, 8])
@pytest.mark.parametrize("name", FILTERS)
def test_a_large_face_that_was_enlarged_far_is_noticed_too(name, factor):
    for side in (44, 60, 90):
        large = resized(resized(photograph(2), side), factor * side, name)
        assert detail(large) == pytest.approx(side, rel=0.2)


@pytest.mark.parametrize("side", [10, 16, 24, 40, 80, 160, 256])
def test_a_face_that_was_not_enlarged_keeps_its_size(side):
    for number in range(5):
        for name in FILTERS[1:]:
            small = resized(photograph(number), side, name)
            assert detail(small) == detail(jpeg(small)) == side


def test_a_face_that_is_still_sharp_keeps_its_size():
    assert detail(resized(resized(photograph(0), 100), 200)) == 200


@pytest.mark.parametrize("factor", [2, 2.5, 3, 5, 8, 16])
def test_repeated_pixels_are_counted(factor):
    small = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    side = int(20 * factor)
    large = small[(np.arange(side) / factor).astype(int)][:, (np.arange(side) / factor).astype(int)]
    assert repetition(large.astype(np.float32)) == pytest.approx(factor, rel=0.02)
    assert repetition(small.astype(np.float32)) == 1


@pytest.mark.parametrize("side", [24, 40, 60, 100])
def test_repeated_pixels_are_counted_in_faces_of_any_size(side):
    for factor in (2, 3, 4):
        blocks = resized(resized(photograph(side), side), factor * side, "NEAREST")
        assert detail(blocks) == pytest.approx(side, rel=0.02)


def test_a_picture_of_repeated_pixels_is_enlarged_smoothly_instead():
    small = resized(photograph(0), 40)
    blocks, smooth = (np.asarray(resized(small, 320, name)) for name in ("NEAREST", "BICUBIC"))
    picture, factor = without_repetition(blocks)
    assert factor == pytest.approx(8, rel=0.02)
    assert np.abs(picture.astype(float) - smooth).mean() < 1.5 < np.abs(blocks.astype(float) - smooth).mean()
    same, factor = without_repetition(smooth)
    assert (same is smooth, factor) == (True, 1)


def test_a_face_of_repeated_pixels_is_found(tmp_path):
    face = Image.fromarray(paint_face(7, 2, 28, 14)[0])
    face.resize((8 * face.width, 8 * face.width), Image.Resampling.NEAREST).save(tmp_path / "blocks.png")
    (aligned,) = FaceAligner(64).align(tmp_path / "blocks.png")
    assert aligned.pixels_across == pytest.approx(8 * 28, rel=0.2)
    assert aligned.size == pytest.approx(aligned.pixels_across / 8, rel=0.02)


@pytest.mark.parametrize("picture", [np.zeros((32, 32, 3)), np.full((7, 7, 3), 9), np.eye(40)[..., None].repeat(3, 2)])
def test_pictures_without_a_spectrum_keep_their_size(picture):
    assert detail(Image.fromarray(picture.astype(np.uint8))) == len(picture)


def test_a_frame_is_not_taken_for_repeated_pixels():
    """A few lines on a dark picture, far apart, hold most of its differences."""
    picture = np.asarray(photograph(1)) // 4
    picture[[3, 4, 120, 121, 250]] = 255
    picture[:, [3, 4, 120, 121, 250]] = 255
    assert detail(Image.fromarray(picture)) == 256


def test_the_face_is_looked_at_not_what_is_around_it(monkeypatch):
    """A small face that was enlarged beside a sharp picture, and the other way round."""
    sharp, enlarged = photograph(0), resized(resized(photograph(1), 20), 160)
    wide = np.hstack([np.asarray(resized(sharp, 160)), np.asarray(enlarged)])
    assert size_of_detail(wide, np.array([79.5, 79.5]), 160.0) == 160
    assert size_of_detail(wide, np.array([239.5, 79.5]), 160.0) == pytest.approx(20, rel=0.4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Thresholds and rates that fall with the size of the probe."""
    folder = tmp_path_factory.mktemp("models") / "mine"
    thresholds = np.array([0.5, 0.1]).reshape(1, 1, 2, 1)
    frrs = np.array([0.8, 0.1]).reshape(1, 1, 2, 1)
    calibration = Calibration("c", "0", 4, 4, 24, (1,), (8, 128), (1e-3,), thresholds, frrs)
    write_model(folder, RIM(**MODEL).eval(), calibration, {}, False)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    resized(photograph(0), 20).save(folder / "original.png")
    resized(resized(photograph(0), 20), 160).save(folder / "enlarged.png")
    photograph(1).save(folder / "sharp.png")
    return folder


def asked(*words):
    return CliRunner().invoke(main, [str(word) for word in (*words, "--aligned")])


def test_an_enlarged_probe_is_judged_by_its_detail(model, files):
    call = ("verify", "-m", model, files / "enlarged.png", files / "sharp.png")
    original = json.loads(asked("verify", "-m", model, files / "original.png", files / "sharp.png", "--json").stdout)
    answer = json.loads(asked(*call, "--json").stdout)
    assert (original["probe_size"], original["probe_pixels"]) == (20, [20])
    assert answer["probe_pixels"] == [160]
    assert answer["probe_size"] == pytest.approx(20, rel=0.4)
    assert answer["frr"] == pytest.approx(original["frr"], abs=0.1)
    assert "enlarged.png: the face has 160 px, but no more detail than one of about" in asked(*call).stderr
    assert "the face has" not in asked("verify", "-m", model, files / "original.png", files / "sharp.png").stderr


def test_who_knows_the_size_says_it(model, files):
    call = ("verify", "-m", model, files / "enlarged.png", files / "sharp.png", "--size", 160)
    answer = json.loads(asked(*call, "--json").stdout)
    assert answer["probe_size"] == 160
    assert answer["frr"] == pytest.approx(0.1)
    assert "no more detail" not in asked(*call).output
    python = Recognizer.from_checkpoint(model).verify(
        files / "enlarged.png", files / "sharp.png", aligned=True, size=160
    )
    assert (python.probe_size, python.frr, python.gallery_size) == (160, answer["frr"], 256)
    for wrong in ("6", "nan", "inf", "-3"):
        assert asked(*call[:-1], wrong).exit_code == 2
    too_large = asked(*call[:-1], "161")  # no face has more detail than pixels
    assert (too_large.exit_code, asked(*call[:-1], "1e9").exit_code) == (2, 2)
    assert "enlarged.png: the face has 160 px in the picture, it cannot be judged as 161 px" in too_large.stderr
    with pytest.raises(ValueError, match="A face of 3 px cannot be judged"):
        Recognizer.from_checkpoint(model).verify(files / "enlarged.png", files / "sharp.png", aligned=True, size=3)


def test_a_search_judges_by_the_detail_too(model, files, tmp_path):
    assert asked("enroll", "-m", model, "-i", tmp_path / "index", files).exit_code == 0
    call = ("identify", "-m", model, "-i", tmp_path / "index", files / "enlarged.png")
    (answer,) = json.loads(asked(*call, "--json").stdout)["probes"]
    assert (answer["pixels"], answer["size"]) == (160, pytest.approx(20, rel=0.4))
    assert answer["threshold"] > 0.3
    assert "no more detail than one of about" in asked(*call).stderr
    (answer,) = json.loads(asked(*call, "--size", 128, "--json").stdout)["probes"]
    assert (answer["size"], answer["threshold"]) == (128, pytest.approx(0.1))
    both = asked(*call, files / "original.png", "--size", 128, "--json")
    assert both.exit_code == 3
    assert list(json.loads(both.stdout)["left_out"]) == [str(files / "original.png")]  # it has 20 px


def test_the_page_says_it_too(model, files, monkeypatch):
    recognizer = Recognizer.from_checkpoint(model)
    align = recognizer.align
    monkeypatch.setattr(recognizer, "align", lambda picture, name, face=None: align(picture, True, name))
    (card,) = Page(recognizer).verify(str(files / "enlarged.png"), str(files / "sharp.png"), None).cards
    text = " ".join(card.lines)
    assert "The probe: the face has 160 px, but no more detail than one of about" in text
    (face,) = FaceAligner(MODEL["hr_size"]).align(files / "enlarged.png", aligned=True)
    assert f"For a probe of {face.size:.0f} px" in text
    assert card.pictures[0][1] == f"probe, {face.size:.0f} px"
