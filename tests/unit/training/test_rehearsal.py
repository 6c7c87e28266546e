"""Settings that do not go together show before any weight is made."""

import pytest
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.errors import Hints, ending_of
from rim_lightning.commands.settings_check import check_settings
from rim_lightning.commands.settings_rules import RULES
from rim_lightning.training.run import _check_settings
from tests.helpers.configurations import training_configuration
from tests.unit.networks.published.test_insightface import PublishedGraph

WRONG = [
    (["schedule.stages.0.name=fhnn"], "no training stage .fhnn.*choose from coarse, fhn, hrn"),
    (["schedule.stages=[{name: fhn, epochs: 0}]"], "have no epochs"),
    (["schedule.stages=[{name: fhn, epochs: 1, lr_scale: {studnt: 2}}]"], "the phase studnt; choose from domain"),
    (["model.hr_size=100"], "model.hr_size=100"),
    (["model.hallucination.coarse.pool=3"], "not a multiple of its pool"),
    (["model.hallucination.generator.hourglass=9"], "cannot work on faces of model.hr_size=64"),
    (["model.recognition.teacher.input_size=100"], "multiple of 16"),
    (["model.hallucination.generator.head_width=60"], "cannot make 194 heatmaps that differ: set head_width"),
    (["model.hallucination.generator.heatmaps=gaussian"], "set objective.landmark.kind=mse"),
    (["objective.landmark.kind=mse"], "set objective.landmark.kind=cross_entropy"),
    (["objective.weights.student.stage=0", "objective.weights.student.embedding=0"], "Every weight of the phase"),
    (["+optim.optimizers.student.betas=[2.0,2.0]"], "optim.optimizers.student.betas is"),
    (["+optim.optimizers.student.nesterov=true"], "nesterov"),
    (
        ["+optim.optimizers.studnt.lr=1"],
        r"no setting optim\.optimizers\.studnt\.lr; did you mean optim\.optimizers\.student\.lr",
    ),
    (["model.schemes={ibug68: 5}"], "model.schemes.ibug68 is 5; .* ibug68: 68"),
    (["+model.schemes.foo=5"], "model.schemes.foo is 5; .* ibug68: 68"),
    (["+data.augmentation.rotaton=3"], "unexpected keyword argument 'rotaton'"),
    (["teacher.kind=softmax"], "margin of .softmax. is 0.1"),
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


def checked(chosen, *overrides, **settings):
    """Check the configuration of an experiment or system, with some settings replaced: a__b stands for a.b."""
    cfg = training_configuration([chosen, "paths.output_dir=unused", *overrides])
    for key, value in settings.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, merge=False)
    check_settings(cfg, RULES["rim-train"])
    _check_settings(cfg)


@pytest.mark.slow
@pytest.mark.parametrize(("overrides", "sentence"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_settings_that_do_not_go_together_are_refused(overrides, sentence):
    with pytest.raises((ValueError, TypeError, OSError, InstantiationException), match=sentence):
        checked("experiment=demo", *overrides)


@pytest.mark.slow
def test_figures_of_training_validation_and_evaluation_can_be_optimized():
    for name in ("val/psnr_gain", "val/rim/auc", "train/student/loss", "sr/synthetic/psnr_y"):
        checked("experiment=demo", f"optimized_metric={name}")


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["paths.prepared_dir", "paths.teachers_dir", "paths.budget_file"])
def test_a_place_that_cannot_be_written_is_named_with_its_setting(setting, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=f"Nothing can be written .* is a file.*: choose another {setting}"):
        checked(
            "experiment=demo", f"paths.prepared_dir={tmp_path}", "budget=1", f"{setting}={tmp_path / 'file' / 'place'}"
        )


CHOICES = [
    f"{group}={file.stem}" for group in ("experiment", "system") for file in sorted((CONF_DIR / group).glob("*.yaml"))
]
INCOMPLETE = ("system=super_resolver", "system=adversarial_super_resolver", "system=recognizer", "system=authors_step")
"""Systems that an experiment completes."""
DATA = ("synthetic", "real", "all", "portraits", "helen", "celeba", "people")
PAIRS = ("lfw", "helen_pairs")


def combined(chosen, data, folder):
    """Check an experiment or a system with other training data, without the files of either."""
    without_files = {"sources": {}, "paths__prepared_dir": str(folder), "evaluate": False}
    checked(chosen, f"data={data}", **without_files, teacher__weights=None, teacher__epochs=0)


@pytest.mark.slow
@pytest.mark.parametrize("chosen", CHOICES)
def test_every_choice_can_be_trained_or_is_refused_in_a_sentence(chosen, tmp_path):
    if chosen not in INCOMPLETE:
        combined(chosen, "synthetic", tmp_path)
        return
    with pytest.raises(Exception) as refused:  # noqa: PT011, any exception that becomes a sentence
        combined(chosen, "synthetic", tmp_path)
    assert ending_of(refused.value, Hints()).sentence


@pytest.mark.slow
@pytest.mark.parametrize("data", [*DATA, *PAIRS])
@pytest.mark.parametrize("chosen", ["experiment=rim", "experiment=srcnn", "experiment=arcface"])
def test_every_training_module_takes_all_faces_and_no_pairs(chosen, data, tmp_path):
    if data in PAIRS:
        with pytest.raises(ValueError, match="nothing to train on: choose data=real, helen, celeba or synthetic"):
            combined(chosen, data, tmp_path)
    else:
        combined(chosen, data, tmp_path)


def test_all_data_are_tried():
    assert {*DATA, *PAIRS, "faces"} == {file.stem for file in (CONF_DIR / "data").glob("*.yaml")}  # faces: their base


@pytest.mark.slow
def test_a_teacher_without_maps_teaches_by_its_embeddings_alone(tmp_path):
    path = PublishedGraph(64).iresnet(4, (1, 1, 1, 1), 64).save(tmp_path / "net.onnx")
    weights = f"teacher.weights={{weight_format: onnx, path: {path}, color: rgb, mean: 127.5, std: 127.5}}"
    settings = ["teacher=published", weights]
    for sentence, setting in (
        ("head .teacher. has no maps to read", "model.recognition.head=student"),
        ("term stage has no maps .* objective.weights.student.stage=0", "objective.weights.student.stage=0"),
        ("term residual has no maps .* objective.weights", "objective.weights.assistant.residual=0"),
        ("cannot start from its weights: set teacher.start_students=false", "teacher.start_students=false"),
    ):
        with pytest.raises((ValueError, InstantiationException), match=sentence):
            checked("experiment=demo", *settings)
        settings.append(setting)
    checked("experiment=demo", *settings)
    distilled = ["model=tiny", "data=synthetic", "evaluation=synthetic", *settings[:2], settings[-1]]
    with pytest.raises((ValueError, InstantiationException), match=r"term stage has no maps .* system.weights.stage=0"):
        checked("experiment=distillation", *distilled)
    checked("experiment=distillation", *distilled, "system.weights.stage=0")
