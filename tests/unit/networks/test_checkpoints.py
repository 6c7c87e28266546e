"""Checkpoints: what they hold, what is refused, and files of version 0.1, whose names were British."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch

from rim_lightning.inference.model_folder import fingerprint, read_model, write_model
from rim_lightning.networks.checkpoints import (
    ARCHITECTURES,
    DamagedCheckpoint,
    build_architecture,
    check_digest,
    load_network,
    load_rim,
    recorded_digests,
    upgrade_checkpoint,
)
from rim_lightning.networks.earlier_names import current_names
from rim_lightning.networks.rim import RIM
from rim_lightning.training.checkpoint_io import VerifiedCheckpointIO
from tests.helpers.tiny import BACKBONE, MODEL

ARGUMENTS = {
    "rim": MODEL,
    "super_resolver": {"name": "srcnn"},
    "recognizer": {"learner": BACKBONE, "guide": None, "guide_learns": False},
}
OLD_BACKBONE = {"normalisation" if name == "normalization" else name: value for name, value in BACKBONE.items()}
OLD_MODEL = MODEL | {"recognition": dict.fromkeys(("teacher", "student", "assistant"), OLD_BACKBONE)}


def checkpoint_of(network, name, arguments, prefix=None):
    """A checkpoint as rim-train writes it, with a weight that only training needs."""
    weights = {f"{prefix or name}.{key}": value for key, value in network.state_dict().items()}
    weights["classifier.weight"] = torch.zeros(1)
    return {"architecture": name, "model_arguments": arguments, "state_dict": weights}


def assert_equal_weights(network, expected):
    assert network.state_dict().keys() == expected.state_dict().keys()
    for key, value in expected.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_comes_back_in_eval_mode(name, tmp_path):
    network = build_architecture(name, ARGUMENTS[name])
    assert network.training
    path = tmp_path / "last.ckpt"
    torch.save(checkpoint_of(network, name, ARGUMENTS[name]), path)
    for required in (None, name):
        loaded = load_network(path, required)
        assert type(loaded) is type(network)
        assert not loaded.training
        assert_equal_weights(loaded, network)
    others = [other for other in ARCHITECTURES if other != name]
    for other in others:
        with pytest.raises(ValueError, match=rf"last.ckpt holds a {name}, where a {other} is needed"):
            load_network(path, other)


def test_a_checkpoint_that_names_no_architecture_holds_a_rim(tmp_path):
    """The first checkpoints held nothing else."""
    network = RIM(**MODEL)
    content = checkpoint_of(network, "rim", MODEL)
    del content["architecture"]
    torch.save(content, tmp_path / "last.ckpt")
    assert_equal_weights(load_rim(tmp_path / "last.ckpt"), network)


def test_other_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "last.ckpt"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*last.ckpt"):
        load_network(path)
    path.write_bytes(b"no checkpoint at all")
    with pytest.raises(ValueError, match=r"last.ckpt is not a checkpoint of rim-train, or is damaged"):
        load_network(path)
    network = build_architecture("super_resolver", {"name": "srcnn"})
    whole = checkpoint_of(network, "super_resolver", {"name": "srcnn"})
    for content, match in (
        ([1, 2], r"last.ckpt is not a checkpoint of rim-train\."),
        ({"state_dict": {}}, r"last.ckpt is not a checkpoint of rim-train\."),
        (whole | {"architecture": "gan"}, 'no architecture "gan"; choose one of rim, super_resolver, recognizer'),
        (whole | {"state_dict": {}}, "last.ckpt holds 0 numbers of a network that has 69,251"),
        (whole | {"state_dict": None}, "last.ckpt is not a checkpoint of rim-train: it holds no weights"),
        (whole | {"model_arguments": {"name": "srcnn", "depth": 3}}, "has the entry model_arguments.depth"),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=match):
            load_network(path)


def test_a_checkpoint_is_compared_with_every_digest_beside_it(tmp_path):
    path = tmp_path / "last.ckpt"
    digests = tmp_path / "last.ckpt.sha256"
    assert recorded_digests(path) == []
    check_digest(path)  # neither file nor digests
    path.write_bytes(b"weights")
    check_digest(path)  # a file that was handed on without digests
    new, old = (hashlib.sha256(content).hexdigest() for content in (b"newer weights", b"weights"))
    digests.write_text(f"{new}\n{old}\n")  # the process died while the newer one replaced it
    assert recorded_digests(path) == [new, old]
    check_digest(path)
    digests.write_text(f"{new}\n")
    with pytest.raises(DamagedCheckpoint, match=r"last.ckpt is damaged.*best.ckpt.*remove last.ckpt.sha256 to load"):
        check_digest(path)
    with pytest.raises(DamagedCheckpoint, match=r"last.ckpt is damaged"):
        load_network(path)
    path.write_bytes(b"newer weights")
    check_digest(path)


def test_rim_loads_without_what_it_is_compared_with():
    code = "import sys, rim_lightning.networks.checkpoints; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "rim_lightning.networks.rim" in modules
    assert not [name for name in modules if name.startswith("rim_lightning.networks.compared")]


@pytest.mark.parametrize(
    ("old_name", "name", "old_arguments"),
    [
        ("recogniser", "recognizer", {"learner": OLD_BACKBONE, "guide": None, "guide_learns": False}),
        ("hallucinator", "super_resolver", {"name": "srcnn"}),
        ("rim", "rim", OLD_MODEL),
    ],
)
def test_a_checkpoint_of_the_first_version_loads(old_name, name, old_arguments, tmp_path):
    network = build_architecture(name, ARGUMENTS[name])
    torch.save(checkpoint_of(network, old_name, old_arguments), tmp_path / "last.ckpt")
    assert_equal_weights(load_network(tmp_path / "last.ckpt", name), network)


def test_training_resumes_from_a_checkpoint_of_the_first_version(tmp_path):
    """Lightning finds the weights, the averaged weights and the position in the data under their present names."""
    weights = {"recogniser.learner.weight": torch.ones(2), "classifier.centres": torch.zeros(3)}
    old = {"architecture": "recogniser", "model_arguments": {"learner": OLD_BACKBONE}, "epoch": 3}
    old |= {"state_dict": weights, "current_model_state": weights, "DrawnDataModule": {"start": 7}}
    torch.save(old, tmp_path / "last.ckpt")
    loaded = VerifiedCheckpointIO().load_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert set(loaded) == {
        *("architecture", "model_arguments", "epoch", "state_dict", "current_model_state", "SyntheticDataModule")
    }
    assert loaded["architecture"] == "recognizer"
    assert loaded["model_arguments"] == {"learner": BACKBONE}
    assert set(loaded["state_dict"]) == set(loaded["current_model_state"])
    assert set(loaded["state_dict"]) == {"recognizer.learner.weight", "classifier.centers"}
    assert torch.equal(loaded["state_dict"]["recognizer.learner.weight"], torch.ones(2))
    assert loaded["SyntheticDataModule"] == {"start": 7}
    assert loaded["epoch"] == 3


def test_a_checkpoint_of_this_version_stays_as_it_is():
    new = {"architecture": "rim", "model_arguments": MODEL, "state_dict": {"rim.fhn.weight": 1}, "epoch": 1}
    assert upgrade_checkpoint(new) == new
    assert current_names({1: 2, "a.b": [3]}) == {1: 2, "a.b": [3]}


def test_only_names_are_replaced():
    """Not values, not a part of a name, and nothing that Lightning or a callback wrote."""
    names = {"recogniser": "recogniser", "a.centres.b": 1, "my_centres": 2, "deep": {"licence": "licence"}}
    assert current_names(names) == {
        "recognizer": "recogniser",
        "a.centers.b": 1,
        "my_centres": 2,
        "deep": {"license": "licence"},
    }
    assert set(names) == {"recogniser", "a.centres.b", "my_centres", "deep"}  # the argument itself stays
    old = {"callbacks": {"Own": {"centres": 1}}, "state_dict": {}}
    assert upgrade_checkpoint(old) == old


def test_a_model_folder_of_the_first_version_loads(tmp_path):
    rim = RIM(**MODEL)
    write_model(tmp_path / "model", rim, None, {}, onnx=False)
    file = tmp_path / "model" / "card.json"
    card = json.loads(file.read_text())
    card["licence"] = card.pop("license")
    card["architecture"]["arguments"]["recognition"] = OLD_MODEL["recognition"]
    file.write_text(json.dumps(card))
    (tmp_path / "model" / "card.json.sha256").unlink()  # that version wrote none
    model = read_model(tmp_path / "model")
    assert model.card["license"]
    assert fingerprint(model.rim) == fingerprint(rim)
