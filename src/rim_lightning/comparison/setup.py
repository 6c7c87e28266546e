"""Prepare a comparison: check its settings, prepare the data, train the teacher, plan the runs."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.plan.plan import Compose, Plan
from rim_lightning.comparison.plan.results import check_results, open_results
from rim_lightning.comparison.plan.systems import Allowance, Grid, System
from rim_lightning.data.readers.files import require_file
from rim_lightning.data.readers.groups import read_groups
from rim_lightning.data.sources import prepare_missing
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.evaluation.protocols import (
    PACK_SETTINGS,
    PAIRS,
    FaceSet,
    PairSet,
    SearchSet,
    face_set,
    first_image_as_gallery,
    packed_pairs,
    surveillance,
)
from rim_lightning.files import real_path
from rim_lightning.runs.overrides import override
from rim_lightning.runs.signals import stopped_by_signals
from rim_lightning.runs.state import read_state
from rim_lightning.training.kept_teacher import provide_teacher
from rim_lightning.training.run import configured_sources, teacher_request, teacher_settings

DEVICES = {"cpu": "cpu", "gpu": "cuda"}
"""Setting `measure_on` -> device of torch."""

WORKERS = 2
"""Processes that prepare the pictures of a test set."""


class Comparison(NamedTuple):
    """Everything that a table or figure is made of.

    Attributes:
        settings: The configuration of rim-compare, as plain containers.
        accelerator: What the systems are trained on: "cpu" or another one.
        plan: The training runs of the systems.
        laboratory: Measures the systems.
        faces: Name -> faces to hallucinate; those of the figures come first.
        pairs: Name -> pairs to verify; None for a set whose images are not available.
        detailed: The pairs of tables 1 and 3, the sweep and the ROC.
        calibration: Pairs of other people, on which thresholds are chosen.
        stores: Name -> prepared store.
        hr_size: Side of the sharp faces in pixels.
    """

    settings: dict[str, Any]
    accelerator: str
    plan: Plan
    laboratory: Laboratory
    faces: dict[str, FaceSet]
    pairs: dict[str, PairSet | None]
    detailed: PairSet
    calibration: PairSet
    stores: dict[str, str]
    hr_size: int

    def first_faces(self) -> FaceSet:
        """Return the faces of the figures."""
        return next(iter(self.faces.values()))

    def people(self) -> dict[str, PairSet]:
        """Open the sets of the table of tricks: title -> faces of people, all of whose pairs are compared."""
        sets = self.settings["tricks"]["people"]
        prepared = self.settings["paths"]["prepared_dir"]
        return {
            title: _pairs(title, options, self.stores, prepared, self.hr_size)
            for title, options in sets.items()
            if options is not None
        }

    def search_sets(self) -> dict[str, SearchSet | None]:
        """Open the sets of identification and prepare those that are missing; None for one that is not available."""
        sets: dict[str, SearchSet | None] = {}
        for title, settings in self.settings["identification"].items():
            if settings is None:
                sets[title] = None
            elif "store" in settings:
                sets[title] = first_image_as_gallery(
                    title=title, **settings | {"store": _store(self.stores, settings["store"])}
                )
            else:
                prepared = self.settings["paths"]["prepared_dir"]
                options = {"prepared": prepared, "hr_size": self.hr_size, "workers": WORKERS}
                sets[title] = surveillance(title=title, **settings, **options)
        return sets


def prepare_comparison(cfg: DictConfig, compose: Compose) -> Comparison:
    """Prepare the sets that are missing, and the teacher if the protocol trains one.

    Everything built here receives plain containers, no OmegaConf objects.

    Args:
        cfg: A configuration as `conf/compare.yaml` describes it.
        compose: Makes the configuration of rim-train from its overrides.

    Raises:
        FileNotFoundError: If data are missing.
        ValueError: If a setting is wrong, or the folder of results is of another version.
    """
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    settings["systems"] = {name: system for name, system in settings["systems"].items() if system is not None}
    _check_together(settings)
    results = real_path(cfg.paths.results_dir)
    check_results(results)
    torch.backends.cudnn.allow_tf32 = False  # a GPU measures as a CPU does, and what is kept may come from either
    common = [*settings["common"], *settings["settings"]]
    reference = compose(["experiment=rim", *common, *settings["prepare"], "paths.output_dir=unused"])
    if not (reference.teacher.weights or reference.teacher.epochs):
        raise ValueError("A comparison needs a teacher: set teacher.weights or teacher.epochs under settings.")
    hr_size, lr_size = reference.model.hr_size, reference.model.lr_size
    prepare_missing(configured_sources(reference), cfg.paths.prepared_dir, hr_size, reference.workers)
    data = instantiate(reference.data)
    data.prepare_data()
    open_results(results)
    weights: Any = (
        OmegaConf.to_container(reference.teacher.weights, resolve=True) if reference.teacher.weights else None
    )
    if reference.teacher.epochs:
        weights = _teacher(reference, data, results)
        common += ["teacher.epochs=0", override("teacher.weights", weights)]
    stores = {name: str(path) for name, path in data.stores.items()}
    prepared = Path(cfg.paths.prepared_dir)
    stores |= {source.name: str(prepared / f"{source.name}_{hr_size}") for source in reference.sources.values()}
    plan = _plan(settings, common, results, compose)
    available = {
        title: _pairs(title, options, stores, str(prepared), hr_size)
        for title, options in settings["pairs"].items()
        if options is not None
    }
    return Comparison(
        settings=settings,
        accelerator=reference.trainer.accelerator,
        plan=plan,
        laboratory=Laboratory(plan, weights, lr_size, results, cfg.flip, DEVICES[cfg.measure_on]),
        faces={name: _faces(options, stores) for name, options in settings["faces"].items()},
        pairs={title: available.get(title) for title in settings["pairs"]},
        detailed=available[settings["detailed"]],
        calibration=_pairs("calibration", settings["calibration"], stores, str(prepared), hr_size),
        stores=stores,
        hr_size=hr_size,
    )


def _check_together(settings: dict[str, Any]) -> None:
    """Raise ValueError for settings that do not go together, or systems and pairs that are described wrongly."""
    _check_pairs(settings)
    if settings["table"] == "groups":
        groups_of(settings)
    allowance_of(settings)
    if settings["measure_on"] == "gpu" and not torch.cuda.is_available():
        raise ValueError("measure_on=gpu, but PyTorch finds no CUDA device here: set measure_on=cpu.")
    systems = settings["systems"]
    for name, system in systems.items():
        unknown = set(system) - set(System._fields)
        if unknown:
            raise ValueError(
                f"systems.{name} has the unknown setting {min(unknown)}; choose from {', '.join(System._fields[1:])}."
            )
        if system.get("kind") not in settings["learning_rates"]:
            kinds = ", ".join(settings["learning_rates"])
            raise ValueError(f'The system {name} is of kind "{system.get("kind")}"; choose from {kinds}.')
        for folder in system.get("runs", []):
            if read_state(real_path(folder)).name != "finished":
                raise ValueError(
                    f"systems.{name}.runs: {folder} is no finished run of rim-train: train it to its end, "
                    "or leave it out."
                )
        for field in ("after", "teacher_of", "rate_of"):
            if system.get(field) is not None and system[field] not in systems:
                raise ValueError(
                    f"systems.{name}.{field}={system[field]} names no system; choose from {', '.join(systems)}."
                )


def groups_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Read the groups of people for their table: name of the person -> name of the group.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no file is given, or it is damaged.
    """
    if settings["groups"] is None:
        raise ValueError("table=groups needs the groups of the people: groups=<CSV file with the header person,group>.")
    return read_groups(settings["groups"])


