"""The examples of docs/extending.md run as they stand there."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

import rim_lightning
from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.schemes import five_points
from tests.helpers.stores import small_synthetic_store

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^`(mine/[^`]+)`:\n\n```\w+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
BLOCKS = [text for language, text in FENCES if not language]  # the list of files, then commands
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if "rim-" in line]
MODULES = {"rim-train": "rim_lightning.commands.train", "rim-prepare": "rim_lightning.commands.prepare"}

TINY = [
    "data.batch_size=8",
    "workers=0",
    "threads=1",
    "teacher.weights=null",
    "teacher.epochs=1",
    "schedule.stages=[{name: hrn, epochs: 1}]",
    "evaluation.verification_pairs=20",
    "trainer.precision=32-true",
    "+trainer.limit_train_batches=2",
    "+trainer.enable_progress_bar=false",
    "~callbacks.progress",
    "evaluate=false",
]
SYNTHETIC = ["data.people=24", "data.views=2", "data.splits={train: 0.6, val: 0.2, test: 0.2}"]


def command(*words: str) -> str:
    """The one command of the page with these words."""
    (line,) = (line for line in COMMANDS if all(word in shlex.split(line) for word in words))
    return line


def run(line: str, folder: Path, *settings: str) -> None:
    """Run a command of the page in a folder, with further settings."""
    words = shlex.split(line)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    paths = [str(Path(rim_lightning.__file__).parents[1])]
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        assert name == "PYTHONPATH"
        paths.insert(0, value)
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    whole = [sys.executable, "-m", MODULES[words[0]], *words[1:], *settings]
    done = subprocess.run(whole, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_page_shows_every_file_that_it_lists_and_a_command_for_each_example():
    listed = re.findall(r"[\w/]+\.(?:py|yaml)", BLOCKS[0])
    shown = {name.removeprefix("mine/").removeprefix("conf/") for name in FILES}
    assert set(listed) == shown
    assert len(shown) == 9
    assert [shlex.split(line.removeprefix("PYTHONPATH=mine "))[0] for line in COMMANDS] == [
        *("rim-train", "rim-prepare", "rim-train", "rim-train", "rim-train", "rim-train")
    ]


def test_a_loss_of_ones_own_is_built_with_the_settings_of_the_page(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder / "mine")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        searched = f"hydra.searchpath=[file://{folder / 'mine' / 'conf'}]"
        cfg = compose("train", overrides=[searched, "experiment=demo", "objective=edges", "paths.output_dir=unused"])
    loss = instantiate(cfg.objective).pixel
    assert (type(loss).__name__, loss.kind, loss.edges) == ("PixelsAndEdges", "l2", 0.5)
    prediction, target = torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.0, 0.6]]]])
    # Squared error (0 + .36) / 2 and half of one horizontal edge of .6; a row of one has no vertical edges.
    target = target.repeat(1, 1, 2, 1)
    torch.testing.assert_close(loss(prediction.repeat(1, 1, 2, 1), target), torch.tensor(0.18 + 0.5 * 0.6))


@pytest.mark.slow
def test_a_loss_of_ones_own_trains(folder):
    run(
        command("objective=edges"),
        folder,
        *TINY,
        *SYNTHETIC,
        "schedule.stages=[{name: fhn, epochs: 1}]",
        "hydra.run.dir=run",
    )
    saved = (folder / "run" / "config.yaml").read_text()
    assert "_target_: losses_of_mine.PixelsAndEdges" in saved
    assert load_rim(folder / "run" / "checkpoints" / "last.ckpt").hr_size == 64


@pytest.mark.slow
def test_a_data_set_of_ones_own_is_prepared_and_trained_on(folder):
    people, views = 24, 2
    store = small_synthetic_store(folder / "faces", people=people, views=views, hr_size=64)
    badges = folder / "badges"
    badges.mkdir()
    with open(badges / "badges.csv", "w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "person", *(f"{axis}{i}" for i in range(5) for axis in "xy")])
        for index, name in enumerate(store.names):
            Image.fromarray(np.asarray(store.images[index])).save(badges / f"{index}.png")
            points = five_points({scheme: np.asarray(all_[index]) for scheme, all_ in store.landmarks.items()})
            writer.writerow([f"{index}.png", name.partition("/")[0], *points.ravel()])

    run(command("rim-prepare", "source=badges"), folder, "hr_size=64", "workers=0", "output=prepared/badges_64")
    prepared = PreparedStore(folder / "prepared" / "badges_64")
    assert len(prepared.names) == len(store.names) == people * views
    assert len(prepared.identities) == people
    assert set(prepared.splits) == {"train", "val"}
    before = (prepared.path / "manifest.json").read_bytes()

    run(command("experiment=badges"), folder, *TINY, "model=tiny", "hydra.run.dir=run")
    assert (prepared.path / "manifest.json").read_bytes() == before
    assert load_rim(folder / "run" / "checkpoints" / "last.ckpt").hr_size == 64


@pytest.mark.slow
def test_a_network_of_ones_own_is_trained_and_loaded(folder, monkeypatch):
    line = next(line for line in COMMANDS if line.endswith("experiment=plain_net"))
    run(line, folder, *TINY, *SYNTHETIC, "hydra.run.dir=run")
    monkeypatch.syspath_prepend(folder / "mine")
    rim = load_rim(folder / "run" / "checkpoints" / "last.ckpt")
    networks = (rim.hrn.teacher.backbone, rim.hrn.student.backbone, rim.hrn.assistant.backbone)
    assert [type(network).__name__ for network in networks] == ["PlainNet"] * 3
    assert rim.hrn.student.backbone.stage_channels == (16, 32, 64, 128)
    with torch.no_grad():
        assert rim.embed_gallery(torch.zeros(2, 3, 64, 64)).shape == (2, 64)


@pytest.mark.slow
def test_experiments_are_combined(folder):
    run(command("experiment=[demo,dark]"), folder, *TINY, *SYNTHETIC, "hydra.run.dir=run")
    saved = (folder / "run" / "config.yaml").read_text()
    assert "name: dark" in saved
    assert "brightness: 0.5" in saved
    assert "hr_size: 64" in saved  # of the demo


@pytest.mark.slow
def test_the_jobs_of_a_sweep_know_the_files_too(folder):
    line = next(line for line in COMMANDS if " -m " in line)
    run(line, folder, *TINY, *SYNTHETIC, "hydra.sweep.dir=sweep")
    states = [(folder / "sweep" / job / "state.json").read_text() for job in "01"]
    assert all('"finished"' in state for state in states)
    widths = [load_width(folder / "sweep" / job) for job in "01"]
    assert widths == [8, 16]


def load_width(folder: Path) -> int:
    """Width of the network that a job was trained with, from its settings."""
    found = re.search(r"^plain_net:\n  name: networks_of_mine.PlainNet\n  width: (\d+)", config(folder), re.MULTILINE)
    assert found
    return int(found[1])


def config(folder: Path) -> str:
    """The settings of a run."""
    return (folder / "config.yaml").read_text()
