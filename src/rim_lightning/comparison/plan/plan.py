"""rim_lightning.comparison.plan.plan."""

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from rim_lightning.comparison.plan.systems import Grid, System
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.files import file_digest
from rim_lightning.runs.state import read_state


class Run(NamedTuple):
    """One training run.

    Attributes:
        key: digest of everything that decides its outcome; folder: where it is kept.
        overrides: of rim-train, without the directories.
        title: for people. merits: see `Grid`.
    """

    key: str
    folder: Path
    overrides: tuple[str, ...]
    title: str
    merits: tuple[str, ...]

    @property
    def checkpoint(self) -> Path:
        """Of the trained network."""
        return self.folder / "checkpoints" / "last.ckpt"

    def finished(self) -> bool:
        """Whether it was trained to its end."""
        return read_state(self.folder).name == "finished"

    def digest(self) -> str:
        """Of the key and of the trained weights."""
        return f"{self.key} {file_digest(self.checkpoint)}"

    def faces(self) -> int:
        """How many faces its training showed it."""
        cfg = OmegaConf.load(self.folder / "config.yaml")
        return cfg.data.samples_per_epoch * sum(stage.epochs for stage in cfg.schedule.stages)

    def merit(self) -> float | None:
        """The figure of the validation faces that chooses among trials; None where there is no finite one."""
        figures = json.loads((self.folder / "metrics.json").read_text())
        found = [figures[name] for name in self.merits if math.isfinite(figures.get(name, math.nan))]
        return found[0] if found else None