def _check_pairs(settings: dict[str, Any]) -> None:
    sets, detailed = settings["pairs"], settings["detailed"]
    if sets.get(detailed) is None:
        available = [name for name, pairs in sets.items() if pairs is not None]
        raise ValueError(f'detailed is "{detailed}", a set that is missing; choose from {", ".join(available)}.')
    for name, pairs in sets.items():
        if pairs is None:
            continue
        kind = pairs.get("kind")
        if kind not in PAIRS:
            raise ValueError(f'The pairs {name} are of kind "{kind}"; choose from {", ".join(PAIRS)}.')
        if kind == "pack":
            _check_pack(name, pairs)
        if settings["flip"] and kind == "mirrored":
            raise ValueError(
                f"flip=true makes an image and its mirror image the same, and the pairs {name} are just that: set "
                f"pairs.{name}=null."
            )


def _check_pack(name: str, settings: Mapping[str, Any]) -> None:
    unknown = set(settings) - {"kind", *PACK_SETTINGS}
    if unknown or settings.get("file") is None:
        fault = f"have the unknown setting {min(unknown)}" if unknown else "name no file"
        raise ValueError(f"The pairs {name} of kind pack {fault}; give {', '.join(PACK_SETTINGS)}.")
    require_file(Path(settings["file"]), f"the pack of the pairs {name}")


