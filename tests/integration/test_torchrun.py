"""rim-train on two processes that torchrun starts, as on several machines."""

import json
import subprocess
import sys

import pytest
import torch

from rim_lightning.commands.train import check_directory
from tests.helpers.stores import small_synthetic_store
from tests.integration.test_breakage import ROOT, SETTINGS, STAGES

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
RANKS = ["trainer.devices=2", "+trainer.strategy=ddp_find_unused_parameters_true"]


def start(*settings):
    command = [*TORCHRUN, "-m", "rim_lightning.commands.train", *SETTINGS, *RANKS, *settings]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_two_processes_share_one_run_and_resume_it(tmp_path):
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=3, hr_size=64).path
    where = [f"hydra.run.dir={tmp_path / 'run'}", f"data.stores.helen={store}", "data.batch_size=2"]
    where += ["evaluation.lfw.root=null", "evaluation.sr.sets=[helen]"]
    for epochs in (1, 2):
        done = start(*where, STAGES.format(epochs), f"evaluate={'true' if epochs == 2 else 'false'}")
        assert done.returncode == 0, done.stderr
        checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
        assert checkpoint["epoch"] == epochs - 1
        # 12 training faces, 2 on each of 2 ranks: three batches an epoch
        assert checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["completed"] == 3 * epochs
        assert (tmp_path / "run" / "csv" / f"version_{epochs - 1}" / "metrics.csv").is_file()
    assert not (tmp_path / "run" / "csv" / "version_2").exists()
    assert json.loads((tmp_path / "run" / "state.json").read_text())["attempts"] == 2
    # The first process has measured the whole test set after the other one had ended.
    assert "sr/helen/psnr_gain_y" in json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (tmp_path / "run" / "report.md").is_file()


@pytest.mark.parametrize("variables", [{"TORCHELASTIC_RUN_ID": "1"}, {"SLURM_NTASKS": "2"}, {"SLURM_NTASKS": "1"}, {}])
def test_processes_that_would_not_agree_on_a_directory_are_refused(variables, monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    given = ["hydra.run.dir=outputs/run"]
    left_to_the_clock: list[str] = []
    check_directory(given)
    if variables in ({}, {"SLURM_NTASKS": "1"}):
        check_directory(left_to_the_clock)
    else:
        with pytest.raises(ValueError, match=r"add hydra.run.dir=<directory> to the command, the same for all"):
            check_directory(left_to_the_clock)
