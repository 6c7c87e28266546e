"""rim_lightning.comparison.setup."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.plan.plan import Plan, quoted
from rim_lightning.comparison.plan.systems import Grid, System
from rim_lightning.data.sources import prepare_missing
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.evaluation.protocols import PAIRS, FaceSet, PairSet, face_set
from rim_lightning.training.run import configured_sources, teacher_settings
from rim_lightning.training.teacher import train_teacher

DEVICES = {"cpu": "cpu", "gpu": "cuda"}


class Comparison(NamedTuple):
    """What a table is made of. Attributes: settings: the configuration, plain. accelerator: "cpu" or what else trains.
    hr_size: pixels. The rest speaks for itself; of `pairs` a set without images is None.
    """

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
    prepare_missing(configured_sources(reference), cfg.paths.prepared_dir, reference.model.hr_size, reference.workers)
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


def _teacher(cfg: DictConfig, data: Any, results: Path) -> dict[str, str]:
    """A teacher trained on the people of the data, once for all runs."""
    settings = teacher_settings(cfg)
    backbone = OmegaConf.to_container(cfg.model.recognition.teacher, resolve=True)
    text = json.dumps([settings, backbone, {name: str(path) for name, path in data.stores.items()}], sort_keys=True)
    path = results / f"teacher_{hashlib.sha256(text.encode()).hexdigest()[:8]}.pt"
    if not path.is_file():
        results.mkdir(parents=True, exist_ok=True)
        train_teacher(
            data, backbone, path, accelerator="cpu", verification_pairs=cfg.evaluation.verification_pairs, **settings
        )
    return {"weight_format": "rim_lightning", "path": str(path)}


def _faces(settings: dict[str, Any], stores: dict[str, str]) -> FaceSet:
    return face_set(**settings | {"store": _store(stores, settings["store"])})


def _pairs(title: str, settings: dict[str, Any], stores: dict[str, str]) -> PairSet:
    arguments = settings | {"store": _store(stores, settings["store"])}
    return PAIRS[arguments.pop("kind")](title=title, **arguments)


def _store(stores: dict[str, str], name: str) -> str:
    """A set of the training data or the protocol by name, or any prepared folder."""
    found = stores.get(name, name)
    if not (Path(found) / MANIFEST).is_file():
        raise ValueError(
            f"The protocol names the set {name}, which is no prepared folder and none of {', '.join(stores)}: run "
            "rim-prepare first."
        )
    return found