def _plan(settings: dict[str, Any], common: list[str], results: Path, compose: Compose) -> Plan:
    grids = {
        kind: Grid(tuple(grid["settings"]), tuple(grid["values"]), tuple(grid["merits"]))
        for kind, grid in settings["learning_rates"].items()
    }
    shares = {name: settings[name] for name in ("hallucination_share", "search_share")}
    systems = _systems(settings["systems"])
    return Plan(systems, grids, common, allowance_of(settings), **shares, folder=results, compose=compose)


def allowance_of(settings: Mapping[str, Any]) -> Allowance:
    """Return what a system may spend: the budget or the work, if one is given, otherwise the faces.

    Raises:
        ValueError: If both a budget and a work are given, or nothing is.
    """
    given = [kind for kind in ("budget", "work") if settings[kind]]
    if len(given) > 1:
        raise ValueError("budget and work are given, and each decides how long a system is trained: keep one.")
    if not given and not settings["faces_seen"]:
        raise ValueError("Nothing decides how long a system is trained: give faces_seen, work or budget.")
    if not given:
        return Allowance("faces", settings["faces_seen"])
    return Allowance("work" if given[0] == "work" else "budget", settings[given[0]])


def _systems(settings: dict[str, dict[str, Any]]) -> dict[str, System]:
    systems = {}
    for name, fields in settings.items():
        arguments = {"experiment": name, **fields}
        for listed in ("overrides", "seeds", "runs"):
            if listed in arguments:
                arguments[listed] = tuple(arguments[listed])
        systems[name] = System(name, **arguments)
    return systems


def _teacher(cfg: DictConfig, data: Any, results: Path) -> dict[str, str]:
    """Train a teacher on the people of the data, once for all runs, and return its weights."""
    settings = teacher_settings(cfg)
    backbone: Any = OmegaConf.to_container(cfg.model.recognition.teacher, resolve=True)
    text = json.dumps([settings, backbone, {name: str(path) for name, path in data.stores.items()}], sort_keys=True)
    path = results / f"teacher_{hashlib.sha256(text.encode()).hexdigest()[:8]}.pt"
    if not path.is_file():
        request = teacher_request(cfg)._replace(accelerator="cpu")
        with stopped_by_signals():  # in place of Lightning, which would end with 0 or without a word
            provide_teacher(data, request, path, Path(cfg.paths.teachers_dir))
    return {"weight_format": "rim_lightning", "path": str(path)}


def _faces(settings: dict[str, Any], stores: dict[str, str]) -> FaceSet:
    return face_set(**settings | {"store": _store(stores, settings["store"])})


def _pairs(title: str, settings: dict[str, Any], stores: dict[str, str], prepared: str, hr_size: int) -> PairSet:
    if settings["kind"] == "pack":
        options = {name: value for name, value in settings.items() if name != "kind"}
        return packed_pairs(title=title, prepared=prepared, hr_size=hr_size, workers=WORKERS, **options)
    named = settings["store"]
    folders = [_store(stores, name) for name in ([named] if isinstance(named, str) else named)]
    arguments = settings | {"store": folders[0] if isinstance(named, str) else folders}
    return PAIRS[arguments.pop("kind")](title=title, **arguments)


def _store(stores: dict[str, str], name: str) -> str:
    """Return the folder of a prepared set: one of the training data or the protocol, or any other folder."""
    folder = stores.get(name, name)
    if not (Path(folder) / MANIFEST).is_file():
        raise ValueError(
            f"The protocol names the set {name}, which is not a prepared folder and none of {', '.join(stores)}: run "
            "rim-prepare first."
        )
    return folder
