"""Recognizers without hallucination: the systems that RIM is compared with, one step for all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.resize import resized
from rim_lightning.losses.center import CenterLoss
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.identity import IdentityLoss
from rim_lightning.metrics.verification import IdentityVerification
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.teacher_weights import fill_backbone
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.phases import Phase
from rim_lightning.types import NO_IDENTITY, FaceBatch, Terms

TERMS = ("classification", "guide_classification", "center", "stage", "embedding")


class RecognitionModule(PhasedModule):
    """Trains a `GuidedRecognizer` on probes, by people, by a guide, or by both.

    ========================  ====================================================================================
    vanilla student           classification of probes
    multi-resolution student  classification of probes of all sizes
    Staged-CNN                stage "sharp", then stage "mixed": classification
    plain distillation        stage and embedding of a frozen guide (FitNets, arXiv 1412.6550)
    Guided-CNN                classification of guide and learner in parallel, and the distance of their features
    ArcFace, VGGFace2         classification of sharp faces
    CenterFace                classification and center loss of sharp faces
    ========================  ====================================================================================

    Args:
        recognizer: arguments of `build_guided_recognizer`.
        weights: term -> weight; classification: people told from probes; guide_classification: by the guide from sharp
            faces, with the same centers; center: `CenterLoss`; stage: squared distance of the last feature maps, in
            units of the guide's; embedding: 1 − cosine to the guide's. A term of weight 0 is not computed.
        classifier: embedding size and number of people -> their loss; only if a classification has a weight.
        people: number of training people.
        teacher_weights: see `RIMModule`; for the guide, and the learner where it starts from the teacher.
        start_from_teacher: the learner starts from those weights.
        verification_pairs: genuine and impostor pairs sampled from the validation people.
        lr_size, optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed: see `PhasedModule`. In the
            stage "sharp" the probes are the sharp faces, in "mixed" they are those of `probe_sizes`.

    Raises:
        ValueError: as `PhasedModule`; unknown or missing weights; a term that needs a guide without one; people are
            wanted where the data have none; weights of another network.
    """

    architecture = "recognizer"
    stages = ("sharp", "mixed")
    phases = (Phase("recognition", ("recognizer", "classifier"), stages, None),)
    recognizer: GuidedRecognizer

    def __init__(
        self,
        recognizer: Mapping[str, Any],
        weights: Mapping[str, float],
        classifier: Callable[[int, int], nn.Module] | None,
        people: int,
        lr_size: int,
        optimizers: Mapping[str, Callable[[Iterable[nn.Parameter]], Optimizer]],
        stages: Sequence[Mapping[str, Any]],
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
        super().__init__(recognizer, lr_size, optimizers, stages, probe_sizes, degradation, warmup, final, clip, seed)
        if set(weights) != set(TERMS) or not any(weights.values()):
            raise ValueError(f"The weights of a recognizer are {', '.join(TERMS)}, not all of them 0.")
        by_guide = [term for term in ("guide_classification", "stage", "embedding") if weights[term]]
        if by_guide and self.recognizer.guide is None:
            raise ValueError(f"The term {by_guide[0]} needs a guide: set system.recognizer.guide.")
        self.weights = weights
        by_people = any(weights[term] for term in ("classification", "guide_classification", "center"))
        if by_people and not people:
            raise ValueError("The data have no identities, from which this recognizer learns: add a set that has.")
        size = self.recognizer.learner.embedding_size
        self.classifier = classifier(size, people) if by_people else nn.Identity()
        self.center = CenterLoss(size, people) if weights["center"] else None
        self.distance = StageDistillation("l2", normalize=True)
        self.identity = IdentityLoss()
        if teacher_weights is not None:
            guide = self.recognizer.guide
            if guide is not None:
                own = guide.backbone if isinstance(guide, FrozenTeacher) else guide
                fill_backbone(own, "system.recognizer.guide", **teacher_weights)
            if start_from_teacher:
                fill_backbone(self.recognizer.learner, "system.recognizer.learner", **teacher_weights)
        self.verification = IdentityVerification(pairs=verification_pairs, seed=0)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """One batch."""
        ((phase, optimizer, scheduler),) = self.active_phases()
        terms = self.terms(batch, batch.hr if self.stage == "sharp" else self.training_probes(batch.hr))
        optimizer.zero_grad()
        self.manual_backward(terms["loss"])
        optimizer.step()
        scheduler.step()
        self.keep_terms(phase.name, terms)
        self.log_figures()

    def terms(self, batch: FaceBatch, probes: Tensor) -> Terms:
        """Every term of a weight other than 0, the shares of people told right, and "loss"; moves the centers.

        Args:
            batch: sharp faces, RGB in [-1, 1]. probes: (B, 3, S, S), enlarged probes of the same faces.
        """
        learner, guide = self.recognizer.learner, self.recognizer.guide
        last = learner.stages(resized(probes, learner.input_size))[-1]
        embedding = learner.head(last)
        parts: Terms = {}
        told: Terms = {}
        if guide is not None:
            frozen = isinstance(guide, FrozenTeacher)
            with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
                guide_last = guide.stages(resized(batch.hr, guide.input_size))[-1]
                guide_embedding = guide.head(guide_last)
            if self.weights["stage"]:
                parts["stage"] = self.distance([guide_last], [last], [guide_last])
            if self.weights["embedding"]:
                parts["embedding"] = self.identity(embedding, guide_embedding)
            if self.weights["guide_classification"]:
                found = self.classifier(guide_embedding, batch.identity)
                parts["guide_classification"], told["guide_accuracy"] = found["loss"], found["accuracy"]
        if self.weights["classification"]:
            found = self.classifier(embedding, batch.identity)
            parts["classification"], told["accuracy"] = found["loss"], found["accuracy"]
        if self.center is not None:
            parts["center"] = self.center(embedding, batch.identity)
            self.center.update(embedding, batch.identity)
        loss = torch.stack([self.weights[name] * value for name, value in parts.items()]).sum()
        return parts | told | {"loss": loss}

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Verification of the validation people at the nominal probe size."""
        known = batch.identity != NO_IDENTITY
        if not known.any():
            return
        faces = batch.hr[known]
        probes = synthesize_probe(faces, torch.full((len(faces),), self.lr_size))
        self.verification.update(
            self.recognizer.embed_gallery(faces),
            self.recognizer.embed_probe(probes),
            batch.identity[known],
            batch.index[known],
        )

    def on_validation_epoch_end(self) -> None:
        """Log and reset the figures."""
        self.log_dict({f"val/recognizer/{key}": value for key, value in self.verification.compute().items()})
        self.verification.reset()
