"""What rim-compare does: prepare, train what is missing, measure, write tables and figures."""

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER
from rim_lightning.comparison.paper.ablation import ablation_table
from rim_lightning.comparison.paper.alignment import alignment_table
from rim_lightning.comparison.paper.hallucination import hallucination_table, plot_distributions, plot_faces
from rim_lightning.comparison.paper.identification import identification_table
from rim_lightning.comparison.paper.overview import overview_table
from rim_lightning.comparison.paper.roc import plot_roc
from rim_lightning.comparison.paper.rows import SWEEP, TABLE_1, TABLE_2, TABLE_3, TABLE_4
from rim_lightning.comparison.paper.sweep import plot_sweep, sweep_table
from rim_lightning.comparison.paper.write import Table, write_table
from rim_lightning.comparison.plan.train_missing import train_missing
from rim_lightning.comparison.setup import Comparison, _store, prepare_comparison
from rim_lightning.data.readers.pair_lists import write_pair_csv
from rim_lightning.evaluation.protocols import FaceSet, PairSet, SearchSet, one_each, surveillance

TABLES = ("1", "2", "3", "4", "sweep", "alignment", "identification")
FIGURES = ("3", "4", "roc", "sweep")
FIRST_SEED = "Of a system with several seeds, the first one."
BLOCKS = "RIM ahead by: of rows from scratch, the RIM whose teacher is from scratch too."
SHARP = "HR-HR: both sides sharp, read by what reads the gallery (of every row with a teacher: the teacher)."


def run(cfg: DictConfig) -> None:
    """One call of rim-compare, as `conf/compare.yaml` describes it.

    Raises:
        FileNotFoundError, ValueError: wrong settings or data, in one sentence.
    """
    table, figure = (None if name is None else str(name) for name in (cfg.table, cfg.figure))
    if (table is None) == (figure is None):
        raise ValueError(f"Give table={'|'.join(TABLES)} or figure={'|'.join(FIGURES)}.")
    if table is not None and table not in TABLES:
        raise ValueError(f'There is no table "{table}"; choose from {", ".join(TABLES)}.')
    if figure is not None and figure not in FIGURES:
        raise ValueError(f'There is no figure "{figure}"; choose from {", ".join(FIGURES)}.')
    comparison = prepare_comparison(cfg)
    if cfg.train:
        wanted = [name for name in _wanted(table, figure) if name in comparison.plan.systems]
        for name, why in train_missing(comparison.plan, wanted, cfg.parallel).items():
            print(f"{name}: {why}")
    folder = Path(cfg.paths.output_dir)
    if table is not None:
        made, notes = _table(table, comparison)
        name = f"table_{table}" if table.isdigit() else table
        folder.mkdir(parents=True, exist_ok=True)
        for title, pairs in comparison.pairs.items():
            if pairs is not None and table != "4":
                digest = write_pair_csv(folder / f"pairs_{title}.csv", pairs.listed())
                notes.append(f"pairs_{title}.csv, written beside this, has the SHA-256 {digest[:16]}….")
        file = write_table(folder, name, made, [*_protocol(comparison), *notes])
        print(file.read_text())
        print(f"Table: {file}, with .csv and .tex beside it")
    else:
        path = folder / f"figure_{figure}.png"
        missing = _figure(figure, path, comparison)
        if missing:
            print(f"Not yet run, and left out: {', '.join(missing)}")
        print(f"Figure: {path}")


def _table(name: str, comparison: Comparison) -> tuple[Table, list[str]]:
    """The table, and what is to be said about it."""
    laboratory, detailed, hr_size = comparison.laboratory, comparison.detailed(), comparison.hr_size
    if name == "1":
        rows, title = TABLE_1, "Table 1: parts of RIM"
        return ablation_table(title, rows, laboratory, detailed, hr_size, _rows), [SHARP, *_about(detailed)]
    if name == "2":
        rows, title = TABLE_2, "Table 2: sets and sides"
        made = overview_table(title, rows, laboratory, comparison.pairs, _rows)
        return made, [BLOCKS, *_about(*comparison.pairs.values())]
    if name == "3":
        rows, title = TABLE_3, "Table 3: recognition from one start"
        return ablation_table(title, rows, laboratory, detailed, hr_size, _rows), [SHARP, *_about(detailed)]
    if name == "4":
        return hallucination_table(laboratory, comparison.faces, hr_size, _rows), _quality_notes(comparison.faces)
    if name == "sweep":
        sweep = comparison.settings["sweep"]
        made = sweep_table(laboratory, detailed, comparison.calibration, **sweep, progress=_rows)
        return made, [FIRST_SEED, *_about(detailed, comparison.calibration)]
    if name == "identification":
        searched = _searched(comparison)
        made = identification_table(laboratory, searched, comparison.settings["ranks"], _rows)
        sizes = [each for each in searched.values() if each is not None]
        counts = [f"{s.title}: {len(s.probe)} probes, {len(s.gallery)} gallery images." for s in sizes]
        return made, [FIRST_SEED, *counts]
    amounts = comparison.settings["misalignment"]
    made = alignment_table(laboratory, detailed, comparison.first_faces(), amounts, _rows)
    return made, [FIRST_SEED, *_about(detailed)]


