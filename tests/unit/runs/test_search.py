"""A search by Optuna: it learns from its jobs, bears failed ones, and resumes where it was stopped."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[3]


def search(folder, *settings):
    command = [
        *(sys.executable, "-m", "rim_lightning.commands.train", "-m", "experiment=demo", "hydra/sweeper=search"),
        *("optim.clip=interval(0.1,4)", "hydra.launcher.function=tests.helpers.search_jobs.run_parabola"),
        f"hydra.sweep.dir={folder}",
    ]
    return subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_a_search_learns_bears_failures_and_resumes(tmp_path):
    metric = "optimized_metric=val/psnr_gain"
    whole = search(tmp_path / "whole", metric, "hydra.sweeper.n_trials=12")
    assert whole.returncode == 0, whole.stderr
    best = OmegaConf.load(tmp_path / "whole" / "optimization_results.yaml")
    ran = (tmp_path / "whole" / "ran.txt").read_text().splitlines()
    assert len(ran) == 12
    clips = [float(line.split()[1]) for line in ran]
    assert any(clip > 3 for clip in clips)  # some jobs failed
    succeeded = {clip: -((clip - 2) ** 2) for clip in clips if clip <= 3}
    assert (best.best_params["optim.clip"], best.best_value) == max(succeeded.items(), key=lambda item: item[1])

    assert search(tmp_path / "part", metric, "hydra.sweeper.n_trials=6").returncode == 0
    (tmp_path / "part" / "2" / "metrics.json").write_text('{"val/psnr_gain": 100.0}')  # as if it had been retried
    assert search(tmp_path / "part", metric, "hydra.sweeper.n_trials=12").returncode == 0
    assert (tmp_path / "part" / "ran.txt").read_text().splitlines() == ran  # every job once, and the same ones
    other = search(tmp_path / "part", metric, "hydra.sweeper.n_trials=12", "hydra.sweeper.sampler.seed=1")
    assert other.returncode == 1
    assert "this search asks for" in other.stderr
    assert "Traceback" not in other.stderr


@pytest.mark.slow
def test_a_search_needs_to_know_what_to_optimize(tmp_path):
    done = search(tmp_path)
    assert done.returncode == 1
    assert "A search needs optimized_metric" in done.stderr
    assert "Traceback" not in done.stderr
