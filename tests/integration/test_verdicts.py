"""One verdict for one pair of files: commands, page and Python agree, and have one false accept rate by default."""

import importlib
import inspect
import json
import pkgutil
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import rim_lightning
from rim_lightning.commands.page import Page
from rim_lightning.commands.page_cards import PageAnswer
from rim_lightning.commands.page_tabs import _far_choice
from rim_lightning.commands.rim.main import main
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.stores.packed import pack
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.calibrate import calibrate
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card import CARD, CARD_DIGEST
from rim_lightning.inference.model_folder import read_model, write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.verdict import DEFAULT_FAR
from rim_lightning.networks.rim import RIM
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed

FARS = (1e-1, 1e-2, 1e-3)


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A probe, a gallery picture, and a folder of that one picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "one").mkdir()
    for name, view in (("probe.png", 1), ("sharp.png", 2), ("one/sharp.png", 2)):
        Image.fromarray(paint_face(7, view, 96, 16)[0]).save(folder / name)
    return folder


def model_of(folder, thresholds, name="made up", synthetic=None):
    torch.manual_seed(0)
    points = np.broadcast_to(thresholds, (1, 1, 2, len(FARS))).copy()
    frrs = np.where(np.isnan(points), np.nan, 0.25)
    calibration = Calibration(name, "0", 4, 4, 24, (1,), (8, 32), FARS, points, frrs, synthetic)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False)
    return folder


@pytest.fixture(scope="module")
def model(pictures, tmp_path_factory):
    """A model that accepts the pair at a FAR of 1e-2 and refuses it at 1e-3."""
    folder = tmp_path_factory.mktemp("models")
    bare = Recognizer.from_checkpoint(model_of(folder / "bare", [0.0, 0.0, 0.0]))
    similarity = bare.verify(pictures / "probe.png", pictures / "sharp.png").similarity
    return model_of(folder / "mine", [similarity - 0.2, similarity - 0.1, similarity + 0.1])


def named_far():
    """(name, default) of every argument that is called `far`: of commands, and of functions and methods."""
    for name, command in main.commands.items():
        for option in command.params:
            if option.name == "far":
                yield f"rim {name}", option.default
    for module in pkgutil.walk_packages(rim_lightning.__path__, "rim_lightning."):
        if not module.name.startswith(("rim_lightning.inference", "rim_lightning.gallery", "rim_lightning.commands")):
            continue
        members = list(vars(importlib.import_module(module.name)).values())
        members += [part for member in members if inspect.isclass(member) for part in vars(member).values()]
        for member in members:
            if inspect.isfunction(member) and member.__module__ == module.name:
                parameter = inspect.signature(member).parameters.get("far")
                if parameter is not None and parameter.default is not parameter.empty:
                    yield f"{module.name}.{member.__qualname__}", parameter.default


def test_there_is_no_second_default():
    defaults = dict(named_far())
    assert {"rim verify", "rim identify", "rim_lightning.inference.recognizer.Recognizer.verify"} <= set(defaults)
    assert set(defaults.values()) == {DEFAULT_FAR} == {1e-3}


def test_the_page_starts_at_the_default(model, tmp_path):
    page = Page(Recognizer.from_checkpoint(model))
    assert _far_choice(page).value == page.far == DEFAULT_FAR
    few = Page(Recognizer.from_checkpoint(model_of(tmp_path / "few", [0.0, 0.0, np.nan])))
    assert _far_choice(few).value is few.far is None  # nothing is chosen for the user


def test_command_page_and_python_agree_on_two_files(model, pictures):
    probe, sharp = pictures / "probe.png", pictures / "sharp.png"
    recognizer = Recognizer.from_checkpoint(model)
    page = Page(recognizer)
    for far, same in ((None, False), (1e-1, True), (1e-2, True), (1e-3, False)):
        option = [] if far is None else ["--far", far]
        expected = f"{'above' if same else 'below'} the threshold (FAR 1 in {1 / (far or 0.001):,.0f})"
        done = rim("verify", "-m", model, probe, sharp, *option)
        assert done.exit_code == (0 if same else 1), done.output
        assert done.stdout.splitlines()[0] == expected
        (card,) = page.verify(str(probe), str(sharp), far).cards
        assert card.heading == expected.capitalize().replace("far", "FAR")
        answer = json.loads(rim("verify", "-m", model, probe, sharp, "--json", *option).stdout)
        assert (answer["accepted"], answer["far"]) == (same, far or 1e-3)
        ours = recognizer.verify(probe, sharp) if far is None else recognizer.verify(probe, sharp, far)
        assert (ours.accepted, ours.far, ours.threshold) == (same, far or 1e-3, answer["threshold"])


