"""Wrong settings of rim-compare get one sentence before anything is prepared or trained."""

import re
from types import SimpleNamespace

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from rim_lightning.comparison.plan.systems import Allowance, Grid
from rim_lightning.comparison.run import FIGURES, TABLES, check_complete, compare, protocol_notes
from rim_lightning.comparison.setup import allowance_of
from rim_lightning.runs.incomplete import Incomplete
from tests.helpers.commands import run_here
from tests.helpers.configurations import configuration, training_configuration


def test_what_a_minute_is_stands_above_every_table():
    reported = {accelerator: _first_note((1e-4, 1e-3), accelerator) for accelerator in ("cpu", "gpu")}
    assert reported["cpu"].startswith("Budget: 12 CPU minutes of one thread for each recognition system, 3 for each")
    assert reported["gpu"].startswith("Budget: 12 GPU minutes for each")
    assert "may share the GPU" in reported["gpu"]


def test_rates_that_are_not_searched_stand_above_every_table():
    assert "tries its kind's learning rates for 20% of that each" in _first_note((1e-4, 1e-3))
    fixed = _first_note((3e-4,))
    assert "Learning rates: 0.0003 (recognition)." in fixed
    assert "tries" not in fixed


def _first_note(rates, accelerator="cpu"):
    """The note about the training of systems with a budget of 12 minutes."""
    plan = SimpleNamespace(
        allowance=Allowance("budget", 12),
        hallucination_share=0.25,
        search_share=0.2,
        systems={},
        grids={"recognition": Grid(("optim.optimizers.student.lr",), rates, ("val/rim/auc",))},
    )
    laboratory = SimpleNamespace(lr_size=16)
    return protocol_notes(SimpleNamespace(plan=plan, laboratory=laboratory, accelerator=accelerator, hr_size=128))[0]


def test_one_setting_decides_how_long_systems_are_trained():
    nothing = {"faces_seen": None, "work": None, "budget": None}
    assert allowance_of(nothing | {"faces_seen": 500}) == ("faces", 500)
    assert allowance_of(nothing | {"faces_seen": 500, "work": 3.5}) == ("work", 3.5)
    assert allowance_of(nothing | {"budget": 2}) == ("budget", 2)
    with pytest.raises(ValueError, match="budget and work are given"):
        allowance_of(nothing | {"work": 1, "budget": 2})
    with pytest.raises(ValueError, match="give faces_seen, work or budget"):
        allowance_of(nothing)


def test_a_gpu_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = configuration("compare", ["table=3", "measure_on=gpu", f"paths.output_dir={tmp_path}"])
    with pytest.raises(ValueError, match="PyTorch finds no CUDA device here: set measure_on=cpu"):
        compare(cfg, training_configuration)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["detailed=CALFW"], 'detailed is "CALFW", a set that is missing; choose from LFW, LFW_random, Helen.'),
        (["detailed=MegaFace"], 'detailed is "MegaFace"'),
        (
            ["pairs.LFW.kind=all"],
            'The pairs LFW are of kind "all"; choose from listed, random, mirrored, sampled, everyone, pack.',
        ),
        (["flip=true"], "set pairs.Helen=null"),
        (["+systems.srcnn.budget=3"], "systems.srcnn has the unknown setting budget; choose from kind, experiment"),
        (
            ["systems.srcnn.kind=vision"],
            'The system srcnn is of kind "vision"; choose from hallucination, recognition, scratch.',
        ),
        (["systems.rim_in_turn.after=gan"], "systems.rim_in_turn.after=gan names no system; choose from "),
        (["systems.fhn=null"], "systems.fhn_without_priors.rate_of=fhn names no system; choose from srcnn, vdsr"),
        (["settings=['teacher.weights=null']"], "A comparison needs a teacher"),
    ],
)
def test_settings_are_checked_first(tmp_path, overrides, sentence):
    places = [f"paths.{name}_dir={tmp_path / name}" for name in ("data", "results", "prepared", "output")]
    cfg = configuration("compare", ["table=3", *places, *overrides])
    with pytest.raises(ValueError, match=re.escape(sentence)):
        compare(cfg, training_configuration)
    assert not (tmp_path / "results").exists()


