"""A search by Optuna: it learns from its jobs, bears failed ones, and resumes where it was stopped."""

from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.rim_search import distribution
from rim_lightning.commands import sweep as command
from rim_lightning.runs.state import only_process
from tests.helpers.commands import run_here


def search(folder, *settings):
    stand_in = "hydra.launcher.function=tests.helpers.search_jobs.run_parabola"
    common = ["-m", "experiment=demo", "hydra/sweeper=search", "optim.clip=interval(0.1,4)", stand_in]
    return run_here("train", *common, f"hydra.sweep.dir={folder}", *settings)


@pytest.mark.slow
def test_a_search_learns_bears_failures_and_resumes(tmp_path):
    metric = "optimized_metric=val/psnr_gain"
    whole = search(tmp_path / "whole", metric, "hydra.sweeper.n_trials=12")
    assert whole.returncode == 3, whole.stderr
    best = OmegaConf.load(tmp_path / "whole" / "optimization_results.yaml")
    ran = (tmp_path / "whole" / "ran.txt").read_text().splitlines()
    assert len(ran) == 12
    clips = [float(line.split()[1]) for line in ran]
    assert any(clip > 3 for clip in clips)  # some jobs failed
    succeeded = {clip: -((clip - 2) ** 2) for clip in clips if clip <= 3}
    assert (best.best_params["optim.clip"], best.best_value) == max(succeeded.items(), key=lambda item: item[1])
    assert clips[best.best_job] == best.best_params["optim.clip"]
    assert f"by job {best.best_job}: optim.clip=" in whole.stdout
    assert f"{12 - len(succeeded)} of 12 jobs of the search failed" in whole.stderr

    assert search(tmp_path / "part", metric, "hydra.sweeper.n_trials=6").returncode in (0, 3)
    (tmp_path / "part" / "2" / "metrics.json").write_text('{"val/psnr_gain": 100.0}')  # as if it had been retried
    assert search(tmp_path / "part", metric, "hydra.sweeper.n_trials=12").returncode == 3
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


@pytest.mark.slow
def test_a_search_whose_jobs_all_fail_does_not_end_with_0(tmp_path):
    done = search(tmp_path, "optimized_metric=val/psnr_gain", "optim.clip=interval(3.1,4)", "hydra.sweeper.n_trials=2")
    assert done.returncode == 1
    assert "rim-train: 2 of 2 jobs of the search failed" in done.stderr
    assert "Traceback" not in done.stderr
    strict = ["hydra.sweeper.max_failure_rate=0", f"hydra.sweep.dir={tmp_path / 'strict'}"]
    done = search(tmp_path, "optimized_metric=val/psnr_gain", "optim.clip=interval(3.1,4)", *strict)
    assert done.returncode == 1
    assert "1 of 1 jobs failed at once" in done.stderr
    assert not (tmp_path / "strict" / "1").exists()


@pytest.mark.slow
def test_a_search_of_two_figures_in_batches_is_kept_in_a_storage(tmp_path):
    """The figures oppose each other below 2: whoever has the larger one there has the smaller other one."""
    settings = [
        "optimized_metric=[val/psnr_gain,val/clip]", "hydra.sweeper.direction=[maximize,minimize]",
        "optim.clip=0.5,1,1.5",
        "hydra.sweeper.n_jobs=2", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=null",
        f"hydra.sweeper.storage=sqlite:///{tmp_path / 'search.db'}",
    ]  # fmt: skip
    done = search(tmp_path, *settings, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    before = (tmp_path / "ran.txt").read_text().splitlines()
    assert len(before) == 3
    done = search(tmp_path, *settings, "hydra.sweeper.n_trials=5")  # without a seed, by the storage alone
    assert done.returncode == 0, done.stderr
    ran = (tmp_path / "ran.txt").read_text().splitlines()
    assert ran[:3] == before
    assert [line.split()[0] for line in ran] == ["0", "1", "2", "3", "4"]
    results = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert {trial.params["optim.clip"] for trial in results.solutions} == {float(line.split()[1]) for line in ran}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["optim.clip=1"], "A search needs settings to vary"),
        (["hydra.sweeper.direction=up"], "hydra.sweeper.direction is up; give maximize or minimize"),
        (["hydra.sweeper.n_trials=0"], "must be 1 or more"),
    ],
)
def test_wrong_settings_of_a_search_are_one_sentence(tmp_path, settings, sentence):
    done = search(tmp_path, "optimized_metric=val/psnr_gain", *settings)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("values", "low", "high", "step", "log"),
    [
        ("interval(0.1,4)", 0.1, 4.0, None, False),
        ("tag(log,interval(1e-4,1e-2))", 1e-4, 1e-2, None, True),
        ("int(interval(1,9))", 1, 9, 1, False),
        ("range(1,10)", 1, 9, 1, False),  # as elsewhere in Hydra, without its end
        ("range(0,10,3)", 0, 9, 3, False),
    ],
)
def test_numbers_are_searched_in_their_range(values, low, high, step, log):
    found = distribution(OverridesParser.create().parse_override(f"x={values}"))
    assert (found.low, found.high, found.step, found.log) == (low, high, step, log)


@pytest.mark.parametrize(
    ("values", "choices"),
    [
        ("a,b", ["a", "b"]),
        ("1,null,true", ["1", "null", "true"]),
        ("'a b','c=d'", ["'a b'", "'c=d'"]),
        ("[1,2],{a: 1}", ["[1,2]", "{a:1}"]),
        ("range(1,0,-0.5)", ["1.0", "0.5"]),
    ],
)
def test_a_choice_is_its_own_text(values, choices):
    """Any value of Hydra can be a choice: what the job gets is read back as that value."""
    parser = OverridesParser.create()
    found = distribution(parser.parse_override(f"x={values}")).choices
    read = [parser.parse_override(f"x={choice}").value() for choice in found]
    assert [str(value) for value in read] == [str(parser.parse_override(f"x={choice}").value()) for choice in choices]


@pytest.mark.slow
def test_only_one_process_runs_a_sweep(tmp_path):
    folder = tmp_path / "sweep"
    with only_process(folder):
        done = search(folder, "optimized_metric=val/psnr_gain", "hydra.sweeper.n_trials=2")
    assert done.returncode == 1
    assert done.stderr == (
        f"rim-train: Another process runs in {folder}: wait for it or stop it, or choose another directory.\n"
    )


def test_only_one_process_resumes_a_sweep(tmp_path):
    job = SimpleNamespace(state=SimpleNamespace(name="waiting"))
    sweep = SimpleNamespace(
        folder=tmp_path, jobs=[job], launcher=None, check_runnable=lambda: None, check_launcher=lambda: None
    )
    with only_process(tmp_path), pytest.raises(ValueError, match=f"^Another process runs in {tmp_path}: wait for it"):
        command._resume(sweep, command.UNFINISHED)
