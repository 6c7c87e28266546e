"""A sweep on disk, of this version and of others."""

import json
import sys

import pytest

from rim_lightning.runs.state import record_run
from rim_lightning.runs.sweep import FORMAT, new_sweep, read_sweep
from tests.helpers.commands import run_here

LAUNCHER = {"_target_": "rim_lightning.runs.local.run_locally", "parallel": 1, "gpus_per_job": 0}
VERSION_0_1 = {
    "command": [sys.executable, "-m", "rim_lightning.train"],
    "launcher": {
        "_target_": "rim_lightning.sweeps.local.run_locally", "_convert_": "all", "parallel": 1, "gpus_per_job": 0,
    },
    "jobs": [
        {"index": 0, "overrides": ["experiment=demo", "alternation=sequential", "seed=1"]},
        {"index": 1, "overrides": ["experiment=demo", "alternation=sequential", "seed=2"]},
    ],
}  # fmt: skip


@pytest.fixture
def old(tmp_path):
    """The folder of a sweep as version 0.1 left it: the first job finished, the second never ran."""
    (tmp_path / "sweep.json").write_text(json.dumps(VERSION_0_1))
    with record_run(tmp_path / "0"):
        (tmp_path / "0" / "metrics.json").write_text('{"val/psnr_gain": 1.25}')
    return tmp_path


def rim_sweep(action, folder):
    return run_here("sweep", action, folder)


def test_a_sweep_of_version_0_1_is_read(old):
    sweep = read_sweep(old)
    assert sweep.format == 1
    assert sweep.command[-1] == "rim_lightning.train"
    assert [job.state.name for job in sweep.jobs] == ["finished", "waiting"]
    assert sweep.jobs[0].figures == {"val/psnr_gain": 1.25}
    shown = rim_sweep("status", old)
    assert shown.returncode == 0, shown.stderr
    assert "0    finished  1         1" in shown.stdout
    shown = rim_sweep("table", old)
    assert shown.returncode == 0, shown.stderr
    assert "0    finished  1         1     1.25" in shown.stdout
    assert (old / "table.csv").read_text().splitlines()[1] == "0,finished,1,1,1.25"


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_a_sweep_of_version_0_1_is_not_run(old, action):
    done = rim_sweep(action, old)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"rim-sweep: The sweep in {old} was made by version 0.1" in done.stderr
    assert "Start a new sweep with rim-train -m and another hydra.sweep.dir." in done.stderr
    assert not (old / "1").exists()
    assert json.loads((old / "sweep.json").read_text()) == VERSION_0_1


def test_a_sweep_of_a_newer_version_is_refused(tmp_path):
    (tmp_path / "sweep.json").write_text(json.dumps(VERSION_0_1 | {"format": FORMAT + 1}))
    with pytest.raises(ValueError, match=f"has format {FORMAT + 1}: a newer version wrote it"):
        read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", " is damaged, it is no JSON file"),
        ("[]", " holds no names and values"),
        ("{}", " has no command: give the directory of a sweep"),
        ('{"jobs": [1], "command": [], "launcher": {}}', ": jobs[0] is 1; "),
    ],
)
def test_a_foreign_or_damaged_journal_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "sweep.json").write_text(content)
    for action in ("status", "table"):
        done = rim_sweep(action, tmp_path)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"rim-sweep: {tmp_path / 'sweep.json'}{sentence}" in done.stderr


def test_the_format_is_written(tmp_path):
    new_sweep(tmp_path / "sweep", LAUNCHER).write()
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["format"] == FORMAT
    read_sweep(tmp_path / "sweep").check_runnable()


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("command", ["touch", "stolen"], "starts `touch stolen`, which is not rim-train"),
        ("command", ["python", "-c", "print()"], "which is not rim-train"),
        ("command", ["python", "-m", "rim_lightning.commands.train", "--config-path", "x"], "which is not rim-train"),
        ("launcher", {"_target_": "os.system", "command": "touch stolen"}, "has the launcher os.system"),
        ("launcher", {}, "has the launcher None"),
    ],
)
def test_a_sweep_of_somebody_else_runs_nothing_but_rim_train(tmp_path, key, value, sentence):
    new_sweep(tmp_path, LAUNCHER).with_jobs([["seed=1"]]).write()
    content = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps(content | {key: value}))
    done = rim_sweep("resume", tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / "0").exists()


def test_a_job_runs_in_the_python_of_now(tmp_path):
    """A file that was copied from another machine names the Python of that one."""
    sweep = new_sweep(tmp_path, LAUNCHER, config_dir=str(tmp_path)).with_jobs([["seed=1"]])
    elsewhere = sweep._replace(command=("/elsewhere/python", *sweep.command[1:]))
    elsewhere.check_runnable()
    assert elsewhere.command_of(sweep.jobs[0])[:5] == [sys.executable, *sweep.command[1:]]