def test_what_could_not_be_trained_or_measured_ends_the_command_with_its_names():
    check_complete({}, {})
    check_complete({}, {"RIM": "not yet run"})  # nothing asked for its training
    for untrained, missing, sentence in (
        ({"fhn": "diverged"}, {"RIM": "not yet run"}, "1 of the systems could not be trained (fhn). The reasons stand"),
        ({"fhn": "diverged"}, {"RIM": "failed: damaged"}, "could not be trained (fhn); 1 could not be measured (RIM)"),
        ({}, {"RIM": "failed: a damaged file", "SRCNN": "not yet run"}, "1 could not be measured (RIM)"),
    ):
        with pytest.raises(Incomplete, match=re.escape(sentence)):
            check_complete(untrained, missing)


def test_no_hydra_app_is_needed(tmp_path):
    """Configurations of rim-train come from the function that is handed in, and from nowhere else."""
    requests = []

    def compose(overrides):
        requests.append(list(overrides))
        raise ValueError("composed")

    places = [f"paths.{name}_dir={tmp_path / name}" for name in ("data", "results", "prepared", "output")]
    cfg = configuration("compare", ["table=3", "protocol=synthetic", *places])
    assert not GlobalHydra.instance().is_initialized()
    with pytest.raises(ValueError, match="composed"):
        compare(cfg, compose)
    (overrides,) = requests
    assert overrides[0] == "experiment=rim"
    assert {"data=synthetic", "evaluate=false", "trainer=cpu", "paths.output_dir=unused"} <= set(overrides)


def test_every_table_and_figure_knows_its_systems():
    assert TABLES["2"].systems[:2] == ("fhn", "rim")
    assert TABLES["4"].systems == FIGURES["3"].systems == FIGURES["4"].systems
    assert TABLES["sweep"].systems == FIGURES["sweep"].systems == ("distillation", "distillation_more", "rim")
    learners = ("distillation", "distillation_more", "rim", "rim_without_realigning")
    assert TABLES["alignment"].systems == (*learners, "fhn", "coarse")
    assert TABLES["identification"].systems == ("distillation", "distillation_more", "rim", "fhn")
    assert set(FIGURES["roc"].systems) == set(TABLES["1"].systems) | set(TABLES["3"].systems)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "Give table=1|2|3|4|tricks|ratios|groups|parts|sweep|alignment|identification or figure=3|4|roc|sweep."),
        (
            ["table=1", "figure=3"],
            "Give table=1|2|3|4|tricks|ratios|groups|parts|sweep|alignment|identification or figure=3|4|roc|sweep.",
        ),
        (
            ["table=5"],
            'There is no table "5"; choose from 1, 2, 3, 4, tricks, ratios, groups, parts, sweep, alignment, '
            "identification.",
        ),
        (
            ["table=groups"],
            "table=groups needs the groups of the people: groups=<CSV file with the header person,group>.",
        ),
        (["figure=7"], 'There is no figure "7"; choose from 3, 4, roc, sweep.'),
    ],
)
def test_a_table_or_a_figure_must_be_named(overrides, sentence, tmp_path):
    cfg = configuration("compare", [*overrides, f"paths.output_dir={tmp_path}"])
    with pytest.raises(ValueError, match=re.escape(sentence)):
        compare(cfg, training_configuration)


def test_the_command_knows_its_tables(tmp_path):
    done = run_here("compare", "table=5", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        'rim-compare: There is no table "5"; choose from 1, 2, 3, 4, tricks, ratios, groups, parts, sweep, alignment, '
        "identification.\n"
    )
