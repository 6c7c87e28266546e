"""A run that is killed or asked to stop at any moment ends as if nothing had happened, bit for bit."""

import json
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

from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.signals import SIGNALS, Interrupted
from rim_lightning.runs.state import read_state
from rim_lightning.training import run, teacher
from tests.helpers import killable
from tests.helpers.commands import run_here
from tests.helpers.configurations import training_configuration
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


# The smallest run with a teacher of its own.
TAUGHT = [
    "experiment=demo",
    "data.people=12",
    "data.splits={train: 0.5, val: 0.25, test: 0.25}",
    "data.views=2",
    "data.batch_size=4",
    "workers=0",
    "teacher.epochs=1",
    "schedule.stages=[{name: fhn, epochs: 1}, {name: hrn, epochs: 1}]",
    "evaluation.verification_pairs=8",
    "evaluate=false",
    "trainer.precision=32-true",
    "threads=1",
    "+trainer.enable_progress_bar=false",
    "~callbacks.progress",
]


def taught_configuration(prepared, folder, *overrides):
    return training_configuration([*TAUGHT, f"paths.prepared_dir={prepared}", f"paths.output_dir={folder}", *overrides])


def assert_same_checkpoint(folder, other):
    first, second = (torch.load(path / "checkpoints" / "last.ckpt", weights_only=True) for path in (folder, other))
    for part in ("state_dict", "current_model_state"):
        assert first[part].keys() == second[part].keys()
        different = [name for name in first[part] if not torch.equal(first[part][name], second[part][name])]
        assert not different, (part, different[:5])


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """An undisturbed run that trained its own teacher: folder of the prepared faces, folder of the run."""
    folder = tmp_path_factory.mktemp("taught")
    run.train(taught_configuration(folder / "prepared", folder / "run"))
    return folder / "prepared", folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["build_module", "_fit"])
def test_killed_after_its_teacher_was_trained_it_ends_bit_for_bit_alike(taught, tmp_path, moment, monkeypatch):
    """The resumed run skips the teacher; nothing that the teacher drew may be missed by the other networks."""
    prepared, undisturbed = taught
    own = f"paths.teachers_dir={tmp_path / 'teachers'}"  # it trains its teacher, it does not take the kept one

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, moment, die)
        with pytest.raises(KeyboardInterrupt):
            run.train(taught_configuration(prepared, tmp_path / "run", own))
    assert (tmp_path / "run" / "teacher.pt").is_file()
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    run.train(taught_configuration(prepared, tmp_path / "run", own, "resume=true"))
    assert_same_checkpoint(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("place", ["prepare_missing", "TeacherModule.training_step", "build_module"])
def test_a_signal_before_the_training_ends_the_run_at_once_and_says_how_to_resume(
    taught, tmp_path, monkeypatch, signum, place
):
    """Lightning would end the training of the teacher with exit code 0, or 1 without a word."""
    owner = teacher.TeacherModule if "." in place else run
    monkeypatch.setattr(owner, place.rpartition(".")[2], lambda *_, **__: signal.raise_signal(signum))
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=f"^stopped by {signum.name}; .*: `rim-train resume=true"):
        run.train(taught_configuration(taught[0], tmp_path / "run", f"paths.teachers_dir={tmp_path / 'teachers'}"))
    assert signal.getsignal(signum) == before
    assert read_state(tmp_path / "run").name == "interrupted"
    assert RunFolder(tmp_path / "run").origin.is_file()  # else the command of the message would not know its settings


