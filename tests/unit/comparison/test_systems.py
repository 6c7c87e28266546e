"""Keys of runs, choice of the learning rate, and who has to be trained before whom."""

import json

import pytest
from hydra import initialize_config_dir

from rim_lightning.comparison.systems import Grid, NotTrained, Plan, System
from rim_lightning.config_path import CONF_DIR
from rim_lightning.run_state import write_whole

COMMON = ("data=drawn", "model=tiny", "sources={}", "teacher.weights=null", "evaluate=false")
SYSTEMS = {
    "coarse": System("coarse", "hallucination", "coarse"),
    "fhn": System("fhn", "hallucination", "fhn", seeds=(0, 1)),
    "rim": System("rim", "recognition", "rim", after="fhn", seeds=(0, 1)),
    "rim_cosine": System(
        "rim_cosine", "recognition", "rim", ("objective.stages.kind=cosine",), after="fhn", rate_of="rim"
    ),
    "arcface": System("arcface", "recognition", "arcface"),
    "taught": System("taught", "recognition", "distillation", teacher_of="arcface"),
}
GRIDS = {
    "hallucination": Grid(("optim.optimizers.hallucination.lr",), (1e-3, 3e-3), ("val/psnr_gain",)),
    "recognition": Grid(("optim.optimizers.student.lr",), (3e-4,), ("val/rim/accuracy",)),
}


@pytest.fixture(autouse=True)
def hydra():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        yield


def plan_of(folder, common=COMMON, budget=8.0, systems=SYSTEMS):
    return Plan(systems, GRIDS, common, budget, 0.5, 0.25, folder)


def finish(run, **figures):
    run.folder.mkdir(parents=True)
    write_whole(run.folder / "state.json", {"name": "finished", "attempts": 1})
    (run.folder / "metrics.json").write_text(json.dumps(figures))


def fail(run):
    run.folder.mkdir(parents=True)
    write_whole(run.folder / "state.json", {"name": "failed", "attempts": 1, "message": "NonFiniteLoss: at batch 3"})


def test_minutes_of_rim_contain_those_of_its_hallucination_network(tmp_path):
    plan = plan_of(tmp_path)
    minutes = {name: plan.minutes(system) for name, system in SYSTEMS.items()}
    assert minutes == {"coarse": 4.0, "fhn": 4.0, "rim": 4.0, "rim_cosine": 4.0, "arcface": 8.0, "taught": 8.0}
    assert minutes["fhn"] + minutes["rim"] == minutes["arcface"]


def test_the_best_trial_on_validation_faces_chooses_the_rate(tmp_path):
    plan = plan_of(tmp_path)
    trials = plan.trials("coarse")
    assert list(trials) == [1e-3, 3e-3] and all("budget=1" in run.overrides for run in trials.values())
    with pytest.raises(NotTrained, match="coarse, seed 0, trial of learning rate 0.001"):
        plan.rate("coarse")
    finish(trials[1e-3], **{"val/psnr_gain": 1.0})
    finish(trials[3e-3], **{"val/psnr_gain": 1.2})
    assert plan.rate("coarse") == 3e-3
    (run,) = plan.runs("coarse")
    assert "optim.optimizers.hallucination.lr=0.003" in run.overrides and "budget=4" in run.overrides


def test_a_trial_that_failed_is_not_chosen_and_all_of_them_are_an_error(tmp_path):
    plan = plan_of(tmp_path)
    trials = plan.trials("coarse")
    fail(trials[3e-3])
    finish(trials[1e-3], **{"val/psnr_gain": 1.0})
    assert plan.rate("coarse") == 1e-3
    other = plan_of(tmp_path / "other")
    for run in other.trials("coarse").values():
        fail(run)
    with pytest.raises(ValueError, match="Every trial of coarse failed, the last one with: NonFiniteLoss"):
        other.rate("coarse")


def test_a_system_starts_from_the_run_of_its_seed(tmp_path):
    plan = plan_of(tmp_path)
    for run in plan.trials("fhn").values():
        finish(run, **{"val/psnr_gain": 1.0})
    first, second = plan.runs("fhn")
    with pytest.raises(NotTrained, match="fhn, seed 0"):
        plan.runs("rim")
    finish(first)
    finish(second)
    rims = plan.runs("rim")
    assert [
        f"start_from={before.checkpoint}" in run.overrides for before, run in zip((first, second), rims, strict=True)
    ]
    assert rims[0].key != rims[1].key
    (cosine,) = plan.runs("rim_cosine")
    assert f"start_from={first.checkpoint}" in cosine.overrides and cosine.key not in {run.key for run in rims}


def test_a_trained_recogniser_becomes_the_teacher(tmp_path):
    plan = plan_of(tmp_path)
    (teacher,) = plan.runs("arcface")
    with pytest.raises(NotTrained, match="arcface, seed 0"):
        plan.runs("taught")
    finish(teacher)
    (taught,) = plan.runs("taught")
    assert f"teacher.weights={{weight_format: rim_train, path: {teacher.checkpoint}}}" in taught.overrides
    moved = plan_of(tmp_path / "elsewhere")
    finish(moved.runs("arcface")[0])
    assert moved.runs("taught")[0].key == taught.key  # wherever the results are


def test_a_key_knows_what_decides_the_outcome_and_nothing_else(tmp_path):
    def key(common=COMMON, budget=8.0, systems=SYSTEMS):
        return plan_of(tmp_path, common, budget, systems).trials("coarse")[1e-3].key

    own = key()
    same = ("threads=1", "workers=0", "logger.csv.name=other", "name=other", "verification_pairs=7")
    for setting in same:
        assert key((*COMMON, setting)) == own, setting
    others = ("data.people=30", "probe_sizes.low=9", "trainer.precision=32-true", "optim.clip=2.0", "model=small")
    keys = [key((*COMMON, setting)) for setting in others]
    keys.append(key(budget=9.0))
    keys.append(key(systems={"coarse": System("coarse", "hallucination", "coarse", seeds=(5,))}))
    assert len({own, *keys}) == 1 + len(keys)
