"""Sweeps on this machine, with a stand-in for rim-train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rim_lightning.runs.local import make_slots, run_locally
from rim_lightning.runs.sweep import new_sweep, read_sweep

ROOT = Path(__file__).resolve().parents[3]
LOCAL = {"_target_": "rim_lightning.runs.local.run_locally", "parallel": 1, "gpus_per_job": 0}
COMMAND = [sys.executable, "-m", "tests.helpers.sweep_job"]


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch):
    monkeypatch.chdir(ROOT)


def sweep_of(folder, *jobs, launcher=None):
    sweep = new_sweep(folder, launcher or LOCAL, COMMAND).with_jobs(jobs)
    sweep.write()
    return sweep


def states(sweep):
    return [job.state.name for job in sweep.jobs]


def sweep_command(*arguments):
    return subprocess.Popen([sys.executable, "-m", "tests.helpers.sweep_command", *map(str, arguments)], cwd=ROOT)


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen within 20 s"
        time.sleep(0.02)


def test_a_journal_is_read_as_it_was_written(tmp_path):
    sweep = sweep_of(tmp_path / "sweep", ["value=1", "seed=1"], ["value=2", "seed=2"])
    assert read_sweep(tmp_path / "sweep") == sweep
    assert sweep.command_of(sweep.jobs[1])[-4:] == [
        "value=2",
        "seed=2",
        f"hydra.run.dir={tmp_path / 'sweep' / '1'}",
        "resume=true",
    ]
    with pytest.raises(ValueError, match="holds a sweep already"):
        new_sweep(tmp_path / "sweep", {})
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        read_sweep(tmp_path)


def test_one_crash_does_not_stop_the_others_and_retry_mends_it(tmp_path):
    sweep = sweep_of(tmp_path, ["value=1"], ["value=2", "fail=once"], ["value=3", "fail=early"], ["value=4"])
    run_locally(sweep, sweep.jobs, parallel=2, gpus_per_job=0)
    assert states(sweep) == ["finished", "failed", "failed", "finished"]
    assert sweep.jobs[1].state.message == "RuntimeError: this job fails once"
    assert sweep.jobs[2].state.message == "rim-train: a wrong setting."
    assert "Traceback" in sweep.jobs[1].log.read_text()
    assert sweep_command("retry", tmp_path).wait() == 3  # a part failed
    assert states(sweep) == ["finished", "finished", "failed", "finished"]
    assert [job.state.attempts for job in sweep.jobs] == [1, 2, 2, 1]  # what was finished did not run again


@pytest.mark.slow
def test_a_sweep_killed_with_its_jobs_is_resumed(tmp_path):
    sweep = sweep_of(tmp_path, ["value=1"], ["value=2", "seconds=1.5"], ["value=3"])
    runner = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.sweep_command", "resume", str(tmp_path)],
        cwd=ROOT,
        start_new_session=True,
    )
    wait_until(lambda: states(sweep)[1] == "running")
    runner.kill()
    runner.wait()
    # The job outlives its launcher: a resume does not start it a second time.
    assert states(sweep) == ["finished", "running", "waiting"]
    assert sweep_command("resume", tmp_path).wait() == 0
    assert states(sweep)[0] == states(sweep)[2] == "finished"
    wait_until(lambda: states(sweep)[1] == "finished")
    assert [job.state.attempts for job in sweep.jobs] == [1, 1, 1]
    assert [job.figures["sr/synthetic/psnr_gain_y"] for job in sweep.jobs] == [1, 2, 3]


@pytest.mark.slow
def test_stopping_a_sweep_stops_its_jobs_which_resume_later(tmp_path):
    sweep = sweep_of(tmp_path, ["value=1", "seconds=1"], ["value=2"])
    runner = sweep_command("resume", tmp_path)
    wait_until(lambda: states(sweep)[0] == "running")
    time.sleep(0.2)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait() != 0
    assert states(sweep) == ["interrupted", "waiting"]
    assert sweep_command("resume", tmp_path).wait() == 0
    assert states(sweep) == ["finished", "finished"]
    assert (sweep.jobs[0].folder / "runs.txt").read_text() == "true\ntrue\n"


@pytest.mark.parametrize("action", ["resume", "retry"])
def test_exit_codes_tell_whether_all_some_or_none_finished(tmp_path, action):
    def ended(*jobs):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        sweep_of(folder, *jobs)
        command = [sys.executable, "-m", "tests.helpers.sweep_command", action, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr.strip().rpartition("\n")[2].replace(str(folder), "<sweep>")

    assert ended(["value=1"])[0] == 0
    code, sentence = ended(["value=1"], ["fail=early"], ["value=2", "fail=once"])
    assert code == 3
    assert sentence == (
        "rim-sweep: 2 of 3 jobs did not finish (2 failed). Job 1 failed: rim-train: a wrong setting; its log is "
        "<sweep>/1/log.txt, the others are beside it. To run them again: rim-sweep retry <sweep>"
    )
    code, sentence = ended(["fail=early"], ["fail=kill"])
    assert code == 1
    assert "2 of 2 jobs did not finish (1 failed and 1 killed)" in sentence


def test_a_resumed_sweep_says_what_failed_before(tmp_path):
    sweep = sweep_of(tmp_path, ["value=1"], ["fail=early"])
    run_locally(sweep, sweep.jobs, parallel=2, gpus_per_job=0)
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.sweep_command", "resume", tmp_path],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stdout == "Nothing is left to run.\n"
    assert "1 of 2 jobs did not finish" in done.stderr


def test_a_job_killed_before_it_began_says_by_what(tmp_path):
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    sweep = new_sweep(tmp_path, {}, command).with_jobs([["a"]])
    run_locally(sweep, sweep.jobs, parallel=1, gpus_per_job=0)
    assert sweep.jobs[0].state[:3] == ("failed", 1, "killed by SIGKILL; lack of memory is the usual reason")


@pytest.mark.parametrize("name", ["josé", "a=b", "a,b c", "it's [x] {y}", '"$#', "-x", "a\nb", "a\\"])
def test_the_folder_of_a_sweep_may_have_any_name(tmp_path, name):
    sweep = sweep_of(tmp_path / name, ["value=1"])
    runner = sweep_command("resume", tmp_path / name)
    assert runner.wait() == 0
    assert states(sweep) == ["finished"]


def test_a_folder_that_hydra_would_resolve_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds \"\$\{\", which Hydra reads as a reference"):
        new_sweep(tmp_path / "${now}", {})


def test_cores_and_gpus_are_divided_evenly():
    slots = make_slots(2, 0, range(5), [])
    assert [slot.cores for slot in slots] == [(0, 1), (2, 3)]
    assert not slots[0].gpus
    slots = make_slots(None, 2, range(8), ["0", "1", "2", "3", "4"])
    assert [slot.gpus for slot in slots] == [("0", "1"), ("2", "3")]
    assert len(make_slots(None, 0, range(3), [])) == 3
    with pytest.raises(ValueError, match=r"hydra.launcher.parallel is 9; it must lie in 1..8"):
        make_slots(9, 0, range(8), [])
    with pytest.raises(ValueError, match="asks for more than the 1 GPUs"):
        make_slots(1, 2, range(8), ["0"])


def test_jobs_side_by_side_have_their_own_cores(tmp_path):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("one core")
    command = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"]
    sweep = new_sweep(tmp_path, {}, command).with_jobs([["a"], ["b"]])
    run_locally(sweep, sweep.jobs, parallel=2, gpus_per_job=0)
    assert sweep.environment == {"WANDB_RUN_GROUP": f"{tmp_path.parent.name}/{tmp_path.name}"}
    assert json.loads(sweep.environment_of(sweep.jobs[1])["RIM_SWEEP_JOB"])["number"] == 1
    used = [job.log.read_text().split() for job in sweep.jobs]
    half = len(cores) // 2
    assert {tuple(map(int, each[:-1])) for each in used} <= {tuple(cores[:half]), tuple(cores[half : 2 * half])}
    assert {each[-1] for each in used} == {str(half)}
    assert sorted(os.sched_getaffinity(0)) == cores
