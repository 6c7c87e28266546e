"""Every command runs where there are no `fcntl`, `resource`, `select.poll` and no signals of Unix, as on Windows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rim_lightning.runs.state import read_state
from tests.helpers.stores import small_synthetic_store
from tests.integration.test_cli import model_folder

ROOT = Path(__file__).resolve().parents[2]
OTHER_SYSTEM = ROOT / "tests" / "helpers" / "other_system"
EXAMPLE = [str(ROOT / "docs" / "example" / name) for name in ("probe.png", "portrait.png")]
COMMANDS = ["rim", "train", "eval", "prepare", "pack", "embed", "compare", "speed", "sweep"]


def run(folder, command, *words):
    """Run a command, and the processes that it starts, on such a system."""
    module = "rim_lightning" if command == "rim" else f"rim_lightning.commands.{command}"
    search = [str(OTHER_SYSTEM), str(ROOT / "src"), *(entry for entry in sys.path if entry)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "1"}
    call = [sys.executable, "-W", "ignore", "-m", module, *map(str, words)]
    return subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def succeed(*call, codes=(0,)):
    done = run(*call)
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


def test_the_system_is_another_one(tmp_path):
    code = "import fcntl"
    environment = os.environ | {"PYTHONPATH": str(OTHER_SYSTEM)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "ModuleNotFoundError: import of fcntl halted" in done.stderr


def test_a_signal_that_a_system_lacks_stops_no_run():
    code = (
        "import signal; del signal.SIGUSR1; from rim_lightning.runs.signals import SIGNALS; print(*map(int, SIGNALS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "15"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, tmp_path):
    assert command in succeed(tmp_path, command, "--help").lower()


@pytest.mark.slow
def test_the_commands_of_users(tmp_path):
    model = model_folder(tmp_path / "model")
    verify = ("rim", "verify", "-m", model, *EXAMPLE, "--aligned", "--far", "1e-2")
    assert "of 100 strangers would pass" in succeed(tmp_path, *verify, codes=(0, 1))
    assert json.loads(succeed(tmp_path, "rim", "info", model, "--json"))["architecture"]["name"] == "rim"
    store = small_synthetic_store(tmp_path / "store", people=6, views=2, hr_size=32)
    succeed(tmp_path, "pack", store.path, tmp_path / "packed")
    assert "faces written" in succeed(tmp_path, "rim", "hallucinate", "-m", model, EXAMPLE[0], "out.png", "--aligned")


@pytest.mark.slow
def test_a_sweep_of_trainings(tmp_path):
    settings = ["experiment=demo", "trainer=cpu", "workers=0", "seed=1,2", "hydra.sweep.dir=sweep"]
    settings += ["trainer.fast_dev_run=true", "paths.prepared_dir=prepared", "data.people=40"]
    succeed(tmp_path, "train", "-m", *settings)
    assert [read_state(tmp_path / "sweep" / job).name for job in "01"] == ["finished", "finished"]
    assert succeed(tmp_path, "sweep", "status", "sweep").count("finished") == 2
