"""What the training modules share: stages, probes, optimizers and schedules, clipping, logging, checkpoints."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rim_lightning.distributed import mean_over_ranks
from rim_lightning.functional.degradation import DEGRADATIONS, realistic_reduce, sample_probe_sizes, synthesize_probe
from rim_lightning.networks.checkpoints import build_architecture
from rim_lightning.training.finite_watch import FiniteWatch
from rim_lightning.training.optimizers import split_parameters, stage_schedule
from rim_lightning.training.phases import Phase
from rim_lightning.types import Terms


class ProbeSizes(NamedTuple):
    """Sides of training probes: the nominal one with probability `nominal_share`, else log-uniform in low..high px."""

    low: int
    high: int
    nominal_share: float


class TrainingStage(NamedTuple):
    """Attributes: name: one of the module's stages. epochs: length. lr_scale: phase -> factor of its learning rate."""

    name: str
    epochs: int
    lr_scale: Mapping[str, float] = {}


class PhasedModule(pl.LightningModule):
    """Base of the training modules: manual optimization with one optimizer a phase, through training stages.

    A subclass sets `architecture`, `phases` and `stages`, and keeps its network under the attribute named as its
    architecture.

    Args:
        network: arguments of the network (`networks.architectures`), plain containers; a checkpoint carries them.
        lr_size: nominal side of a probe in pixels.
        optimizers: phase -> parameters -> optimizer.
        stages: training stages in order, as arguments of `TrainingStage`; the trainer runs their epochs in total.
        probe_sizes: arguments of `ProbeSizes`.
        degradation: how training faces become probes: "bicubic", or "realistic" (blur, noise, JPEG).
        warmup, final: see `stage_schedule`.
        clip: largest gradient norm of a phase; None: no clipping.
        seed: of the probe sizes.

    Raises:
        ValueError: an unknown stage or degradation, or missing optimizers.
    """

    architecture: str
    phases: Sequence[Phase]
    stages: Sequence[str]

    def __init__(
        self,
        network: Mapping[str, Any],
        lr_size: int,
        optimizers: Mapping[str, Callable[[Iterable[nn.Parameter]], Optimizer]],
        stages: Sequence[Mapping[str, Any]],
        probe_sizes: Mapping[str, Any],
        degradation: str,
        warmup: float,
        final: float,
        clip: float | None,
        seed: int,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.schedule = [self._training_stage(stage) for stage in stages]
        if degradation not in DEGRADATIONS:
            raise ValueError(f'There is no degradation "{degradation}"; choose from {", ".join(DEGRADATIONS)}.')
        missing = {phase.name for phase in self.phases} - set(optimizers)
        if missing:
            raise ValueError(f"The phases {', '.join(sorted(missing))} have no optimizer.")
        self.model_arguments = network
        self.add_module(self.architecture, build_architecture(self.architecture, network))
        self.lr_size = lr_size
        self.optimizer_of = optimizers
        self.probe_sizes = ProbeSizes(**probe_sizes)
        self.degradation = degradation
        self.warmup, self.final, self.clip, self.seed = warmup, final, clip, seed
        self.watch = FiniteWatch()
        self._figures: dict[str, Tensor] = {}  # of the batch being trained

    @property
    def iteration(self) -> int:
        """Batches seen since the first epoch; survives a resume, unlike `global_step` it counts a batch once."""
        return self.trainer.fit_loop.total_batch_idx

    @property
    def stage(self) -> str:
        """Name of the training stage of the current epoch."""
        return self._place[0]

    @property
    def stage_epoch(self) -> int:
        """Epochs of the current training stage before the current one."""
        return self._place[1]

    @property
    def _place(self) -> tuple[str, int]:
        epoch = self.trainer.current_epoch
        for stage in self.schedule[:-1]:
            if epoch < stage.epochs:
                return stage.name, epoch
            epoch -= stage.epochs
        return self.schedule[-1].name, epoch

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """One optimizer and one schedule per phase, in the order of `phases`."""
        parameters = split_parameters(self, self.phases)
        batches = self.trainer.estimated_stepping_batches // self.trainer.max_epochs
        optimizers, schedulers = [], []
        for phase in self.phases:
            optimizer = self.optimizer_of[phase.name](parameters[phase.name])
            spans = [
                (stage.epochs * batches, stage.lr_scale.get(phase.name, 1.0))
                for stage in self.schedule
                if stage.name in phase.stages
            ]
            optimizers.append(optimizer)
            schedulers.append(LambdaLR(optimizer, stage_schedule(spans, self.warmup, self.final)))
        return optimizers, schedulers

    def active_phases(self) -> list[tuple[Phase, Optimizer, LambdaLR]]:
        """The phases of the current stage with their optimizers and schedules."""
        stage = self.stage
        of_phases = zip(self.phases, _listed(self.optimizers()), _listed(self.lr_schedulers()), strict=True)
        return [each for each in of_phases if stage in each[0].stages]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the phase's gradient and keep its norm for the log."""
        phase = self.phases[[own.optimizer for own in _listed(self.optimizers())].index(optimizer)].name
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, float("inf") if self.clip is None else self.clip)
        self._figures[f"gradient/{phase}"] = norm

    def on_train_start(self) -> None:
        """As `on_train_epoch_start`, which a run that is resumed within an epoch does not call."""
        self._rest()

    def on_train_epoch_start(self) -> None:
        """Put what the stage does not move into eval mode: the statistics of its norm layers stay. Log the stage as a
        number, so that curves show where one ends.
        """
        self._rest()
        self.log("stage", float(self.stages.index(self.stage)))

    def _rest(self) -> None:
        for phase in self.phases:
            for name in phase.modules:
                self.get_submodule(name).train(self.stage in phase.stages)

    def on_train_epoch_end(self) -> None:
        """Raise NonFiniteLoss where the last batch was not finite."""
        self.watch.check()

    def on_validation_start(self) -> None:
        """Raise NonFiniteLoss where the last training batch was not finite, before minutes go into validating it."""
        self.watch.check()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the network's arguments, so that it can be rebuilt from the file alone (`load_network`).

        Raises:
            NonFiniteLoss: the last batch was not finite; nothing is saved.
        """
        self.watch.check()
        checkpoint["architecture"] = self.architecture
        checkpoint["model_arguments"] = self.model_arguments

    def training_probes(self, hr: Tensor) -> Tensor:
        """(B, 3, S, S) -> probes enlarged to S. Bicubic ones of this rank's share are those that one process would give
        the same faces.
        """
        rank, world = self.global_rank, self.trainer.world_size
        low, high, share = self.probe_sizes
        generator = torch.Generator().manual_seed(_mixed(self.seed, self.iteration))
        sizes = sample_probe_sizes(world * len(hr), low, high, self.lr_size, share, generator)[rank::world]
        if self.degradation == "bicubic":
            return synthesize_probe(hr, sizes)
        generator.manual_seed(_mixed(self.seed, self.iteration, rank))
        return synthesize_probe(hr, sizes, partial(realistic_reduce, generator=generator))

    def faces(self, enlarged: Tensor) -> dict[str, Tensor]:
        """Enlarged probes (B, 3, S, S) -> the faces that the network makes of them, by name, for people to look at."""
        return {}

    def keep_terms(self, phase: str, terms: Terms) -> None:
        """Keep the terms of a phase for `log_figures`."""
        self._figures |= {f"train/{phase}/{name}": value.detach() for name, value in terms.items()}

    def log_figures(self) -> None:
        """Log the terms and norms of the batch, means over the ranks; `FiniteWatch` sees them a batch later."""
        names = tuple(self._figures)
        means = mean_over_ranks(torch.stack([value.float() for value in self._figures.values()]))
        self._figures = {}
        self.watch.push(self.iteration, names, means)
        self.log_dict(dict(zip(names, means.unbind(), strict=True)))

    def _training_stage(self, stage: Mapping[str, Any]) -> TrainingStage:
        try:
            made = TrainingStage(**stage)
        except TypeError:
            raise ValueError(f"A stage has name, epochs and maybe lr_scale, got {dict(stage)}.") from None
        if made.name not in self.stages:
            raise ValueError(f'There is no training stage "{made.name}"; choose from {", ".join(self.stages)}.')
        return made


def _listed(found: Any) -> list:
    """Lightning hands out a single optimizer or schedule without a list."""
    return found if isinstance(found, list) else [found]


def _mixed(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
