"""Every experiment composes, and the embedded ones run: no configuration rots."""

import json
import math
import platform
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR, experiments
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.training.run import build_module, train
from tests.helpers.commands import run_here
from tests.helpers.stores import small_synthetic_store

EXPERIMENTS = sorted(path.stem for path in (CONF_DIR / "experiment").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))

# The smallest run that still goes through every stage: 24 synthetic people, two batches an epoch.
QUICK = [
    "experiment=demo",
    "data.people=24",
    "data.splits={train: 0.6, val: 0.2, test: 0.2}",  # a person is in one fold only: two folds need four people
    "data.views=4",
    "data.batch_size=16",
    "data.workers=0",
    "workers=0",
    "teacher.epochs=1",
    "schedule.stages=[{name: fhn, epochs: 1}, {name: hrn, epochs: 1}, {name: joint, epochs: 1}]",
    "evaluation.verification_pairs=20",
    "trainer.precision=32-true",
    "trainer.log_every_n_steps=1",
    "+trainer.enable_progress_bar=false",
    "~callbacks.progress",
]


def composed(*overrides, config="train", folder="unused"):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(config, overrides=[f"paths.output_dir={folder}", *overrides])


def test_there_are_the_promised_experiments_and_presets():
    assert {"demo", "real_smoke", "real_128", "paper_helen"} <= set(EXPERIMENTS)
    assert {"rim", "fhn", "srcnn", "vdsr", "lapsrn", "esrgan", "distillation", "staged_cnn"} <= set(EXPERIMENTS)
    assert set(MODELS) == {"paper", "paper_code", "base", "small", "tiny"}


def examples():
    """(configuration, overrides) of every command under "Examples:" in the help of a command; sweeps are none."""
    for file in sorted(CONF_DIR.glob("*.yaml")):
        shown = OmegaConf.load(file).hydra.help.header.partition("Examples:\n")[2].partition("\n\n")[0]
        assert shown, f"{file.name} shows no examples"
        for command in map(str.strip, shown.splitlines()):
            words = shlex.split(re.split(r"\s{3,}", command)[0])
            assert words[0] == f"rim-{file.stem}", command
            if "-m" not in words:
                yield file.stem, [word for word in words[1:] if "hydra.run.dir" not in word]


@pytest.mark.parametrize(("config", "overrides"), list(examples()), ids=str)
def test_the_examples_of_the_help_compose(config, overrides):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        compose(config, overrides=overrides)  # raises for a name that is not there


def test_an_experiment_is_listed_with_the_first_sentence_of_its_comment():
    lines = dict(line.split(None, 1) for line in experiments().splitlines())
    assert sorted(lines) == EXPERIMENTS
    assert lines["real_128"] == "Two hours on two CPU cores; the run can be stopped and resumed."
    assert lines["centerface"].startswith("CenterFace (Wen et al. 2016) at half its width: ")


