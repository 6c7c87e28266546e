"""RIM as a LightningModule: its training step in either alternation, and its validation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.evaluation.constants import constant_figures, constant_priors
from rim_lightning.evaluation.hallucination import HallucinationMetrics, hallucinate_batch
from rim_lightning.losses.landmark import LandmarkLoss
from rim_lightning.metrics.domain_gap import DomainGap
from rim_lightning.metrics.verification import FIGURES, IdentityVerification
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.teacher_weights import fill_backbone
from rim_lightning.training.objective import Objective
from rim_lightning.training.phased_module import ActivePhase, OptimizerOf, PhasedModule
from rim_lightning.training.phases import PHASE_TERMS, PHASES, STAGE_PHASES, Step, all_terms, prepare_step
from rim_lightning.training.probes import ProbeSampling, sharp_probes
from rim_lightning.training.schedule import Schedule
from rim_lightning.training.start import start_hallucination, start_students
from rim_lightning.training.teacher_bank import fill_bank
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
        teacher_weights: {"weight_format", "path"} for `load_teacher`; None leaves the teacher at random, which is only
            useful for measuring speed.
        start_from_teacher: True to start student and assistant from the teacher's weights.
        start_from: Checkpoint, or folder of an exported model, whose hallucination network the run starts from (and
            discriminator, where it has one); None for random weights.
        students_from: Checkpoint, of RIM or of a recognizer, or folder of an exported model, whose weights student and
            assistant start from; None for the teacher's, or random ones.
        verification_pairs: Number of genuine pairs, and of impostor pairs, sampled from the validation people.

    Raises:
        ValueError: If the alternation is unknown, the losses do not fit the hallucination network, or the weights of
            the teacher, of `start_from` or of `students_from` belong to a different network.
    """

    architecture = "rim"
    phases = PHASES
    stage_phases = STAGE_PHASES
    rim: RIM

    def __init__(  # noqa: PLR0913 - two arguments over: they are the keys of conf/system/rim.yaml
        self,
        model: Mapping[str, Any],
        objective: Objective,
        optimizers: Mapping[str, OptimizerOf],
        schedule: Schedule,
        alternation: str,
        probes: ProbeSampling,
        clip: float | None,
        teacher_weights: Mapping[str, Any] | None,
        start_from_teacher: bool,
        verification_pairs: int,
        start_from: str | None,
        students_from: str | None,
    ) -> None:
        super().__init__(model, optimizers, schedule, probes, clip)
        if alternation not in ("sequential", "simultaneous"):
            raise ValueError(f'alternation must be "sequential" or "simultaneous", got "{alternation}".')
        self.objective = objective
        self.alternation = alternation
        self._check_heatmaps()
        if objective.weights["hallucination"]["rebuild"] and self.rim.fhn.integrator_input == "trunk":
            raise ValueError(
                "The integrator cannot rebuild a face from features that it does not read: set "
                "model.hallucination.integrator_input=both, or objective.weights.hallucination.rebuild=0."
            )
        if objective.sum_moves == "both" and alternation == "sequential":
            raise ValueError(
                "The loss of the summed embedding can move the student only in one backward pass for all phases: set "
                "system.alternation=simultaneous, or objective.sum_moves=assistant."
            )
        joint = any(stage.name == "joint" for stage in schedule.stages)
        if joint and objective.weights["hallucination"]["student"] and self.rim.hrn.student_sees == "probe":
            raise ValueError(
                "The student's loss cannot teach the hallucination network, whose faces the student does not see: set "
                "objective.weights.hallucination.student=0, or model.recognition.student_sees to sr or both."
            )
        self._check_teacher_maps()
        if teacher_weights is not None:
            fill_backbone(self.rim.hrn.teacher.backbone, "model.recognition.teacher", **teacher_weights)
        if start_from_teacher:
            self.rim.hrn.start_from_teacher()
        if start_from is not None:
            start_hallucination(self.rim, start_from)
        if students_from is not None:
            start_students(self.rim, students_from)
        self.hallucination_metrics = HallucinationMetrics(
            ("sr", "coarse", "bicubic"), tuple(model["schemes"]), ("probe",)
        )
        self._constants: dict[str, float] | None = None
        self.domain_gap = DomainGap(objective.domain.multipliers)
        self.verification = IdentityVerification(pairs=verification_pairs, seed=0)
        self.camera_verification = IdentityVerification(pairs=verification_pairs, seed=0)

    def _check_teacher_maps(self) -> None:
        """Raise ValueError if a term compares maps with a teacher that has none."""
        if self.rim.hrn.teacher.has_maps:
            return
        for phase, term in (("student", "stage"), ("assistant", "residual")):
            if self.objective.weights[phase][term]:
                raise ValueError(
                    f"The teacher gives embeddings alone, so that the term {term} has no maps to compare with: set "
                    f"objective.weights.{phase}.{term}=0."
                )

    def prepare_stage(self) -> None:
        """Embed the training faces by the teacher, before the first stage with a contrastive term."""
        contrastive = self.objective.embeddings.contrastive
        phases = {"student", "assistant"} & set(self.stage_phases[self.stage])
        if contrastive.bank is None and any(self.objective.weights[phase].get("contrastive") for phase in phases):
            fill_bank(contrastive, self.rim.hrn.teacher, self.rim.embed_gallery, self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the queue of the domain loss, which is no part of the weights."""
        super().on_save_checkpoint(checkpoint)
        if self.objective.domain.past is not None:
            checkpoint["domain_queue"] = self.objective.domain.past

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue with the queue of the domain loss."""
        self.objective.domain.past = checkpoint.get("domain_queue")

    # ---- training ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train every phase of the current stage on one batch."""
        together = self.alternation == "simultaneous"
        probes = sharp_probes(batch.hr) if self.stage == "sharp" else self.training_probes(batch.hr)
        hallucinates = "hallucination" in self.stage_phases[self.stage]
        targets = self.training_targets(batch) if hallucinates else batch
        step = prepare_step(self.rim, self.objective, batch, probes, self.stage, together, targets)
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

    def faces(self, enlarged: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return the coarse and the hallucinated faces, see `PhasedModule.faces`."""
        output = self.rim.fhn(enlarged, sizes)
        return {"coarse": output.coarse, "SR": output.sr}

    def _check_heatmaps(self) -> None:
        loss, kind = self.objective.landmark, self.rim.fhn.generator.heatmap_kind
        fitting = {"gaussian": "mse", "logits": "cross_entropy"}[kind]
        if isinstance(loss, LandmarkLoss) and loss.kind != fitting:
            raise ValueError(
                f"The landmark loss {loss.kind} does not fit heatmaps that hold {kind} "
                f"(model.hallucination.generator.heatmaps): set objective.landmark.kind={fitting}."
            )

    # ---- validation -------------------------------------------------------------------------------------------------

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Measure image quality, priors, domain distance and verification at the nominal probe size."""
        hallucinated = hallucinate_batch(self.rim, batch, self.rim.lr_size, sharp_priors=True)
        self.hallucination_metrics.update(hallucinated)
        coarse, hr = (self.rim.discriminator(hallucinated.priors[source].features) for source in ("probe", "sharp"))
        self.domain_gap.update(coarse, hr, batch.identity, batch.index)
        has_identity = batch.identity != NO_IDENTITY
        if has_identity.any():
            gallery = self.rim.embed_gallery(batch.hr[has_identity])
            images, sizes = hallucinated.images, torch.full((len(batch.hr),), self.rim.lr_size)
            views = ProbeViews(images["sr"], images["bicubic"], sizes, hallucinated.priors["probe"])
            probe = self.rim.hrn.probe(views.select(has_identity))
            identity, index = batch.identity[has_identity], batch.index[has_identity]
            self.verification.update(gallery, probe, identity, index)
            if self.probes.camera_validation:
                probes = self.validation_camera_probes(batch.hr[has_identity], index)
                self.camera_verification.update(gallery, self.rim.embed_probe(*probes), identity, index)

    @property
    def validated(self) -> list[str]:  # type: ignore[override]  # here it depends on the model
        """Names of the figures that its validation logs."""
        quality = [f"val/{image}/{figure}_y" for image in ("sr", "coarse", "bicubic") for figure in ("psnr", "ssim")]
        schemes = self.model_arguments["schemes"]
        errors = [f"val/nme/{scheme}{answer}" for scheme in schemes for answer in ("", "_constant")]
        domains = ["val/miou", "val/miou_constant", "val/mmd", "val/mmd_p"]
        recognition = [f"val/rim/{figure}" for figure in FIGURES]
        if self.probes.camera_validation:
            recognition += [f"val/camera/rim/{figure}" for figure in FIGURES]
        return ["val/psnr_gain", *recognition, *quality, *errors, *domains]

    def figures_of(self, stage: str) -> Sequence[str]:
        """Return recognition for stages that train it, otherwise image quality, see `PhasedModule.figures_of`."""
        recognizes = {"student", "assistant"} & set(self.stage_phases[stage])
        return ("val/rim/auc", "val/psnr_gain") if recognizes else ("val/psnr_gain",)

    def judged_pairs(self) -> tuple[Tensor, Tensor] | None:
        """Return scores and truth of the validation people, see `PhasedModule.judged_pairs`."""
        return self.verification.scores_and_labels

    def on_validation_epoch_end(self) -> None:
        """Log and reset the metrics. `val/psnr_gain` is the Y-PSNR above that of bicubic enlargement, in dB."""
        figures = {f"val/{key}": value for key, value in self.hallucination_metrics.compute().items()}
        figures["val/psnr_gain"] = figures["val/sr/psnr_y"] - figures["val/bicubic/psnr_y"]
        figures |= {f"val/{key}": torch.tensor(value) for key, value in self._constant_figures().items()}
        figures |= {f"val/{key}": value for key, value in self.domain_gap.compute().items()}
        figures |= {f"val/rim/{key}": value for key, value in self.verification.compute().items()}
        if self.probes.camera_validation:
            figures |= {f"val/camera/rim/{key}": value for key, value in self.camera_verification.compute().items()}
        self.log_dict(figures)
        for metric in (self.hallucination_metrics, self.domain_gap, self.verification, self.camera_verification):
            metric.reset()

    def _constant_figures(self) -> dict[str, float]:
        """Return the figures of constant priors on the validation faces, computed once; none without a data module."""
        data = getattr(self.trainer, "datamodule", None)
        if self._constants is None and isinstance(data, FaceDataModule):
            constants = constant_priors(data.train.sets, tuple(self.model_arguments["schemes"]))
            self._constants = constant_figures(constants, data.val.sets)
        return self._constants or {}
