"""Phases of a training step: the networks that each one trains, and its loss terms.

Optimizers and logging are elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from rim_lightning.functional.gradient import scale_gradient
from rim_lightning.losses.distillation import residual_targets
from rim_lightning.losses.embedding import EMBEDDING_TERMS
from rim_lightning.networks.hallucination.network import Hallucination
from rim_lightning.networks.recognition import ProbeViews, RecognitionNetwork
from rim_lightning.networks.rim import RIM
from rim_lightning.training.objective import Objective
from rim_lightning.training.probes import Probes
from rim_lightning.types import FaceBatch, Terms

STAGE_PHASES: Mapping[str, tuple[str, ...]] = {
    "coarse": ("hallucination",),
    "fhn": ("domain", "hallucination"),
    "hrn": ("student", "assistant"),
    "student": ("student",),
    "assistant": ("assistant",),
    "joint": ("domain", "hallucination", "student", "assistant"),
    "sharp": ("student", "assistant"),
}
"""Training stage -> the phases that run in it.

coarse: The coarse network alone, by its pixel loss, at half the cost.
fhn: The whole hallucination network.
hrn: Student and assistant read the hallucinated faces.
student, assistant: One after the other (residual knowledge distillation, arXiv 2002.09168).
joint: Everything.
sharp: As hrn, with the sharp faces themselves as probes: what a student that starts from random weights learns first.
"""


class TeacherOutput(NamedTuple):
    """What the frozen teacher makes of the sharp faces.

    Attributes:
        maps: Four feature maps f^1..f^4, (B, C_k, h_k, w_k).
        embedding: (B, E).
    """

    maps: list[Tensor]
    embedding: Tensor


class StudentOutput(NamedTuple):
    """What the student makes of the probes.

    Attributes:
        maps: Four feature maps f^1..f^4, (B, C_k, h_k, w_k). They carry gradient in the training stages that train the
            student.
        embedding: (B, E) of the student alone; None in the training stages that do not train the student.
    """

    maps: list[Tensor]
    embedding: Tensor | None


@dataclass(frozen=True)
class Step:
    """What the phases of one training step share. Nothing in it changes, and nothing is computed twice.

    Attributes:
        hrn: The recognition network.
        batch: Sharp faces, which the teacher sees.
        targets: Sharp faces and labels that hallucinated faces are compared with: `batch`, or moved like the probes.
        stage: One of `STAGE_PHASES`.
        together: True if one backward pass serves all phases (`simultaneous`). False if each phase has its own
            (`sequential`).
        hallucination: The hallucination network's output for the probes of the batch. It carries gradient in the
            training stages that train the network. In the stage "coarse" both `coarse` and `sr` are the coarse face,
            and there are no priors. None if no phase of the stage reads it.
        probes: The probes themselves.
        teacher: The frozen teacher's output; None in the stage "coarse", and in "fhn" without the identity loss.
        student_gradient: Factor, ≥ 0, of the gradient that the student's loss sends into the hallucinated face; 0
            stops it.
    """

    hrn: RecognitionNetwork
    batch: FaceBatch
    targets: FaceBatch
    stage: str
    together: bool
    hallucination: Hallucination | None
    probes: Probes
    teacher: TeacherOutput | None = None
    student_gradient: float = 0.0

    @property
    def output(self) -> Hallucination:
        """The hallucination network's output where it is there, see `hallucination`."""
        return _needed(self.hallucination, self)

    def views(self, gradient: float = 0.0) -> ProbeViews:
        """Return what student and assistant look at.

        Args:
            gradient: Factor of the gradient that reaches the hallucinated face; 0 stops it.
        """
        if self.hallucination is None:
            return ProbeViews(None, *self.probes)
        sr = self.hallucination.sr
        seen = scale_gradient(sr, gradient) if gradient else sr.detach()
        return ProbeViews(seen, *self.probes, self.hallucination.priors)

    @cached_property
    def student(self) -> StudentOutput:
        """The student's output for the probes, computed by the first phase that reads it."""
        if "student" not in STAGE_PHASES[self.stage]:
            with torch.no_grad():
                return StudentOutput(self.hrn.student.stages(self.hrn.student_input(self.views())), None)
        return StudentOutput(*_Student(self.hrn)(self.views(self.student_gradient)))