def _figure(name: str, path: Path, comparison: Comparison) -> list[str]:
    """Draws it; returns the methods that are missing."""
    if name == "3":
        return plot_faces(path, comparison.laboratory, comparison.first_faces(), comparison.settings["shown_faces"])
    if name == "4":
        return plot_distributions(path, comparison.laboratory, comparison.first_faces())
    if name == "sweep":
        degradations = comparison.settings["sweep"]["degradations"]
        return plot_sweep(path, comparison.laboratory, comparison.detailed(), degradations)
    return plot_roc(path, comparison.laboratory, comparison.detailed())


def _wanted(table: str | None, figure: str | None) -> list[str]:
    """Systems that a table or figure shows, in its order."""
    if table == "4" or figure in ("3", "4"):
        return list(TABLE_4)
    rows = {"1": TABLE_1, "2": TABLE_2, "3": TABLE_3}.get(table, ())
    readings = [row.reading for row in rows]
    if table in ("sweep", "alignment", "identification") or figure == "sweep":
        readings = [reading for _, reading in SWEEP]
    if figure == "roc":
        readings = [row.reading for row in (*TABLE_3, *TABLE_1)]
    names = [name for r in readings for name in (r.system, r.gallery_of, r.sr) if name not in (None, TEACHER, BICUBIC)]
    return list(
        dict.fromkeys([*names, "rim", *{"alignment": ("fhn", "coarse"), "identification": ("fhn",)}.get(table, ())])
    )


def _searched(comparison: Comparison) -> dict[str, SearchSet | None]:
    found: dict[str, SearchSet | None] = {}
    for title, settings in comparison.settings["identification"].items():
        if settings is None:
            found[title] = None
        elif "store" in settings:
            found[title] = one_each(title=title, **settings | {"store": _store(comparison.stores, settings["store"])})
        else:
            prepared = comparison.settings["paths"]["prepared_dir"]
            found[title] = surveillance(
                title=title, **settings, prepared=prepared, hr_size=comparison.hr_size, workers=2
            )
    return found


def _rows(rows: Iterable) -> Iterable:
    return tqdm(list(rows), desc="rows", unit="row")


def _protocol(comparison: Comparison) -> list[str]:
    plan, lr_size = comparison.plan, comparison.laboratory.lr_size
    hallucination = plan.budget * plan.hallucination_share
    minutes, pace = "CPU minutes of one thread", ""
    if comparison.accelerator != "cpu":
        minutes = "GPU minutes"
        pace = (
            " The minutes are those of the fastest of a few batches, timed while other runs may share the GPU: see how "
            "many faces each system was trained on."
        )
    return [
        f"Budget: {plan.budget:g} {minutes} for each recognition system, {hallucination:g} for each "
        f"hallucination network; RIM's {plan.budget:g} minutes contain those of its hallucination network. Each system "
        f"tries its kind's learning rates for {plan.search_share:.0%} of its time each and takes the best on "
        f"validation faces; variants of RIM take RIM's.{pace}",
        f"Probes are aligned {comparison.hr_size} px faces reduced to {lr_size} px by antialiased bicubic, 8 bit, and "
        "enlarged back. Means over seeds where a ± says so; intervals are 95 % bootstraps over pairs or faces (over "
        "people for all pairs and for identification) and, where there are several, seeds. A row without ± is one "
        "seed, whose interval does not know another training.",
        "Quoted: the paper's figures. It does not state its protocol, its tables contradict each other, and its "
        "networks and data were others: they are here for orientation.",
    ]


def _about(*sets: PairSet | None) -> list[str]:
    return [
        f"{pairs.title}: {len(pairs.same)} pairs in {len(pairs.fold.unique())} folds, threshold of the other folds."
        for pairs in sets
        if pairs is not None
    ]


def _quality_notes(faces: dict[str, FaceSet]) -> list[str]:
    sizes = ", ".join(f"{each.title}: {len(each.faces)} faces" for each in faces.values())
    return [f"PSNR and SSIM of BT.601 luma, no border left out; {sizes}. identity: cosine of the teacher's embeddings."]
