"""Which training runs the systems need: their settings, their keys, and the choice of learning rates."""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from rim_lightning.comparison.plan.systems import Allowance, Grid, System
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.files import file_digest
from rim_lightning.networks.checkpoints import training_record
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.origin import START_SETTINGS
from rim_lightning.runs.overrides import override
from rim_lightning.runs.records import read_figures
from rim_lightning.runs.state import read_state
from rim_lightning.training.start import start_digest

Compose = Callable[[Sequence[str]], DictConfig]
"""Overrides of rim-train -> its configuration."""


class Run(NamedTuple):
    """One training run.

    Attributes:
        key: Digest of everything that decides its outcome.
        folder: Folder of the run.
        overrides: Overrides of rim-train, without the folder.
        title: Name for people.
        merits: Names of the figures that choose among trials, see `Grid`.
    """

    key: str
    folder: RunFolder
    overrides: tuple[str, ...]
    title: str
    merits: tuple[str, ...]

    @property
    def checkpoint(self) -> Path:
        """The checkpoint of the trained network."""
        return self.folder.last_checkpoint

    def finished(self) -> bool:
        """Return True if the run was trained to its end."""
        return read_state(self.folder.path).name == "finished"

    def identity_text(self) -> str:
        """Return the key and the digest of the trained weights."""
        return f"{self.key} {file_digest(self.checkpoint)}"

    def faces(self) -> int:
        """Return how many faces the training showed to the network."""
        return self.faces_per_epoch() * self.epochs()

    def epochs(self) -> int:
        """Return the number of epochs of all stages."""
        return sum(stage.epochs for stage in self.configuration().schedule.stages)

    def faces_per_epoch(self) -> int:
        """Return the training faces of an epoch; where the settings name no number, the checkpoint has it.

        Raises:
            FileNotFoundError: If it has to be read and is missing.
            ValueError: If it is of an earlier version, without that number.
        """
        named = self.configuration().data.samples_per_epoch
        if named is not None:
            return int(named)
        seen = training_record(self.checkpoint).get("faces")
        if seen is None:
            raise ValueError(f"{self.checkpoint} is of an earlier version and does not say how many faces it has seen.")
        return int(seen) // self.epochs()

    def started_from(self) -> list["Run"]:
        """Return the runs whose networks this one started from, as far as their folders are still there.

        Raises:
            ValueError: If it started from an exported model, whose training cannot be counted.
        """
        cfg = self.configuration()
        paths = [cfg.get(setting) for setting in START_SETTINGS]
        for path in paths:
            if path and Path(path).is_dir():
                raise ValueError(
                    f"{self.title} started from the exported model {path}, whose training cannot be counted: measure "
                    "a run that started from a checkpoint."
                )
        folders = [RunFolder(Path(path).parent.parent) for path in paths if path]
        return [
            Run(file_digest(folder.config)[:16], folder, (), str(folder.path), self.merits)
            for folder in folders
            if folder.config.is_file()
        ]

    def configuration(self) -> DictConfig:
        """Read the configuration with which the run was trained."""
        cfg = OmegaConf.load(self.folder.config)
        assert isinstance(cfg, DictConfig)
        return cfg

    def merit(self) -> float | None:
        """Return the figure of the validation faces that chooses among trials; None if there is no finite one."""
        figures = read_figures(self.folder.metrics)
        finite = [figures[name] for name in self.merits if math.isfinite(figures.get(name, math.nan))]
        return finite[0] if finite else None