def prepare_step(
    rim: RIM,
    objective: Objective,
    batch: FaceBatch,
    probes: Probes,
    stage: str,
    together: bool = False,
    targets: FaceBatch | None = None,
) -> Step:
    """Run the hallucination network once over coarse and sharp faces, then the frozen teacher.

    Args:
        rim: The network.
        objective: Losses and weights.
        batch: Sharp faces, RGB in [-1, 1].
        probes: Their probes.
        stage: One of `STAGE_PHASES`.
        together: True if one backward pass serves all phases (`simultaneous`). False if each phase has its own
            (`sequential`).
        targets: Faces and labels that hallucinated faces are compared with; None for the batch itself.
    """
    targets = batch if targets is None else targets
    if stage == "coarse":
        coarse = rim.fhn.coarse_faces(*probes)
        return Step(rim.hrn, batch, targets, stage, together, Hallucination(coarse, coarse, None, None), probes)
    trains_hallucination = "hallucination" in STAGE_PHASES[stage]
    output = None
    if trains_hallucination or rim.hrn.reads_sr("assistant" in STAGE_PHASES[stage]):
        rebuild = trains_hallucination and bool(objective.weights["hallucination"]["rebuild"])
        with torch.set_grad_enabled(trains_hallucination):
            output = rim.fhn(*probes, targets.hr if trains_hallucination else None, rebuild)
    if stage == "fhn" and not objective.has_identity(stage):
        return Step(rim.hrn, batch, targets, stage, together, output, probes)
    with torch.no_grad():
        maps = rim.hrn.teacher.stages(rim.hrn.resized(batch.hr))
        teacher = TeacherOutput(maps, rim.hrn.embed_gallery(maps[-1]))
    student_gradient = objective.weights["hallucination"]["student"] if together and trains_hallucination else 0.0
    return Step(rim.hrn, batch, targets, stage, together, output, probes, teacher, student_gradient)


def domain_terms(rim: RIM, objective: Objective, step: Step) -> Terms:
    """Compute the discriminator's loss −L_domain (Eq 6).

    If each phase has its own backward pass, the features are detached and only the discriminator θ_d learns. If one
    backward pass serves all phases, the gradient at the features is reversed and scaled by the weight of L_domain.
    Minimizing "loss" then raises L_domain by θ_d and lowers it by the hallucination network θ_G.

    Returns:
        "domain", a scalar, and "loss", its negative.
    """
    coarse, hr = _features(step, objective)
    if step.together:
        strength = objective.weights["hallucination"]["domain"]
        coarse, hr = scale_gradient(coarse, -strength), scale_gradient(hr, -strength)
    else:
        coarse, hr = coarse.detach(), hr.detach()
    domain = domain_distance(rim, objective, coarse, hr)
    return {"domain": domain, "loss": -domain}


