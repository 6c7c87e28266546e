"""What may change when a run is resumed, and what is refused."""

import copy
import functools

import pytest
from omegaconf import OmegaConf

from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import Origin, read_origin
from rim_lightning.training.resume import Difference, Progress, differences, refusal
from tests.helpers.configurations import training_configuration

STAGES = (
    "{name: fhn, epochs: 3}, {name: hrn, epochs: 5}, {name: joint, epochs: %d, lr_scale: {hallucination: 0.2, "
    "domain: 0.2}}"
)
KEPT = ("data.batch_size=64", "optim.clip=1.0", f"schedule.stages=[{STAGES % 1}]")  # not those of the demo
UNTRAINED, IN_HRN = Progress(0, 0), Progress(4, 5)


@functools.cache
def composed(*overrides):
    return training_configuration(
        ["experiment=demo", "paths.output_dir=run", "trainer.precision=32-true", *KEPT, *overrides]
    )


def settings(*overrides):
    """The demo with overrides; those of groups are composed, the others are set in a copy, which is quicker."""
    groups = tuple(override for override in overrides if override.split("=")[0] in ("model", "logger"))
    cfg = copy.deepcopy(composed(*groups))
    OmegaConf.set_struct(cfg, False)
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if override.startswith("~"):
            group, _, name = key.partition(".")
            cfg[group].pop(name)
        elif override not in groups:
            OmegaConf.update(cfg, key, OmegaConf.create(f"value: {value}").value, force_add=override.startswith("+"))
    return OmegaConf.to_container(cfg, resolve=True)


def keys(*overrides, kept=(), progress=IN_HRN):
    return [difference.key for difference in differences(settings(*kept), settings(*overrides), progress)]


@pytest.mark.parametrize(
    ("override", "key", "kept", "asked"),
    [
        ("optim.optimizers.student.lr=0.5", "optim.optimizers.student.lr", 1e-3, 0.5),
        ("data.batch_size=8", "data.batch_size", 64, 8),
        ("seed=3", "seed", 0, 3),
        ("objective.weights.hallucination.pixel=9", "objective.weights.hallucination.pixel", 5.0, 9),
        ("data.people=50", "data.people", 400, 50),
        ("system.alternation=sequential", "system.alternation", "simultaneous", "sequential"),
        ("probes.degradation=realistic", "probes.degradation", "bicubic", "realistic"),
        ("callbacks.ema.decay=0.9", "callbacks.ema.decay", 0.999, 0.9),
        ("trainer.precision=bf16-mixed", "trainer.precision", "32-true", "bf16-mixed"),
        ("trainer.devices=2", "trainer.devices", 1, 2),
        ("trainer.fast_dev_run=true", "trainer.fast_dev_run", False, True),
        ("optim.clip=2", "optim.clip", 1.0, 2),
        ("start_from=other.ckpt", "start_from", None, "other.ckpt"),
        ("teacher.learning_rate=1e-4", "teacher.learning_rate", 5e-3, 1e-4),
        ("evaluation.verification_pairs=9", "evaluation.verification_pairs", 1500, 9),
        ("schedule.stages.0.epochs=2", "schedule.stages.0.epochs", 3, 2),  # that stage is over
        ("schedule.stages.1.epochs=1", "schedule.stages.1.epochs", 5, 1),  # two of its epochs have begun
        ("schedule.stages.1.name=student", "schedule.stages.1.name", "hrn", "student"),
    ],
)
def test_a_setting_that_decides_the_training_is_refused_once_with_both_values(override, key, kept, asked):
    assert differences(settings(), settings(override), IN_HRN) == [Difference(key, kept, asked)]


def test_another_model_is_refused_with_the_first_differences_and_their_number(tmp_path):
    found = differences(settings(), settings("model=small"), IN_HRN)
    assert {"model.hr_size", "model.lr_size"} <= {difference.key for difference in found}
    assert len(found) > 10
    sentence = refusal(tmp_path, found)
    assert "model.hr_size was 64 and is now 128" in sentence
    assert f"and {len(found) - 4} more" in sentence


