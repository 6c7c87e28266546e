"""Sweeps and speed tables of real jobs, in folders whose names Hydra's grammar would not read."""

import json
import os
import subprocess
import sys

import pytest

TINY = [
    *("experiment=demo", "data.people=24", "data.views=4", "data.batch_size=16", "model.hr_size=64", "workers=0"),
    *("data.splits={train: 0.6, val: 0.2, test: 0.2}", "teacher=random", "evaluate=false", "trainer=cpu"),
    *("schedule.stages=[{name: fhn, epochs: 1}]", "trainer.precision=32-true", "threads=1"),
]


def ended(folder, command, *settings, **environment):
    done = subprocess.run(
        [sys.executable, "-m", f"rim_lightning.commands.{command}", *settings],
        cwd=folder, capture_output=True, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.mark.slow
def test_a_sweep_and_a_speed_table_in_a_folder_of_any_name(tmp_path):
    """All characters in one name; `tests/unit/runs/test_local.py` has each in a name of its own, with small jobs."""
    folder = tmp_path / "jos\u00e9 a=b it's [x], {y} $z #1"
    folder.mkdir()
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = ended(folder, "train", "-m", *TINY, "seed=1,2", "hydra.sweep.dir=multirun", **ascii_only)
    assert done.returncode == 0, done.stderr
    for job in ("0", "1"):
        assert json.loads((folder / "multirun" / job / "state.json").read_text())["name"] == "finished"
    (folder / "multirun" / "1" / "state.json").unlink()  # as if it had never run
    done = ended(folder, "sweep", "resume", "multirun")
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "multirun" / "1" / "state.json").read_text())["name"] == "finished"
    done = ended(folder, "sweep", "table", "multirun")
    assert done.returncode == 0, done.stderr
    done = ended(
        folder, "speed", 'rows=["model=tiny", "model=tiny probes=nonsense"]', "steps=1", "epochs=1", "hr_size=64",
        "lr_size=8", "hydra.run.dir=speed", **ascii_only,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "rim-speed: 1 of 3 rows could not be measured" in done.stderr
    first, second, _ = json.loads((folder / "speed" / "speed.json").read_text())
    assert first["pairs_per_s"] > 0
    assert "nonsense" in second["failed"]


@pytest.mark.slow
def test_a_sweep_whose_jobs_fail_does_not_end_with_0(tmp_path):
    both = ended(tmp_path, "train", "-m", *TINY, "seed=1,2", "start_from=nowhere.ckpt", "hydra.sweep.dir=both")
    assert both.returncode == 1
    assert "rim-train: 2 of 2 jobs did not finish (2 failed)" in both.stderr
    assert str(tmp_path / "both" / "0" / "log.txt") in both.stderr
    settings = ["start_from=nowhere.ckpt,null", "hydra.sweep.dir=one", "hydra.sweeper.max_batch_size=1"]
    one = ended(tmp_path, "train", "-m", *TINY, *settings)
    assert one.returncode == 3
    assert "rim-train: 1 of 2 jobs did not finish" in one.stderr
    retried = ended(tmp_path, "sweep", "retry", "one")
    assert retried.returncode == 3
    nothing = ended(tmp_path, "speed", 'rows=["model=nonsense"]', "hydra.run.dir=speed")
    assert nothing.returncode == 1
    assert "2 of 2 rows could not be measured" in nothing.stderr