def hallucination_terms(rim: RIM, objective: Objective, step: Step) -> Terms:
    """Compute L_domain + λ0 L_pixel + λ1 L_landmark + λ2 L_parsing (Eq 1, 5), and the pixel loss of I_c.

    L_pixel is the mean over the faces of all turns. The stage "joint" adds the student's loss and, like the stage "fhn"
    if the objective says so, the identity loss. If one backward pass serves all phases,
    `domain_terms` and `student_terms` contribute L_domain and the student's loss instead.
    """
    weights = objective.weights["hallucination"]
    targets, output = step.targets, step.output
    terms: Terms = {}
    if weights["coarse"]:
        terms["coarse"] = objective.pixel(output.coarse, targets.hr)
    if step.stage == "coarse":
        return objective.total("hallucination", terms)
    if weights["pixel"]:
        losses = [objective.pixel(face, targets.hr) for face in (*(turn.sr for turn in output.earlier), output.sr)]
        terms["pixel"] = sum(losses[1:], losses[0]) / len(losses)
    terms |= _prior_terms(objective, step)
    if output.rebuilt is not None:
        terms["rebuild"] = objective.pixel(output.rebuilt, targets.hr)
    if not step.together and output.hr_priors is not None:
        terms["domain"] = domain_distance(rim, objective, *_features(step, objective), advance=False)
    if objective.has_identity(step.stage):
        embedding = rim.embed_gallery(output.sr)
        terms["identity"] = objective.identity(embedding, _needed(step.teacher, step).embedding)
    if step.stage == "joint" and weights["student"] and not step.together:
        # The gradient passes through the student without training it: it learns in its own phase.
        student = _Student(rim.hrn)
        maps, embedding = torch.func.functional_call(student, _at_rest(student), (step.views(gradient=1.0),))
        terms["student"] = _student_terms(objective, step, StudentOutput(maps, embedding))["loss"]
    return objective.total("hallucination", terms)


def student_terms(rim: RIM, objective: Objective, step: Step) -> Terms:
    """Compute the student's terms (Eq 11): the distance of the maps of `student_stages`, and those of the embeddings.

    The maps and the embedding are those of the student and of the teacher.
    """
    return _student_terms(objective, step, step.student)


def assistant_terms(rim: RIM, objective: Objective, step: Step) -> Terms:
    """Compute the assistant's terms (Eq 12): Σ_k ‖(f_T^k − f_S^k) − f_A^k‖², and those of the summed embedding.

    The loss of the summed embedding trains the student too where the objective says so (`sum_moves`) and the stage
    trains it.
    """
    weights = objective.weights["assistant"]
    teacher = _needed(step.teacher, step)
    student = [stage_map.detach() for stage_map in step.student.maps]
    maps = rim.hrn.assistant.stages(rim.hrn.assistant_input(step.views()))
    terms: Terms = {}
    if weights["residual"]:
        targets = residual_targets(teacher.maps, student)
        terms["residual"] = objective.distance(targets, maps, teacher.maps, objective.assistant_stage_weights)
    if any(weights[term] for term in EMBEDDING_TERMS):
        if objective.sum_moves == "both" and "student" in STAGE_PHASES[step.stage]:
            embedding = rim.hrn.embed(step.student.maps[-1], maps[-1])
        else:
            embedder = _Sum(rim.hrn)
            fixed = _at_rest(embedder, "network.student.")
            embedding = torch.func.functional_call(embedder, fixed, (student[-1], maps[-1]))
        terms |= objective.embeddings(embedding, teacher.embedding, step.batch.index, weights)
    return objective.total("assistant", terms)


class Phase(NamedTuple):
    """A part of the training step with an optimizer of its own.

    Attributes:
        name: Name in the configuration and the logs.
        modules: Dotted names, below the training module, of the modules that the phase trains.
    """

    name: str
    modules: tuple[str, ...]


PHASES = (
    Phase("domain", ("rim.discriminator", "objective.domain")),
    Phase("hallucination", ("rim.fhn",)),
    Phase("student", ("rim.hrn.student",)),
    Phase("assistant", ("rim.hrn.assistant",)),
)
"""The phases of RIM in the order in which they run: the max step of Eq 10 first."""

PHASE_TERMS: Mapping[str, Callable[[RIM, Objective, Step], Terms]] = {
    "domain": domain_terms,
    "hallucination": hallucination_terms,
    "student": student_terms,
    "assistant": assistant_terms,
}
"""Phase -> its unweighted terms and their weighted sum "loss"."""


