"""Figures leave out what is missing and say why: "not yet run" is not "failed"."""

from types import SimpleNamespace

import pytest
import torch

from rim_lightning.comparison import run as door
from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.paper.distributions import plot_distributions
from rim_lightning.comparison.paper.faces import plot_faces
from rim_lightning.comparison.paper.hallucination import hallucination_table
from rim_lightning.comparison.paper.roc import plot_roc
from rim_lightning.comparison.paper.sweep import plot_sweep
from rim_lightning.comparison.plan.plan import Run
from rim_lightning.comparison.plan.systems import System
from rim_lightning.comparison.run import FigureRecipe
from rim_lightning.evaluation.protocols import face_set, sampled_pairs
from rim_lightning.files import write_json
from rim_lightning.functional.seeded_probes import CLEAN
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.teacher_weights import save_backbone
from rim_lightning.runs.folder import RunFolder
from tests.helpers.laboratory import as_dicts
from tests.helpers.stores import small_synthetic_store

BACKBONE = {"width": 8, "blocks": (1, 1, 1), "embedding_size": 16, "input_size": 32, "normalization": "none"}
SRCNN = {"name": "srcnn", "widths": (4, 2)}


class OneRunEach:
    """A plan whose systems have one finished run each."""

    def __init__(self, folder, names):
        self.folder = folder
        self.systems = {name: System(name, "hallucination", name) for name in names}

    def runs(self, name):
        return [Run(name, RunFolder(self.folder / name), (), f"{name}, seed 0", ())]


@pytest.fixture
def laboratory(tmp_path):
    """SRCNN is trained; the checkpoints of VDSR and plain distillation are damaged; the rest is missing."""
    torch.manual_seed(0)
    backbone = build_backbone("mobilefacenet", **BACKBONE)
    save_backbone(tmp_path / "teacher.pt", backbone, "mobilefacenet", BACKBONE)
    plan = OneRunEach(tmp_path / "runs", ["srcnn", "vdsr", "distillation"])
    for name in plan.systems:
        (run,) = plan.runs(name)
        run.folder.checkpoints.mkdir(parents=True)
        write_json(run.folder.state, {"name": "finished", "attempts": 1})
        state = {f"super_resolver.{key}": value for key, value in build_super_resolver(**SRCNN).state_dict().items()}
        checkpoint = {"architecture": "super_resolver", "model_arguments": SRCNN, "state_dict": state}
        torch.save(checkpoint, run.checkpoint)
        if name != "srcnn":
            run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-400])
    weights = {"weight_format": "rim_lightning", "path": str(tmp_path / "teacher.pt")}
    return Laboratory(plan, weights, 8, tmp_path / "results")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=12, views=3, hr_size=32)
    return str(store.path)


def is_damage(sentence, name):
    return sentence.startswith("failed: ") and f"{name}/checkpoints/last.ckpt" in sentence and "damaged" in sentence


@pytest.mark.parametrize("plot", [plot_distributions, plot_faces])
def test_figures_of_faces_tell_a_damaged_checkpoint_from_a_missing_one(laboratory, store, tmp_path, plot):
    arguments = (2,) if plot is plot_faces else ()
    missing = plot(tmp_path / "figure.png", laboratory, face_set(store, "faces", "train"), *arguments)
    assert (tmp_path / "figure.png").stat().st_size > 5_000
    assert "SRCNN" not in missing
    assert "bicubic" not in missing
    assert is_damage(missing["VDSR"], "vdsr")
    assert missing["LapSRN"] == missing["FHN of RIM"] == "not yet run"


def test_figures_of_pairs_tell_a_damaged_checkpoint_from_a_missing_one(laboratory, store, tmp_path):
    pairs = sampled_pairs(store, "people", "train", pairs=20)
    for missing in (
        plot_roc(tmp_path / "roc.png", laboratory, pairs),
        plot_sweep(tmp_path / "sweep.png", laboratory, pairs, {CLEAN: [8, 16]}),
    ):
        assert is_damage(missing["plain distillation"], "distillation")
        assert missing["RIM"] == "not yet run"
        assert "teacher" not in missing


def test_the_table_says_the_same(laboratory, store):
    table = hallucination_table(laboratory, {"set": face_set(store, "set", "train")}, 32)
    cells = {row["method"]: row["set: PSNR (95 %)"] for row in as_dicts(table)}
    assert is_damage(cells["VDSR"], "vdsr")
    assert cells["LapSRN"] == "not yet run"
    assert float(cells["SRCNN"].split()[0]) > 5


def test_nothing_to_show_is_an_empty_figure(laboratory, store, tmp_path):
    laboratory.networks.teacher_weights = {"weight_format": "rim_lightning", "path": str(tmp_path / "nowhere.pt")}
    missing = plot_distributions(tmp_path / "figure.png", laboratory, face_set(store, "faces", "train"))
    assert "nowhere.pt" in missing["bicubic"]
    assert (tmp_path / "figure.png").is_file()


def test_a_network_of_the_wrong_kind_gets_one_sentence(laboratory, store):
    """A system for recognition that was given the experiment of a hallucination network."""
    laboratory.networks.plan.systems["distillation"] = laboratory.networks.plan.systems["srcnn"]
    laboratory.networks.plan.runs = lambda name: OneRunEach(laboratory.networks.plan.folder, []).runs("srcnn")
    pairs = sampled_pairs(store, "people", "train", pairs=20)
    missing = plot_sweep(laboratory.folder / "sweep.png", laboratory, pairs, {CLEAN: [8]})
    assert missing["plain distillation"].startswith("failed: SRCNN embeds no faces")


def test_what_is_left_out_is_printed_with_its_reason(tmp_path, capsys):
    missing = {"VDSR": "not yet run", "SRCNN": "failed: last.ckpt is damaged.", "LapSRN": "not yet run"}
    recipe = FigureRecipe(lambda path, comparison: missing, ())
    door._write_figure("3", recipe, SimpleNamespace(), tmp_path)
    assert capsys.readouterr().out.splitlines() == [
        "Not yet run, and left out: VDSR, LapSRN",
        "Left out: SRCNN: failed: last.ckpt is damaged.",
        f"Figure: {tmp_path / 'figure_3.png'}",
    ]
