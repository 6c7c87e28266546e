"""What rim-bench does: prepare, train what is missing, measure, write tables and figures."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from rim_lightning.comparison import tables
from rim_lightning.comparison.figures import draw_distributions, draw_faces, draw_roc, draw_sweep
from rim_lightning.comparison.measures import BICUBIC, TEACHER, Laboratory
from rim_lightning.comparison.protocols import PAIRS, FaceSet, PairSet, SearchSet, face_set, one_each, surveillance
from rim_lightning.comparison.systems import Grid, Plan, System, quoted
from rim_lightning.comparison.training import train_missing
from rim_lightning.data.readers.pair_lists import write_pair_csv
from rim_lightning.data.store import MANIFEST
from rim_lightning.teacher_training import train_teacher
from rim_lightning.training import prepare_missing

TABLES = ("1", "2", "3", "4", "sweep", "alignment", "identification")
FIGURES = ("3", "4", "roc", "sweep")
DEVICES = {"cpu": "cpu", "gpu": "cuda"}
FIRST_SEED = "Of a system with several seeds, the first one."
BLOCKS = "RIM ahead by: of rows from scratch, the RIM whose teacher is from scratch too."
SHARP = "HR-HR: both sides sharp, read by what reads the gallery (of every row with a teacher: the teacher)."


def run(cfg: DictConfig) -> None:
    """One call of rim-bench, as `conf/bench.yaml` describes it.

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
        file = tables.write_table(folder, name, made, [*_protocol(comparison), *notes])
        print(file.read_text())
        print(f"Table: {file}, with .csv and .tex beside it")
    else:
        path = folder / f"figure_{figure}.png"
        missing = _figure(figure, path, comparison)
        if missing:
            print(f"Not yet run, and left out: {', '.join(missing)}")
        print(f"Figure: {path}")


class Comparison(NamedTuple):
    """What a table is made of. Attributes: settings: the configuration, plain. accelerator: "cpu" or what else trains.
    hr_size: pixels. The rest speaks for itself; of `pairs` a set without images is None."""

    settings: dict[str, Any]
    accelerator: str
    plan: Plan
    laboratory: Laboratory
    faces: dict[str, FaceSet]
    pairs: dict[str, PairSet | None]
    calibration: PairSet
    stores: dict[str, str]
    hr_size: int

    def first_faces(self) -> FaceSet:
        """The faces of the figures."""
        return next(iter(self.faces.values()))

    def detailed(self) -> PairSet:
        """The pairs of tables 1 and 3, the sweep and the ROC."""
        return self.pairs[self.settings["detailed"]]


def prepare_comparison(cfg: DictConfig) -> Comparison:
    """Prepare the sets that are missing, and a teacher where the protocol trains one; OmegaConf stops here.

    Raises:
        FileNotFoundError, ValueError: wrong settings or data, in one sentence.
    """
    plain = OmegaConf.to_container(cfg, resolve=True)
    _check(plain)
    torch.backends.cudnn.allow_tf32 = False  # a GPU measures as a CPU does, and what is kept may come from either
    results = Path(cfg.paths.results_dir).resolve()
    shared = [*plain["common"], *plain["settings"]]
    reference = compose("train", overrides=["experiment=rim", *shared, *plain["prepare"], "paths.output_dir=unused"])
    if not (reference.teacher.weights or reference.teacher.epochs):
        raise ValueError("A comparison needs a teacher: set teacher.weights or teacher.epochs under settings.")
    prepare_missing(reference)
    data = instantiate(reference.data)
    data.prepare_data()
    weights = OmegaConf.to_container(reference.teacher.weights, resolve=True) if reference.teacher.weights else None
    if reference.teacher.epochs:
        weights = _teacher(reference, data, results)
        shared += [
            "teacher.epochs=0",
            f"teacher.weights={{weight_format: rim_lightning, path: {quoted(weights['path'])}}}",
        ]
    prepared = Path(cfg.paths.prepared_dir)
    stores = {name: str(path) for name, path in data.stores.items()}
    stores |= {s.name: str(prepared / f"{s.name}_{reference.model.hr_size}") for s in reference.sources.values()}
    grids = {
        kind: Grid(*(tuple(grid[part]) for part in ("settings", "values", "merits")))
        for kind, grid in plain["learning_rates"].items()
    }
    shares = (cfg.hallucination_share, cfg.search_share)
    plan = Plan(_systems(plain["systems"]), grids, shared, cfg.budget, *shares, results)
    return Comparison(
        plain,
        reference.trainer.accelerator,
        plan,
        Laboratory(plan, weights, reference.model.lr_size, results, cfg.flip, DEVICES[cfg.measure_on]),
        {name: _faces(settings, stores) for name, settings in plain["faces"].items()},
        {title: None if each is None else _pairs(title, each, stores) for title, each in plain["pairs"].items()},
        _pairs("calibration", plain["calibration"], stores),
        stores,
        reference.model.hr_size,
    )


