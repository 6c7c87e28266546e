"""What the training modules share: stages, probes, optimizers and schedules, clipping, logging, checkpoints."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, ClassVar, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from rim_lightning.distributed import mean_over_ranks
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.networks.checkpoints import build_architecture
from rim_lightning.runs.provenance import code_version
from rim_lightning.training.csv_logger import StageCSVLogger
from rim_lightning.training.finite_watch import FiniteWatch
from rim_lightning.training.parameters import split_parameters
from rim_lightning.training.phases import Phase
from rim_lightning.training.probes import Probes, ProbeSampling
from rim_lightning.training.schedule import Schedule
from rim_lightning.types import FaceBatch, Terms

OptimizerOf = Callable[[Iterable[nn.Parameter]], Optimizer]
"""Parameters -> their optimizer."""

_code_version = cache(code_version)
"""The version of the code that this process runs. It is asked for at every save, and git takes a moment."""


class ActivePhase(NamedTuple):
    """A phase that runs in the current stage.

    Attributes:
        phase: Its name and the modules that it trains.
        optimizer: Its optimizer.
        scheduler: The schedule of its learning rate.
    """

    phase: Phase
    optimizer: Optimizer
    scheduler: LambdaLR


class PhasedModule(pl.LightningModule):
    """Base of the training modules: manual optimization with one optimizer per phase, through training stages.

    A subclass sets `architecture`, `phases` and `stage_phases`, and keeps its network under the attribute named like
    its architecture.

    Args:
        network: Arguments of the network (`networks.checkpoints.build_architecture`), plain containers. A checkpoint
            carries them.
        optimizers: Phase -> function that makes its optimizer.
        schedule: Training stages and learning rates. The trainer runs `schedule.epochs` epochs.
        probes: How training faces become probes.
        clip: Largest gradient norm of a phase; None for no clipping.

    Raises:
        ValueError: If the schedule has an unknown stage, or an optimizer is missing.
    """

    architecture: str
    validated: Sequence[str] = ("val/*",)
    """Names of the figures that its validation logs, or patterns of them."""
    phases: ClassVar[Sequence[Phase]]
    stage_phases: ClassVar[Mapping[str, Sequence[str]]]

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizers: Mapping[str, OptimizerOf],
        schedule: Schedule,
        probes: ProbeSampling,
        clip: float | None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        for stage in schedule.stages:
            if stage.name not in self.stage_phases:
                choices = ", ".join(self.stage_phases)
                raise ValueError(f'There is no training stage "{stage.name}" (schedule.stages); choose from {choices}.')
        phases = [phase.name for phase in self.phases]
        missing, unknown = set(phases) - set(optimizers), set(optimizers) - set(phases)
        if missing:
            raise ValueError(f"The phases {', '.join(sorted(missing))} have no optimizer.")
        if unknown:
            named = ", ".join(f"optim.optimizers.{name}" for name in sorted(unknown))
            raise ValueError(f"{named} is of no phase of this system; its phases are {', '.join(phases)}.")
        self.model_arguments = network
        self.add_module(self.architecture, build_architecture(self.architecture, network))
        self.optimizer_of = optimizers
        self.schedule = schedule
        self.probes = probes
        self.clip = clip
        self.watch = FiniteWatch()
        self._phase_of: dict[Optimizer, str] = {}
        self._figures: dict[str, Tensor] = {}  # of the batch that is being trained

    @property
    def lr_size(self) -> int:
        """Nominal side of a probe in pixels."""
        return self.probes.nominal

    @property
    def iteration(self) -> int:
        """Batches seen since the first epoch. It survives a resume and, unlike `global_step`, counts a batch once."""
        return self.trainer.fit_loop.total_batch_idx

    @property
    def stage(self) -> str:
        """Name of the training stage of the current epoch."""
        return self.schedule.locate(self.trainer.current_epoch)[0].name

    @property
    def stage_probes(self) -> ProbeSampling:
        """How training faces become probes in the current stage."""
        share = self.schedule.locate(self.trainer.current_epoch)[0].aligned_share
        return self.probes if share is None else replace(self.probes, aligned_share=share)

    @property
    def stage_epoch(self) -> int:
        """Position of the current epoch in its training stage, from 0."""
        return self.schedule.locate(self.trainer.current_epoch)[1]

    def stages_of(self, phase: Phase) -> list[str]:
        """List the training stages in which a phase runs."""
        return [stage for stage, phases in self.stage_phases.items() if phase.name in phases]

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Make one optimizer and one schedule per phase, in the order of `phases`."""
        parameters = split_parameters(self, self.phases)
        batches = int(self.trainer.estimated_stepping_batches) // (self.trainer.max_epochs or 1)
        optimizers, schedulers = [], []
        self._phase_of = {}
        for phase in self.phases:
            optimizer = self.optimizer_of[phase.name](parameters[phase.name])
            factor = self.schedule.learning_rate_factor(phase.name, self.stages_of(phase), batches)
            optimizers.append(optimizer)
            self._phase_of[optimizer] = phase.name
            schedulers.append(LambdaLR(optimizer, factor))
        return optimizers, schedulers

    def active_phases(self) -> list[ActivePhase]:
        """List the phases of the current stage with their optimizers and schedules."""
        of_phases = zip(self.phases, _listed(self.optimizers()), _listed(self.lr_schedulers()), strict=True)
        return [ActivePhase(*parts) for parts in of_phases if parts[0].name in self.stage_phases[self.stage]]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient of the phase and keep its norm for the log."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, float("inf") if self.clip is None else self.clip)
        self._figures[f"gradient/{self._phase_of[optimizer]}"] = norm

    def on_train_start(self) -> None:
        """Put networks that this stage does not train into eval mode, and log the losses of each epoch at least once.

        A run that resumes within an epoch never calls `on_train_epoch_start` for it.
        """
        # An epoch shorter than the interval would log no losses.
        trainer: Any = self.trainer  # Lightning sets the interval without declaring it
        trainer.log_every_n_steps = int(min(trainer.log_every_n_steps, trainer.num_training_batches))
        self._name_stage()
        self._rest()
        self.prepare_stage()

    def on_train_epoch_start(self) -> None:
        """Put networks that this stage does not train into eval mode, and log the stage as a number.

        The logged number shows in the curves where a stage ends.
        """
        self._name_stage()
        self._rest()
        self.prepare_stage()
        self.log("stage", float(list(self.stage_phases).index(self.stage)))

    def prepare_stage(self) -> None:
        """Do what the current stage needs before its batches. Called for every epoch, and at the start of a run."""

    def _name_stage(self) -> None:
        """Tell the CSV logger the name of the stage."""
        for logger in self.trainer.loggers:
            if isinstance(logger, StageCSVLogger):
                logger.stage = self.stage

    def _rest(self) -> None:
        """Put networks that this stage does not train into eval mode: their norm layers keep their statistics."""
        for phase in self.phases:
            for name in phase.modules:
                self.get_submodule(name).train(phase.name in self.stage_phases[self.stage])

    def on_train_epoch_end(self) -> None:
        """Raise NonFiniteLoss if the last batch was not finite."""
        self.watch.check()

    def on_validation_start(self) -> None:
        """Raise NonFiniteLoss if the last training batch was not finite, before a validation of minutes."""
        self.watch.check()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the network's arguments, so that it can be rebuilt from the file alone (`load_network`), and its origin.

        Raises:
            NonFiniteLoss: If the last batch was not finite. Nothing is saved then.
        """
        self.watch.check()
        checkpoint["architecture"] = self.architecture
        checkpoint["model_arguments"] = self.model_arguments
        checkpoint["training"] = {"code": _code_version()}
        loader = self.trainer.train_dataloader
        if isinstance(loader, DataLoader) and loader.batch_size:
            faces = (self.iteration + 1) * loader.batch_size * self.trainer.world_size
            checkpoint["training"]["faces"] = faces

    def training_probes(self, hr: Tensor) -> Probes:
        """Make the probes of a batch, see `ProbeSampling.probes`.

        Args:
            hr: Sharp faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Probes enlarged to S, with their sizes.
        """
        return self.stage_probes.probes(hr, self.iteration, self.global_rank, self.trainer.world_size)

    def validation_camera_probes(self, faces: Tensor, index: Tensor) -> Probes:
        """Make probes of cameras of the nominal size, moved as by a detector's points; each face has its own seed.

        Args:
            faces: Sharp faces, (B, 3, S, S), RGB in [-1, 1].
            index: Position of each face in the validation data, (B,).
        """
        kind = ProbeKind("camera", "detector")
        enlarged = seeded_probes(faces, self.lr_size, kind, index.tolist())
        return Probes(enlarged, torch.full((len(faces),), self.lr_size))

    def training_targets(self, batch: FaceBatch) -> FaceBatch:
        """Return what the faces hallucinated from `training_probes` are compared with, see `ProbeSampling.targets_of`.

        Args:
            batch: Sharp faces, RGB in [-1, 1], and their labels.
        """
        return self.stage_probes.targets_of(batch, self.iteration, self.global_rank, self.trainer.world_size)

    def faces(self, enlarged: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return the faces that the network makes of enlarged probes, by name, for people to look at.

        Args:
            enlarged: Probes, (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,).

        Returns:
            Name -> faces, (B, 3, S, S).
        """
        return {}

    def judged_pairs(self) -> tuple[Tensor, Tensor] | None:
        """Return scores (P,) and truth (P,) of the last validation; None for a system without recognition."""
        return None

    def figures_of(self, stage: str) -> Sequence[str]:
        """Return the validation figures by which a stage is judged; the first one that could be measured decides."""
        return ()

    def logs(self, name: str) -> bool:
        """Return True if a training logs a figure of this name."""
        trained = name.split("/")[0] in ("train", "gradient", "speed") or name == "stage"
        return trained or any(fnmatchcase(name, pattern) for pattern in self.validated)

    def keep_terms(self, phase: str, terms: Terms) -> None:
        """Keep the terms of a phase for `log_figures`."""
        self._figures |= {f"train/{phase}/{name}": value.detach() for name, value in terms.items()}

    def log_figures(self) -> None:
        """Log terms and norms of the batch as means over the ranks. `FiniteWatch` checks them one batch later."""
        names = tuple(self._figures)
        means = mean_over_ranks(torch.stack([value.float() for value in self._figures.values()]))
        self._figures = {}
        self.watch.push(self.iteration, names, means)
        self.log_dict(dict(zip(names, means.unbind(), strict=True)))


def _listed(value: Any) -> list[Any]:
    """Wrap a single object in a list. Lightning returns a list only if there are several."""
    return value if isinstance(value, list) else [value]
