"""Wrong values of settings are named before any work; every setting of every configuration has a rule."""

import functools
import re
from typing import get_args, get_type_hints

import pytest
from hydra.utils import instantiate
from lightning_fabric.connector import _PRECISION_INPUT_INT, _PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS
from omegaconf import OmegaConf

from rim_lightning.commands import settings_rules
from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.settings_check import check_settings, explained, given_settings, is_addable, rule_of
from rim_lightning.commands.settings_rules import RULES
from rim_lightning.comparison.plan.systems import System
from rim_lightning.data.preparation import Alignment, Landmarks
from rim_lightning.data.stores.prepared import SPLITS
from rim_lightning.evaluation.plan import FacesPlan
from rim_lightning.functional.degradation import DEGRADATIONS
from rim_lightning.functional.mk_mmd import Estimator, Statistic
from rim_lightning.functional.seeded_probes import REDUCTIONS
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.landmark import LandmarkLoss
from rim_lightning.losses.margin import MarginSoftmax
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.networks.backbones.build import BACKBONES
from rim_lightning.networks.backbones.iresnet import Layout
from rim_lightning.networks.backbones.mobilefacenet import MobileFaceNet
from rim_lightning.networks.compared.build import SUPER_RESOLVERS
from rim_lightning.networks.hallucination.blocks import Interpolation, Norm, Upsampling
from rim_lightning.networks.hallucination.network import CoarseGradient, IntegratorInput
from rim_lightning.networks.hallucination.paths import HeatmapKind, PathStem
from rim_lightning.networks.recognition import AssistantSight, Head, StudentSight
from rim_lightning.networks.teacher_weights import WEIGHT_FORMATS
from rim_lightning.schemes import LANDMARK_SCHEMES
from rim_lightning.training.callbacks.best_checkpoint import BestCheckpoint
from rim_lightning.training.objective import Objective
from rim_lightning.training.teacher import train_teacher
from tests.helpers.configurations import configuration

FILES = sorted(file for file in CONF_DIR.glob("*/*.yaml") if file.parent.name != "launcher")
"""Every experiment and every choice of a group; `conf/hydra` has no settings of ours."""
PLACES = {
    **{name: (("train", name), ("eval", name)) for name in ("evaluation", "paths")},
    "trainer": (("train", "trainer"), ("embed", "trainer")),
    "source": (("prepare", "source"), ("train", "sources.any")),
    "download": (("prepare", ""),),
    "classifier": (("train", "system.classifier"),),
    "grid": (("speed", ""),),
    "protocol": (("compare", ""),),
    "experiment": (("train", ""),),
}
"""Folder of `conf/` -> command and place of its settings there; the others are groups of rim-train."""


def unruled(cfg, rules):
    return [key for key, _ in given_settings(cfg, rules) if rule_of(key, rules) is None]


def elsewhere(content):
    """The plain content of a file whose references, mostly to other files, all lead to `_elsewhere`."""
    if isinstance(content, dict):
        return {key: elsewhere(value) for key, value in content.items()}
    return "${_elsewhere}" if isinstance(content, str) and "${" in content else content


@functools.cache
def composed(command, *overrides):
    return configuration(command, overrides)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}={file.stem}")
def test_every_setting_of_a_file_has_a_rule_that_its_value_follows(file):
    settings = OmegaConf.create(elsewhere(OmegaConf.to_container(OmegaConf.load(file))))
    settings.pop("defaults", None)
    for command, place in PLACES.get(file.parent.name, (("train", file.parent.name),)):
        cfg = OmegaConf.create({"_elsewhere": ""})
        OmegaConf.update(cfg, place, settings) if place else cfg.update(settings)
        check_settings(cfg, RULES[f"rim-{command}"])
        assert unruled(cfg, RULES[f"rim-{command}"]) == []


@pytest.mark.parametrize("command", sorted(file.stem for file in CONF_DIR.glob("*.yaml")))
def test_every_setting_of_a_command_has_a_rule_that_its_default_follows(command):
    cfg = composed(command)
    check_settings(cfg, RULES[f"rim-{command}"])
    assert unruled(cfg, RULES[f"rim-{command}"]) == []


