"""A fault around a run ends the run with one sentence and leaves the last good checkpoint as it was."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rim_lightning.networks.checkpoints import check_digest
from rim_lightning.runs.state import read_state
from tests.helpers.stores import small_synthetic_store

ROOT = Path(__file__).resolve().parents[2]
STAGES = "schedule.stages=[{{name: fhn, epochs: {}}}]"
SETTINGS = (
    "model=tiny",
    "data=helen",
    "data.batch_size=4",
    "data.augmentation=null",
    "workers=0",
    "teacher.weights=null",
    "trainer.precision=32-true",
    "threads=1",
    "evaluate=false",
    "callbacks.last.minutes=0",
    "~callbacks.progress",
    "+trainer.enable_progress_bar=false",
    "resume=true",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=3, hr_size=64).path


def command(folder, store, *settings):
    where = [f"hydra.run.dir={folder}", f"data.stores.helen={store}"]
    return [sys.executable, "-m", "rim_lightning.commands.train", *SETTINGS, *where, *settings]


def train(folder, store, *settings):
    return subprocess.run(command(folder, store, *settings), cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def begun(store, tmp_path):
    """Directory of a run of one epoch, from which a longer run resumes."""
    done = train(tmp_path / "run", store, STAGES.format(1))
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def assert_stopped(done, folder, content, *sentence):
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("rim-train: "), done.stderr
    assert all(part in message for part in sentence), done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == content
    assert read_state(folder).name == "failed"


@pytest.mark.slow
def test_a_vanished_data_file_is_named(store, begun, tmp_path):
    content = (begun / "checkpoints" / "last.ckpt").read_bytes()
    hidden = (store / "images.npy").rename(tmp_path / "images.npy")
    try:
        done = train(begun, store, STAGES.format(2))
    finally:
        hidden.rename(store / "images.npy")
    assert_stopped(done, begun, content, str(store / "images.npy"), "missing")
    (begun / "checkpoints" / "last.ckpt").write_bytes(content[: len(content) // 2])
    done = train(begun, store, STAGES.format(2))
    assert_stopped(done, begun, content[: len(content) // 2], "last.ckpt", "damaged")


@pytest.mark.slow
def test_a_dead_loader_process_is_reported_and_the_run_resumes_without_it(store, tmp_path):
    folder, orders = tmp_path / "run", tmp_path / "orders"
    dying = f"data.augmentation={{_target_: tests.helpers.dying.Dying, _partial_: true, orders: {orders}}}"
    process = subprocess.Popen(
        command(folder, store, STAGES.format(300), "workers=1", dying),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    last = folder / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    orders.touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "rim-train: A loader process died" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert read_state(folder).name == "failed"
    check_digest(str(last))
    epoch = torch.load(last, weights_only=True)["epoch"]
    orders.unlink()
    done = train(folder, store, STAGES.format(epoch + 1), dying)
    assert done.returncode == 0, done.stderr
    assert read_state(folder).name == "finished"
