"""Jobs handed to submitit, which runs them on this machine here as it would on a cluster."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from rim_lightning.runs import slurm
from rim_lightning.runs.slurm import ClusterJob, submit
from rim_lightning.runs.sweep import new_sweep

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "tests.helpers.sweep_job"]


@pytest.mark.slow
def test_jobs_are_queued_run_and_waited_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    sweep = new_sweep(tmp_path, {}, COMMAND).with_jobs([["value=1"], ["value=2", "fail=once"]])
    one_core = {"partition": None, "nodes": 1, "gpus": 0, "cores_per_gpu": 1, "memory": None, "parallel": 2}
    submit(sweep, sweep.jobs, minutes=5, wait=True, cluster="local", **one_core)
    assert [job.state.name for job in sweep.jobs] == ["finished", "failed"]
    assert sweep.jobs[0].figures["sr/synthetic/psnr_gain_y"] == 1
    assert "Traceback" in sweep.jobs[1].log.read_text()
    assert "job 1 is queued as" in capsys.readouterr().out


def test_a_preempted_job_saves_and_is_queued_again_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    sweep = new_sweep(tmp_path, {}, COMMAND).with_jobs([["value=1", "seconds=30"]])
    (job,) = sweep.jobs
    running = ClusterJob(sweep.command_of(job), sweep.environment, job.log)
    job.folder.mkdir()
    running.process = subprocess.Popen(running.command)
    end = time.monotonic() + 20
    while job.state.name != "running" and time.monotonic() < end:
        time.sleep(0.02)
    again = running.checkpoint()
    assert job.state.name == "interrupted"
    assert again.function.command == running.command
    assert again.function.process is None


def test_a_machine_without_slurm_is_no_cluster(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    sweep = new_sweep(tmp_path, {}, COMMAND).with_jobs([["value=1"]])
    options = {"partition": None, "nodes": 1, "gpus": 0, "cores_per_gpu": 1, "memory": None, "parallel": 2}
    with pytest.raises(ValueError, match=r"launcher=slurm finds no SLURM here \(no sbatch\)"):
        submit(sweep, sweep.jobs, minutes=5, wait=True, **options)
    assert sweep.jobs[0].state.name == "waiting"
