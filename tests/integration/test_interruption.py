"""A run that is killed or asked to stop at any moment ends as if nothing had happened, bit for bit."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rim_lightning.runs.signals import Interrupted
from tests.helpers import killable
from tests.helpers.stores import small_synthetic_store

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("RIM_KILLS", "1"))  # RIM_KILLS=20 pytest tests/integration/test_interruption.py


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=4, hr_size=32).path


@pytest.fixture(scope="module")
def undisturbed(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    killable.train(str(store), str(folder))
    return torch.load(folder / "end.pt", weights_only=True)


def start(store, folder, workers=0):
    command = [sys.executable, "-m", "tests.helpers.killable", str(store), str(folder), str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_for(process, pattern):
    seen = ""
    for line in process.stdout:
        seen += line
        if re.match(pattern, line):
            return seen
    pytest.fail(f"the training ended before it printed {pattern}")


def assert_ended_like(expected, folder):
    weights = torch.load(folder / "end.pt", weights_only=True)
    assert expected.keys() == weights.keys()
    different = [name for name in expected if not torch.equal(expected[name], weights[name])]
    assert not different, different[:5]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_bit_for_bit_like_an_undisturbed_run(store, undisturbed, tmp_path):
    """SIGKILL in the middle of an epoch too: each kill comes a moment after a batch of the first two epochs."""
    rng = random.Random(20)
    for _ in range(KILLS):
        process = start(store, tmp_path)
        wait_for(process, rf"batch [01] {rng.randrange(8)}" if KILLS == 1 else "batch")
        time.sleep(rng.uniform(0, 0.1 if KILLS == 1 else 0.05))  # the run must not end before the last kill
        process.kill()
        process.wait()
    assert not (tmp_path / "end.pt").exists(), "the run ended before the kill"
    process = start(store, tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert_ended_like(undisturbed, tmp_path)


@pytest.mark.slow
def test_a_signal_saves_the_batch_and_ends_the_run_within_seconds(store, undisturbed, tmp_path):
    """With loader processes. The run resumes with the very next batch."""
    process = start(store, tmp_path, workers=1)
    printed = wait_for(process, r"batch 1 3")
    process.send_signal(signal.SIGUSR1)
    printed += process.communicate(timeout=20)[0]
    assert process.returncode == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1 in epoch 1" in printed
    assert "resume=true" in printed
    process = start(store, tmp_path)
    rest, _ = process.communicate()
    batches = re.findall(r"batch (\d+) (\d+)", printed + rest)
    assert process.returncode == 0
    assert len(batches) == len(set(batches)) == 24  # every batch once
    assert batches[-1] == ("2", "7")
    assert_ended_like(undisturbed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "signum"),
    [
        ("batch 0 5", signal.SIGTERM),
        ("batch 1 6", signal.SIGINT),
        ("batch 1 7", signal.SIGTERM),
        ("validation 1", signal.SIGTERM),
        ("batch 2 0", signal.SIGUSR1),
    ],
)
def test_it_resumes_exactly_wherever_in_an_epoch_it_was_stopped(
    store, undisturbed, tmp_path, moment, signum, monkeypatch
):
    """In one process. In the last batch of an epoch and in its validation, the batch before is saved."""
    trained = []

    class Stop(killable.Announce):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            trained.append((trainer.current_epoch, batch_idx))
            self.raise_at(f"batch {trainer.current_epoch} {batch_idx}")

        def on_validation_start(self, trainer, pl_module):
            trained.append((trainer.current_epoch, "validation"))
            self.raise_at(f"validation {trainer.current_epoch}")

        @staticmethod
        def raise_at(place):
            if place == moment and stopping:
                signal.raise_signal(signum)

    stopping = True
    monkeypatch.setattr(killable, "Announce", Stop)
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=f"stopped by {signum.name}"):
        killable.train(str(store), str(tmp_path))
    assert signal.getsignal(signum) == before
    stopping = False
    killable.train(str(store), str(tmp_path))
    assert_ended_like(undisturbed, tmp_path)
    repeated = len(trained) - len(set(trained))
    assert repeated == {"batch 1 7": 1, "validation 1": 2}.get(moment, 0)
    assert {place for place in trained if place[1] == "validation"} == {(epoch, "validation") for epoch in range(3)}
