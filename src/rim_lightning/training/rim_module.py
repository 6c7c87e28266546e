"""RIM as a LightningModule: its training step in either alternation, and its validation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.metrics.domain_gap import DomainGap
from rim_lightning.metrics.image_quality import ImageQuality
from rim_lightning.metrics.miou import ParsingIoU
from rim_lightning.metrics.nme import NormalizedMeanError
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import fill_backbone
from rim_lightning.training.objective import Objective
from rim_lightning.training.phased_module import ActivePhase, OptimizerOf, PhasedModule
from rim_lightning.training.phases import PHASE_TERMS, PHASES, STAGE_PHASES, Step, all_terms, prepare_step
from rim_lightning.training.probes import ProbeSampling
from rim_lightning.training.schedule import Schedule
from rim_lightning.types import NO_IDENTITY, FaceBatch


class RIMModule(PhasedModule):
    """Trains `RIM` with one optimizer per phase. Validation and evaluation are always bicubic.

    Args:
        model: Arguments of `RIM`, plain containers. A checkpoint carries them.
        objective: Losses and weights.
        optimizers: See `PhasedModule`.
        schedule: See `PhasedModule`.
        alternation: "sequential": each phase has its own backward pass and step, the max step first. "simultaneous":
            one backward pass for all, through gradient reversal, then every optimizer steps.
        probes: See `PhasedModule`.
        clip: See `PhasedModule`.
        teacher_weights: {"weight_format", "path"} for `load_teacher`; None leaves the teacher at random, which only a
            measurement of speed can want.
        start_from_teacher: Whether student and assistant start from the teacher's weights.
        start_from: Checkpoint whose hallucination network and discriminator the run starts from; None for random.
        verification_pairs: Number of genuine pairs, and of impostor pairs, sampled from the validation people.

    Raises:
        ValueError: If there is no such alternation, or the weights of the teacher or of `start_from` belong to another
            network.
    """

    architecture = "rim"
    phases = PHASES
    stage_phases = STAGE_PHASES
    rim: RIM

    def __init__(  # noqa: PLR0913 - one argument over: they are the keys of conf/system/rim.yaml
        self,
        model: Mapping[str, Any],
        objective: Objective,
        optimizers: Mapping[str, OptimizerOf],
        schedule: Schedule,
        alternation: str,
        probes: ProbeSampling,
        clip: float | None,
        teacher_weights: Mapping[str, str] | None,
        start_from_teacher: bool,
        verification_pairs: int,
        start_from: str | None,
    ) -> None:
        super().__init__(model, optimizers, schedule, probes, clip)
        if alternation not in ("sequential", "simultaneous"):
            raise ValueError(f'alternation is "sequential" or "simultaneous", got "{alternation}".')
        self.objective = objective
        self.alternation = alternation
        if teacher_weights is not None:
            fill_backbone(self.rim.hrn.teacher.backbone, "model.recognition.teacher", **teacher_weights)
        if start_from_teacher:
            self.rim.hrn.start_from_teacher()
        if start_from is not None:
            self._start_from(start_from)
        self.quality = nn.ModuleDict({name: ImageQuality("y") for name in ("sr", "coarse", "bicubic")})
        self.nme = nn.ModuleDict({scheme: NormalizedMeanError(scheme) for scheme in model["schemes"]})
        self.iou = ParsingIoU()
        self.domain_gap = DomainGap(objective.domain.multipliers)
        self.verification = IdentityVerification(pairs=verification_pairs, seed=0)

    # ---- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train every phase of the current stage on one batch."""
        together = self.alternation == "simultaneous"
        probes = self.training_probes(batch.hr)
        step = prepare_step(self.rim, self.objective, batch, probes, self.stage, together)
        active = self.active_phases()
        if together:
            self._step_together(step, active)
        else:
            self._step_in_turn(step, active)
        for _, _, scheduler in active:
            scheduler.step()
        self.log_figures()

    def _step_in_turn(self, step: Step, active: Sequence[ActivePhase]) -> None:
        """Give every phase its own backward pass and optimizer step."""
        for phase, optimizer, _ in active:
            with self.toggled_optimizer(optimizer):
                terms = PHASE_TERMS[phase.name](self.rim, self.objective, step)
                optimizer.zero_grad()
                self.manual_backward(terms["loss"])
                optimizer.step()
                self.keep_terms(phase.name, terms)

    def _step_together(self, step: Step, active: Sequence[ActivePhase]) -> None:
        """Run one backward pass for all phases, then step every optimizer."""
        terms_of = all_terms(self.rim, self.objective, step)
        for name, terms in terms_of.items():
            self.keep_terms(name, terms)
        for _, optimizer, _ in active:
            optimizer.zero_grad()
        self.manual_backward(torch.stack([terms["loss"] for terms in terms_of.values()]).sum())
        for _, optimizer, _ in active:
            optimizer.step()

    def faces(self, enlarged: Tensor) -> dict[str, Tensor]:
        """Return the coarse and the hallucinated faces, see `PhasedModule.faces`."""
        output = self.rim.fhn(enlarged)
        return {"coarse": output.coarse, "SR": output.sr}

    def _start_from(self, path: str) -> None:
        other = load_rim(path)
        try:
            self.rim.fhn.load_state_dict(other.fhn.state_dict())
            self.rim.discriminator.load_state_dict(other.discriminator.state_dict())
        except RuntimeError as error:
            raise ValueError(
                f"The hallucination network in {path} has another shape than the configuration's: set model to the one "
                "it was trained with."
            ) from error

    # ---- validation -------------------------------------------------------------------------------------------------

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Measure image quality, priors, domain distance and verification at the nominal probe size."""
        enlarged = synthesize_probe(batch.hr, torch.full((len(batch.hr),), self.rim.lr_size))
        output = self.rim.fhn(enlarged, batch.hr)
        for name, image in (("sr", output.sr), ("coarse", output.coarse), ("bicubic", enlarged)):
            self.quality[name].update(image, batch.hr, batch.index)
        for scheme, metric in self.nme.items():
            points = decode_heatmaps(output.priors.heatmaps[scheme].float(), batch.hr.shape[-1])
            metric.update(points, batch.landmarks[scheme], batch.index)
        self.iou.update(output.priors.parsing, batch.parsing, batch.index)
        coarse, hr = self.rim.discriminator(output.priors.features), self.rim.discriminator(output.hr_priors.features)
        self.domain_gap.update(coarse, hr, batch.identity, batch.index)
        known = batch.identity != NO_IDENTITY
        if known.any():
            gallery = self.rim.embed_gallery(batch.hr[known])
            probe = self.rim.hrn.probe(output.sr[known])
            self.verification.update(gallery, probe, batch.identity[known], batch.index[known])

    def on_validation_epoch_end(self) -> None:
        """Log and reset the metrics. `val/psnr_gain` is the Y-PSNR above that of bicubic enlargement, in dB."""
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