@pytest.mark.parametrize(
    "override",
    [
        "resume=true",
        "name=another",
        "workers=7",
        "threads=1",
        "evaluate=false",
        "paths.prepared_dir=elsewhere",
        "paths.output_dir=elsewhere",
        "paths.data_dir=elsewhere",
        "logger=wandb",
        "~callbacks.progress",
        "~callbacks.wandb",
        "~logger.csv",
        "callbacks.last.minutes=1",
        "+trainer.enable_progress_bar=false",
        "trainer.log_every_n_steps=1",
        "trainer.check_val_every_n_epoch=3",
        "evaluation.probe_sizes=[8]",
        "evaluation.flip=true",
        "evaluation.degradation=camera",
        "evaluation.reduced_gallery=[[8],[0.5]]",
        "probes.camera_validation=true",
        "data.validation_faces=100",
        "data.eval_batch_size=8",
        "schedule.stages.1.epochs=2",
        "schedule.stages.1.epochs=50",
        "schedule.stages.2.epochs=50",
        "+schedule.stages.3={name: joint, epochs: 2}",
        f"schedule.stages=[{STAGES % 7}]",
    ],
)
def test_what_only_watches_moves_or_lengthens_may_change(override):
    if override.startswith("+schedule.stages.3"):  # Hydra does not append to a list
        after = copy.deepcopy(settings())
        for holder in (after, after["system"]):
            holder["schedule"]["stages"].append({"name": "joint", "epochs": 2})
        assert differences(settings(), after, IN_HRN) == []
    else:
        assert keys(override) == []


def test_a_setting_of_another_version_may_be_missing_if_it_is_null():
    kept = settings()
    del kept["faces"], kept["data"]["validation_faces"], kept["probes"]["misalignment"]
    assert differences(kept, settings(), IN_HRN) == []
    assert differences(settings(), kept, IN_HRN) == []
    del kept["probes"]["targets"]
    assert differences(kept, settings(), IN_HRN) == [Difference("probes.targets", "not set", "aligned")]


def test_before_the_first_checkpoint_every_stage_may_have_other_epochs():
    assert keys("schedule.stages.0.epochs=1", progress=UNTRAINED) == []


def test_after_a_loss_that_was_not_finite_the_gradients_may_be_clipped():
    assert keys("optim.clip=0.1", progress=IN_HRN._replace(diverged=True)) == []


def test_the_faces_of_an_epoch_that_a_budget_measured_are_no_setting():
    kept = settings("budget=3") | {}
    kept["data"]["samples_per_epoch"] = 4711
    assert differences(kept, settings("budget=3"), IN_HRN) == []
    assert [each.key for each in differences(kept, settings("budget=4"), IN_HRN)] == ["budget"]


def test_a_file_may_lie_elsewhere_but_not_come_or_go():
    weights = "teacher.weights={weight_format: rim_lightning, path: %s}"
    assert keys(weights % "b.pt", kept=[weights % "a.pt"]) == []
    assert keys(weights % "b.pt") != []


ORIGIN = Origin(["experiment=demo"], "1.0", 1, {"celeba": "aa"}, {"start_from": "bb"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"processes": 2}, "was trained by 1 processes, now there are 2: set trainer.devices"),
        ({"stores": {"celeba": "cc"}}, "trained on other faces than those that the set celeba holds now"),
        ({"files": {"start_from": "cc"}}, "started with another file as start_from"),
    ],
)
def test_other_processes_faces_or_files_are_refused(change, sentence, tmp_path):
    ORIGIN.check(ORIGIN, RunFolder(tmp_path))
    with pytest.raises(ValueError, match=sentence):
        ORIGIN._replace(**change).check(ORIGIN, RunFolder(tmp_path))


def test_another_version_is_named(tmp_path, capsys):
    ORIGIN.write(RunFolder(tmp_path))
    ORIGIN._replace(version="2.0").check(read_origin(RunFolder(tmp_path)), RunFolder(tmp_path))
    assert "was started by version 1.0; version 2.0 resumes it" in capsys.readouterr().out