def _table(name: str, comparison: Comparison) -> tuple[tables.Table, list[str]]:
    """The table, and what is to be said about it."""
    laboratory, detailed, hr_size = comparison.laboratory, comparison.detailed(), comparison.hr_size
    if name == "1":
        rows, title = tables.TABLE_1, "Table 1: parts of RIM"
        return tables.ablation_table(title, rows, laboratory, detailed, hr_size, _rows), [SHARP, *_about(detailed)]
    if name == "2":
        rows, title = tables.TABLE_2, "Table 2: sets and sides"
        made = tables.overview_table(title, rows, laboratory, comparison.pairs, _rows)
        return made, [BLOCKS, *_about(*comparison.pairs.values())]
    if name == "3":
        rows, title = tables.TABLE_3, "Table 3: recognition from one start"
        return tables.ablation_table(title, rows, laboratory, detailed, hr_size, _rows), [SHARP, *_about(detailed)]
    if name == "4":
        return tables.hallucination_table(laboratory, comparison.faces, hr_size, _rows), _quality_notes(
            comparison.faces
        )
    if name == "sweep":
        sweep = comparison.settings["sweep"]
        made = tables.sweep_table(laboratory, detailed, comparison.calibration, **sweep, progress=_rows)
        return made, [FIRST_SEED, *_about(detailed, comparison.calibration)]
    if name == "identification":
        searched = _searched(comparison)
        made = tables.identification_table(laboratory, searched, comparison.settings["ranks"], _rows)
        sizes = [each for each in searched.values() if each is not None]
        counts = [f"{s.title}: {len(s.probe)} probes, {len(s.gallery)} gallery images." for s in sizes]
        return made, [FIRST_SEED, *counts]
    amounts = comparison.settings["misalignment"]
    made = tables.alignment_table(laboratory, detailed, comparison.first_faces(), amounts, _rows)
    return made, [FIRST_SEED, *_about(detailed)]


def _figure(name: str, path: Path, comparison: Comparison) -> list[str]:
    """Draws it; returns the methods that are missing."""
    if name == "3":
        return draw_faces(path, comparison.laboratory, comparison.first_faces(), comparison.settings["shown_faces"])
    if name == "4":
        return draw_distributions(path, comparison.laboratory, comparison.first_faces())
    if name == "sweep":
        degradations = comparison.settings["sweep"]["degradations"]
        return draw_sweep(path, comparison.laboratory, comparison.detailed(), degradations)
    return draw_roc(path, comparison.laboratory, comparison.detailed())


