"""RIM as a LightningModule: the phase loop, clipping, schedules, logging, validation."""

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rim_lightning.checkpoint_io import verify
from rim_lightning.distributed import mean_over_ranks
from rim_lightning.finite_watch import FiniteWatch
from rim_lightning.functional.degradation import (
    DEGRADATIONS,
    draw_probe_sizes,
    realistic_reduce,
    synthesise_probe,
)
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.metrics.domain_gap import DomainGap
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalisedMeanError
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import load_teacher
from rim_lightning.optim import split_parameters, stage_schedule
from rim_lightning.phases import PHASES, STAGES, Objective, prepare_step, simultaneous_terms
from rim_lightning.types import NO_IDENTITY, FaceBatch, Terms


class TrainingStage(NamedTuple):
    """Attributes: name: "fhn", "hrn" or "joint". epochs: length. lr_scale: phase -> factor of its learning rate."""

    name: str
    epochs: int
    lr_scale: Mapping[str, float] = {}


class ProbeSizes(NamedTuple):
    """Sides of training probes: the nominal one with probability `nominal_share`, else log-uniform in low..high px."""

    low: int
    high: int
    nominal_share: float


class RIMModule(pl.LightningModule):
    """Trains `RIM` with one optimiser per phase.

    Args:
        model: arguments of `RIM`, plain containers; a checkpoint carries them.
        objective: losses and weights.
        optimizers: phase -> parameters -> optimiser.
        stages: training stages in order, as arguments of `TrainingStage`; the trainer runs their epochs in total.
        alternation: "sequential": each phase has its own backward and step, the max step first. "simultaneous": one
            backward for all, through gradient reversal, then every optimiser steps.
        probe_sizes: arguments of `ProbeSizes`.
        degradation: how training faces become probes: "bicubic", or "realistic" (blur, noise, JPEG). Validation and
            evaluation are always bicubic.
        warmup, final: see `stage_schedule`.
        clip: largest gradient norm of a phase; None: no clipping.
        seed: of the probe sizes.
        teacher_weights: {"weight_format", "path"} for `load_teacher`; None leaves the teacher at random, which only
            a measurement of speed can want.
        start_from_teacher: student and assistant start from the teacher's weights.
        verification_pairs: genuine, and impostor, pairs drawn from the validation people.

    Raises:
        ValueError: an unknown stage or alternation, missing optimisers, or teacher weights of another architecture.
    """

    def __init__(
        self,
        model: Mapping[str, Any],
        objective: Objective,
        optimizers: Mapping[str, Callable[[Iterable[nn.Parameter]], Optimizer]],
        stages: Sequence[Mapping[str, Any]],
        alternation: str,
        probe_sizes: Mapping[str, Any],
        degradation: str,
        warmup: float,
        final: float,
        clip: float | None,
        seed: int,
        teacher_weights: Mapping[str, str] | None,
        start_from_teacher: bool,
        verification_pairs: int,
    ):
        super().__init__()
        self.automatic_optimization = False
        if alternation not in ("sequential", "simultaneous"):
            raise ValueError(f'alternation is "sequential" or "simultaneous", got "{alternation}".')
        self.schedule = [_training_stage(stage) for stage in stages]
        if degradation not in DEGRADATIONS:
            raise ValueError(f'There is no degradation "{degradation}"; choose from {", ".join(DEGRADATIONS)}.')
        missing = {phase.name for phase in PHASES} - set(optimizers)
        if missing:
            raise ValueError(f"The phases {', '.join(sorted(missing))} have no optimiser.")
        self.model_arguments = model
        self.rim = RIM(**model)
        self.objective = objective
        self.optimizer_of = optimizers
        self.alternation = alternation
        self.probe_sizes = ProbeSizes(**probe_sizes)
        self.degradation = degradation
        self.warmup, self.final, self.clip, self.seed = warmup, final, clip, seed
        self.watch = FiniteWatch()
        self._figures: dict[str, Tensor] = {}  # of the batch being trained
        if teacher_weights is not None:
            self._load_teacher(**teacher_weights)
        if start_from_teacher:
            self.rim.hrn.start_from_teacher()
        self.quality = nn.ModuleDict({name: ImageQuality("y") for name in ("sr", "coarse", "bicubic")})
        self.nme = nn.ModuleDict({scheme: NormalisedMeanError(scheme) for scheme in model["schemes"]})
        self.iou = ParsingIoU()
        self.domain_gap = DomainGap(objective.domain.multipliers)
        self.verification = IdentityVerification(pairs=verification_pairs, seed=0)

    # ---- training ---------------------------------------------------------------------------------------------------

    @property
    def iteration(self) -> int:
        """Batches seen since the first epoch; survives a resume, unlike `global_step` it counts a batch once."""
        return self.trainer.fit_loop.total_batch_idx

    @property
    def stage(self) -> str:
        """Name of the training stage of the current epoch."""
        epoch = self.trainer.current_epoch
        for stage in self.schedule:
            if epoch < stage.epochs:
                return stage.name
            epoch -= stage.epochs
        return self.schedule[-1].name

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """One optimiser and one schedule per phase, in the order of `PHASES`."""
        parameters = split_parameters(self, PHASES)
        batches = self.trainer.estimated_stepping_batches // self.trainer.max_epochs
        optimizers, schedulers = [], []
        for phase in PHASES:
            optimizer = self.optimizer_of[phase.name](parameters[phase.name])
            spans = [
                (stage.epochs * batches, stage.lr_scale.get(phase.name, 1.0))
                for stage in self.schedule
                if stage.name in phase.stages
            ]
            optimizers.append(optimizer)
            schedulers.append(LambdaLR(optimizer, stage_schedule(spans, self.warmup, self.final)))
        return optimizers, schedulers

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """One batch through every phase of the current stage."""
        stage = self.stage
        step = prepare_step(self.rim, batch, self._training_probes(batch.hr), stage)
        phases = zip(PHASES, self.optimizers(), self.lr_schedulers(), strict=True)
        active = [(phase, optimizer, scheduler) for phase, optimizer, scheduler in phases if stage in phase.stages]
        if self.alternation == "sequential":
            for phase, optimizer, _ in active:
                with self.toggled_optimizer(optimizer):
                    terms = phase.terms(self.rim, self.objective, step)
                    optimizer.zero_grad()
                    self.manual_backward(terms["loss"])
                    optimizer.step()
                    self._keep_terms(phase.name, terms)
        else:
            terms_of = simultaneous_terms(self.rim, self.objective, step)
            for name, terms in terms_of.items():
                self._keep_terms(name, terms)
            for _, optimizer, _ in active:
                optimizer.zero_grad()
            self.manual_backward(torch.stack([terms["loss"] for terms in terms_of.values()]).sum())
            for _, optimizer, _ in active:
                optimizer.step()
        for _, _, scheduler in active:
            scheduler.step()
        self._log_figures()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the phase's gradient and keep its norm for the log."""
        phase = PHASES[[own.optimizer for own in self.optimizers()].index(optimizer)].name
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, float("inf") if self.clip is None else self.clip)
        self._figures[f"gradient/{phase}"] = norm

    def on_train_epoch_end(self) -> None:
        """Raise NonFiniteLoss where the last batch was not finite."""
        self.watch.check()

    def on_train_epoch_start(self) -> None:
        """Log the stage as a number, so that curves show where one ends."""
        self.log("stage", float(STAGES.index(self.stage)))

    def _training_probes(self, hr: Tensor) -> Tensor:
        """Bicubic probes of this rank's share are those that one process would give the same faces."""
        rank, world = self.global_rank, self.trainer.world_size
        low, high, share = self.probe_sizes
        generator = torch.Generator().manual_seed(_mixed(self.seed, self.iteration))
        sizes = draw_probe_sizes(world * len(hr), low, high, self.rim.lr_size, share, generator)[rank::world]
        if self.degradation == "bicubic":
            return synthesise_probe(hr, sizes)
        generator.manual_seed(_mixed(self.seed, self.iteration, rank))
        return synthesise_probe(hr, sizes, partial(realistic_reduce, generator=generator))

    def _keep_terms(self, phase: str, terms: Terms) -> None:
        self._figures |= {f"train/{phase}/{name}": value.detach() for name, value in terms.items()}

    def _log_figures(self) -> None:
        """Log the terms and norms of the batch, means over the ranks; `FiniteWatch` sees them a batch later."""
        names = tuple(self._figures)
        means = mean_over_ranks(torch.stack([value.float() for value in self._figures.values()]))
        self._figures = {}
        self.watch.push(self.iteration, names, means)
        self.log_dict(dict(zip(names, means.unbind(), strict=True)))

    # ---- validation -------------------------------------------------------------------------------------------------

    def on_validation_start(self) -> None:
        """Raise NonFiniteLoss where the last training batch was not finite, before minutes go into validating it."""
        self.watch.check()

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Image quality, priors, domain distance and verification at the nominal probe size."""
        enlarged = synthesise_probe(batch.hr, torch.full((len(batch.hr),), self.rim.lr_size))
        output = self.rim.fhn(enlarged, batch.hr)
        for name, image in (("sr", output.sr), ("coarse", output.coarse), ("bicubic", enlarged)):
            self.quality[name].update(image, batch.hr, batch.index)
        for scheme, metric in self.nme.items():
            points = decode_heatmaps(output.priors.heatmaps[scheme].float(), batch.hr.shape[-1])
            metric.update(points, batch.landmarks[scheme], batch.index)
        self.iou.update(output.priors.parsing, batch.parsing, batch.index)
        coarse, hr = self.rim.discriminator(output.priors.features), self.rim.discriminator(output.hr_priors.features)
        self.domain_gap.update(coarse, hr, batch.index)
        known = batch.identity != NO_IDENTITY
        if known.any():
            gallery = self.rim.embed_gallery(batch.hr[known])
            probe = self.rim.hrn.probe(output.sr[known])
            self.verification.update(gallery, probe, batch.identity[known], batch.index[known])

    def on_validation_epoch_end(self) -> None:
        """Log and reset the metrics; `val/psnr_gain` is dB of Y-PSNR above bicubic."""
        figures: dict[str, Tensor] = {}
        for name, metric in self.quality.items():
            figures |= {f"val/{name}/{key}_y": value for key, value in metric.compute().items()}
        figures["val/psnr_gain"] = figures["val/sr/psnr_y"] - figures["val/bicubic/psnr_y"]
        figures |= {f"val/nme/{scheme}": metric.compute() for scheme, metric in self.nme.items()}
        figures["val/miou"] = self.iou.compute()
        figures |= {f"val/{key}": value for key, value in self.domain_gap.compute().items()}
        figures |= {f"val/rim/{key}": value for key, value in self.verification.compute().items()}
        self.log_dict(figures)
        for metric in (*self.quality.values(), *self.nme.values(), self.iou, self.domain_gap, self.verification):
            metric.reset()

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the network's arguments, so that it can be rebuilt from the file alone (`load_rim`).

        Raises:
            NonFiniteLoss: the last batch was not finite; nothing is saved.
        """
        self.watch.check()
        checkpoint["model_arguments"] = self.model_arguments

    def _load_teacher(self, weight_format: str, path: str) -> None:
        weights = load_teacher(weight_format, path).state_dict()
        try:
            self.rim.hrn.teacher.backbone.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"The weights in {path} belong to another network than the teacher of the configuration: set "
                f"model.recognition.teacher to its architecture."
            ) from error


def _training_stage(stage: Mapping[str, Any]) -> TrainingStage:
    try:
        made = TrainingStage(**stage)
    except TypeError:
        raise ValueError(f"A stage has name, epochs and maybe lr_scale, got {dict(stage)}.") from None
    if made.name not in STAGES:
        raise ValueError(f'There is no training stage "{made.name}"; choose from {", ".join(STAGES)}.')
    return made


def load_rim(path: str) -> RIM:
    """The trained network of a checkpoint (with EMA: the averaged one), in eval mode, without any configuration.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is not a checkpoint of `RIMModule`, or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    verify(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint of rim-train, or is damaged.") from error
    if "model_arguments" not in checkpoint:
        raise ValueError(f"{path} is not a checkpoint of rim-train.")
    rim = RIM(**checkpoint["model_arguments"])
    weights = checkpoint["state_dict"]
    rim.load_state_dict(
        {name.removeprefix("rim."): value for name, value in weights.items() if name.startswith("rim.")}
    )
    return rim.eval()


def _mixed(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