def test_a_folder_of_one_picture_is_that_picture(model, pictures):
    def answered(gallery):
        answer = json.loads(rim("verify", "-m", model, pictures / "probe.png", gallery, "--json").stdout)
        return answer

    assert answered(pictures / "sharp.png") == answered(pictures / "one")


def test_a_search_says_what_a_comparison_says(model, pictures, tmp_path):
    assert rim("enroll", "-m", model, "-i", tmp_path / "index", pictures / "one").exit_code == 0
    recognizer = Recognizer.from_checkpoint(model)
    page = Page(recognizer, Gallery(tmp_path / "index", recognizer.fingerprint))
    probe = pictures / "probe.png"
    for far, same in ((None, False), (1e-2, True)):
        option = [] if far is None else ["--far", far]
        verified = json.loads(rim("verify", "-m", model, probe, pictures / "sharp.png", "--json", *option).stdout)
        done = rim("identify", "-m", model, "-i", tmp_path / "index", probe, "--json", *option)
        (answer,) = json.loads(done.stdout)["probes"]
        (hit,) = answer["hits"]
        assert done.exit_code == (0 if same else 1)
        assert hit["accepted"] is verified["accepted"] is same
        assert hit["similarity"] == pytest.approx(verified["similarity"], abs=1e-5)
        for key, other in (("threshold", "threshold"), ("far", "far"), ("size", "probe_size")):
            assert answer[key] == verified[other]
        found = page.search(str(probe), far, 1)
        assert found.cards[0].lines[0].startswith("Above the threshold" if same else "Below the threshold")
        beside = f"{verified['threshold']:.3f} (FAR 1 in {1 / (far or 0.001):,.0f})"
        assert beside in found.lines[0]
        printed = rim("identify", "-m", model, "-i", tmp_path / "index", probe, *option).stdout
        assert f"threshold {beside}" in printed


def test_a_rate_without_thresholds_is_refused_alike_before_a_picture_is_read(model, pictures, tmp_path):
    few = model_of(tmp_path / "few", [0.0, 0.0, np.nan])
    sentence = "The model has no thresholds for a false accept rate of 0.001: choose from 0.1, 0.01."
    done = rim("verify", "-m", few, "no such file.png", pictures / "sharp.png")
    assert (done.exit_code, done.stderr) == (2, f"rim: {sentence}\n")
    page = Page(Recognizer.from_checkpoint(few))
    assert page.verify("no such file.png", "another.png", None) == PageAnswer([sentence], refused=True)
    with pytest.raises(ValueError, match=r"no thresholds for a false accept rate of 0\.001"):
        Recognizer.from_checkpoint(few).verify("no such file.png", "another.png")


REFUSED = (
    "The thresholds of the model were chosen on 4 synthetic people (made up) and say nothing about photographs: export "
    "it again with rim export --people <a prepared set of photographs>, or add --demo (demo=True) to try it out."
)


