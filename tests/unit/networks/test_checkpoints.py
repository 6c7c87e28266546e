"""Checkpoints and model folders of version 0.1, whose names were British, still load."""

import json

import pytest
import torch

from rim_lightning.inference.model_folder import fingerprint, read_model, write_model
from rim_lightning.networks.checkpoints import build_architecture, current_names, load_network, upgrade_checkpoint
from rim_lightning.networks.rim import RIM
from rim_lightning.training.checkpoint_io import VerifiedCheckpointIO
from tests.helpers.tiny import BACKBONE, MODEL

OLD_BACKBONE = {"normalisation" if name == "normalization" else name: value for name, value in BACKBONE.items()}
OLD_MODEL = MODEL | {"recognition": dict.fromkeys(("teacher", "student", "assistant"), OLD_BACKBONE)}


def old_checkpoint(network, old_name, architecture, arguments):
    """A checkpoint as version 0.1 wrote it."""
    weights = {f"{old_name}.{name}": value for name, value in network.state_dict().items()}
    return {"architecture": architecture, "model_arguments": arguments, "state_dict": weights}


@pytest.mark.parametrize(
    ("old_name", "name", "old_arguments", "arguments"),
    [
        (
            "recogniser",
            "recognizer",
            {"learner": OLD_BACKBONE, "guide": None, "guide_learns": False},
            {"learner": BACKBONE, "guide": None, "guide_learns": False},
        ),
        ("hallucinator", "super_resolver", {"name": "srcnn"}, {"name": "srcnn"}),
        ("rim", "rim", OLD_MODEL, MODEL),
    ],
)
def test_a_checkpoint_of_the_first_version_loads(old_name, name, old_arguments, arguments, tmp_path):
    network = build_architecture(name, arguments)
    torch.save(old_checkpoint(network, old_name, old_name, old_arguments), tmp_path / "last.ckpt")
    loaded = load_network(tmp_path / "last.ckpt", name)
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_training_resumes_from_a_checkpoint_of_the_first_version(tmp_path):
    """Lightning finds the weights, the averaged weights and the position in the data under their present names."""
    weights = {"recogniser.learner.weight": torch.ones(2), "classifier.centres": torch.zeros(3)}
    old = {"architecture": "recogniser", "model_arguments": {"learner": OLD_BACKBONE}, "epoch": 3}
    old |= {"state_dict": weights, "current_model_state": weights, "DrawnDataModule": {"start": 7}}
    torch.save(old, tmp_path / "last.ckpt")
    found = VerifiedCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert set(found) == {
        *("architecture", "model_arguments", "epoch", "state_dict", "current_model_state", "SyntheticDataModule")
    }
    assert found["architecture"] == "recognizer"
    assert found["model_arguments"] == {"learner": BACKBONE}
    assert set(found["state_dict"]) == set(found["current_model_state"])
    assert set(found["state_dict"]) == {"recognizer.learner.weight", "classifier.centers"}
    assert found["SyntheticDataModule"] == {"start": 7}
    assert found["epoch"] == 3


def test_a_checkpoint_of_this_version_stays_as_it_is():
    new = {"architecture": "rim", "model_arguments": MODEL, "state_dict": {"rim.fhn.weight": 1}, "epoch": 1}
    assert upgrade_checkpoint(new) == new
    assert current_names({1: 2, "a.b": [3]}) == {1: 2, "a.b": [3]}


def test_a_model_folder_of_the_first_version_loads(tmp_path):
    rim = RIM(**MODEL)
    write_model(tmp_path / "model", rim, None, {}, onnx=False)
    file = tmp_path / "model" / "card.json"
    card = json.loads(file.read_text())
    card["licence"] = card.pop("license")
    card["architecture"]["arguments"]["recognition"] = OLD_MODEL["recognition"]
    file.write_text(json.dumps(card))
    model = read_model(tmp_path / "model")
    assert model.card["license"]
    assert fingerprint(model.rim) == fingerprint(rim)
