"""Keys of runs, choice of the learning rate, and who has to be trained before whom."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from rim_lightning.comparison.plan.plan import NotTrained, Plan, Run
from rim_lightning.comparison.plan.systems import Allowance, Grid, System
from rim_lightning.files import write_json
from rim_lightning.runs.folder import RunFolder
from rim_lightning.training.run import check_together
from tests.helpers.configurations import configuration, training_configuration

COMMON = ("data=synthetic", "model=tiny", "sources={}", "teacher.weights=null", "evaluate=false")
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


def plan_of(folder, common=COMMON, budget=8.0, systems=SYSTEMS, kind="budget"):
    return Plan(systems, GRIDS, common, Allowance(kind, budget), 0.5, 0.25, folder, training_configuration)


def finish(run, weights="", **figures):
    run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    run.checkpoint.write_text(weights or run.title)
    write_json(run.folder.state, {"name": "finished", "attempts": 1})
    run.folder.metrics.write_text(json.dumps(figures))


def fail(run):
    run.folder.path.mkdir(parents=True)
    write_json(run.folder.state, {"name": "failed", "attempts": 1, "message": "NonFiniteLoss: at batch 3"})


def test_minutes_of_rim_contain_those_of_its_hallucination_network(tmp_path):
    plan = plan_of(tmp_path)
    minutes = {name: plan.amount(system) for name, system in SYSTEMS.items()}
    assert minutes == {"coarse": 4.0, "fhn": 4.0, "rim": 4.0, "rim_cosine": 4.0, "arcface": 8.0, "taught": 8.0}
    assert minutes["fhn"] + minutes["rim"] == minutes["arcface"]


def test_the_best_trial_on_validation_faces_chooses_the_rate(tmp_path):
    plan = plan_of(tmp_path)
    trials = plan.trials("coarse")
    assert list(trials) == [1e-3, 3e-3]
    assert all("budget=1" in run.overrides for run in trials.values())
    with pytest.raises(NotTrained, match=r"coarse, seed 0, trial of learning rate 0.001"):
        plan.rate("coarse")
    finish(trials[1e-3], **{"val/psnr_gain": 1.0})
    finish(trials[3e-3], **{"val/psnr_gain": 1.2})
    assert plan.rate("coarse") == 3e-3
    (run,) = plan.runs("coarse")
    assert "optim.optimizers.hallucination.lr=0.003" in run.overrides
    assert "budget=4" in run.overrides


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
    for before, run in zip((first, second), rims, strict=True):
        assert f"start_from='{before.checkpoint}'" in run.overrides
        assert f"optim.optimizers.hallucination.lr={plan.rate('fhn'):g}" in run.overrides  # in its joint stage
    assert rims[0].key != rims[1].key
    (cosine,) = plan.runs("rim_cosine")
    assert f"start_from='{first.checkpoint}'" in cosine.overrides
    assert cosine.key not in {run.key for run in rims}


def test_equal_faces_are_equal_whatever_whole_batches_are(tmp_path):
    """The hallucination network has half of 4,100 faces, in whole batches 2,080: RIM sees the 2,020 that are left."""
    plan = plan_of(tmp_path, budget=4100, kind="faces")
    for run in plan.trials("fhn").values():
        assert "faces=512" in run.overrides
        finish(run, **{"val/psnr_gain": 1.0})
    for run in plan.runs("fhn"):
        assert "faces=2050" in run.overrides
        finish(run)
        cfg = {"data": {"samples_per_epoch": 208}, "schedule": {"stages": [{"name": "fhn", "epochs": 10}]}}
        OmegaConf.save(OmegaConf.create(cfg), run.folder.config)
    assert plan.runs("fhn")[0].faces() == 2080
    assert "faces=2020" in plan.runs("rim")[0].overrides
    assert not any(setting.startswith(("budget=", "work=")) for setting in plan.runs("rim")[0].overrides)
    work = plan_of(tmp_path, budget=4.0, kind="work").trials("coarse")[1e-3]
    assert "work=0.5" in work.overrides


def test_given_runs_take_the_place_of_those_of_the_plan(tmp_path):
    stages = {"stages": [{"name": "fhn", "epochs": 2}]}
    cfg = {
        "data": {"samples_per_epoch": 30},
        "schedule": stages,
        "start_from": str(tmp_path / "a/checkpoints/last.ckpt"),
    }
    for name, rate in (("a", 4e-4), ("b", 5e-4)):
        optimizers = {"optimizers": {"hallucination": {"lr": rate}}}
        (tmp_path / name).mkdir()
        OmegaConf.save(OmegaConf.create(cfg | {"optim": optimizers}), tmp_path / name / "config.yaml")
    given = System("fhn", "hallucination", "fhn", seeds=(0, 1), runs=(str(tmp_path / "a"), str(tmp_path / "b")))
    plan = plan_of(tmp_path / "results", systems=SYSTEMS | {"fhn": given})
    assert plan.trials("fhn") == {}
    assert plan.rate("fhn") == 4e-4
    first, second = plan.runs("fhn")
    assert [run.folder.path for run in (first, second)] == [tmp_path / "a", tmp_path / "b"]
    assert first.key != second.key
    assert first.faces() == 60
    assert [run.folder.path for run in second.started_from()] == [tmp_path / "a"]
    with pytest.raises(NotTrained, match="fhn, run 1"):
        plan.runs("rim")


def test_faces_of_a_given_run_whose_settings_name_no_number(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    torch.save({"model_arguments": {}, "state_dict": {}, "training": {"faces": 180}}, folder.last_checkpoint)
    cfg = {"data": {"samples_per_epoch": None}, "schedule": {"stages": [{"name": "fhn", "epochs": 3}]}}
    OmegaConf.save(OmegaConf.create(cfg), folder.config)
    run = Run("key", folder, (), "run 1", ())
    assert (run.faces_per_epoch(), run.faces(), run.started_from()) == (60, 180, [])
    OmegaConf.save(OmegaConf.create(cfg | {"students_from": str(tmp_path)}), folder.config)
    with pytest.raises(ValueError, match=r"run 1 started from the exported model .* cannot be counted"):
        run.started_from()


@pytest.mark.slow
def test_every_system_of_the_configuration_can_be_trained():
    settings = configuration("compare", [])
    for name, system in settings.systems.items():
        experiment = system.get("experiment", name)
        cfg = training_configuration([f"experiment={experiment}", *system.get("overrides", [])])
        check_together(cfg, teacher_weights=None, start_from=None, students_from=None)


@pytest.mark.slow
def test_a_trained_recognizer_becomes_the_teacher(tmp_path):
    plan = plan_of(tmp_path)
    (teacher,) = plan.runs("arcface")
    with pytest.raises(NotTrained, match="arcface, seed 0"):
        plan.runs("taught")
    finish(teacher)
    (taught,) = plan.runs("taught")
    assert f"teacher.weights={{weight_format: 'rim_train', path: '{teacher.checkpoint}'}}" in taught.overrides
    moved = plan_of(tmp_path / "elsewhere")
    finish(moved.runs("arcface")[0])
    assert moved.runs("taught")[0].key == taught.key  # wherever the results are
    other = plan_of(tmp_path / "other")
    finish(other.runs("arcface")[0], weights="trained by other code")
    assert other.runs("taught")[0].key != taught.key


@pytest.mark.slow
def test_a_key_knows_what_decides_the_outcome_and_nothing_else(tmp_path):
    def key(common=COMMON, budget=8.0, systems=SYSTEMS):
        return plan_of(tmp_path, common, budget, systems).trials("coarse")[1e-3].key

    own = key()
    same = ("logger.csv.name=other", "name=other", "data.eval_batch_size=7", "paths.prepared_dir=other")
    for setting in same:
        assert key((*COMMON, setting)) == own, setting
    others = ("data.people=30", "probes.low=9", "trainer.precision=64-true", "optim.clip=2.0", "model=small")
    others += ("threads=2", "compile=true", "trainer=gpu")  # a minute is worth more
    keys = [key((*COMMON, setting)) for setting in others]
    keys.append(key(budget=9.0))
    keys.append(key(systems={"coarse": System("coarse", "hallucination", "coarse", seeds=(5,))}))
    assert len({own, *keys}) == 1 + len(keys)


@pytest.mark.slow
def test_rates_and_seeds_of_a_system_share_the_measured_epochs(tmp_path):
    plan = plan_of(tmp_path)

    def file_of(run):
        return next(override for override in run.overrides if override.startswith("paths.budget_file="))

    trials = plan.trials("fhn")
    assert len({file_of(run) for run in trials.values()}) == 1
    for run in trials.values():
        finish(run, **{"val/psnr_gain": 1.0})
    whole = plan.runs("fhn")
    assert len({file_of(run) for run in whole}) == 1
    assert file_of(whole[0]) != file_of(trials[1e-3])
    assert file_of(plan.trials("coarse")[1e-3]) != file_of(trials[1e-3])
    # Epochs were measured of networks, data and losses, however they were set.
    renamed, smaller = (plan_of(tmp_path, (*COMMON, setting)) for setting in ("name=other", "model=small"))
    assert file_of(renamed.trials("coarse")[1e-3]) == file_of(plan.trials("coarse")[1e-3])
    assert file_of(smaller.trials("coarse")[1e-3]) != file_of(plan.trials("coarse")[1e-3])


def test_a_trial_without_a_finite_figure_is_not_chosen(tmp_path):
    plan = plan_of(tmp_path)
    trials = plan.trials("coarse")
    finish(trials[1e-3], **{"val/psnr_gain": None})  # as NaN is written
    finish(trials[3e-3])
    with pytest.raises(ValueError, match="Every trial of coarse failed, the last one with: no figure"):
        plan.rate("coarse")
    finish(trials[3e-3], **{"val/psnr_gain": 0.1})
    assert plan.rate("coarse") == 3e-3


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["a b", "x=1", "a,b", "it's (ä)"])
def test_a_folder_may_have_any_name(tmp_path, folder):
    plan = plan_of(tmp_path / folder)
    (teacher,) = plan.runs("arcface")
    finish(teacher)
    (taught,) = plan.runs("taught")
    cfg = training_configuration([*taught.overrides, "paths.output_dir=unused"])
    assert cfg.teacher.weights.path == str(teacher.checkpoint)


@pytest.mark.slow
def test_a_key_is_that_of_the_run_as_rim_train_composes_it(tmp_path):
    plan = plan_of(tmp_path, budget=7.3)
    runs = [*plan.trials("fhn").values(), *plan.runs("arcface")]
    for run in runs:
        finish(run, **{"val/psnr_gain": 1.0})
    runs += [*plan.runs("fhn"), *plan.runs("taught")]
    for run in plan.runs("fhn"):
        finish(run)
    runs += plan.runs("rim")
    for run in runs:
        assert plan._key(run.overrides, {}) == run.key, run.title