def all_terms(rim: RIM, objective: Objective, step: Step) -> dict[str, Terms]:
    """Return the terms of every phase of the stage.

    If the step is `together`, one backward pass of the sum of every "loss" yields the gradients that the phases would
    yield one by one at the same parameters: θ_d is trained through gradient reversal.
    """
    return {phase: PHASE_TERMS[phase](rim, objective, step) for phase in STAGE_PHASES[step.stage]}


def domain_distance(rim: RIM, objective: Objective, coarse: Tensor, hr: Tensor, advance: bool = True) -> Tensor:
    """L_domain between the features of coarse and sharp faces (Eq 7, 8), each (B, C, h, w), a scalar.

    In a step of its own phases `advance` is False in the second phase, see `DomainLoss`.
    """
    embeddings = rim.discriminator(torch.cat([coarse, hr]))  # (2B, E)
    return objective.domain(*embeddings.split([len(coarse), len(hr)]), advance=advance)


class _Student(nn.Module):
    """The student's maps and embedding of probes as one forward pass, which `functional_call` needs."""

    def __init__(self, network: RecognitionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, views: ProbeViews) -> tuple[list[Tensor], Tensor]:
        maps = self.network.student.stages(self.network.student_input(views))
        return maps, self.network.embed(maps[-1], None)


class _Sum(nn.Module):
    """The embedding of the last maps of student and assistant as one forward pass."""

    def __init__(self, network: RecognitionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, student: Tensor, assistant: Tensor) -> Tensor:
        return self.network.embed(student, assistant)


def _at_rest(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Return detached weights and cloned buffers whose names begin with `prefix`.

    `functional_call` with them trains no weight and leaves the module's statistics unchanged.
    """
    weights = {name: value.detach() for name, value in module.named_parameters() if name.startswith(prefix)}
    return weights | {name: value.clone() for name, value in module.named_buffers() if name.startswith(prefix)}


def _student_terms(objective: Objective, step: Step, student: StudentOutput) -> Terms:
    weights = objective.weights["student"]
    teacher = _needed(step.teacher, step)
    targets = [teacher.maps[k - 1] for k in objective.student_stages]
    terms: Terms = {}
    if weights["stage"]:
        maps = [student.maps[k - 1] for k in objective.student_stages]
        terms["stage"] = objective.distance(targets, maps, targets)
    embedding = _needed(student.embedding, step)
    terms |= objective.embeddings(embedding, teacher.embedding, step.batch.index, weights)
    return objective.total("student", terms)


def _prior_terms(objective: Objective, step: Step) -> Terms:
    """L_landmark (Eq 3) and L_parsing (Eq 4), means over what the paths have read: faces of each turn, sharp faces."""
    weights = objective.weights["hallucination"]
    targets = step.targets
    size = targets.hr.shape[-1]
    read = (*(turn.priors for turn in step.output.earlier), step.output.priors, step.output.hr_priors)
    branches = [priors for priors in read if priors is not None]
    terms: Terms = {}
    if weights["landmark"]:
        losses = [objective.landmark(priors.heatmaps, targets.landmarks, size) for priors in branches]
        terms["landmark"] = sum(losses[1:], losses[0]) / len(losses)
    if weights["parsing"]:
        losses = [objective.parsing(priors.parsing_logits, targets.parsing) for priors in branches]
        terms["parsing"] = sum(losses[1:], losses[0]) / len(losses)
    return terms


def _features(step: Step, objective: Objective) -> tuple[Tensor, Tensor]:
    """Features of the coarse and of the sharp faces, each (B, C, h, w), with gradient if L_domain moves them."""
    output = step.output
    coarse = output.earlier[0].priors if output.earlier else _needed(output.priors, step)
    hr = _needed(output.hr_priors, step).features
    return coarse.features, hr if objective.domain_moves == "both" else hr.detach()


Value = TypeVar("Value")


def _needed(value: Value | None, step: Step) -> Value:
    if value is None:
        raise ValueError(f"The stage {step.stage} does not compute what this phase reads.")
    return value
