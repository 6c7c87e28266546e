"""A tiny model, two pictures and records of them, for the tests of case records."""

import json

import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.networks.rim import RIM
from tests.helpers.tiny import MODEL, perturbed

FARS = (1e-1, 1e-2, 1e-3)


def rim(*words):
    """Run `rim` in this process."""
    return CliRunner().invoke(main, [str(word) for word in words])


def tiny_calibration(threshold=0.2, people=404):
    """Thresholds with intervals and likelihood ratios."""
    points = np.broadcast_to([threshold, threshold + 0.1, threshold + 0.2], (1, 1, 2, 3)).copy()
    return Calibration(
        *("made up", "0" * 64, people, 500, 5000, (1,), (8, 32), FARS, points, np.full((1, 1, 2, 3), 0.25), False),
        intervals=np.broadcast_to([0.0005, 0.002, 0.2, 0.3], (1, 1, 2, 3, 4)),
        ratios=np.broadcast_to([-1.0, 4.0, 2.0, 0.5, 0.4], (1, 1, 2, 5)),
    )


def tiny_model(folder, threshold=0.2, seed=0):
    """Write a model folder."""
    torch.manual_seed(seed)
    write_model(folder, perturbed(RIM(**MODEL), seed).eval(), tiny_calibration(threshold), {}, onnx=False)
    return folder


def two_pictures(folder):
    """Write probe.png and sharp.png, two views of one synthetic person."""
    for name, view in (("probe.png", 1), ("sharp.png", 2)):
        Image.fromarray(paint_face(7, view, 96, 16)[0]).save(folder / name)
    return folder / "probe.png", folder / "sharp.png"


def case_folder(folder):
    """Make what a case needs in a folder: two pictures and a tiny model."""
    two_pictures(folder)
    tiny_model(folder / "model")
    return folder


def recorded(cases, *words):
    """Run a command with `--record` and `--json`; return the folder of the record and the answer."""
    done = rim(*words, "--record", cases, "--json")
    assert done.exit_code in (0, 1), done.output
    answer = json.loads(done.stdout)
    (folder,) = [each for each in cases.iterdir() if str(each) == answer["record"]["folder"]]
    return folder, answer


def rewritten(folder, change):
    """Change the content of `record.json`, and make its digest anew, as somebody would who wants it to be read."""
    import hashlib

    content = json.loads((folder / "record.json").read_text())
    change(content)
    text = json.dumps(content)
    (folder / "record.json").write_text(text)
    (folder / "record.json.sha256").write_text(f"{hashlib.sha256(text.encode()).hexdigest()}  record.json\n")
