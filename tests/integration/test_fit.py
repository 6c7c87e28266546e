"""Short fits on a few synthetic faces: who moves, who does not, what is saved, what a resume gives."""

import csv
import re
import warnings
from dataclasses import replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.inference.model_folder import write_model
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.compared.guided import build_guided_recognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.runs.provenance import code_version
from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.callbacks.progress import StageProgress
from rim_lightning.training.csv_logger import StageCSVLogger
from rim_lightning.training.finite_watch import NonFiniteLoss
from rim_lightning.training.phases import PHASES
from rim_lightning.training.rehearsal import rehearse
from rim_lightning.training.rim_module import RIMModule
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import BACKBONE, MODEL, domain_loss, objective, probes, schedule

FULL = [{"name": "fhn", "epochs": 1}, {"name": "hrn", "epochs": 1}, {"name": "joint", "epochs": 1}]
RATE = {"domain": 1e-3, "hallucination": 1e-3, "student": 1e-3, "assistant": 1e-3}

SETTINGS = {
    "clip": 1.0,
    "teacher_weights": None,
    "start_from_teacher": True,
    "start_from": None,
    "students_from": None,
}
# What a phase may move, written out by hand.
OWNED = {
    "domain": ("rim.discriminator.",),
    "hallucination": ("rim.fhn.",),
    "student": ("rim.hrn.student.",),
    "assistant": ("rim.hrn.assistant.",),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=4, hr_size=32)


def data_of(store):
    return FaceDataModule({"synthetic": store.path}, batch_size=8, eval_batch_size=4)


PROBES = ("degradation", "misalignment", "aligned_share", "targets", "seed", "camera_validation")


def module_of(stages=FULL, alternation="sequential", rates=RATE, kind=torch.optim.AdamW, **changes):
    torch.manual_seed(0)
    system = changes.pop("system", RIMModule)
    return system(
        model=changes.pop("model", MODEL),
        objective=objective(**changes.pop("objective", {})),
        optimizers={name: partial(kind, lr=rate) for name, rate in rates.items()},
        schedule=schedule(stages, **{name: changes.pop(name) for name in ("warmup", "final") if name in changes}),
        probes=probes(**{name: changes.pop(name) for name in PROBES if name in changes}),
        alternation=alternation,
        verification_pairs=10,
        **(SETTINGS | changes),
    )


def _batches(store):
    data = data_of(store)
    data.setup()
    for batch in data.train_dataloader():
        yield data.on_after_batch_transfer(batch, 0)


def trainer_of(folder, epochs, callbacks=(), **changes):
    options = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": epochs,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": bool(callbacks),
        "callbacks": list(callbacks),
        "default_root_dir": folder,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
    }
    return pl.Trainer(**(options | changes))


def values(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def test_a_log_has_a_line_for_each_epoch_that_names_its_stage(store, tmp_path, capsys):
    stages = [{"name": "fhn", "epochs": 1}, {"name": "student", "epochs": 1}]
    trainer = trainer_of(
        tmp_path,
        2,
        [StageProgress(refresh_rate=1)],
        limit_train_batches=2,
        enable_progress_bar=True,
        enable_checkpointing=False,
    )
    trainer.fit(module_of(stages), data_of(store))
    shown = capsys.readouterr()
    assert re.fullmatch(
        r"  fhn, epoch 1 of 2: 2 batches in \d+ s\n  student, epoch 2 of 2: 2 batches in \d+ s\n", shown.out
    )
    assert "\r" not in shown.err


def test_an_epoch_that_is_resumed_in_its_middle_is_timed_from_there(store, tmp_path, capsys):
    def progress(*others):
        return trainer_of(tmp_path, 1, [StageProgress(1), *others], limit_train_batches=2, enable_progress_bar=True)

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / "middle.ckpt")
            trainer.should_stop = True

    stages = [{"name": "fhn", "epochs": 1}]
    stopped = progress(Stop())
    stopped.fit(module_of(stages), data_of(store))
    capsys.readouterr()
    progress().fit(module_of(stages), data_of(store), ckpt_path=str(tmp_path / "middle.ckpt"), weights_only=True)
    assert re.fullmatch(r"  fhn, epoch 1 of 1: 2 batches in \d+ s\n", capsys.readouterr().out)