def argument(function, name):
    """The values that the type of an argument or of a field has."""
    return get_args(get_type_hints(function)[name])


@pytest.mark.parametrize(
    ("command", "key", "values"),
    [
        ("train", "probes.degradation", DEGRADATIONS),
        ("eval", "evaluation.degradation", REDUCTIONS),
        ("train", "model.recognition.teacher.name", BACKBONES),
        ("train", "model.recognition.head", get_args(Head)),
        ("train", "model.recognition.student_sees", get_args(StudentSight)),
        ("train", "model.recognition.assistant_sees", get_args(AssistantSight)),
        ("train", "model.recognition.teacher.layout", get_args(Layout)),
        ("train", "model.recognition.teacher.normalization", argument(MobileFaceNet.__init__, "normalization")),
        ("train", "model.hallucination.coarse.norm", get_args(Norm)),
        ("train", "model.hallucination.coarse.upsampling", get_args(Upsampling)),
        ("train", "model.hallucination.coarse_gradient", get_args(CoarseGradient)),
        ("train", "model.hallucination.integrator_input", get_args(IntegratorInput)),
        ("train", "objective.identity_from", argument(Objective.__init__, "identity_from")),
        ("train", "objective.domain_moves", argument(Objective.__init__, "domain_moves")),
        ("train", "objective.sum_moves", argument(Objective.__init__, "sum_moves")),
        ("train", "model.hallucination.generator.heatmaps", get_args(HeatmapKind)),
        ("train", "model.hallucination.generator.stem", get_args(PathStem)),
        ("train", "model.hallucination.generator.interpolation", get_args(Interpolation)),
        ("train", "objective.landmark.kind", argument(LandmarkLoss.__init__, "kind")),
        ("train", "model.discriminator.norm", get_args(Norm)),
        ("train", "system.super_resolver.name", SUPER_RESOLVERS),
        ("train", "system.pixel.kind", argument(PixelLoss.__init__, "kind")),
        ("train", "system.classifier.kind", argument(MarginSoftmax.__init__, "kind")),
        ("train", "objective.pixel.kind", argument(PixelLoss.__init__, "kind")),
        ("train", "objective.domain.estimator", get_args(Estimator)),
        ("train", "objective.domain.bandwidth", get_args(Statistic)),
        ("train", "objective.stages.kind", argument(StageDistillation.__init__, "kind")),
        ("train", "teacher.kind", argument(train_teacher, "kind")),
        ("train", "teacher.weights.weight_format", WEIGHT_FORMATS),
        ("train", "callbacks.best.mode", argument(BestCheckpoint.__init__, "mode")),
        ("train", "data.schemes", LANDMARK_SCHEMES),
        ("train", "evaluation.sr.split", SPLITS),
        ("train", "evaluation.sr.protocol", argument(FacesPlan, "protocol")),
        ("prepare", "source.reader.split", SPLITS),
        ("prepare", "alignment", get_args(Alignment)),
        ("prepare", "landmarks", get_args(Landmarks)),
        ("compare", "systems.rim.kind", argument(System, "kind")),
        ("compare", "calibration.split", SPLITS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_choices_are_those_of_the_code(command, key, values):
    assert rule_of(key, RULES[f"rim-{command}"]).choices == tuple(values)


def test_every_precision_is_one_of_lightning():
    known = {
        *get_args(_PRECISION_INPUT_STR), *get_args(_PRECISION_INPUT_INT), *get_args(_PRECISION_INPUT_STR_ALIAS)
    }  # fmt: skip
    assert {*settings_rules.PRECISIONS} <= known


WRONG = [
    ("train", "system.alternation", "simultanous", "one of simultaneous, sequential (did you mean simultaneous?)"),
    ("train", "probes.degradation", "realistc", "one of bicubic, realistic, camera (did you mean realistic?)"),
    ("train", "optim.clip", "abc", "a number > 0, or null"),
    ("train", "optim.clip", 0, "a number > 0, or null"),
    ("train", "optim.optimizers.student.lr", 0.0, "a number > 0"),
    ("train", "optim.optimizers.student.lr", float("nan"), "a number > 0"),
    ("train", "seed", -1, "a whole number between 0 and 4294967295"),
    ("train", "seed", 1.5, "a whole number"),
    ("train", "schedule.stages.0.epochs", -2, "a whole number ≥ 0"),
    ("train", "schedule.stages.0.epochs", "three", "a whole number ≥ 0"),
    ("train", "schedule.warmup", 2, "a number between 0 and 1"),
    ("train", "data.batch_size", 0, "a whole number ≥ 1"),
    ("train", "data.schemes", ["ibug86"], "each five, ibug68, helen194, or null (did you mean ibug68?)"),
    ("train", "data.samples_per_epoch", 0, "a whole number ≥ 1, or null"),
    ("train", "data.validation_faces", 0, "a whole number ≥ 1, or null"),
    ("train", "data.workers", -1, "a whole number between 0 and 1024"),
    ("train", "objective.weights.hallucination.pixel", -1, "a number ≥ 0"),
    ("train", "objective.student_stages", [5], "a list of 1 or more, each 1, 2, 3, 4"),
    ("train", "objective.assistant_stage_weights", [1], "a list of 4 or more, each a number ≥ 0"),
    ("train", "objective.contrastive.scale", 0, "a number > 0"),
    ("train", "trainer.precision", "bf16-mixd", "(did you mean bf16-mixed?)"),
    ("train", "trainer.accelerator", "gpuu", "(did you mean gpu?)"),
    ("train", "trainer.devices", 0, "a whole number ≥ 1, or one of auto, -1"),
    ("train", "trainer.max_epochs", 5, "-1: the epochs of schedule.stages are trained"),
    ("train", "trainer.max_steps", 5, "-1: the epochs of schedule.stages are trained"),
    ("train", "trainer.gradient_clip_val", 1.0, "null: optim.clip clips the gradients"),
    ("train", "trainer.accumulate_grad_batches", 4, "1: every batch is a step"),
    ("train", "trainer.limit_train_batches", 0, "a whole number ≥ 1, or a number > 0 and ≤ 1"),
    ("train", "trainer.limit_val_batches", -1, "a whole number ≥ 0, or a number between 0 and 1"),
    ("train", "trainer.val_check_interval", 500, "a number > 0 and ≤ 1"),
    ("train", "teacher.kind", "arcfase", "(did you mean arcface?)"),
    ("train", "teacher.weights.weight_format", "arcface-torch", "(did you mean arcface_torch?)"),
    ("train", "teacher.epochs", -1, "a whole number ≥ 0"),
    ("train", "model.recognition.head", "studnt", "(did you mean student?)"),
    ("train", "model.recognition.student_sees", "bot", "(did you mean both?)"),
    ("train", "model.recognition.student.input_channels", 4, "left out: student_sees, assistant_sees and size_input"),
    ("train", "model.recognition.teacher.name", "mobilfacenet", "(did you mean mobilefacenet?)"),
    ("train", "model.hallucination.coarse_gradient", "ful", "(did you mean full?)"),
    ("train", "evaluation.probe_sizes", [], "a list of 1 or more"),
    ("train", "evaluation.sr.protocol", "yuv", "one of y, rgb"),
    ("train", "callbacks.ema.decay", 1, "a number"),
    ("train", "threads", 0, "a whole number between 1 and 1024, or null"),
    ("train", "budget", -3, "a number > 0, or null"),
    ("train", "faces", 0, "a whole number ≥ 1, or null"),
    ("train", "work", 0, "a number > 0, or null"),
    ("train", "resume", "maybe", "true or false"),
    ("train", "data", 3, "a group of settings: give data.<name>=<value>"),
    ("train", "callbacks.best", 3, "a group of settings"),
    ("train", "probes.degradation", {"name": "bicubic"}, "one of bicubic, realistic, camera"),
    ("prepare", "accept", "yes", "true or false"),
    ("prepare", "download.files.a.url", "ftp://example.org/a", "an address that begins with https:// or http://"),
    ("prepare", "download.files.a.sha256", "b47c", "64 hexadecimal digits, or null"),
    ("prepare", "download.files.a.md5", "g" * 32, "32 hexadecimal digits, or null"),
    ("prepare", "download.files.a.megabytes", 0, "a number > 0, or null"),
    ("prepare", "download.files", 3, "a mapping"),
    ("train", "probes.misalignment", "detectr", "(did you mean detector?)"),
    ("train", "probes.camera_validation", "maybe", "true or false"),
    ("train", "probes.aligned_share", 1.5, "a number between 0 and 1"),
    ("train", "probes.targets", "move", "(did you mean moved?)"),
    ("eval", "device", "gpu0", "cpu, cuda or cuda:<number>"),
    ("eval", "evaluation.degradation", "camra", "(did you mean camera?)"),
    ("eval", "evaluation.misalignment", "shifted", "one of detector, or null"),
    ("compare", "sweep.misaligned", {"camera": [0]}, "a whole number ≥ 1"),
    ("compare", "misalignment.detector", "mtcnn", "one of detector, or a mapping"),
    ("eval", "workers", -1, "a whole number between 0 and 1024"),
    ("train", "threads", 100000, "a whole number between 1 and 1024, or null"),
    ("eval", "evaluation.sr.split", "tests", "(did you mean test?)"),
    ("prepare", "alignment", "fives", "(did you mean five?)"),
    ("prepare", "hr_size", 0, "a whole number ≥ 16"),
    ("prepare", "margin", -0.1, "a number between 0 and 1"),
    ("prepare", "detector", "yunnet", "(did you mean yunet?)"),
    ("embed", "side", "galery", "(did you mean gallery?)"),
    ("embed", "shard", 0, "a whole number ≥ 1"),
    ("embed", "aligned", "galery", "true or false, or one of probe, gallery, both (did you mean gallery?)"),
    ("speed", "steps", 0, "a whole number ≥ 1"),
    ("speed", "train_on", "gpus", "(did you mean gpu?)"),
    ("compare", "budget", 0, "a number > 0, or null"),
    ("compare", "tricks.fars", [0], "a number > 0"),
    ("compare", "faces_seen", 0, "a whole number ≥ 1, or null"),
    ("compare", "work", -1, "a number > 0, or null"),
    ("compare", "search_share", 0, "a number > 0"),
    ("embed", "aligned", "gallary", "true or false, or one of probe, gallery, both (did you mean gallery?)"),
    ("embed", "detector", "yunett", "one of yunet, mtcnn (did you mean yunet?)"),
    ("prepare", "detector", "yunett", "one of yunet, mtcnn (did you mean yunet?)"),
    ("compare", "measure_on", "cuda", "one of cpu, gpu"),
    ("compare", "parallel", 0, "a whole number ≥ 1"),
    ("train", "trainer.precision", "64-true", "one of 32-true, bf16-mixed"),
    ("train", "trainer.callbacks", [], "left out: callbacks.<name> are the callbacks"),
    ("train", "trainer.default_root_dir", "there", "left out: hydra.run.dir is the folder of the run"),
    ("train", "callbacks.last.dirpath", "there", "left out: checkpoints are in the folder of the run, hydra.run.dir"),
    ("train", "callbacks.last.filename", "x.ckpt", "one of last.ckpt"),
    ("train", "data.augmentation", 5, "a group of settings with a _target_, or null"),
    ("train", "paths.data_dir", 2024, """a text: write 'paths.data_dir="2024"'."""),
]


@pytest.mark.parametrize(("command", "key", "value", "sentence"), WRONG, ids=str)
def test_a_wrong_value_is_named_with_its_key_and_what_it_may_be(command, key, value, sentence):
    cfg = composed(command, *(("experiment=demo", "teacher=published") if command == "train" else ())).copy()
    OmegaConf.set_struct(cfg, False)
    OmegaConf.update(cfg, key, value, merge=False)
    with pytest.raises(ValueError, match=rf"^{key} is ") as error:
        check_settings(cfg, RULES[f"rim-{command}"])
    assert sentence in str(error.value)
    shown = {float: lambda value: f"{value}", str: lambda value: f'"{value}"'}.get(type(value), str)(value)
    assert f"{key} is {shown}; it " in str(error.value)


@pytest.mark.parametrize("kind", ["local", "slurm"])
def test_every_setting_of_a_launcher_has_a_rule(kind):
    settings = OmegaConf.load(CONF_DIR / "launcher" / f"{kind}.yaml")
    settings.pop("function")
    cfg = OmegaConf.create({"launcher": settings})
    check_settings(cfg, settings_rules.LAUNCHER_RULES)
    assert unruled(cfg, settings_rules.LAUNCHER_RULES) == []
    cfg.launcher.parallel = 0
    with pytest.raises(ValueError, match=r"launcher\.parallel is 0; it must be a whole number ≥ 1"):
        check_settings(cfg, settings_rules.LAUNCHER_RULES)


@pytest.mark.parametrize(
    ("added", "advice"),
    [
        ("optim.clp", "did you mean optim.clip?"),
        ("trainr.devices", "did you mean trainer.devices?"),
        ("sed", "did you mean seed?"),
        ("optim.optimizers.foo.lr", "optim.optimizers has domain, hallucination, student, assistant."),
        ("model.recognition.teacher.lay_out", "did you mean model.recognition.teacher.layout?"),
        ("evaluation.sr.foo", "evaluation.sr has sets, split, root, first_pixel, alignment, protocol, crop."),
        ("schedule.stages.0.foo", "schedule.stages.0 has name, epochs, lr_scale, aligned_share."),
        (
            "teacher.foo",
            "teacher has weights, start_students, epochs, learning_rate, weight_decay",
        ),
        ("model.foo", "model has hr_size, lr_size, schemes, hallucination, discriminator, recognition."),
    ],
)
def test_a_setting_that_does_not_exist_is_refused_with_those_that_do(added, advice):
    cfg = composed("train", "experiment=demo").copy()
    OmegaConf.set_struct(cfg, False)
    OmegaConf.update(cfg, added, 1, force_add=True)
    with pytest.raises(ValueError, match=re.escape(f"There is no setting {added}; {advice}")):
        check_settings(cfg, RULES["rim-train"])


@pytest.mark.parametrize(
    ("key", "addable"),
    [
        ("trainer.limit_train_batches", True),
        ("trainer.strategy", True),
        ("optim.optimizers.student.betas", True),
        ("optim.optimizers.teacher.betas", False),
        ("optim.lr", False),
        ("probes.sizes", False),
    ],
)
def test_a_setting_that_can_be_added_is_told_from_one_that_does_not_exist(key, addable):
    names = ["trainer", "optim", "optim.optimizers", "optim.optimizers.student", "probes"]
    assert is_addable(key, names, RULES["rim-train"]) is addable


def test_arguments_of_classes_of_the_users_own_are_theirs():
    cfg = composed("train", "experiment=demo").copy()
    OmegaConf.update(cfg, "callbacks.mine", {"_target_": "mine.Callback", "patience": -3}, force_add=True)
    OmegaConf.update(cfg, "objective.pixel.epsilon", 1, force_add=True)
    OmegaConf.update(cfg, "model.recognition.teacher", {"name": "mine.Backbone", "depth": -1}, force_add=True)
    OmegaConf.update(cfg, "note", "a remark", force_add=True)
    check_settings(cfg, RULES["rim-train"])


def test_a_reference_to_a_setting_that_does_not_exist_is_refused():
    cfg = composed("train", "experiment=demo", r"optim.clip=${nonsense}")
    with pytest.raises(ValueError, match=r"^optim.clip is \$\{nonsense\}, but there is no such setting\.$"):
        check_settings(cfg, RULES["rim-train"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("+data.batchsize=3", "There is no setting data.batchsize; did you mean data.batch_size?"),
        ("+logger.csv.foo=3", "There is no setting logger.csv.foo."),
        ("~data.batch_size", "~data.batch_size takes away what is needed"),
        ("~seed", "~seed takes away what is needed"),
    ],
)
def test_a_setting_that_a_class_does_not_take_or_lacks_is_named(override, sentence):
    cfg = composed("train", "experiment=demo", "paths.output_dir=unused", override)
    group = cfg.logger.csv if "logger" in override else cfg.data
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever Hydra makes of it
        instantiate(group)
    assert explained(cfg, [override], caught.value).startswith(sentence)
    assert explained(cfg, [], ValueError("something else")) == ""
