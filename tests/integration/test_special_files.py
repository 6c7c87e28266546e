"""Pipes, devices, sockets and links in place of pictures, models and galleries: every command says one sentence."""

import hashlib
import os
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record import Record
from rim_lightning.gallery.embed import PictureBlocks
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.faces import FaceAligner
from rim_lightning.inference.model_folder import write_model
from rim_lightning.networks.rim import RIM
from tests.helpers.hostile import special_files
from tests.helpers.tiny import MODEL, perturbed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has other special files")


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def picture(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "mine"
    points = np.zeros((1, 1, 2, 1))
    calibration = Calibration("c", "0", 4, 4, 24, (1,), (8, 32), (1e-3,), points, points)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, False)
    return folder


@pytest.fixture
def special(tmp_path):
    return dict(special_files(tmp_path / "special"))


def assert_one_line(done, *names):
    assert done.exit_code == 2, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    assert any(str(name) in lines[0] for name in names), lines


def test_pictures(model, special, tmp_path):
    whole = picture(tmp_path / "whole.png")
    for name, path in special.items():
        if "folder" in name:
            continue  # which may hold pictures
        for call in (
            ("verify", "-m", model, path, whole, "--aligned"),
            ("verify", "-m", model, whole, path, "--aligned"),
            ("hallucinate", "-m", model, path, tmp_path / "face.png", "--aligned"),
            ("faces", path),
        ):
            assert_one_line(rim(*call), path)


def test_models_and_galleries(model, special, tmp_path):
    whole = picture(tmp_path / "whole.png")
    for path in special.values():
        assert_one_line(rim("verify", "-m", path, whole, whole, "--aligned"), path)
        assert_one_line(rim("info", path), path)
    for name in ("pipe", "zero", "itself"):
        assert_one_line(rim("identify", "-m", model, "-i", special[name], whole, "--aligned"), special[name])
        assert_one_line(rim("enroll", "-m", model, "-i", tmp_path / "g", special[name]), special[name])


def test_files_of_a_model_folder(model, special, tmp_path):
    whole = picture(tmp_path / "whole.png")
    for name in ("card.json", "card.json.sha256", "model.safetensors"):
        for other in ("pipe", "zero"):
            folder = tmp_path / f"{name}_{other}"
            folder.mkdir()
            for file in model.iterdir():
                if file.name != name:
                    (folder / file.name).write_bytes(file.read_bytes())
            (folder / name).symlink_to(special[other])
            assert_one_line(rim("verify", "-m", folder, whole, whole, "--aligned"), folder)


def test_a_folder_is_enrolled_without_them(model, special, tmp_path):
    pytest.importorskip("lancedb")
    picture(tmp_path / "special" / "Ann.png")
    done = rim("enroll", "-m", model, "-i", tmp_path / "gallery", tmp_path / "special", "--aligned")
    assert done.exit_code == 3, done.output
    assert "1 pictures added" in done.stdout
    for name in ("pipe", "link_to_pipe", "zero", "null", "socket"):
        assert f"{special[name]} is no regular file" in done.stderr
    for name in ("itself", "nothing"):
        assert str(special[name]) in done.stderr
    special["pipe"].rename(tmp_path / "special" / "Ann.png")  # the picture that was enrolled is a pipe now
    probe = picture(tmp_path / "probe.png", seed=1)
    done = rim("identify", "-m", model, "-i", tmp_path / "gallery", probe, "--aligned")
    assert "no longer there" in done.stdout


def test_preparation_leaves_them_out(special, tmp_path):
    records = [Record(f"{name}.png", path, None, "train", {}) for name, path in special.items()]
    records.append(Record("whole.png", picture(tmp_path / "whole.png"), None, "train", {}))
    settings = {"name": "toy", "hr_size": 16, "margin": 0.0, "alignment": "none", "workers": 0, "progress": False}
    store = prepare(records, tmp_path / "store", **settings)
    reasons = {entry["name"]: entry["reason"] for entry in store.manifest["skipped"]}
    assert store.names == ["whole.png"]
    assert reasons["pipe.png"] == reasons["zero.png"] == "is no regular file: give an image file"
    assert reasons["itself.png"] == "is a link that leads to itself: give an image file"
    assert set(reasons) == {f"{name}.png" for name in special}


def test_embedding_leaves_them_out_and_has_the_digest_of_what_was_embedded(special, tmp_path):
    whole = picture(tmp_path / "special" / "Ann.png")
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    (face,) = FaceAligner(16).align(whole.read_bytes(), aligned=True)
    names = pa.array([os.fsencode(path.name) for path in (*special.values(), whole)], pa.large_binary())
    manifest = SimpleNamespace(pictures=str(tmp_path / "special"), aligned=True)
    folder = SimpleNamespace(manifest=manifest, positions=lambda number: range(len(names)))

    class Replacing(FaceAligner):
        def align(self, pictures, aligned=False, name=None):
            if name == "Ann.png":  # replaced while it is embedded
                picture(whole, seed=1)
            return super().align(pictures, aligned, name)

    (block,) = PictureBlocks(folder, [0], names, Replacing(16), len(names))
    *others, row = block.rows
    assert (row.source, row.digest, row.left_out) == ("Ann.png", digest, None)
    assert torch.equal(block.faces[0], face.pixels)
    assert {other.source: other.digest for other in others} == {path.name: None for path in special.values()}
    assert others[list(special).index("pipe")].left_out == "pipe.png is no regular file: give an image file."
