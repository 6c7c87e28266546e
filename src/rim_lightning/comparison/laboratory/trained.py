"""The trained networks of the systems, by name."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from rim_lightning.comparison.laboratory.compute_once import compute_once
from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER
from rim_lightning.comparison.plan.plan import NotTrained, Plan, Run
from rim_lightning.files import file_digest
from rim_lightning.networks.checkpoints import load_network
from rim_lightning.networks.compared.build import build_super_resolver
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.teacher_weights import load_teacher
from rim_lightning.networks.tiny_weights import flush_tiny_weights
from rim_lightning.runs.folder import RunFolder
from rim_lightning.runs.records import read_figures
from rim_lightning.training.run import work_per_face
from rim_lightning.training.settings import plain

LOADED = 4
"""Number of networks that stay in memory."""


class Trained(NamedTuple):
    """One network that can be measured.

    Attributes:
        title: Name for people.
        digest: Digest of its weights and of how they were trained.
        load: Returns the network in eval mode.
    """

    title: str
    digest: str
    load: Callable[[], nn.Module]


class TrainedNetworks:
    """Finds and loads networks by the name of their system.

    Args:
        plan: The training runs of the systems.
        teacher_weights: {"weight_format", "path"} of the pretrained recognizer.
        device: Device of the networks.
    """

    def __init__(self, plan: Plan, teacher_weights: Mapping[str, Any], device: torch.device) -> None:
        self.plan = plan
        self.teacher_weights = teacher_weights
        self.device = device
        self._teacher: GuidedRecognizer | None = None
        self._loaded: dict[Path, nn.Module] = {}

    def seeds(self, name: str) -> list[Trained]:
        """Return the trained networks of a system, one per seed.

        Raises:
            NotTrained: If there is no such system, or one of its runs is not finished.
        """
        if name == TEACHER:
            return [Trained(name, file_digest(self.teacher_weights["path"]), self.teacher)]
        if name == BICUBIC:
            return [Trained(name, BICUBIC, partial(build_super_resolver, BICUBIC))]
        if name not in self.plan.systems:
            raise NotTrained(Run("", RunFolder(Path()), (), name, ()))
        runs = self.plan.runs(name)
        for run in runs:
            if not run.finished():
                raise NotTrained(run)
        return [Trained(run.title, run.identity_text(), partial(self._load, run.checkpoint)) for run in runs]

    def validation_figures(self, name: str) -> list[dict[str, float]]:
        """Return what `rim-train` measured on the validation faces at the end of the runs of a system, one per seed.

        Raises:
            NotTrained: As for `seeds`.
            OSError: If the figures of a run are missing.
        """
        self.seeds(name)
        return [read_figures(run.folder.metrics) for run in self.plan.runs(name)]

    def faces_seen(self, name: str) -> int:
        """Return how many faces training showed to a system and to the networks that it starts from.

        The trials of learning rates and the training of a teacher do not count.

        Raises:
            NotTrained: As for `seeds`.
        """
        if name in (TEACHER, BICUBIC):
            return 0
        self.seeds(name)
        return sum(run.faces() for run in self._chain(name))

    def work_done(self, name: str, folder: Path) -> float:
        """Return the TFLOP of the training of a system and of the networks that it starts from.

        They are counted, see `count_work`, and what `faces_seen` leaves out does not count.

        Args:
            name: Name of the system.
            folder: Folder where counted figures are kept.

        Raises:
            NotTrained: As for `seeds`.
        """
        if name in (TEACHER, BICUBIC):
            return 0.0
        self.seeds(name)
        return sum(_work_of(run, folder) for run in self._chain(name))

    def _chain(self, name: str) -> list[Run]:
        """Return the first run of a system and those whose networks it started from."""
        chain = [self.plan.runs(name)[0]]
        for run in chain:  # grows while it is read
            chain += [earlier for earlier in run.started_from() if earlier.key not in [known.key for known in chain]]
        return chain

    def teacher(self) -> GuidedRecognizer:
        """Return the pretrained recognizer."""
        if self._teacher is None:
            self._teacher = GuidedRecognizer(load_teacher(**self.teacher_weights)).eval().to(self.device)
        return self._teacher

    def _load(self, checkpoint: Path) -> nn.Module:
        if checkpoint not in self._loaded:
            self._loaded = dict(list(self._loaded.items())[1 - LOADED :])
            self._loaded[checkpoint] = flush_tiny_weights(load_network(checkpoint)).to(self.device)
        return self._loaded[checkpoint]


def _work_of(run: Run, folder: Path) -> float:
    """Return the TFLOP of the training of one run."""
    gflop = compute_once(folder, [run.key], partial(_work_per_face, run))
    cfg = run.configuration()
    return run.faces_per_epoch() * sum(stage.epochs * gflop[stage.name] for stage in cfg.schedule.stages) / 1000


def _work_per_face(run: Run) -> dict[str, float]:
    """Return training stage -> GFLOP per face of a run."""
    cfg = run.configuration()
    with torch.random.fork_rng(devices=[]):
        return work_per_face(cfg, plain(cfg.teacher.weights) if cfg.teacher.weights else None)
