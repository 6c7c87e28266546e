"""The example for programs without torch gives the similarity of `rim verify`."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from rim_lightning import Recognizer
from rim_lightning.inference.default_model import SHIPPED
from tests.integration.test_cli import rim

EXAMPLE = Path(__file__).parents[2] / "docs" / "example"
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx") / "my_model"
    done = rim("export", SHIPPED.name, folder)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("compare_with_onnx", EXAMPLE / "compare_with_onnx.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pictures(folder):
    """The portrait, which is shrunk when it is aligned, and two probes of it of another number of pixels."""
    portrait = EXAMPLE / "astronaut.png"
    probes = []
    with Image.open(portrait) as picture:
        for share in (0.13, 0.4):
            probes.append(folder / f"probe_{share}.png")
            side = [round(length * share) for length in picture.size]
            picture.convert("RGB").resize(side, Image.Resampling.BICUBIC).save(probes[-1])
    return portrait, probes


@pytest.mark.slow
def test_an_exported_model_keeps_thresholds_and_usage(exported):
    shipped, model = (Recognizer.from_checkpoint(path) for path in (SHIPPED, exported))
    assert model.fingerprint == shipped.fingerprint
    assert model.probe_fingerprint == shipped.probe_fingerprint
    assert model.calibration == shipped.calibration is not None


@pytest.mark.slow
def test_the_example_gives_the_similarity_of_verify(exported, example, tmp_path):
    recognizer = Recognizer.from_checkpoint(exported)
    portrait, probes = pictures(tmp_path)
    (face,) = recognizer.align(portrait)
    gallery = example.embed(exported, "gallery", portrait, face.found.points)
    sizes = []
    for path in probes:
        (probe,) = recognizer.align(path)
        similarity = example.embed(exported, "probe", path, probe.found.points) @ gallery
        assert abs(similarity - recognizer.verify(path, portrait).similarity) < TOLERANCE
        sizes.append(probe.size)
    assert sizes[0] < 20 < sizes[1] < 128 < face.size


@pytest.mark.slow
def test_the_commands_of_the_example_work(exported, tmp_path):
    portrait, (path, _) = pictures(tmp_path)
    arguments = []
    for picture in (path, portrait):
        points = tmp_path / f"{picture.stem}.json"
        points.write_text(rim("faces", picture, "--json").stdout)
        arguments += [picture, points]
    command = [sys.executable, EXAMPLE / "compare_with_onnx.py", exported, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = json.loads(rim("verify", "--model", exported, path, portrait, "--json").stdout)["similarity"]
    assert abs(float(done.stdout.split()[1]) - expected) < 2e-4  # printed with four digits
    for wrong, said in (
        (command[:3], "python compare_with_onnx.py"),
        ([*command[:3], "x.png", *command[4:]], "x.png is"),
    ):
        done = subprocess.run(wrong, capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