class NotTrained(LookupError):
    """A run that something needs is not finished.

    Attributes:
        run: That run.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run.title)
        self.run = run


class Plan:
    """The training runs of all systems.

    Args:
        systems: Name -> system.
        grids: Kind -> learning rates.
        common: Settings of rim-train that all runs share.
        allowance: What a recognition system may spend on its training.
        hallucination_share: Share of the allowance that a hallucination network has.
        search_share: Share of what a system may spend that each tried learning rate takes.
        folder: Folder of the results.
        compose: Makes the configuration of rim-train.
    """

    def __init__(
        self,
        systems: Mapping[str, System],
        grids: Mapping[str, Grid],
        common: Sequence[str],
        allowance: Allowance,
        hallucination_share: float,
        search_share: float,
        folder: Path,
        compose: Compose,
    ) -> None:
        self.systems = systems
        self.grids = grids
        self.common = tuple(common)
        self.allowance = allowance
        self.hallucination_share = hallucination_share
        self.search_share = search_share
        self.folder = folder
        self.compose = compose
        self._runs: dict[tuple[str, float, int, float], Run] = {}
        self._composed: dict[tuple[str, ...], DictConfig] = {}  # composing a configuration takes a while
        self._budgets: dict[tuple[str, float], Path] = {}

    def amount(self, system: System) -> float:
        """Return what one run of a system may spend, without that of the network that it starts from."""
        if system.kind == "hallucination":
            return self.allowance.amount * self.hallucination_share
        return self.allowance.amount * (1 - self.hallucination_share if system.after else 1)

    def trials(self, name: str) -> dict[float, Run]:
        """Return learning rate -> short run that tries it; empty if the system has no choice.

        Raises:
            NotTrained: If a run that they start from is not finished.
        """
        system = self.systems[name]
        grid = self.grids[system.kind]
        if len(grid.values) == 1 or system.runs:
            return {}
        return {rate: self._run(system, rate, system.seeds[0], self.search_share) for rate in grid.values}

    def _given_runs(self, system: System) -> list[Run]:
        """Return the runs that a system has instead of those of the plan."""
        merits = self.grids[system.kind].merits
        folders = [RunFolder(Path(folder)) for folder in system.runs]
        return [
            Run(file_digest(folder.config)[:16], folder, (), f"{system.name}, run {number}", merits)
            for number, folder in enumerate(folders, start=1)
        ]

    def rate(self, name: str) -> float:
        """Return the learning rate of the best trial on the validation faces. Failed trials do not count.

        Raises:
            NotTrained: If a trial is not finished.
            ValueError: If every trial failed.
        """
        system = self.systems[name]
        grid = self.grids[system.kind]
        if system.runs:
            return float(OmegaConf.select(self._given_runs(system)[0].configuration(), grid.settings[0]))
        if system.rate_of is not None:
            return self.rate(system.rate_of)
        if len(grid.values) == 1:
            return grid.values[0]
        merits: dict[float, float] = {}
        message = ""
        for rate, run in self.trials(name).items():
            state = read_state(run.folder.path)
            if state.name not in ("finished", "failed"):
                raise NotTrained(run)
            message = state.message
            merit = run.merit() if state.name == "finished" else None
            if merit is not None:
                merits[rate] = merit
        if not merits:
            raise ValueError(f"Every trial of {name} failed, the last one with: {message or 'no figure'}")
        return max(merits, key=lambda rate: merits[rate])

    def runs(self, name: str) -> list[Run]:
        """Return the runs of a system at its chosen rate, one per seed.

        Raises:
            NotTrained: If a trial, or a run that they start from, is not finished.
            ValueError: If every trial failed.
        """
        system = self.systems[name]
        if system.runs:
            return self._given_runs(system)
        rate = self.rate(name)
        return [self._run(system, rate, seed, 1.0) for seed in system.seeds]

    def _run(self, system: System, rate: float, seed: int, share: float) -> Run:
        """Return the run of a system with a learning rate, a seed and a share of its minutes."""
        arguments = (system.name, rate, seed, share)
        if arguments not in self._runs:
            self._runs[arguments] = self._new_run(*arguments)
        return self._runs[arguments]

    def _new_run(self, name: str, rate: float, seed: int, share: float) -> Run:
        system = self.systems[name]
        overrides = (f"experiment={system.experiment}", *self.common, *system.overrides)
        kind = self.allowance.kind
        amount = self.amount(system) * share
        values: dict[str, Any] = {kind: round(amount) if kind == "faces" else _six_digits(amount)}
        if (name, share) not in self._budgets:
            self._budgets[name, share] = self.folder / "budgets" / f"{self._key(overrides, values)}.json"
        values |= dict.fromkeys(self.grids[system.kind].settings, _six_digits(rate))
        earlier_runs = []
        if system.after is not None:
            earlier_runs.append(self._run_of_seed(system.after, seed))
            values["start_from"] = str(earlier_runs[-1].checkpoint)
            before = self.systems[system.after]
            values |= dict.fromkeys(self.grids[before.kind].settings, _six_digits(self.rate(before.name)))
        if system.teacher_of is not None:
            earlier_runs.append(self._run_of_seed(system.teacher_of, seed))
            values["teacher.weights"] = {"weight_format": "rim_train", "path": str(earlier_runs[-1].checkpoint)}
        for run in earlier_runs:
            if not run.finished():
                raise NotTrained(run)
        if kind == "faces" and system.after is not None:  # exactly those that are left, whatever whole batches are
            values["faces"] = round((self.allowance.amount - earlier_runs[0].faces()) * share)
        values["seed"] = seed
        key = self._key(overrides, values)
        # All rates and seeds have the epochs that the first of them measured.
        values["paths.budget_file"] = str(self._budgets[name, share])
        overrides += tuple(override(setting, value) for setting, value in values.items())
        title = f"{system.name}, seed {seed}" + ("" if share == 1 else f", trial of learning rate {rate:g}")
        folder = RunFolder(self.folder / "runs" / key)
        return Run(key, folder, overrides, title, self.grids[system.kind].merits)

    def _run_of_seed(self, name: str, seed: int) -> Run:
        """Return the run of another system with this seed, or with its first seed if it lacks this one."""
        system = self.systems[name]
        if system.runs:
            given = self._given_runs(system)
            return given[seed if seed < len(given) else 0]
        return self._run(system, self.rate(name), seed if seed in system.seeds else system.seeds[0], 1.0)

    def _key(self, overrides: tuple[str, ...], values: Mapping[str, Any]) -> str:
        """Return the digest of the settings that decide the outcome, and of the data and weights that they name.

        Args:
            overrides: Overrides of rim-train.
            values: Setting -> value, on top of them.
        """
        if overrides not in self._composed:
            self._composed[overrides] = self.compose([*overrides, "paths.output_dir=unused"])
        cfg = copy.deepcopy(self._composed[overrides])
        for setting, value in values.items():
            OmegaConf.update(cfg, setting, value)
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        system, data, teacher = (settings[part] for part in ("system", "data", "teacher"))
        stores, weights = data.pop("stores", {}), teacher.pop("weights")
        for place in ("directory", "workers", "eval_batch_size"):
            data.pop(place, None)
        starts = [system.pop(name, None) for name in START_SETTINGS]
        identity = {
            "system": system,
            "data": data | {name: file_digest(Path(path) / MANIFEST) for name, path in stores.items()},
            "teacher": teacher | {"weights": file_digest(weights["path"]) if weights else None},
            "start": [start_digest(path) if path else None for path in starts],
            "ema": settings["callbacks"]["ema"],
            "trainer": {name: settings["trainer"][name] for name in ("accelerator", "devices", "precision")},
            # What a minute is worth.
            "machine": {name: settings[name] for name in ("threads", "workers", "compile", "channels_last")},
            "budget": settings["budget"],
            **{kind: settings[kind] for kind in ("faces", "work") if settings[kind]},
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _six_digits(number: float) -> float | int:
    """Round a number to the six digits with which it is written."""
    return json.loads(f"{number:g}")