@pytest.mark.slow
def test_a_teacher_that_another_run_kept_gives_bit_for_bit_what_training_it_gives(taught, tmp_path, capsys):
    prepared, undisturbed = taught
    run.train(taught_configuration(prepared, tmp_path / "run"))
    assert "Teacher taken from" in capsys.readouterr().out
    assert (tmp_path / "run" / "teacher.json").read_bytes() == (undisturbed / "teacher.json").read_bytes()
    assert_same_checkpoint(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_teacher_of_the_run_is_made_anew(taught, tmp_path, capsys, share):
    prepared, undisturbed = taught
    weights = (undisturbed / "teacher.pt").read_bytes()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "teacher.pt").write_bytes(weights[: int(share * len(weights))])
    run.train(taught_configuration(prepared, tmp_path / "run", "resume=true"))
    assert f"{tmp_path / 'run' / 'teacher.pt'} is damaged" in capsys.readouterr().out
    assert (tmp_path / "run" / "teacher.pt").read_bytes() == weights
    assert_same_checkpoint(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_faces_that_are_there_already_change_nothing(taught, tmp_path):
    """The undisturbed run painted the faces; this one finds them, and a third one paints them again."""
    run.train(taught_configuration(tmp_path / "prepared", tmp_path / "run"))
    assert_same_checkpoint(tmp_path / "run", taught[1])


@pytest.mark.slow
def test_a_trial_of_a_few_batches_reaches_the_teacher_and_leaves_nothing_that_a_run_would_take(taught, tmp_path):
    prepared, undisturbed = taught
    teachers = sorted((prepared / "teachers").iterdir())
    settings = ["teacher.epochs=50", "trainer.fast_dev_run=true"]  # the teacher alone would take minutes
    run.train(taught_configuration(prepared, tmp_path / "run", *settings))
    assert sorted((prepared / "teachers").iterdir()) == teachers
    for name in ("teacher.pt", "checkpoints", "metrics.json"):
        assert not (tmp_path / "run" / name).exists()
    run.train(taught_configuration(prepared, tmp_path / "run", "resume=true"))
    assert_same_checkpoint(tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_a_finished_run_that_is_resumed_holds_the_averaged_weights(taught, monkeypatch):
    """No batch is left; validation and figures must be those of the average, which `last.ckpt` holds."""
    prepared, folder = taught
    modules, figures = [], json.loads((folder / "metrics.json").read_text())
    build = run.build_module
    monkeypatch.setattr(run, "build_module", lambda *arguments: modules.append(build(*arguments)) or modules[-1])
    run.train(taught_configuration(prepared, folder, "resume=true"))
    assert json.loads((folder / "metrics.json").read_text()) == figures
    assert "train/student/loss" in figures
    average = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    (module,) = modules
    different = [name for name, value in module.state_dict().items() if not torch.equal(value, average[name])]
    assert not different, different[:5]


def rim_train(folder, *overrides):
    return run_here("train", *overrides, f"hydra.run.dir={folder}")


@pytest.mark.slow
def test_a_run_is_resumed_with_its_own_settings_or_not_at_all(tmp_path):
    """By the command: a refusal touches no file of the finished run; without settings it takes the kept ones."""
    folder, prepared = tmp_path / "run", f"paths.prepared_dir={tmp_path / 'prepared'}"
    assert rim_train(folder, *TAUGHT, prepared).returncode == 0

    def content():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}

    before = content()
    for overrides, sentence in (
        ([*TAUGHT, prepared, "resume=true", "data.batch_size=2"], "data.batch_size was 4 and is now 2"),
        (["resume=true", "seed=1", "optim.clip=3"], "optim.clip was 10.0 and is now 3; seed was 0 and is now 1"),
        (["resume=true", "data.people=13"], "data.people was 12 and is now 13"),  # only the run's own data have it
        (["resume=true", "experiment=real_128"], "was started with other settings"),
        ([*TAUGHT, prepared], "holds a run already"),
        (["resume=true", "optimized_metric=nonsense"], 'optimized_metric is "nonsense", which no run'),
        (["resume=true", "callbacks.best.monitor=val/nonsense"], 'callbacks.best.monitor is "val/nonsense"'),
        (["resume=true", "evaluate=true", "evaluation.probe_sizes=[500]"], "evaluation.probe_sizes has 500 px"),
    ):
        done = rim_train(folder, *overrides)
        assert done.returncode == 1
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
        assert content() == before
    done = rim_train(folder, "resume=true", "schedule.stages=[{name: fhn, epochs: 1}, {name: hrn, epochs: 2}]")
    assert done.returncode == 0, done.stderr
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    done = rim_train(folder, "resume=true")  # the longer schedule is kept, too
    assert done.returncode == 0, done.stderr
    assert "Resuming with the kept settings: experiment=demo" in done.stdout


@pytest.mark.slow
def test_a_command_that_does_not_say_what_to_train_is_told_where_to_begin(tmp_path):
    for overrides in ([], ["resume=true"]):
        done = rim_train(tmp_path / "run", *overrides)
        assert done.returncode == 1
        assert "`rim-train experiment=demo` needs no data" in done.stderr
