"""Training of the recognizers without hallucination that RIM is compared with: one step serves all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.resize import resized
from rim_lightning.losses.center import CenterLoss
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.embedding import EMBEDDING_TERMS, EmbeddingTerms
from rim_lightning.metrics.verification import FIGURES, IdentityVerification
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.backbones.twins import MirrorTwins
from rim_lightning.networks.compared.guided import GuidedRecognizer
from rim_lightning.networks.teacher_weights import fill_backbone, fill_wider_backbone
from rim_lightning.training.phased_module import OptimizerOf, PhasedModule
from rim_lightning.training.phases import Phase
from rim_lightning.training.probes import Probes, ProbeSampling, sharp_probes
from rim_lightning.training.schedule import Schedule
from rim_lightning.training.teacher_bank import fill_bank
from rim_lightning.types import NO_IDENTITY, FaceBatch, Terms

TERMS = ("classification", "guide_classification", "center", "stage", *EMBEDDING_TERMS)


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

    In the stage "sharp" the probes are the sharp faces, in "mixed" they are made by `probes`.

    Args:
        recognizer: Arguments of `build_guided_recognizer`.
        weights: Term -> weight. A term of weight 0 is not computed. classification: the learner classifies people by
            their probes. guide_classification: the guide classifies them by sharp faces, with the same centers. center:
            `CenterLoss`. stage: squared distance of the last feature maps, in units of the guide's. embedding,
            contrastive, relational: the terms of the learner's embedding by those of a frozen guide (`EmbeddingTerms`);
            embedding alone may have a guide that learns.
        contrastive: The loss of the term contrastive.
        classifier: Function of embedding size and number of people that makes their loss; needed if a classification
            has a weight.
        people: Number of training people.
        optimizers: See `PhasedModule`.
        schedule: See `PhasedModule`.
        probes: See `PhasedModule`.
        clip: See `PhasedModule`.
        teacher_weights: Weights of the guide, and of a learner that starts from the teacher: {"weight_format",
            "path"}; None leaves them at random.
        start_from_teacher: True to start the learner from those weights.
        widen: The learner may be wider than the teacher, and still starts as the teacher (`widened`). A wider learner
            has no term stage, because its maps have more channels.
        verification_pairs: Number of genuine pairs, and of impostor pairs, sampled from the validation people.

    Raises:
        ValueError: If the weights miss a term or name an unknown one, a term needs a guide and there is none, the
            data have no people, the term contrastive has a guide that learns, or the weights belong to another network.
    """

    architecture = "recognizer"
    phases = (Phase("recognition", ("recognizer", "classifier")),)
    stage_phases: ClassVar[Mapping[str, Sequence[str]]] = {"sharp": ("recognition",), "mixed": ("recognition",)}
    recognizer: GuidedRecognizer

    def __init__(  # noqa: PLR0913 - one argument over: they are the keys of conf/system/recognizer.yaml
        self,
        recognizer: Mapping[str, Any],
        weights: Mapping[str, float],
        contrastive: ContrastiveLoss,
        classifier: Callable[[int, int], nn.Module] | None,
        people: int,
        optimizers: Mapping[str, OptimizerOf],
        schedule: Schedule,
        probes: ProbeSampling,
        clip: float | None,
        teacher_weights: Mapping[str, Any] | None,
        start_from_teacher: bool,
        verification_pairs: int,
        widen: bool = False,
    ) -> None:
        super().__init__(recognizer, optimizers, schedule, probes, clip)
        if set(weights) != set(TERMS) or not any(weights.values()):
            raise ValueError(f"The weights of a recognizer must be {', '.join(TERMS)}, not all of them 0.")
        learner = self.recognizer.learner
        by_guide = [term for term in ("guide_classification", "stage", *EMBEDDING_TERMS) if weights[term]]
        if by_guide and self.recognizer.guide is None:
            raise ValueError(f"The term {by_guide[0]} needs a guide: set system.recognizer.guide.")
        if weights["contrastive"] and not isinstance(self.recognizer.guide, FrozenTeacher):
            raise ValueError(
                "The term contrastive needs a guide that stays as it is, whose embeddings are computed once: set "
                "system.recognizer.guide_learns=false."
            )
        guide = self.recognizer.guide
        if weights["stage"] and guide is not None and not guide.has_maps:
            raise ValueError(
                "The guide gives embeddings alone, so that the term stage has no maps to compare with: set "
                "system.weights.stage=0."
            )
        if weights["stage"] and guide is not None and guide.stage_channels[-1] != learner.stage_channels[-1]:
            raise ValueError(
                f"The term stage compares maps of {guide.stage_channels[-1]} and {learner.stage_channels[-1]} "
                "channels: set system.weights.stage=0, or give guide and learner the same width and no twin."
            )
        self.weights = weights
        self.classifier: nn.Module = nn.Identity()
        self.center: CenterLoss | None = None
        if any(weights[term] for term in ("classification", "guide_classification", "center")):
            self._add_losses_of_people(classifier, people)
        self.distance = StageDistillation("l2", normalize=True)
        self.embeddings = EmbeddingTerms(contrastive)
        if teacher_weights is not None:
            self._fill_from_teacher(teacher_weights, start_from_teacher, widen)
        self.verification = IdentityVerification(pairs=verification_pairs, seed=0)
        self.camera_verification = IdentityVerification(pairs=verification_pairs, seed=0)

    def _add_losses_of_people(self, classifier: Callable[[int, int], nn.Module] | None, people: int) -> None:
        """Add the losses that tell people apart."""
        if not people:
            raise ValueError("The data have no identities, from which this recognizer learns: add a set that has.")
        size = self.recognizer.learner.embedding_size
        if classifier is None or size is None:
            raise ValueError(
                "To tell people apart this recognizer needs a classifier and a learner with an embedding: add "
                "+classifier@system.classifier=arcface, or choose another system.recognizer.learner."
            )
        self.classifier = classifier(size, people)
        self.center = CenterLoss(size, people) if self.weights["center"] else None

    def _fill_from_teacher(self, weights: Mapping[str, Any], fill_learner: bool, widen: bool) -> None:
        """Give the guide, and the learner if asked for, the weights of the teacher."""
        guide = self.recognizer.guide
        if guide is not None:
            backbone = guide.backbone if isinstance(guide, FrozenTeacher) else guide
            fill_backbone(backbone, "system.recognizer.guide", **weights)
        if fill_learner:
            fill = fill_wider_backbone if widen else fill_backbone
            learner = self.recognizer.learner
            for network in learner.members() if isinstance(learner, MirrorTwins) else (learner,):
                fill(network, "system.recognizer.learner", **weights)

    def on_fit_start(self) -> None:
        """Embed the training faces by the guide, if the contrastive term has a weight."""
        guide, contrastive = self.recognizer.guide, self.embeddings.contrastive
        if self.weights["contrastive"] and guide is not None and contrastive.bank is None:
            fill_bank(contrastive, guide, self.recognizer.embed_gallery, self.trainer)

    def training_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Train on one batch."""
        ((phase, optimizer, scheduler),) = self.active_phases()
        terms = self.terms(batch, sharp_probes(batch.hr) if self.stage == "sharp" else self.training_probes(batch.hr))
        optimizer.zero_grad()
        self.manual_backward(terms["loss"])
        optimizer.step()
        scheduler.step()
        self.keep_terms(phase.name, terms)
        self.log_figures()

    def terms(self, batch: FaceBatch, probes: Probes) -> Terms:
        """Compute every term whose weight is not 0, the accuracies of the classifications, and "loss".

        Every call updates the centers of `CenterLoss`.

        Args:
            batch: Sharp faces, RGB in [-1, 1].
            probes: Probes of the same faces.
        """
        learner = self.recognizer.learner
        last = learner.stages(self.recognizer.learner_input(*probes))[-1]  # (B, C, h, w)
        embedding = learner.head(last)  # (B, E)
        losses, accuracies = self._guided_terms(batch, last, embedding)
        if self.weights["classification"]:
            classified = self.classifier(embedding, batch.identity)
            losses["classification"], accuracies["accuracy"] = classified["loss"], classified["accuracy"]
        if self.center is not None:
            losses["center"] = self.center(embedding, batch.identity)
            self.center.update(embedding, batch.identity)
        loss = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
        return losses | accuracies | {"loss": loss}

    def _guided_terms(self, batch: FaceBatch, last: Tensor, embedding: Tensor) -> tuple[Terms, Terms]:
        """Losses and accuracies that a guide gives to the learner's last map and embedding; none without a guide."""
        losses: Terms = {}
        accuracies: Terms = {}
        guide = self.recognizer.guide
        if guide is None:
            return losses, accuracies
        frozen = isinstance(guide, FrozenTeacher)
        with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
            guide_last = guide.stages(resized(batch.hr, guide.input_size))[-1]
            guide_embedding = guide.head(guide_last)
        if self.weights["stage"]:
            losses["stage"] = self.distance([guide_last], [last], [guide_last])
        losses |= self.embeddings(embedding, guide_embedding, batch.index, self.weights)
        if self.weights["guide_classification"]:
            classified = self.classifier(guide_embedding, batch.identity)
            losses["guide_classification"], accuracies["guide_accuracy"] = classified["loss"], classified["accuracy"]
        return losses, accuracies

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Verify the validation people at the nominal probe size."""
        has_identity = batch.identity != NO_IDENTITY
        if not has_identity.any():
            return
        faces, identity, index = batch.hr[has_identity], batch.identity[has_identity], batch.index[has_identity]
        sizes = torch.full((len(faces),), self.lr_size)
        gallery = self.recognizer.embed_gallery(faces)
        probe = self.recognizer.embed_probe(synthesize_probe(faces, sizes), sizes)
        self.verification.update(gallery, probe, identity, index)
        if self.probes.camera_validation:
            probe = self.recognizer.embed_probe(*self.validation_camera_probes(faces, index))
            self.camera_verification.update(gallery, probe, identity, index)

    @property
    def validated(self) -> list[str]:  # type: ignore[override]  # here it depends on the probes
        """Names of the figures that its validation logs."""
        keys = ["val/recognizer", *(["val/camera/recognizer"] if self.probes.camera_validation else [])]
        return [f"{key}/{figure}" for key in keys for figure in FIGURES]

    def figures_of(self, stage: str) -> Sequence[str]:
        """Return the accuracy of verification, see `PhasedModule.figures_of`."""
        return ("val/recognizer/accuracy",)

    def judged_pairs(self) -> tuple[Tensor, Tensor] | None:
        """Return scores and truth of the validation people, see `PhasedModule.judged_pairs`."""
        return self.verification.scores_and_labels

    def on_validation_epoch_end(self) -> None:
        """Log and reset the figures."""
        figures = {f"val/recognizer/{key}": value for key, value in self.verification.compute().items()}
        if self.probes.camera_validation:
            by_camera = self.camera_verification.compute()
            figures |= {f"val/camera/recognizer/{key}": value for key, value in by_camera.items()}
        self.log_dict(figures)
        self.verification.reset()
        self.camera_verification.reset()
