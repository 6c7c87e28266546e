"""A command imports what it uses: nobody waits for packages of others, or has to install them."""

import shutil
from pathlib import Path

import pytest
import torch

from rim_lightning.extras import EXTRAS
from tests.helpers.clips import drawn_frames, portrait, write_clip
from tests.helpers.imported_modules import imported_by
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL
from tests.integration.test_cli import model_folder, network

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "example"
OPTIONAL = {module for modules in EXTRAS.values() for module in modules}
TRAINING = {*EXTRAS["train"], "lightning", "scipy", "sklearn", "yaml", "tensorboard"}
PIXELS = {"torch", "cv2", "PIL", "safetensors"}
NETWORK = {"lancedb", "pyarrow", "gradio", "submitit", "optuna", "wandb", "onnxscript"}
"""Packages of single extras, which belong to no other command."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, a prepared set, a probe and a person."""
    folder = tmp_path_factory.mktemp("place")
    model_folder(folder / "model")
    (folder / "people" / "ana").mkdir(parents=True)
    shutil.copy(EXAMPLE / "portrait.png", folder / "people" / "ana")
    shutil.copy(EXAMPLE / "probe.png", folder)
    small_synthetic_store(folder / "store", people=6, views=2, hr_size=32)
    return folder


HYDRA = ["train", "eval", "prepare", "embed", "compare", "speed"]


@pytest.mark.parametrize("command", HYDRA)
def test_the_help_of_a_command_with_settings_imports_hydra_alone(command, place):
    imported = imported_by(place, command, "--help")
    assert "hydra" in imported
    unused = PIXELS | NETWORK | TRAINING - {"hydra", "omegaconf", "yaml"} | {"numpy"}
    assert imported & unused == set()


@pytest.mark.parametrize("words", [["--help"], ["verify", "--help"], ["export", "--help"], ["page", "--help"]])
def test_the_help_of_rim_imports_click_alone(words, place):
    assert imported_by(place, "rim", *words) & (PIXELS | OPTIONAL | TRAINING | {"numpy", "tqdm"}) == set()


@pytest.mark.parametrize("command", ["sweep", "pack"])
def test_the_help_of_a_command_without_settings_imports_nothing(command, place):
    assert imported_by(place, command, "--help") & (PIXELS | OPTIONAL | TRAINING | {"numpy"}) == set()


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_card_is_shown_without_torch(words, place):
    assert imported_by(place, "rim", "info", "model", *words) & (PIXELS | OPTIONAL | TRAINING | {"tqdm"}) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "-m", "model", "probe.png", "people/ana/portrait.png", "--far", "1e-2", "--aligned"],
        ["verify", "-m", "model", "people/ana/portrait.png", "people/ana/portrait.png", "--far", "1e-2"],
        ["hallucinate", "-m", "model", "probe.png", "face.png", "--aligned", "--overwrite"],
        ["hallucinate", "-m", "model", "probe.png", "strip.png", "--aligned", "--overwrite", "--strip"],
    ],
    ids=lambda words: " ".join(words[:1] + words[-1:]),
)
@pytest.mark.slow
def test_inference_needs_no_package_of_an_extra(words, place):
    imported = imported_by(place, "rim", *words)
    assert "torch" in imported
    assert imported & (OPTIONAL | TRAINING) - {"pillow_heif"} == set()  # Pillow asks it where it is installed
    imported_by(place, "rim", *words, missing=OPTIONAL | TRAINING)  # and works where they are not installed


@pytest.mark.slow
def test_export_of_a_checkpoint_needs_no_package_of_an_extra(place):
    state = {f"rim.{name}": value for name, value in network().state_dict().items()}
    torch.save({"architecture": "rim", "model_arguments": MODEL, "state_dict": state}, place / "last.ckpt")
    shutil.rmtree(place / "exported", ignore_errors=True)
    words = ["export", "last.ckpt", "exported", "--no-onnx", "--people", "store", "--split", "train"]
    imported_by(place, "rim", *words, missing=OPTIONAL | TRAINING)


@pytest.mark.slow
def test_a_gallery_needs_its_own_extra_alone(place):
    missing = (OPTIONAL | TRAINING) - set(EXTRAS["gallery"])
    imported_by(place, "rim", "enroll", "-m", "model", "-i", "index", "people", "--aligned", missing=missing)
    found = ["identify", "-m", "model", "-i", "index", "probe.png", "--aligned", "--far", "1e-2"]
    imported_by(place, "rim", *found, missing=missing)
    assert imported_by(place, "rim", "forget", "-i", "index", "ana", missing=missing) & PIXELS == set()


@pytest.mark.slow
def test_tracks_need_their_own_extra_alone(place):
    write_clip(place / "clip.mp4", drawn_frames(4, [(portrait(1, 44), lambda n: (20, 20))]))
    missing = (OPTIONAL | TRAINING) - set(EXTRAS["video"])
    imported = imported_by(place, "rim", "tracks", "clip.mp4", "tracks", missing=missing)
    assert {"av", "torch", "scipy"} <= imported
    assert (place / "tracks" / "tracks.csv").is_file()


@pytest.mark.slow
def test_packing_needs_its_own_extra_alone(place):
    shutil.rmtree(place / "packed", ignore_errors=True)
    missing = (OPTIONAL | TRAINING) - set(EXTRAS["packed"])
    assert "torch" not in imported_by(place, "pack", "store", "packed", missing=missing)


@pytest.mark.slow
def test_a_training_imports_no_package_of_another_extra(place):
    words = ["experiment=demo", "data.people=40", "workers=0", "trainer.fast_dev_run=true", "hydra.run.dir=run"]
    imported = imported_by(place, "train", *words)
    assert "pytorch_lightning" in imported
    assert imported & (NETWORK | {"facenet_pytorch"}) == set()