@pytest.mark.slow
def test_a_cpu_trains_in_bf16_only_where_it_has_instructions_for_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for fast, precision in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)  # of x86
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda fast=fast: fast)  # of others
        assert composed("trainer=cpu").trainer.precision == precision
        assert composed("trainer=gpu").trainer.precision == composed("trainer=ddp").trainer.precision == "bf16-mixed"
        assert composed("trainer=cpu", "trainer.precision=64-true").trainer.precision == "64-true"


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="reads the flags of an x86 CPU")
def test_the_precision_of_this_cpu_is_that_of_its_flags():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    has_bf16 = bool(flags & {"avx512_bf16", "amx_bf16"})
    assert composed("trainer=cpu").trainer.precision == ("bf16-mixed" if has_bf16 else "32-true")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_composes_resolves_and_starts_with_its_command(name):
    plain = OmegaConf.to_container(composed(f"experiment={name}"), resolve=True)
    assert plain["name"] == name
    lines = (CONF_DIR / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"  # Hydra wants it first
    assert lines[1].startswith(f"# rim-train experiment={name}")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name.startswith("paper") else []) for name in MODELS]
)
def test_preset_hallucinates_and_embeds_at_its_size(name):
    """One face through the networks of the preset at its own size; heatmaps and parsing on a grid of a quarter."""
    objective = {"paper_code": "paper_code", "paper": "paper"}.get(name, "base")
    cfg = composed(f"model={name}", f"objective={objective}", "teacher.weights=null", "teacher.start_students=false")
    rim = build_module(cfg, None).rim.eval()
    size = cfg.model.hr_size
    assert size == 8 * cfg.model.lr_size
    face = torch.rand(1, 3, size, size) * 2 - 1
    with torch.no_grad():
        output = rim.fhn(face, torch.tensor([cfg.model.lr_size]))
        embedding = rim.hrn.probe(ProbeViews(output.sr))
    assert output.sr.shape == output.coarse.shape == face.shape
    assert output.priors.parsing_logits.shape == (1, 11, size // 4, size // 4)
    assert {scheme: maps.shape[1] for scheme, maps in output.priors.heatmaps.items()} == dict(cfg.model.schemes)
    assert embedding.shape == rim.embed_gallery(face).shape
    assert torch.isfinite(embedding).all()


def test_authors_layout_has_the_published_widths():
    rim = build_module(
        composed("model=paper_code", "objective=paper_code", "teacher.weights=null", "teacher.start_students=false"),
        None,
    ).rim
    assert rim.fhn.generator.channels == 192  # 64 global + 128 of the prior trunk, at 56 x 56
    assert rim.fhn.coarse_gradient == "pixel_only"
    assert rim.fhn.prior_pixel_gradient == 0.1


@pytest.mark.slow
def test_a_whole_run_leaves_what_it_promises(tmp_path):
    """Teacher, three stages, evaluation, report; then a checkpoint that needs none of the configuration."""
    figures = train(composed(*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", folder=tmp_path / "run"))
    folder = tmp_path / "run"
    saved = json.loads((folder / "metrics.json").read_text())
    assert saved == figures
    for key in ("sr/synthetic/psnr_y", "sr/synthetic/bicubic/psnr_y", "verification/synthetic_test/8/rim/accuracy"):
        assert key in saved
    assert saved["verification/synthetic_test/hr/teacher/accuracy"] >= 0.5
    report = (folder / "report.md").read_text()
    for picture in ("panel_synthetic.png", "curves.png"):
        assert picture in report
        assert (folder / picture).stat().st_size > 10_000
    assert OmegaConf.load(folder / "config.yaml").name == "demo"
    rim = load_rim(str(folder / "checkpoints" / "last.ckpt"))
    assert rim.hr_size == 64
    assert (folder / "csv" / "version_0" / "metrics.csv").is_file()


@pytest.mark.slow
def test_a_run_is_never_overwritten_and_a_resumed_one_keeps_its_curves(tmp_path):
    settings = [*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", "evaluate=false"]
    short, long = "schedule.stages=[{name: fhn, epochs: 1}]", "schedule.stages=[{name: fhn, epochs: 2}]"
    folder = tmp_path / "run"
    train(composed(*settings, short, folder=folder))
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match="holds a run already: add resume=true"):
        train(composed(*settings, long, folder=folder))
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    train(composed(*settings, long, "resume=true", folder=folder))
    logged = [(folder / "csv" / f"version_{n}" / "metrics.csv").read_text().splitlines() for n in (0, 1)]
    assert all(len(rows) > 1 for rows in logged)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1


@pytest.mark.slow
def test_a_run_killed_after_its_last_batch_still_leaves_its_figures(tmp_path):
    """The resumed run has no batch left to train, but repeats the validation that the kill interrupted or prevented."""
    settings = [*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", "evaluate=false", "teacher.epochs=0"]
    settings += [
        "schedule.stages=[{name: fhn, epochs: 2}]",
        "trainer.check_val_every_n_epoch=2",
        "teacher.weights=null",
    ]
    folder = tmp_path / "run"
    whole = train(composed(*settings, folder=folder))
    (folder / "metrics.json").unlink()
    again = train(composed(*settings, "resume=true", folder=folder))
    assert again["val/psnr_gain"] == pytest.approx(whole["val/psnr_gain"], abs=1e-5)
    assert json.loads((folder / "metrics.json").read_text())["val/psnr_gain"] == again["val/psnr_gain"]
    seldom = train(composed(*settings, "trainer.check_val_every_n_epoch=5", folder=tmp_path / "seldom"))
    assert seldom["val/psnr_gain"] == pytest.approx(whole["val/psnr_gain"], abs=1e-5)
    assert "train/hallucination/loss" in seldom
    early = train(
        composed(*settings, "trainer.check_val_every_n_epoch=1", "schedule.stages.0.epochs=3", folder=tmp_path / "each")
    )
    stale = train(
        composed(*settings, "schedule.stages.0.epochs=3", folder=tmp_path / "stale")
    )  # validated after the second
    assert stale["val/psnr_gain"] == pytest.approx(early["val/psnr_gain"], abs=1e-5)
    assert stale["val/psnr_gain"] != pytest.approx(whole["val/psnr_gain"], abs=1e-5)
    without = train(composed(*settings, "+trainer.limit_val_batches=0", folder=tmp_path / "without"))
    assert "train/hallucination/loss" in without
    assert not any(name.startswith("val/") for name in without)


@pytest.mark.slow
def test_a_budget_is_measured_once(tmp_path):
    settings = [*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", "evaluate=false", "teacher.epochs=0"]
    settings += ["schedule.stages=[{name: fhn, epochs: 1}]", "teacher.weights=null", "budget=0.05"]
    train(composed(*settings, folder=tmp_path / "run"))
    measured = json.loads((tmp_path / "run" / "budget.json").read_text())
    assert measured["minutes"] == 0.05
    assert measured["samples_per_epoch"] % 16 == 0
    (tmp_path / "shared.json").write_text(json.dumps({"minutes": 0.05, "samples_per_epoch": 32}))
    train(composed(*settings, f"paths.budget_file={tmp_path / 'shared.json'}", folder=tmp_path / "other"))
    assert not (tmp_path / "other" / "budget.json").exists()
    assert torch.load(tmp_path / "other" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    with pytest.raises(
        ValueError, match=r"was measured for budget=0.05, not .*: set budget=0.05, or another paths.budget_file"
    ):
        train(composed(*settings[:-1], "budget=0.1", "resume=true", folder=tmp_path / "run"))


# What makes each experiment small enough for a test; its networks, losses and phases stay its own.
SMALL = ["evaluate=false", "workers=0", "trainer.precision=32-true", "trainer.check_val_every_n_epoch=99"]
SMALL += [f"+trainer.limit_{kind}_batches=1" for kind in ("train", "val")]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*EXPERIMENTS} - {"demo"}))
def test_experiment_runs_one_batch_of_every_stage(name, tmp_path):
    """Synthetic faces stand in for the real sets, a random teacher of the same shape for the published one."""
    size = composed(f"experiment={name}").model.hr_size
    store = small_synthetic_store(tmp_path / "synthetic", people=6, views=1, hr_size=size)
    stores = [f"data.stores.{key}={store.path}" for key in composed(f"experiment={name}").data.stores]
    overrides = [*SMALL, *stores, "data.batch_size=2", "data.eval_batch_size=2", "teacher.weights=null"]
    overrides += ["data.samples_per_epoch=null"]
    cfg = composed(f"experiment={name}", *overrides, folder=tmp_path / "run")
    cfg.sources = {}  # the override sources={} would leave those of the experiment
    for stage in cfg.schedule.stages:
        stage.epochs = 1
    figures = train(cfg)
    assert (
        torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
        == len(cfg.schedule.stages) - 1
    )
    assert {"val/psnr_gain", "val/recognizer/accuracy"} & set(figures)
    losses = [value for key, value in figures.items() if key.endswith("/loss")]
    assert losses
    assert all(math.isfinite(value) for value in losses)


@pytest.mark.parametrize(
    ("command", "overrides", "sentence"),
    [
        ("train", ["model=huge"], "huge"),
        ("eval", [], "rim-eval: checkpoint is not set"),
        ("eval", ["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
        ("train", ["experiment=real_smoke", "paths.data_dir=nowhere"], "nowhere"),
        ("train", ["experiment=demo", "trainer=gpu"], "No supported gpu backend"),
        (
            "train",
            ["-m", "experiment=demo", "seed=1,2", "hydra.launcher.parallel=99"],
            "parallel is 99",
        ),
        ("speed", ["rows=[]"], "rows is empty"),
        ("train", ["experiment=srcnn", "evaluate=true"], "this system is a super_resolver"),
    ],
)
@pytest.mark.slow
def test_wrong_input_gets_a_sentence_not_a_stack_trace(tmp_path, command, overrides, sentence):
    places = [f"hydra.run.dir={tmp_path}", f"hydra.sweep.dir={tmp_path}", f"paths.prepared_dir={tmp_path / 'p'}"]
    done = run_here(command, *overrides, *places)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "eval", "embed", "prepare", "speed", "compare"])
def test_help_shows_examples(command):
    done = run_here(command, "--help")
    assert done.returncode == 0
    title, examples, rest = done.stdout.split("\n\n", 2)
    assert title.startswith(f"rim-{command}: ")
    assert examples.startswith("Examples:\n")
    assert f"rim-{command} " in examples
    assert "Groups and settings:" in rest
    listed, _, _ = rest.partition("Groups and settings:")
    for name in EXPERIMENTS if command == "train" else ():
        assert re.search(rf"^  {name} +[A-Z].{{10,}}", listed, re.MULTILINE), f"{name} has no line of its own"
