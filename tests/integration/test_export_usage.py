"""`rim export` chooses how a model is used; everything that loads the folder uses it so."""

import json
from types import SimpleNamespace

import pytest
import torch

from rim_lightning.gallery.embed import Block, EmbeddingModule
from rim_lightning.inference.card import CARD
from rim_lightning.inference.model_folder import fingerprint, read_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.usage import FaceEmbedder, Usage
from tests.helpers.stores import noise_store
from tests.integration.test_cli import checkpoint, rim


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A checkpoint, and a model folder with mirrored looks, mixture and reduced gallery face."""
    folder = tmp_path_factory.mktemp("export")
    names = [f"{number}.png" for number in range(34)]
    noise_store(folder / "people", names, [f"{number // 2}" for number in range(34)], {}, split="val", hr_size=32)
    path = checkpoint(folder)
    options = ("--flip", "--mixture", "--reduced-gallery", "--no-onnx")
    done = rim("export", path, folder / "model", "--people", folder / "people", *options)
    assert done.exit_code == 0, done.output
    return path, folder / "model", done.stdout


def test_the_folder_says_how_the_model_is_used(exported):
    _, folder, printed = exported
    card = json.loads((folder / CARD).read_text())
    assert card["format"] == 2  # versions that know no usage refuse it
    assert (card["usage"]["flip"], card["usage"]["shift"]) == (True, 0.0)
    sizes, weights = card["usage"]["mixture"]
    assert sizes == [7, 8, 10, 12, 14, 16, 20, 24, 28]
    assert weights == sorted(weights, reverse=True)
    shown = rim("info", folder).stdout
    for text in (printed, shown):
        assert "embeddings are averaged with those of the mirrored face" in text
        assert f"weight of RIM beside the teacher: 7 px {weights[0]:g}, 8 px" in text
        assert "weight of the reduced gallery face in verify: 7 px" in text


def test_whatever_loads_the_folder_uses_it_so(exported):
    path, folder, _ = exported
    model = read_model(folder)
    assert model.pair_calibration is not None
    recognizer = Recognizer.from_checkpoint(folder)
    assert recognizer.required_calibration(pairs=True) == model.pair_calibration
    assert recognizer.required_calibration() == model.calibration
    assert recognizer.fingerprint == model.card["fingerprint"]
    assert recognizer.fingerprint == fingerprint(model.rim, Usage(flip=True))
    assert recognizer.fingerprint != fingerprint(model.rim)  # a gallery of single looks is another one
    assert fingerprint(model.rim, model.usage, of_probes=True) != recognizer.fingerprint  # probes are mixed
    assert fingerprint(model.rim, Usage(flip=True), of_probes=True) == recognizer.fingerprint
    assert fingerprint(load_rim(path), Usage()) == fingerprint(load_rim(path))
    faces, sizes = torch.rand(3, 3, 32, 32), torch.tensor([8.0, 12.0, 30.0])
    block, embedder = Block(0, [], faces, sizes), FaceEmbedder(model.rim, model.usage)
    for side, expected in (("gallery", embedder.gallery(faces)), ("probe", embedder.probe(faces, sizes))):
        manifest = SimpleNamespace(side=side, embedding_size=recognizer.embedding_size)
        module = EmbeddingModule(recognizer, SimpleNamespace(manifest=manifest), None, 4, 0)
        torch.testing.assert_close(module.predict_step(block), expected)


def test_too_few_people_are_refused_before_the_model_is_used(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("rim_lightning.networks.checkpoints.load_rim", None)
    noise_store(tmp_path / "people", [f"{n}.png" for n in range(6)], list("001122"), {}, split="val", hr_size=32)
    options = ("--people", tmp_path / "people", "--mixture", "--no-onnx")
    done = rim("export", exported[0], tmp_path / "new", *options)
    assert done.exit_code == 2
    assert "people has 24 pairs of two people, too few to choose weights: 1000 are needed" in done.stderr


def test_a_network_that_no_onnx_file_can_hold_is_refused_before_thresholds_are_chosen(exported, tmp_path, monkeypatch):
    network = load_rim(exported[0])
    network.fhn.consistency = True
    monkeypatch.setattr("rim_lightning.networks.checkpoints.load_rim", lambda path: network)
    monkeypatch.setattr("rim_lightning.commands.rim.export._fitted", None)
    done = rim("export", exported[0], tmp_path / "new")
    assert done.exit_code == 2
    assert "with consistency cannot be written as ONNX files: export it with --no-onnx" in done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--mixture", "--no-onnx"), "The weights of --mixture are chosen on people: add --people"),
        (("--reduced-gallery", "--no-onnx"), "The weights of --reduced-gallery are chosen on people: add --people"),
        (("--shift", "0.4", "--no-onnx"), "0.4 is not in the range 0<=x<=0.25"),
    ],
)
def test_what_cannot_be_exported_gets_a_sentence(exported, tmp_path, options, sentence):
    done = rim("export", exported[0], tmp_path / "new", *options)
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_model_folder_gets_new_thresholds_and_keeps_the_rest(exported, tmp_path):
    """Of the same people the thresholds are the same; of others they differ. Weights, looks and training stay."""
    _, folder, _ = exported
    people = folder.parent / "people"
    for name, kind in (("same", ()), ("other", ("--degradation", "camera"))):
        done = rim("export", folder, tmp_path / name, "--people", people, "--no-onnx", *kind)
        assert done.exit_code == 0, done.output
        old, new = read_model(folder), read_model(tmp_path / name)
        assert (new.calibration == old.calibration) is (name == "same")
        assert (new.pair_calibration == old.pair_calibration) is (name == "same")
        assert new.usage == old.usage
        for entry in ("fingerprint", "files", "training", "metrics", "checkpoint_sha256"):
            assert new.card[entry] == old.card[entry]
    for words, sentence in (
        (("--half", "--no-onnx"), "--half, --flip and --shift need a checkpoint"),
        (("--flip", "--no-onnx"), "--half, --flip and --shift need a checkpoint"),
    ):
        done = rim("export", folder, tmp_path / "refused", "--people", people, *words)
        assert done.exit_code == 2, done.output
        assert sentence in " ".join(done.stderr.split())
    assert not (tmp_path / "refused").exists()
    assert rim("export", folder, tmp_path / "copy", "--no-onnx").exit_code == 0
    copy = read_model(tmp_path / "copy")
    assert (copy.calibration, copy.pair_calibration) == (old.calibration, old.pair_calibration)
