"""rim-compare from beginning to end on a few synthetic faces, and what it says to wrong input."""

import csv
import json

import pytest
from omegaconf import OmegaConf

from rim_lightning.comparison.plan import train_missing as training
from rim_lightning.comparison.run import compare
from tests.helpers.commands import run_here
from tests.helpers.configurations import configuration, training_configuration

SETTINGS = [
    "protocol=synthetic",
    "budget=0.6",
    "hallucination_share=0.25",
    "calibration.pairs=30",
    "pairs.people.pairs=30",
    "sweep.sizes=[8,16]",
    "sweep.degradations={bicubic: [8, 16], area: [8], realistic: [8], camera: [8]}",
    "shown_faces=2",
]
SMALL = [
    "data.people=24",
    "data.views=4",
    "data.splits={train: 0.5, val: 0.25, test: 0.25}",
    "data.batch_size=4",
    "teacher.epochs=1",
    "evaluation.verification_pairs=20",
    "trainer.precision=32-true",
]


@pytest.fixture
def bench(tmp_path):
    """One call of the comparison, outside a Hydra app."""

    def call(*overrides, systems=()):
        places = [f"paths.{name}_dir={tmp_path / name}" for name in ("results", "prepared", "output")]
        cfg = configuration("compare", [*SETTINGS, *places, *overrides])
        cfg.settings = [*cfg.settings, *SMALL]
        cfg.systems = {name: cfg.systems[name] for name in systems}
        for grid in cfg.learning_rates.values():
            grid["values"] = list(grid["values"])[:1]
        compare(cfg, training_configuration)
        return tmp_path / "output"

    return call


def rows_of(file):
    with open(file) as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_tables_and_figures_of_drawn_faces(bench, monkeypatch, tmp_path):
    """Two hallucination networks and RIM, each within seconds; asked for again, nothing is trained or embedded."""
    systems = ("srcnn", "fhn", "rim")
    options = ("systems.fhn.seeds=[0]", "systems.rim.seeds=[0]")
    bench("table=1", *options, systems=systems)
    folder = bench("table=4", *options, systems=systems)
    rows = {row["method"]: row for row in rows_of(folder / "table_4.csv")}
    assert float(rows["bicubic"]["synthetic faces: PSNR (95 %)"].split()[0]) > 15
    for method in ("SRCNN", "FHN of RIM"):
        assert float(rows[method]["synthetic faces: PSNR (95 %)"].split()[0]) > 10
    for method in ("VDSR", "FHN, two turns"):
        assert rows[method]["synthetic faces: PSNR (95 %)"] == "not yet run"
    assert (folder / "table_4.tex").is_file()
    assert "Budget: 0.6 CPU minutes" in (folder / "table_4.md").read_text()
    runs = sorted((tmp_path / "results" / "runs").iterdir())
    measured = [json.loads(file.read_text())["minutes"] for file in (tmp_path / "results" / "budgets").iterdir()]
    assert len(runs) == 3
    assert sorted(measured) == pytest.approx([0.15, 0.15, 0.6])

    def forbidden(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "_start", forbidden)
    first = (folder / "table_4.csv").read_text()
    bench("table=4", *options, systems=systems)
    assert (folder / "table_4.csv").read_text() == first

    for table in ("1", "2", "3", "tricks", "ratios", "parts", "sweep", "alignment", "identification"):
        bench(f"table={table}", *options, systems=systems)
    ablation = {row["system"]: row for row in rows_of(folder / "table_1.csv")}
    assert ablation["(b) S alone, by people, from T's weights"]["HR-LR (95 %)"] == "not yet run"
    for label in ("(a) T on bicubic", "(d) FHN + T", "(f) FHN + T + S + A: RIM"):
        assert 0.3 <= float(ablation[label]["HR-LR (95 %)"].split()[0]) <= 1
    faces = {
        json.loads((run / "run.json").read_text())["title"]: 10
        * OmegaConf.load(run / "config.yaml").data.samples_per_epoch
        for run in runs  # all stages of the three together: 10 epochs
    }
    assert rows["SRCNN"]["thousand training faces"] == f"{faces['srcnn, seed 0'] / 1e3:.1f}"
    assert (
        ablation["(f) FHN + T + S + A: RIM"]["thousand training faces"] == f"{faces['rim, seed 0'] / 1e3:.1f}" != "0.0"
    )
    parts = {row["what is changed"]: row for row in rows_of(folder / "parts.csv")}
    assert 0.3 <= float(parts["RIM"]["AUC"]) <= 1
    assert parts["FHN of RIM"]["AUC"] == ""
    assert float(parts["FHN of RIM"]["landmark error, %"]) > 0 < float(parts["a constant answer"]["landmark error, %"])
    sweep = rows_of(folder / "sweep.csv")
    assert {row["probe made by"] for row in sweep} == {
        *("bicubic", "area", "realistic", "camera", "camera, moved as by a detector's points")
    }
    assert all(row["16 px"] == "" for row in sweep if row["probe made by"] != "bicubic")
    moved = {(row["system"], row["figure"].split(",")[0]): row for row in rows_of(folder / "alignment.csv")}
    assert 0.3 <= float(moved["RIM", "accuracy"]["turned"].split()[0]) <= 1
    assert moved["RIM, faces not realigned by its landmarks", "accuracy"]["turned"] == "not yet run"
    assert moved["bicubic", "PSNR"]["shifted"] != moved["bicubic", "PSNR"]["aligned"]
    for figure in ("3", "4", "roc", "sweep"):
        bench(f"figure={figure}", *options, systems=systems)
        assert (folder / f"figure_{figure}.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ([], "Give table=1|2|3|4|tricks|ratios|groups|parts|sweep|alignment|identification or figure=3|4|roc|sweep."),
        (
            ["table=5"],
            'There is no table "5"; choose from 1, 2, 3, 4, tricks, ratios, groups, parts, sweep, alignment, '
            "identification.",
        ),
        (["figure=7"], 'There is no figure "7"; choose from 3, 4, roc, sweep.'),
        (["table=3", "paths.data_dir=nowhere"], "nowhere"),
        (
            ["table=2", "pairs.CALFW={kind: pack, file: no.bin}"],
            "no.bin does not exist; expected the pack of the pairs",
        ),
        (
            ["table=2", "pairs.CALFW={kind: pack, store: lfw}"],
            "The pairs CALFW of kind pack have the unknown setting store",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(tmp_path, overrides, sentence):
    folders = [f"paths.results_dir={tmp_path / 'results'}", f"paths.prepared_dir={tmp_path / 'prepared'}"]
    done = run_here("compare", *overrides, f"hydra.run.dir={tmp_path}", *folders)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
