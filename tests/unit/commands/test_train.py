"""Settings are refused before any work: those whose names have changed, and those whose package is missing."""

import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.train import RENAMED, check_names, check_packages, complete_overrides
from rim_lightning.extras import MissingExtra
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import Origin
from rim_lightning.runs.overrides import override
from tests.helpers.commands import run_here


@pytest.mark.parametrize("old", RENAMED)
def test_a_setting_of_the_first_version_is_refused_by_its_new_name(old):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg, good = (compose("train", overrides=["paths.output_dir=unused", *more]) for more in ([f"+{old}=1"], []))
    with pytest.raises(ValueError, match=rf"^{old} is called {RENAMED[old]} in this version: give {RENAMED[old]}="):
        check_names(cfg)
    check_names(good)
    assert OmegaConf.select(good, RENAMED[old], default="no such setting") != "no such setting"


EARLIER = ("resume=true", "paths.output_dir=where_it_was")
"""Settings of a run that say nothing about it once it is resumed, perhaps in another place."""


def test_a_resumed_run_takes_its_settings_then_those_of_the_command(tmp_path):
    folder = tmp_path / "it's [x]"
    folder.mkdir()
    kept = ["experiment=demo", "seed=1", "data.people=24", "resume=true", "paths.output_dir=where_it_was"]
    Origin(kept, "1.0", 1, {}, {}).write(RunFolder(folder))
    here = override("hydra.run.dir", folder)
    resumed = complete_overrides([here, "resume=true", "data.people=25"])
    assert resumed == ["experiment=demo", "seed=1", "data.people=25", here, "resume=true"]
    for overrides in ([here], [here, "resume=false"], [here, "resume=true", "model=tiny"], ["resume=true"]):
        assert complete_overrides(overrides) == overrides


NEEDS = {
    "logger=wandb": (["logger=wandb"], "wandb", "logger=wandb needs wandb"),
    "weights": (
        ["teacher.weights.weight_format=facenet_pytorch"],
        "facenet_pytorch",
        "teacher.weights.weight_format=facenet_pytorch needs facenet_pytorch",
    ),
    "network": (
        ["model.recognition.teacher={name: inception_resnet_v1}", "teacher=random"],
        "facenet_pytorch",
        "The network inception_resnet_v1 needs facenet_pytorch",
    ),
}


@pytest.mark.parametrize("name", NEEDS)
def test_a_setting_whose_package_is_missing_is_refused(name, monkeypatch):
    overrides, package, sentence = NEEDS[name]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg, other = (compose("train", overrides=["paths.output_dir=unused", *more]) for more in (overrides, []))
    check_packages(cfg)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=f"^{sentence}, which is not installed: pip install"):
        check_packages(cfg)
    check_packages(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (
            "schedule.stages.2.name=joint,jiont",
            'There is no training stage "jiont" (schedule.stages); choose from coarse',
        ),
        ("model.hr_size=64,100", "cannot work on faces of model.hr_size=100"),
        (
            "+optim.optimizers.foo.lr=1,2",
            "There is no setting optim.optimizers.foo.lr; optim.optimizers has domain, halluc",
        ),
        ("data.batch_size=8,0", "data.batch_size is 0; it must be a whole number ≥ 1"),
    ],
)
def test_a_sweep_finds_a_wrong_setting_before_its_first_job(setting, sentence, tmp_path):
    done = run_here("train", "-m", "experiment=demo", setting, f"hydra.sweep.dir={tmp_path}")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (tmp_path / "0").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("seed=${nonsense}", "seed is ${nonsense}, but there is no such setting."),
        ("+logger.csv.foo=1", "There is no setting logger.csv.foo."),
        (
            "+callbacks.best.patience=1",
            "There is no setting callbacks.best.patience.",
        ),
        ("+trainer.foo=1", "There is no setting trainer.foo."),
        ("+model.recognition.student.depth=1", "There is no setting model.recognition.student.depth; "),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_full(setting, sentence, tmp_path):
    done = run_here("train", "experiment=demo", setting, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"rim-train: {sentence}")
