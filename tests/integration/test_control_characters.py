"""No name of a file or of a person reaches the terminal as anything but letters, whatever command prints it."""

import json
import unicodedata

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.networks.rim import RIM
from rim_lightning.runs.state import record_run
from rim_lightning.runs.sweep import new_sweep
from tests.helpers.commands import run_here
from tests.helpers.stores import noise_store
from tests.helpers.tiny import MODEL, perturbed

EVIL = "\x1b]0;owned\x07\x1b[2J\r\u202e\u2028gpj\nrim: all is well"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\r\u202e\u2028gpj"  # errors show the line break as a space


def assert_clean(*texts, shown=True):
    """Nothing but letters and line breaks, and no line that a name has made; the name is there, as escapes."""
    text = "\n".join(texts)
    bad = {char for char in text if char != "\n" and unicodedata.category(char)[0] in "CZ" and char != " "}
    assert not bad, (bad, text)
    assert not [line for line in text.splitlines() if line.startswith("rim: all is well")], text
    assert not shown or SHOWN in text, text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / f"mine{EVIL}"
    points = np.zeros((1, 1, 2, 1))
    calibration = Calibration(f"c{EVIL}", "0", 4, 4, 24, (1,), (8, 32), (1e-3,), points, points)
    torch.manual_seed(0)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {"command": f"rim-train {EVIL}"}, False)
    return folder


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of a person with a picture, a file that is none, a text and a hidden file, all of the name `EVIL`."""
    folder = tmp_path_factory.mktemp("faces") / f"faces{EVIL}"
    (folder / f"ana{EVIL}").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for person, name in ((f"ana{EVIL}", EVIL), (f"ana{EVIL}", "2"), ("", f"beside{EVIL}")):
        Image.fromarray(pixels // (1 + len(name) % 3)).save(folder / person / f"{name}.png")
    (folder / f"broken{EVIL}.png").write_text("no picture")
    (folder / f"{EVIL}.txt").write_text("a text")
    (folder / f".{EVIL}").write_text("hidden")
    return folder


def test_rim_prints_letters(model, faces, tmp_path):
    index, picture = tmp_path / f"index{EVIL}", faces / f"ana{EVIL}" / f"{EVIL}.png"
    calls = [
        ("enroll", "-m", model, "-i", index, faces, "--aligned"),
        ("enroll", "-m", model, "-i", index, faces, "--aligned", "--sync", "--dry-run"),
        ("identify", "-m", model, "-i", index, faces, "--aligned"),
        ("gallery", "list", "-i", index),
        ("forget", "-i", index, f"nobody{EVIL}"),
        ("forget", "-i", index, f"ana{EVIL}"),
        ("verify", "-m", model, picture, picture, "--aligned"),
        ("verify", "-m", model, tmp_path / f"no{EVIL}", picture),
        ("verify", "-m", model, picture, picture, f"--no{EVIL}"),
        ("verify", "-m", model, picture, picture, "--face", EVIL),
        ("faces", picture),
        ("faces", picture, tmp_path / f"numbered{EVIL}.png"),
        ("hallucinate", "-m", model, faces, tmp_path / f"out{EVIL}", "--aligned"),
        ("info", model),
        ("info", tmp_path / f"no{EVIL}"),
        ("export", tmp_path / f"no{EVIL}.ckpt", tmp_path / "new"),
        (f"no-command{EVIL}",),
        (f"--no-option{EVIL}",),
    ]
    for call in calls:
        done = CliRunner().invoke(main, [str(word) for word in call])
        assert not done.exception or isinstance(done.exception, SystemExit), call
        assert_clean(done.output, shown=call[0] not in ("verify", "info"))


def test_rim_prepare_and_rim_pack_print_letters(faces, tmp_path):
    output = tmp_path / f"store{EVIL}"
    places = (f"source.reader.root='{faces}'", f"output='{output}'", f"source.name='faces{EVIL}'")
    settings = ("source=folder", "hr_size=32", "alignment=none", "landmarks=auto", "workers=0")
    assert_clean(*run_here("prepare", *settings, *places)[1:])
    assert_clean(*run_here("prepare", *settings, *places[1:], f"source.reader.root='{tmp_path}/no{EVIL}'")[1:])
    assert_clean(*run_here("prepare", f"{EVIL}=1")[1:], shown=False)
    store = noise_store(tmp_path / f"noise{EVIL}", list("ab"), [None] * 2, {"ibug68": 68}, hr_size=32)
    assert_clean(*run_here("pack", store.path, tmp_path / f"packed{EVIL}")[1:])
    assert_clean(*run_here("pack", tmp_path / f"no{EVIL}", tmp_path / "packed")[1:])
    assert_clean(*run_here("pack", store.path, tmp_path / "packed", f"--no{EVIL}")[1:])


def test_rim_embed_prints_letters(model, faces, tmp_path):
    settings = (
        f"checkpoint='{model}'",
        f"pictures='{faces}'",
        "aligned=probe",
        "side=probe",
        "workers=0",
        "trainer=cpu",
    )
    assert_clean(*run_here("embed", *settings, f"output='{tmp_path}/out{EVIL}'")[1:])


def test_rim_sweep_prints_letters(tmp_path):
    sweep = new_sweep(tmp_path / "sweep", {}).with_jobs([[f"name=a{EVIL}"], ["name=b"]])
    sweep.write()
    with pytest.raises(ValueError, match="owned"), record_run(sweep.jobs[0].folder):
        raise ValueError(EVIL)
    with record_run(sweep.jobs[1].folder):
        (sweep.jobs[1].folder / "metrics.json").write_text(json.dumps({f"sr/{EVIL}/psnr_y": 1.0}))
    assert_clean(*run_here("sweep", "status", sweep.folder)[1:])
    assert_clean(*run_here("sweep", "table", sweep.folder, "--figures", "*")[1:])
    assert_clean(*run_here("sweep", "status", tmp_path / f"no{EVIL}")[1:])
    assert_clean(*run_here("sweep", f"no{EVIL}", tmp_path)[1:], shown=False)


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("train", ("experiment=demo", "workers=0", f"paths.prepared_dir='/proc/no{EVIL}'")),
        ("train", ("experiment=real_smoke", f"paths.data_dir='no{EVIL}'")),
        ("eval", (f"checkpoint='no{EVIL}'",)),
        ("compare", (f"table='{EVIL}'",)),
        ("speed", (f"rows=['{EVIL}']",)),
    ],
)
def test_refusals_of_the_other_commands_are_letters(command, settings, tmp_path):
    done = run_here(command, *settings, f"hydra.run.dir='{tmp_path}/run{EVIL}'")
    assert done.returncode != 0
    assert_clean(done.stdout, done.stderr)
