"""The recognizer gives what the network gives, whatever the pictures are; and decides by its thresholds."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.data.images import ImageError
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.resize import enlarge, reduce
from rim_lightning.inference.calibration import Calibration, probe_weights
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.recognizer import Recognizer, Verification, pool
from rim_lightning.inference.verdict import TRUE_PROBES, CalibrationSet, Ratio
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.networks.rim import RIM
from rim_lightning.types import to_unit
from tests.helpers.tiny import MODEL, perturbed

SIDE = MODEL["hr_size"]


def calibration(threshold):
    thresholds = np.full((1, 1, 2, 1), threshold)
    return Calibration("made up", "0", 2, 1, 1, (1,), (8, SIDE), (1e-2,), thresholds, np.full((1, 1, 2, 1), 0.25))


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


@pytest.fixture(scope="module")
def sharp():
    """(5, 3, 32, 32) uint8: smooth random faces."""
    small = torch.rand(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    large = F.interpolate(small, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    return (large * 255).round().byte()


def test_aligned_faces_are_embedded_as_the_network_does(rim, sharp):
    model = Recognizer(rim, batch_size=2)
    unit = to_unit(sharp)
    with torch.no_grad():
        gallery = F.normalize(rim.embed_gallery(unit))
        probes = F.normalize(rim.embed_probe(synthesize_probe(unit, torch.full((5,), 9))))
    torch.testing.assert_close(model.embed_gallery(sharp, aligned=True), gallery)
    small = ((reduce(unit, 9) + 1) * 127.5).round().byte()
    faces = model.align(small, aligned=True)
    assert [face.size for face in faces] == [9.0] * 5
    torch.testing.assert_close(model.embed_probes(small, aligned=True), probes)
    torch.testing.assert_close(model.embed_probes(list(small), aligned=True), probes)
    torch.testing.assert_close(model.embed_probes(faces), probes)


def test_a_network_that_takes_sizes_gets_those_by_which_faces_are_judged(sharp):
    torch.manual_seed(0)
    rim = perturbed(RIM(**(MODEL | {"hallucination": MODEL["hallucination"] | {"size_input": True}}))).eval()
    small = ((reduce(to_unit(sharp), 9) + 1) * 127.5).round().byte()
    with torch.no_grad():
        output = rim.fhn(synthesize_probe(to_unit(sharp), torch.full((5,), 9)), torch.full((5,), 9))
        probes = F.normalize(rim.hrn.probe(ProbeViews(output.sr)))
    model = Recognizer(rim, batch_size=2)
    torch.testing.assert_close(model.embed_probes(small, aligned=True), probes)
    torch.testing.assert_close(model.hallucinate(small, aligned=True).sr, (output.sr.clamp(-1, 1) + 1) / 2)


def test_an_aligned_face_larger_than_the_model_is_reduced(rim, sharp):
    large = enlarge(to_unit(sharp), 3 * SIDE)
    picture = ((large[0] + 1) * 127.5).round().byte()
    (face,) = Recognizer(rim).align(picture, aligned=True)
    assert face.pixels_across == 3 * SIDE
    torch.testing.assert_close(face.pixels, reduce(to_unit(picture)[None], SIDE)[0])


def test_the_answer_follows_the_threshold(rim, sharp):
    model = Recognizer(rim)
    similarity = float(model.embed_probes(sharp[0], aligned=True)[0] @ model.embed_gallery(sharp[1], aligned=True)[0])
    for threshold, same in ((similarity - 1e-3, True), (similarity + 1e-3, False)):
        model.calibration = calibration(threshold)
        answer = model.verify(sharp[0], sharp[1], far=1e-2, aligned=True)
        assert answer.similarity == pytest.approx(similarity)
        assert answer.threshold == pytest.approx(threshold)
        assert (answer.accepted, answer.far, answer.frr) == (same, 1e-2, 0.25)
        assert (answer.probe_size, answer.gallery_size) == tuple(face.size for face in model.align(sharp[:2], True))


def test_several_pictures_of_a_person_are_one_template(rim, sharp):
    model = Recognizer(rim, calibration(0.0))
    probes, gallery = model.embed_probes(sharp[:2], aligned=True), model.embed_gallery(sharp[2:], aligned=True)
    weights = torch.tensor(probe_weights([face.size for face in model.align(sharp[:2], aligned=True)]))
    expected = F.cosine_similarity(weights @ probes, gallery.mean(0), dim=0)
    answer = model.verify(sharp[:2], sharp[2:], far=1e-2, aligned=True)
    assert (answer.probes, answer.gallery) == (2, 3)
    assert answer.similarity == pytest.approx(float(expected), abs=1e-6)
    assert pool(probes).norm() == pytest.approx(1.0)


def test_the_threshold_of_a_template_is_that_of_its_counts(rim, sharp):
    thresholds = np.array([[0.1, 0.2], [0.3, 0.4]]).reshape(2, 2, 1, 1)
    frrs = np.full((2, 2, 1, 1), 0.25)
    model = Recognizer(rim, Calibration("made up", "0", 2, 1, 1, (1, 2), (SIDE,), (1e-2,), thresholds, frrs))
    for probes, gallery, threshold in ((1, 1, 0.1), (1, 4, 0.2), (2, 1, 0.3), (3, 2, 0.4)):
        answer = model.verify(sharp[:probes], sharp[:gallery], far=1e-2, aligned=True)
        assert answer.threshold == pytest.approx(threshold), (probes, gallery)


def test_a_template_of_several_sizes_is_judged_by_all_of_them(rim, sharp):
    small = ((reduce(to_unit(sharp[:1]), 8)[0] + 1) * 127.5).round().byte()
    sizes = [face.size for face in Recognizer(rim).align([small, sharp[1]], aligned=True)]
    assert sizes[0] < sizes[1]
    for thresholds, frrs in (((0.2, 0.4), (0.7, 0.1)), ((0.5, 0.4), (0.3, 0.6))):
        values = (np.array(numbers).reshape(1, 1, 2, 1) for numbers in (thresholds, frrs))
        model = Recognizer(rim, Calibration("made up", "0", 2, 1, 1, (1,), sizes, (1e-2,), *values))
        answer = model.verify([small, sharp[1]], sharp[2], far=1e-2, aligned=True)
        expected = float(np.dot(probe_weights(sizes), thresholds)), np.mean(frrs)
        assert (answer.threshold, answer.frr) == pytest.approx(expected)
        assert answer.probe_size == sizes[0]


def test_the_hallucinated_face_is_the_network_s(rim, sharp):
    faces = Recognizer(rim, batch_size=2).hallucinate(sharp, aligned=True)
    with torch.no_grad():
        output = rim.fhn(to_unit(sharp))
    torch.testing.assert_close(faces.sr, ((output.sr + 1) / 2).clamp(0, 1))
    torch.testing.assert_close(faces.coarse, ((output.coarse + 1) / 2).clamp(0, 1))
    torch.testing.assert_close(faces.bicubic, sharp / 255)
    torch.testing.assert_close(faces.heatmaps["ibug68"], output.priors.heatmaps["ibug68"])
    assert torch.equal(faces.parsing, output.priors.parsing_logits.argmax(1))
    assert faces.size.tolist() == pytest.approx([face.size for face in Recognizer(rim).align(sharp, aligned=True)])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda model, sharp: model.embed_probes([]), "There is no picture: give at least one"),
        (lambda model, sharp: model.embed_probes(sharp[0, :, :20], aligned=True), "32 x 20 pixels: an aligned face is"),
        (lambda model, sharp: model.embed_probes([sharp[0], sharp[0, :, :3]], aligned=True), "picture 2 is 32 x 3"),
        (lambda model, sharp: model.verify(sharp[0], sharp[1]), "The model has no thresholds: rim export --people"),
    ],
)
def test_wrong_input_gets_a_sentence(rim, sharp, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(Recognizer(rim), sharp)


def test_models_that_differ_have_other_fingerprints(rim):
    own = Recognizer(rim).fingerprint
    torch.manual_seed(1)
    assert len(own) == 16
    assert own == Recognizer(rim).fingerprint != Recognizer(RIM(**MODEL)).fingerprint


def test_a_trained_model_needs_neither_lightning_nor_hydra_nor_wandb():
    code = (
        "import sys, rim_lightning.inference.recognizer; "
        "print([name for name in ('pytorch_lightning', 'lightning', 'hydra', 'omegaconf', 'wandb', 'matplotlib', "
        "'torchmetrics') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("method", ["embed_probes", "embed_gallery", "hallucinate", "align"])
def test_a_picture_is_searched_for_a_face_unless_it_is_said_to_be_one(rim, tmp_path, method):
    Image.new("RGB", (64, 64), "gray").save(tmp_path / "wall.png")
    with pytest.raises(ImageError, match=r"wall.png shows no face that could be found"):
        getattr(Recognizer(rim), method)(tmp_path / "wall.png")


def test_a_face_that_was_aligned_for_another_model_is_refused(rim):
    with pytest.raises(ImageError, match=r"a.png was aligned for another model"):
        Recognizer(rim).embed_probes([AlignedFace(torch.zeros(3, 40, 40), 40.0, 0, "a.png")])


@pytest.mark.parametrize(("name", "value"), [("teacher", float("nan")), ("student", 1e38), ("teacher", 0.0)])
def test_embeddings_that_mean_nothing_are_an_error_and_no_answer(sharp, name, value):
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL)).eval()
    for weight in getattr(rim.hrn, name).backbone.parameters():
        weight.data.fill_(value)
    model = Recognizer(rim, calibration(0.5))
    for far_from_equal in (sharp[0], sharp[1]):
        with pytest.raises(ValueError, match=f"The model {model.fingerprint} makes embeddings of NaN or of no length"):
            model.verify(far_from_equal, sharp[0], 1e-2, aligned=True)


@pytest.mark.parametrize("threshold", [-np.inf, np.inf])
def test_a_threshold_that_is_not_finite_is_no_threshold(rim, sharp, threshold):
    with pytest.raises(ValueError, match="The model has no usable thresholds"):
        Recognizer(rim, calibration(threshold)).verify(sharp[0], sharp[1], 1e-2, aligned=True)


def test_the_words_of_a_ratio_are_those_of_the_number_that_is_shown():
    """ENFSI 2015: 2 to 10 weak, 10 to 100 moderate, 100 to 1,000 moderately strong."""
    for log10, expected in (
        (math.log10(99.4), "likelihood ratio 99: moderate support"),
        (math.log10(99.6), "likelihood ratio 100: moderately strong support"),
        (math.log10(9.96), "likelihood ratio 10: moderate support"),
        (math.log10(9.94), "likelihood ratio 9.9: weak support"),
        (math.log10(1.96), "likelihood ratio 2: weak support"),
        (-math.log10(1.96), "likelihood ratio 1/2: weak support"),
        (-0.001, "likelihood ratio 1: it supports neither"),
    ):
        assert Ratio(log10, 3.0, False).in_words().startswith(expected)


def test_a_similarity_just_below_its_threshold_does_not_look_equal():
    people = CalibrationSet("mine", 9, "photographs")
    answer = Verification(0.32996, 0.33, False, 1e-3, 0.0, 16.0, 100.0, 1, 1, people, frr_interval=(0.0, 0.009))
    assert answer.in_words()[1] == "similarity 0.32996, threshold 0.33000"
    assert "and no true pairs would be missed (95 % interval: 0 to 9 of 1,000)" in answer.in_words()[2]
    beside = answer._replace(similarity=-0.0002)
    assert beside.in_words()[1] == "similarity 0.000, threshold 0.330"


def test_probes_without_a_face_are_of_all_sizes_if_nobody_made_them():
    of_camera = CalibrationSet("mine", 9, "photographs", f"{TRUE_PROBES}, faces found by yunet")
    answer = Verification(0.4, 0.33, True, 1e-2, 0.5, 16.0, 100.0, 1, 1, of_camera, not_acquired=0.2)
    assert answer.in_words()[-2] == (
        "in 2 of 10 probes of all sizes together no usable face is found; if that holds at this size, 6 of 10 true "
        "pairs would be missed with these"
    )