def test_short_runs_log_losses_and_the_name_of_every_stage(store, tmp_path):
    """Two batches an epoch, an interval of ten: a row of losses in each epoch, of the phases of its stage alone."""
    stages = [{"name": "fhn", "epochs": 1}, {"name": "student", "epochs": 2}]
    logger = StageCSVLogger(save_dir=tmp_path, name="csv")
    trainer = trainer_of(tmp_path, 3, limit_train_batches=2, logger=logger, log_every_n_steps=10)
    trainer.fit(module_of(stages), data_of(store))
    with open(tmp_path / "csv" / "version_0" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    losses = [row for row in rows if any(row[key] for key in row if key.startswith("train/"))]
    assert [(row["step"], row["stage"]) for row in losses] == [("1", "fhn"), ("3", "student"), ("5", "student")]
    assert [bool(row["train/student/stage"]) for row in losses] == [False, True, True]
    assert [bool(row["train/hallucination/pixel"]) for row in losses] == [True, False, False]
    assert {row["stage"] for row in rows} == {"fhn", "student"}


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
@pytest.mark.parametrize("moving", [phase.name for phase in PHASES])
def test_a_phase_moves_its_own_parameters_and_no_others(store, tmp_path, moving, alternation):
    rates = {name: 0.1 if name == moving else 0.0 for name in RATE}
    module = module_of([{"name": "joint", "epochs": 1}], alternation, rates, torch.optim.SGD)
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    moved = {name for name, value in values(module).items() if not torch.equal(value, before[name])}
    own = {name for name in before if name.startswith(OWNED[moving])}
    assert moved <= own
    assert len(moved) > 0.6 * len(own), f"did not move: {sorted(own - moved)}"


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
def test_the_teacher_is_bit_identical_after_a_fit_and_the_rest_is_not(store, tmp_path, alternation):
    module = module_of(alternation=alternation)
    before = {name: value.clone() for name, value in module.rim.hrn.teacher.state_dict().items()}
    start = values(module.rim.fhn) | values(module.rim.hrn.student)
    trainer_of(tmp_path, 3).fit(module, data_of(store))
    after = module.rim.hrn.teacher.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not module.rim.hrn.teacher.training
    end = values(module.rim.fhn) | values(module.rim.hrn.student)
    assert any(not torch.equal(start[name], end[name]) for name in start)


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
def test_what_a_stage_does_not_move_keeps_its_statistics(store, tmp_path, alternation):
    """The student's norm layers in the assistant's stage."""
    backbone = BACKBONE | {"normalization": "batch"}
    recognition = {"teacher": BACKBONE, "student": backbone, "assistant": backbone, "head": "student"}
    stages = [{"name": "student", "epochs": 1}, {"name": "assistant", "epochs": 2}]
    changes = {"model": MODEL | {"recognition": recognition}, "start_from_teacher": False}
    module = module_of(stages, alternation, **changes)
    ends = []

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            assert pl_module.rim.hrn.student.training == (trainer.current_epoch == 0)
            assert pl_module.rim.hrn.assistant.training == (trainer.current_epoch > 0)
            student = pl_module.rim.hrn.student
            ends.append({name: value.clone() for name, value in student.state_dict().items()})

    trainer_of(tmp_path, 3, [Watch()], enable_checkpointing=False).fit(module, data_of(store))
    assert all(torch.equal(ends[0][name], value) for end in ends[1:] for name, value in end.items())
    start = module_of(stages, alternation, **changes).rim.hrn.student.state_dict()
    moved = [name for name in start if "running" in name and not torch.equal(start[name], ends[0][name])]
    assert len(moved) > 4


def test_stages_run_their_own_phases(store, tmp_path):
    """After `fhn` alone the recognition network is as it was; in `hrn` the hallucination network stands still."""
    module = module_of(FULL[:1])
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    after = values(module)
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("rim.hrn."))
    module = module_of([{"name": "hrn", "epochs": 1}])
    before = values(module)
    trainer_of(tmp_path, 1).fit(module, data_of(store))
    after = values(module)
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith(("rim.fhn.", "rim.discriminator.")))
    assert any(not torch.equal(before[n], after[n]) for n in before if n.startswith("rim.hrn.student."))


