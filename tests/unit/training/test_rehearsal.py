"""Settings that do not go together show before any weight is made."""

import pytest
from hydra.errors import InstantiationException

from rim_lightning.training.run import _check_settings
from tests.helpers.configurations import training_configuration

WRONG = [
    (["schedule.stages.0.name=fhnn"], "no training stage .fhnn.*choose from coarse, fhn, hrn"),
    (["schedule.stages=[{name: fhn, epochs: 0}]"], "have no epochs"),
    (["schedule.stages=[{name: fhn, epochs: 1, lr_scale: {studnt: 2}}]"], "the phase studnt; choose from domain"),
    (["model.hr_size=100"], "model.hr_size=100"),
    (["model.hallucination.coarse.pool=3"], "not a multiple of its pool"),
    (["model.hallucination.generator.hourglass=9"], "cannot work on faces of model.hr_size=64"),
    (["model.recognition.teacher.input_size=100"], "multiple of 16"),
    (["objective.weights.student.stage=0", "objective.weights.student.embedding=0"], "Every weight of the phase"),
    (["+optim.optimizers.student.betas=[2.0,2.0]"], "optim.optimizers.student: .*beta"),
    (["+optim.optimizers.student.nesterov=true"], "nesterov"),
    (["probes.low=40"], "probes.low is 40 and probes.high 32"),
    (["probes.high=100"], "probes.high is 100 px, larger than the face"),
    (["evaluation.probe_sizes=[8,80]"], "evaluation.probe_sizes has 80 px"),
    (["evaluation.lfw.root=nowhere"], "nowhere"),
    (["callbacks.best.monitor=val/psnr_gian"], "callbacks.best.monitor is .*choose from val/psnr_gain"),
    (["optimized_metric=val/psnr_gian"], "optimized_metric is .*choose from val/psnr_gain"),
    (["optimized_metric=sr/synthetic/psnr_y", "evaluate=false"], "which no run of this system has"),
    (["start_from=nowhere.ckpt"], "nowhere.ckpt"),
    (["teacher.epochs=0", "teacher.weights={weight_format: rim_lightning, path: nowhere.pt}"], "nowhere.pt"),
    (["data=lfw"], "nothing to train on: choose data=real"),
    (["data=helen_pairs"], "nothing to train on: choose data=real"),
    (["trainer.precision=16-mixed"], "needs a loss scaler"),
    (["+source@sources.celeba=celeba", "paths.data_dir=nowhere"], "sources.celeba.reader.root, or paths.data_dir"),
]


def checked(*overrides):
    _check_settings(training_configuration(["experiment=demo", "paths.output_dir=unused", *overrides]))


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "sentence"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_settings_that_do_not_go_together_are_refused(overrides, sentence):
    with pytest.raises((ValueError, OSError, InstantiationException), match=sentence):
        checked(*overrides)


@pytest.mark.slow
def test_figures_of_training_validation_and_evaluation_can_be_optimized():
    for name in ("val/psnr_gain", "val/rim/auc", "train/student/loss", "sr/synthetic/psnr_y"):
        checked(f"optimized_metric={name}")