class Plan:
    """Which runs the systems need.

    Args:
        systems: by name. grids: kind -> its grid.
        common: settings of rim-train that all runs share.
        budget: CPU minutes a thread of a recognition system; a hallucination network has `hallucination_share` of them.
        hallucination_share, search_share: of the budget; the latter for each learning rate that is tried.
        folder: of the results.
    """

    def __init__(
        self,
        systems: Mapping[str, System],
        grids: Mapping[str, Grid],
        common: Sequence[str],
        budget: float,
        hallucination_share: float,
        search_share: float,
        folder: Path,
    ) -> None:
        self.systems = systems
        self.grids = grids
        self.common = tuple(common)
        self.budget = budget
        self.hallucination_share = hallucination_share
        self.search_share = search_share
        self.folder = folder
        self._made: dict[tuple[str, float, int, float], Run] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}  # composing a configuration takes a while
        self._budgets: dict[tuple[str, float], Path] = {}

    def minutes(self, system: System) -> float:
        """Of the training of one run of the system; of a system that starts from another's network, the rest."""
        if system.kind == "hallucination":
            return self.budget * self.hallucination_share
        return self.budget * (1 - self.hallucination_share if system.after else 1)

    def trials(self, name: str) -> dict[float, Run]:
        """The short runs that choose the learning rate of a system, by rate; empty where it has no choice.

        Raises:
            NotTrained: a run that they start from is not finished.
        """
        system = self.systems[name]
        grid = self.grids[system.kind]
        if len(grid.values) == 1:
            return {}
        return {rate: self._run(system, rate, system.seeds[0], self.search_share) for rate in grid.values}

    def rate(self, name: str) -> float:
        """The learning rate of the best trial on the validation faces; a trial that failed is none.

        Raises:
            NotTrained: a trial is not finished. ValueError: every trial failed.
        """
        system = self.systems[name]
        if system.rate_of is not None:
            return self.rate(system.rate_of)
        grid = self.grids[system.kind]
        if len(grid.values) == 1:
            return grid.values[0]
        merits = {}
        for rate, run in self.trials(name).items():
            state = read_state(run.folder)
            if state.name not in ("finished", "failed"):
                raise NotTrained(run)
            merit = run.merit() if state.name == "finished" else None
            if merit is not None:
                merits[rate] = merit
        if not merits:
            raise ValueError(f"Every trial of {name} failed, the last one with: {state.message or 'no figure'}")
        return max(merits, key=merits.get)

    def runs(self, name: str) -> list[Run]:
        """The runs of a system at its chosen rate, one a seed; raises as `rate`."""
        system = self.systems[name]
        rate = self.rate(name)
        return [self._run(system, rate, seed, 1.0) for seed in system.seeds]

    def _run(self, system: System, rate: float, seed: int, share: float) -> Run:
        known = (system.name, rate, seed, share)
        if known not in self._made:
            self._made[known] = self._new_run(*known)
        return self._made[known]

    def _new_run(self, name: str, rate: float, seed: int, share: float) -> Run:
        system = self.systems[name]
        overrides = (f"experiment={system.experiment}", *self.common, *system.overrides)
        values: dict[str, Any] = {"budget": _short(self.minutes(system) * share)}
        if (name, share) not in self._budgets:
            self._budgets[name, share] = self.folder / "budgets" / f"{self._key(overrides, values)}.json"
        values |= dict.fromkeys(self.grids[system.kind].settings, _short(rate))
        needs = []
        if system.after is not None:
            needs.append(self._of_seed(system.after, seed))
            values["start_from"] = str(needs[-1].checkpoint)
            before = self.systems[system.after]
            values |= dict.fromkeys(self.grids[before.kind].settings, _short(self.rate(before.name)))
        if system.teacher_of is not None:
            needs.append(self._of_seed(system.teacher_of, seed))
            values["teacher.weights"] = {"weight_format": "rim_train", "path": str(needs[-1].checkpoint)}
        for run in needs:
            if not run.finished():
                raise NotTrained(run)
        values["seed"] = seed
        key = self._key(overrides, values)
        # All rates and seeds have the epochs that the first of them measured.
        values["paths.budget_file"] = str(self._budgets[name, share])
        overrides += tuple(_override(setting, value) for setting, value in values.items())
        title = f"{system.name}, seed {seed}" + ("" if share == 1 else f", trial of learning rate {rate:g}")
        return Run(key, self.folder / "runs" / key, overrides, title, self.grids[system.kind].merits)

    def _of_seed(self, name: str, seed: int) -> Run:
        system = self.systems[name]
        return self._run(system, self.rate(name), seed if seed in system.seeds else system.seeds[0], 1.0)

    def _key(self, overrides: tuple[str, ...], values: Mapping[str, Any]) -> str:
        """Digest of the settings that decide the outcome, and of the data and the weights that they name.

        Args:
            overrides: of rim-train. values: setting -> value, on top of them.
        """
        if overrides not in self._composed:
            self._composed[overrides] = compose("train", overrides=[*overrides, "paths.output_dir=unused"])
        cfg = copy.deepcopy(self._composed[overrides])
        for setting, value in values.items():
            OmegaConf.update(cfg, setting, value)
        settings = OmegaConf.to_container(cfg, resolve=True)
        system, data, teacher = (settings[part] for part in ("system", "data", "teacher"))
        stores, weights = data.pop("stores", {}), teacher.pop("weights")
        for place in ("directory", "workers", "eval_batch_size"):
            data.pop(place, None)
        start = system.pop("start_from", None)
        decides = {
            "system": system,
            "data": data | {name: file_digest(Path(path) / MANIFEST) for name, path in stores.items()},
            "teacher": teacher | {"weights": file_digest(weights["path"]) if weights else None},
            "start": file_digest(start) if start else None,
            "ema": settings["callbacks"]["ema"],
            "trainer": {name: settings["trainer"][name] for name in ("accelerator", "devices", "precision")},
            # What a minute is worth.
            "machine": {name: settings[name] for name in ("threads", "workers", "compile", "channels_last")},
            "budget": settings["budget"],
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _short(number: float) -> float | int:
    """The number as six digits write it."""
    return json.loads(f"{number:g}")


def _override(setting: str, value: float | str | Mapping[str, str]) -> str:
    """As Hydra's command line takes it."""
    if isinstance(value, Mapping):
        return f"{setting}={{{', '.join(f'{name}: {quoted(each)}' for name, each in value.items())}}}"
    return f"{setting}={quoted(value) if isinstance(value, str) else value}"


def quoted(path: str | Path) -> str:
    """A path as Hydra's command line takes it, whatever characters are in it."""
    escaped = str(path).replace("'", "\\'")
    return f"'{escaped}'"


class NotTrained(LookupError):
    """A run that something needs is not finished. Attributes: run: that one."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.title)
        self.run = run