def test_in_the_stage_sharp_the_probes_are_the_sharp_faces(store, tmp_path):
    module = module_of([{"name": "sharp", "epochs": 1}, {"name": "hrn", "epochs": 1}])
    shown = []
    step = module._step_in_turn
    module._step_in_turn = lambda made, active: shown.append(made) or step(made, active)
    trainer_of(tmp_path, 2, limit_train_batches=1).fit(module, data_of(store))
    sharp, small = shown
    assert torch.equal(sharp.probes.enlarged, sharp.batch.hr)
    assert sharp.probes.sizes.tolist() == [32] * 8
    assert not torch.equal(small.probes.enlarged, small.batch.hr)


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
def test_a_resumed_run_ends_bit_for_bit_like_an_undisturbed_one(store, tmp_path, alternation):
    """The queue of the domain loss is longer than an epoch: it spans the interruption."""

    def make():
        return module_of(alternation=alternation, objective={"domain": domain_loss(queue=64)})

    def callbacks(folder):
        last = ModelCheckpoint(tmp_path / folder, "last", save_top_k=1, enable_version_counter=False)
        return [last, WarmedEMA(decay=0.9)]

    whole = make()
    trainer_of(tmp_path, 3, callbacks("whole")).fit(whole, data_of(store))
    # The schedule depends on the run's length, so the first part is a run of three epochs that stops after two.
    part = make()
    part.on_train_epoch_end = lambda: setattr(part.trainer, "should_stop", part.trainer.current_epoch == 1)
    trainer_of(tmp_path, 3, callbacks("part")).fit(part, data_of(store))
    torch.manual_seed(12345)
    resumed = make()
    trainer_of(tmp_path, 3, callbacks("part")).fit(
        resumed, data_of(store), ckpt_path=str(tmp_path / "part" / "last.ckpt"), weights_only=True
    )
    expected, found = values(whole), values(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_checkpoint_is_safe_to_load_rebuilds_the_network_and_holds_the_average(store, tmp_path):
    """The saved weights are the EMA recomputed by hand from the weights after every batch of the last stage."""
    decay = 0.3
    history = []
    stages = [{"name": "hrn", "epochs": 1}, {"name": "joint", "epochs": 2}]

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *_):
            history.append(values(pl_module.rim))

    last = ModelCheckpoint(tmp_path, "last", save_top_k=1, enable_version_counter=False)
    module = module_of(stages)
    trainer_of(tmp_path, 3, [last, WarmedEMA(decay), Watch()]).fit(module, data_of(store))
    rim = load_rim(str(tmp_path / "last.ckpt"))
    assert isinstance(rim, RIM)
    assert not rim.training
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["training"] == {"code": code_version(), "faces": 8 * len(history)}
    first, *others = history[len(history) // 3 :]  # the batches of joint
    assert len(others) == 3
    for name in ("fhn.coarse.pyramid.to_rgb.weight", "hrn.student.backbone.stage1.0.conv.weight"):
        average = first[name]
        for seen, later in enumerate(others, start=1):
            kept = min(decay, (1 + seen) / (10 + seen))  # 2/11, 3/12, 4/13, then 0.3
            average = kept * average + (1 - kept) * later[name]
        assert (average - history[-1][name]).abs().max() > 1e-5
        torch.testing.assert_close(rim.get_parameter(name).detach(), average, rtol=1e-5, atol=1e-7)
        current = content["current_model_state"][f"rim.{name}"]
        torch.testing.assert_close(current, history[-1][name], rtol=0, atol=0)


def test_load_rim_refuses_another_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere.ckpt"):
        load_rim(str(tmp_path / "nowhere.ckpt"))
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(ValueError, match=r"text.ckpt is not a checkpoint"):
        load_rim(str(tmp_path / "text.ckpt"))
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other.ckpt is not a checkpoint of rim-train"):
        load_rim(str(tmp_path / "other.ckpt"))


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
def test_a_non_finite_loss_stops_the_run_by_name_and_keeps_the_last_checkpoint(store, tmp_path, alternation):
    module = module_of([*FULL[:1], {"name": "joint", "epochs": 2}], alternation)
    last = ModelCheckpoint(tmp_path, "last", save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True)

    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 2:
                batch.hr.fill_(float("nan"))

    sizes = []

    class Watch(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                sizes.append((tmp_path / "last.ckpt").read_bytes())

    with pytest.raises(NonFiniteLoss, match=r"Not finite at batch 4: .*train/domain/domain is nan"):
        trainer_of(tmp_path, 3, [last, Watch(), Poison()]).fit(module, data_of(store))
    assert (tmp_path / "last.ckpt").read_bytes() == sizes[0]
    rim = load_rim(str(tmp_path / "last.ckpt"))
    assert all(torch.isfinite(parameter).all() for parameter in rim.parameters())


def test_a_non_finite_gradient_stops_the_run_by_name(store, tmp_path):
    """The losses are finite, yet the square root of 0 in the student's stage has an infinite slope."""
    module = module_of([{"name": "hrn", "epochs": 1}])
    module.objective.stages.forward = lambda target, prediction, *_: (prediction[-1] * 0).sum().sqrt()
    with pytest.raises(NonFiniteLoss, match=r"Not finite at batch 0: gradient/student is (nan|inf)"):
        trainer_of(tmp_path, 1).fit(module, data_of(store))


def test_clipping_bounds_the_step_of_a_phase(store, tmp_path):
    """With SGD of rate 1 a step is as long as the gradient: 0.01 after clipping, the four tail digits of fp32 aside."""
    rates = dict.fromkeys(RATE, 1.0)
    module = module_of([{"name": "joint", "epochs": 1}], "simultaneous", rates, torch.optim.SGD, clip=0.01)
    before = values(module)
    trainer_of(tmp_path, 1, limit_train_batches=1).fit(module, data_of(store))
    for phase, prefixes in OWNED.items():
        moves = [v - before[name] for name, v in values(module).items() if name.startswith(prefixes)]
        length = torch.stack([move.square().sum() for move in moves]).sum().sqrt().item()
        assert length == pytest.approx(0.01, rel=1e-2), phase


def test_bf16_trains_with_weights_in_full_precision(store, tmp_path):
    module = module_of(alternation="simultaneous")
    before = values(module)
    trainer_of(tmp_path, 3, precision="bf16-mixed").fit(module, data_of(store))
    after = values(module)
    assert all(value.dtype == torch.float32 and torch.isfinite(value).all() for value in after.values())
    assert any(not torch.equal(after[name], before[name]) for name in after)


def test_realistic_probes_differ_from_bicubic_ones_and_repeat_with_the_seed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(RIMModule, "iteration", 3)
    faces = next(iter(_batches(store)))
    probes = {}
    for degradation in ("bicubic", "realistic", "camera"):
        module = module_of(degradation=degradation)
        module.trainer = trainer_of(tmp_path, 1)
        probes[degradation] = module.training_probes(faces.hr).enlarged
        torch.testing.assert_close(module.training_probes(faces.hr).enlarged, probes[degradation], rtol=0, atol=0)
    assert (probes["bicubic"] - probes["realistic"]).abs().mean() > 0.01
    assert (probes["bicubic"] - probes["camera"]).abs().mean() > 0.01


def test_validation_logs_the_documented_figures(store, tmp_path):
    module = module_of()
    for layer in (module.rim.fhn.coarse.pyramid.to_rgb, module.rim.fhn.integrator.to_rgb):
        torch.nn.init.zeros_(layer.weight)
    trainer = trainer_of(tmp_path, 1, limit_val_batches=1.0)
    trainer.validate(module, data_of(store), verbose=False)
    logged = trainer.callback_metrics
    wanted = {
        "val/sr/psnr_y",
        "val/bicubic/psnr_y",
        "val/psnr_gain",
        "val/nme/ibug68",
        "val/miou",
        "val/mmd",
        "val/mmd_p",
    }
    assert wanted | {"val/mmd"} <= set(logged)
    # Coarse net and integrator without an output of their own are bicubic interpolation.
    torch.testing.assert_close(logged["val/sr/psnr_y"], logged["val/bicubic/psnr_y"], rtol=0, atol=1e-3)


def test_validation_by_probes_of_cameras_is_that_of_these_probes(store, tmp_path):
    module = module_of(camera_validation=True)
    trainer_of(tmp_path, 1, limit_val_batches=1.0).validate(module, data_of(store), verbose=False)
    logged = dict(module.trainer.callback_metrics)
    assert {name for name in logged if name.startswith("val/camera/")} == {
        name for name in module.validated if name.startswith("val/camera/")
    }
    batch = next(iter(_batches(store)))
    module.eval()
    with torch.no_grad():
        module.validation_step(batch, 0)
        enlarged = seeded_probes(batch.hr, 8, ProbeKind("camera", "detector"), batch.index.tolist())
        expected = module.rim.embed_probe(enlarged, torch.full((len(batch.hr),), 8))
    torch.testing.assert_close(module.camera_verification.probe[-1], expected)
    assert torch.equal(module.camera_verification.index[-1], batch.index)
    assert "val/camera/rim/auc" not in module_of().validated


def test_settings_are_checked():
    with pytest.raises(ValueError, match='no training stage "all"'):
        module_of([{"name": "all", "epochs": 1}])
    with pytest.raises(ValueError, match="A stage has name, epochs"):
        module_of([{"name": "fhn", "epoch": 1}])
    with pytest.raises(ValueError, match='no degradation "snow"'):
        module_of(degradation="snow")
    with pytest.raises(ValueError, match="alternation"):
        module_of(alternation="both")
    with pytest.raises(ValueError, match="only in one backward pass for all phases: set"):
        module_of(objective={"sum_moves": "both"})
    with pytest.raises(ValueError, match="whose faces the student does not see: set objective"):
        module_of(model=MODEL | {"recognition": MODEL["recognition"] | {"student_sees": "probe"}})
    with pytest.raises(ValueError, match="assistant have no optimizer"):
        module_of(rates={name: 0.1 for name in RATE if name != "assistant"})


@pytest.mark.slow
def test_compiled_networks_with_channels_innermost_train_alike(store, tmp_path, monkeypatch):
    """With the average of weights, which copies the model; "aot_eager" traces forward and backward, C++ is left out."""
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda part: compile_module(part, backend="aot_eager"))
    rates = dict.fromkeys(RATE, 0.01)
    trained = []
    for changed in (False, True):
        module = module_of([{"name": "joint", "epochs": 1}], "simultaneous", rates, torch.optim.SGD)
        names = list(module.state_dict())
        if changed:
            module.rim.to(memory_format=torch.channels_last)
            module.rim.compile_networks()
        assert list(module.state_dict()) == names
        trainer_of(tmp_path, 1, [WarmedEMA(0.9)], enable_checkpointing=False).fit(module, data_of(store))
        trained.append(values(module))
    plain, compiled = trained
    start = values(module_of())
    assert any((plain[name] - start[name]).abs().max() > 1e-3 for name in plain)
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_run_starts_from_the_hallucination_network_of_another(store, tmp_path):
    last = ModelCheckpoint(tmp_path, "last", save_top_k=1, enable_version_counter=False)
    first = module_of([{"name": "coarse", "epochs": 1}, {"name": "fhn", "epochs": 1}])
    before = values(first.rim.hrn)
    trainer_of(tmp_path, 2, [last]).fit(first, data_of(store))
    assert all(torch.equal(value, before[name]) for name, value in values(first.rim.hrn).items())
    second = module_of(start_from=str(tmp_path / "last.ckpt"))
    for part in ("fhn", "discriminator"):
        trained = getattr(first.rim, part).state_dict()
        assert all(torch.equal(value, trained[name]) for name, value in getattr(second.rim, part).state_dict().items())
    smaller = MODEL | {"discriminator": {"width": 4, "embedding_size": 8}}
    with pytest.raises(ValueError, match="has a different shape from the configured one: set model"):
        module_of(model=smaller, start_from=str(tmp_path / "last.ckpt"))


def test_a_stage_may_have_aligned_probes_of_its_own(store, tmp_path):
    stages = [{"name": "hrn", "epochs": 1, "aligned_share": 1.0}, {"name": "hrn", "epochs": 1}]
    module = module_of(stages, misalignment={"shift": 0.2}, aligned_share=0.0)
    seen = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            aligned = replace(pl_module.probes, misalignment=None)
            pair = [each.probes(batch.hr, pl_module.iteration).enlarged for each in (pl_module.stage_probes, aligned)]
            seen.append((trainer.current_epoch, torch.equal(*pair)))

    trainer_of(tmp_path, 2, [Watch()]).fit(module, data_of(store))
    assert set(seen) == {(0, True), (1, False)}


def test_a_run_starts_from_an_exported_model(tmp_path):
    model = module_of().rim
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    write_model(tmp_path / "model", model, None, {}, onnx=False)
    started = module_of(start_from=str(tmp_path / "model"), students_from=str(tmp_path / "model"))
    with warnings.catch_warnings(action="error"):
        rehearse(partial(module_of, start_from=str(tmp_path / "model"), students_from=str(tmp_path / "model")), 32)
    found = started.rim.state_dict()
    for name, value in model.state_dict().items():
        filled = name.startswith(("fhn.", "hrn.student.", "hrn.assistant."))
        assert not filled or torch.equal(found[name], value), name


@pytest.mark.parametrize("head", ["student", "own"])
def test_student_and_assistant_start_from_a_distilled_recognizer(tmp_path, head):
    arguments = {"learner": BACKBONE, "guide": BACKBONE, "size_input": True, "lr_size": 8}
    recognizer = build_guided_recognizer(**arguments)
    content = {f"recognizer.{name}": value for name, value in recognizer.state_dict().items()}
    path = tmp_path / "last.ckpt"
    torch.save({"architecture": "recognizer", "model_arguments": arguments, "state_dict": content}, path)
    recognition = {"teacher": BACKBONE, "student": BACKBONE, "assistant": BACKBONE, "head": head, "size_input": True}
    module = module_of(model=MODEL | {"recognition": recognition}, students_from=str(path))
    trained = recognizer.learner.state_dict()
    for learner in (module.rim.hrn.student, module.rim.hrn.assistant):
        found = learner.backbone.state_dict()
        heads = [name for name in trained if name.startswith("embed.")]
        assert heads
        assert set(trained) - set(found) == (set(heads) if learner.backbone.embed is None else set())
        assert all(torch.equal(value, trained[name]) for name, value in found.items())
    with pytest.raises(ValueError, match="has a different shape from the configured one: set model"):
        module_of(students_from=str(path))  # no channel for the size


def test_a_run_does_not_start_from_what_recognizes_nobody(tmp_path):
    content = {"architecture": "super_resolver", "model_arguments": {"name": "bicubic"}, "state_dict": {}}
    torch.save(content, tmp_path / "sr.ckpt")
    with pytest.raises(ValueError, match=r"sr.ckpt holds neither RIM nor a recognizer: set students_from"):
        module_of(students_from=str(tmp_path / "sr.ckpt"))


@pytest.mark.parametrize("alternation", ["sequential", "simultaneous"])
def test_student_and_assistant_can_learn_one_after_the_other(store, tmp_path, alternation):
    stages = [{"name": "student", "epochs": 1}, {"name": "assistant", "epochs": 1}]
    seen = {}
    for count in (1, 2):
        module = module_of(stages[:count], alternation)
        before = values(module.rim)
        trainer_of(tmp_path, count).fit(module, data_of(store))
        seen[count] = {
            name.split(".")[1] if name.startswith("hrn.") else name.split(".")[0]
            for name, value in values(module.rim).items()
            if not torch.equal(value, before[name])
        }
    assert seen == {1: {"student"}, 2: {"student", "assistant"}}