def _check(settings: dict[str, Any]) -> None:
    """Raises ValueError, in one sentence, for settings that could only fail later."""
    pairs, detailed = settings["pairs"], settings["detailed"]
    if pairs.get(detailed) is None:
        there = [name for name, each in pairs.items() if each is not None]
        raise ValueError(f'detailed is "{detailed}", a set that is not there; choose from {", ".join(there)}.')
    for name, each in pairs.items():
        kind = each and each.get("kind")
        if each is not None and kind not in PAIRS:
            raise ValueError(f'The pairs {name} are of kind "{kind}"; choose from {", ".join(PAIRS)}.')
        if settings["flip"] and kind == "mirrored":
            raise ValueError(
                f"flip=true makes an image and its mirror image the same, and the pairs {name} are just that: set "
                f"pairs.{name}=null."
            )
    if settings["measure_on"] not in DEVICES:
        raise ValueError(f'measure_on is "{settings["measure_on"]}"; choose from {", ".join(DEVICES)}.')
    if settings["measure_on"] == "gpu" and not torch.cuda.is_available():
        raise ValueError("measure_on=gpu, but PyTorch finds no CUDA device here: set measure_on=cpu.")
    if settings["parallel"] < 1:
        raise ValueError(f"parallel is {settings['parallel']}; it is the number of runs at a time, 1 or more.")
    known = settings["systems"]
    for name, each in known.items():
        strange = set(each) - set(System._fields)
        if strange:
            raise ValueError(f"The system {name} has the setting {min(strange)}; give {', '.join(System._fields[1:])}.")
        if each.get("kind") not in settings["learning_rates"]:
            kinds = ", ".join(settings["learning_rates"])
            raise ValueError(f'The system {name} is of kind "{each.get("kind")}"; choose from {kinds}.')
        for field in ("after", "teacher_of", "rate_of"):
            if each.get(field) is not None and each[field] not in known:
                raise ValueError(f"The system {name} names {each[field]} as {field}, which is not under systems.")


def _systems(settings: dict[str, dict[str, Any]]) -> dict[str, System]:
    systems = {}
    for name, given in settings.items():
        arguments = {"experiment": name, **given}
        for listed in ("overrides", "seeds"):
            if listed in arguments:
                arguments[listed] = tuple(arguments[listed])
        systems[name] = System(name, **arguments)
    return systems


def _wanted(table: str | None, figure: str | None) -> list[str]:
    """Systems that a table or figure shows, in its order."""
    if table == "4" or figure in ("3", "4"):
        return list(tables.TABLE_4)
    rows = {"1": tables.TABLE_1, "2": tables.TABLE_2, "3": tables.TABLE_3}.get(table, ())
    readings = [row.reading for row in rows]
    if table in ("sweep", "alignment", "identification") or figure == "sweep":
        readings = [reading for _, reading in tables.SWEEP]
    if figure == "roc":
        readings = [row.reading for row in (*tables.TABLE_3, *tables.TABLE_1)]
    names = [name for r in readings for name in (r.system, r.gallery_of, r.sr) if name not in (None, TEACHER, BICUBIC)]
    return list(
        dict.fromkeys([*names, "rim", *{"alignment": ("fhn", "coarse"), "identification": ("fhn",)}.get(table, ())])
    )


def _teacher(cfg: DictConfig, data: Any, results: Path) -> dict[str, str]:
    """A teacher trained on the people of the data, once for all runs."""
    settings = {
        key: value for key, value in OmegaConf.to_container(cfg.teacher, resolve=True).items() if key != "weights"
    }
    backbone = OmegaConf.to_container(cfg.model.recognition.teacher, resolve=True)
    text = json.dumps([settings, backbone, {name: str(path) for name, path in data.stores.items()}], sort_keys=True)
    path = results / f"teacher_{hashlib.sha256(text.encode()).hexdigest()[:8]}.pt"
    if not path.is_file():
        results.mkdir(parents=True, exist_ok=True)
        train_teacher(data, backbone, path, accelerator="cpu", verification_pairs=cfg.verification_pairs, **settings)
    return {"weight_format": "rim_lightning", "path": str(path)}


def _faces(settings: dict[str, Any], stores: dict[str, str]) -> FaceSet:
    return face_set(**settings | {"store": _store(stores, settings["store"])})


def _pairs(title: str, settings: dict[str, Any], stores: dict[str, str]) -> PairSet:
    arguments = settings | {"store": _store(stores, settings["store"])}
    return PAIRS[arguments.pop("kind")](title=title, **arguments)


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


def _store(stores: dict[str, str], name: str) -> str:
    """A set of the training data or the protocol by name, or any prepared folder."""
    found = stores.get(name, name)
    if not (Path(found) / MANIFEST).is_file():
        raise ValueError(
            f"The protocol names the set {name}, which is no prepared folder and none of {', '.join(stores)}: run "
            "rim-prepare first."
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