def test_a_model_of_synthetic_faces_answers_with_demo_only(pictures, tmp_path):
    model = model_of(tmp_path / "model", [0.0, 0.0, 0.0], synthetic=True)
    probe, sharp, index = pictures / "probe.png", pictures / "sharp.png", tmp_path / "index"
    assert rim("enroll", "-m", model, "-i", index, pictures / "one").exit_code == 0  # no verdict
    calls = {
        "verify": ("verify", "-m", model, probe, sharp),
        "identify": ("identify", "-m", model, "-i", index, probe),
        "page": ("page", "-m", model, "-i", index),
    }
    for call in calls.values():
        done = rim(*call)
        sentence = re.sub(r"^Loading the page: .* It will be at http://\S+\n", "", done.stderr)
        assert (done.exit_code, done.stdout, sentence) == (2, "", f"rim: {REFUSED}\n")
    recognizer = Recognizer.from_checkpoint(model)
    for ask in (Page, lambda recognizer: recognizer.verify(probe, sharp)):
        with pytest.raises(ValueError, match=re.escape(REFUSED)):
            ask(recognizer)

    words = "4 synthetic people (made up)"
    chosen_on = {"name": "made up", "people": 4, "faces": "synthetic", "probes": "bicubic"}
    demo = Recognizer.from_checkpoint(model, demo=True)
    assert demo.verify(probe, sharp).chosen_on._asdict() == chosen_on
    for name in ("verify", "identify"):
        assert words in rim(*calls[name], "--demo").stdout
        assert json.loads(rim(*calls[name], "--demo", "--json").stdout)["chosen_on"] == chosen_on
    page = Page(demo, Gallery(index, demo.fingerprint))
    answers = page.verify(str(probe), str(sharp), None), page.search(str(probe), None, 1)
    for text in map(str, (*answers, page.reduce(str(sharp), 16, None))):
        assert words in text


@pytest.mark.parametrize(
    ("synthetic", "faces", "words"),
    [
        (False, "photographs", "photographs of 4 people (made up)"),
        (None, "not stated", "4 people (made up; the card does not say whether they are photographs)"),
    ],
)
def test_every_other_answer_names_its_people_too(pictures, tmp_path, synthetic, faces, words):
    model = model_of(tmp_path / "model", [0.0, 0.0, 0.0], synthetic=synthetic)
    call = ("verify", "-m", model, pictures / "probe.png", pictures / "sharp.png")
    assert words in rim(*call).stdout
    assert json.loads(rim(*call, "--json").stdout)["chosen_on"]["faces"] == faces


@pytest.mark.parametrize(
    ("name", "synthetic"),
    [("synthetic_64_d82fae8f, val", True), ("drawn_64_05154d9c, val", True), ("celeba_128, val", None)],
)
def test_a_card_of_an_earlier_version_does_not_say_what_its_faces_are(tmp_path, name, synthetic):
    folder = model_of(tmp_path / "model", [0.0, 0.0, 0.0], name, False)
    card = json.loads((folder / CARD).read_text())
    del card["calibration"]["synthetic"]
    (folder / CARD).write_text(json.dumps(card))
    (folder / CARD_DIGEST).unlink()
    assert read_model(folder).calibration.synthetic is synthetic


@pytest.mark.parametrize("packed", [False, True])
def test_thresholds_know_whether_their_faces_are_synthetic(tmp_path, packed):
    torch.manual_seed(0)
    network = RIM(**MODEL).eval()
    painted = small_synthetic_store(tmp_path / "mine", people=12, hr_size=32)
    if packed:
        painted = pack(painted, tmp_path / "packed", progress=False)
    assert calibrate(network, FaceDataset(painted, "train"), "mine", "0", sizes=(8,), fars=(0.5,)).synthetic is True
    noise = noise_store(tmp_path / "synthetic_noise", list("abcd"), list("aabb"), {"ibug68": 68}, hr_size=32)
    assert calibrate(network, FaceDataset(noise, "train"), "noise", "0", sizes=(8,), fars=(0.5,)).synthetic is False


def test_command_and_page_warn_alike_of_a_gallery_that_is_not_sharp(model, pictures, tmp_path):
    small = tmp_path / "small.png"
    Image.open(pictures / "sharp.png").resize((20, 20)).save(small)
    done = rim("verify", "-m", model, pictures / "probe.png", small)
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("the gallery face has")]
    assert "the rates below are those of sharp ones, of 16 px or more" in warning
    page = Page(Recognizer.from_checkpoint(model))
    text = str(page.verify(str(pictures / "probe.png"), str(small), None))
    assert f"Caution: {warning}." in text
    assert "Caution" not in str(page.verify(str(pictures / "probe.png"), str(pictures / "sharp.png"), None))
