"""What is written is read, by torch and by onnxruntime; what was changed on the way is noticed."""

import json

import numpy as np
import pytest
import torch

from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.card import CARD, CARD_DIGEST
from rim_lightning.inference.card_page import CARD_PAGE
from rim_lightning.inference.model_folder import WEIGHTS, read_model, write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL, perturbed

THRESHOLDS = np.broadcast_to([[0.25, np.nan], [0.125, 0.5]], (2, 2, 2, 2))
FRRS = np.broadcast_to([[0.5, np.nan], [0.25, 0.75]], (2, 2, 2, 2))
CALIBRATION = Calibration("synthetic people", "abc", 3, 6, 60, (1, 2), (8, 16), (1e-2, 1e-3), THRESHOLDS, FRRS, True)
WRONG_POINTS = CALIBRATION.to_plain() | {"points": [[[1]]]}


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


@pytest.fixture(scope="module")
def folder(rim, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "mine"
    write_model(folder, rim, CALIBRATION, {"metrics": {"lfw": 0.9}})
    return folder


def faces(count):
    return 2 * torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(3)) - 1


@pytest.mark.slow
def test_a_folder_is_read_as_it_was_written(rim, folder):
    model = read_model(folder)
    assert model.calibration == CALIBRATION
    assert model.card["metrics"] == {"lfw": 0.9}
    with torch.no_grad():
        assert torch.equal(model.rim.embed_probe(faces(3)), rim.embed_probe(faces(3)))
        assert torch.equal(model.rim.embed_gallery(faces(3)), rim.embed_gallery(faces(3)))
    recognizer = Recognizer.from_checkpoint(folder)
    assert recognizer.calibration == CALIBRATION
    assert recognizer.fingerprint == model.card["fingerprint"] == Recognizer(rim).fingerprint


def without_onnx(rim, tmp_path):
    folder = tmp_path / "model"
    write_model(folder, rim, None, {}, onnx=False)
    return folder


def test_a_model_without_thresholds(rim, tmp_path):
    folder = without_onnx(rim, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [CARD, CARD_DIGEST, WEIGHTS, CARD_PAGE]
    assert read_model(folder).calibration is None
    with pytest.raises(ValueError, match="The model has no thresholds"):
        Recognizer.from_checkpoint(folder).verify(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), aligned=True)


def test_a_folder_is_never_overwritten(rim, tmp_path):
    folder = without_onnx(rim, tmp_path)
    with pytest.raises(FileExistsError, match="model exists already: choose another folder"):
        write_model(folder, rim, None, {}, onnx=False)


def test_a_folder_is_whole_or_not_there(rim, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(tmp_path / "model", rim, None, {}, onnx=False)
    assert list(tmp_path.iterdir()) == []


def change(folder, **values):
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | values))
    (folder / CARD_DIGEST).unlink()


def without_digest(folder):
    """The card, which nothing protects any more."""
    (folder / CARD_DIGEST).unlink()
    return folder / CARD


def damage(folder):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (damage, ValueError, "model.safetensors is damaged: its content is not what was written"),
        (lambda folder: (folder / WEIGHTS).unlink(), FileNotFoundError, "has no model.safetensors: copy the whole"),
        (lambda folder: (folder / CARD).unlink(), FileNotFoundError, "is not a model folder: it has no card.json"),
        (lambda folder: (folder / CARD).write_text("{"), ValueError, "card.json was changed after rim export wrote"),
        (lambda folder: without_digest(folder).write_text("{"), ValueError, "card.json is damaged, it is no JSON file"),
        (lambda folder: change(folder, format=99), ValueError, "card.json is not a card of format 1"),
        (
            lambda folder: without_digest(folder).write_text('{"format": 1}'),
            ValueError,
            "card.json has no architecture",
        ),
        (
            lambda folder: change(folder, architecture={"name": "rim"}),
            ValueError,
            "card.json has no architecture.arguments",
        ),
        (lambda folder: change(folder, calibration={"sizes": [8]}), ValueError, "has no calibration.faces"),
        (lambda folder: change(folder, calibration=WRONG_POINTS), ValueError, "calibration.points.* is 1; it must"),
        (lambda folder: change(folder, fingerprint="0" * 16), ValueError, "fingerprint is not that of the weights"),
        (lambda folder: (folder / CARD_DIGEST).write_bytes(b"\xff"), ValueError, "card.json was changed after"),
    ],
)
def test_a_spoilt_folder_gets_a_sentence(rim, tmp_path, spoil, error, sentence):
    folder = without_onnx(rim, tmp_path)
    spoil(folder)
    with pytest.raises(error, match=sentence):
        read_model(folder)
