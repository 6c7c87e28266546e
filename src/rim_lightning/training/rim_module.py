"""RIM as a LightningModule: its step, in either alternation, and its validation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.phases import PHASES, STAGES, prepare_step, simultaneous_terms
from rim_lightning.types import NO_IDENTITY, FaceBatch


class RIMModule(PhasedModule):
    """Trains `RIM` with one optimizer per phase.

    Args:
        model: arguments of `RIM`, plain containers; a checkpoint carries them.
        objective: losses and weights.
        alternation: "sequential": each phase has its own backward and step, the max step first. "simultaneous": one
            backward for all, through gradient reversal, then every optimizer steps.
        teacher_weights: {"weight_format", "path"} for `load_teacher`; None leaves the teacher at random, which only
            a measurement of speed can want.
        start_from_teacher: student and assistant start from the teacher's weights.
        start_from: checkpoint whose hallucination network and discriminator the run starts from; None: from random.
        verification_pairs: genuine and impostor pairs sampled from the validation people.
        optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed: see `PhasedModule`. Validation and
            evaluation are always bicubic.

    Raises:
        ValueError: as `PhasedModule`; an unknown alternation; teacher weights or a `start_from` of another network.
    """

    architecture = "rim"
    phases = PHASES
    stages = STAGES
    rim: RIM

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
        start_from: str | None,
    ):
        lr_size = model["lr_size"]
        super().__init__(model, lr_size, optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed)
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
        """One batch through every phase of the current stage."""
        step = prepare_step(self.rim, batch, self.training_probes(batch.hr), self.stage)
        active = self.active_phases()
        if self.alternation == "sequential":
            for phase, optimizer, _ in active:
                with self.toggled_optimizer(optimizer):
                    terms = phase.terms(self.rim, self.objective, step)
                    optimizer.zero_grad()
                    self.manual_backward(terms["loss"])
                    optimizer.step()
                    self.keep_terms(phase.name, terms)
        else:
            terms_of = simultaneous_terms(self.rim, self.objective, step)
            for name, terms in terms_of.items():
                self.keep_terms(name, terms)
            for _, optimizer, _ in active:
                optimizer.zero_grad()
            self.manual_backward(torch.stack([terms["loss"] for terms in terms_of.values()]).sum())
            for _, optimizer, _ in active:
                optimizer.step()
        for _, _, scheduler in active:
            scheduler.step()
        self.log_figures()

    def faces(self, enlarged: Tensor) -> dict[str, Tensor]:
        """The coarse and the hallucinated face."""
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
        """Image quality, priors, domain distance and verification at the nominal probe size."""
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
