"""The phases of a training step: which modules each one moves and by which terms. No optimizer, no logging."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.losses.distillation import residual_targets
from rim_lightning.networks.hallucination.blocks import scale_gradient
from rim_lightning.networks.hallucination.network import Hallucination
from rim_lightning.networks.recognition import RecognitionNetwork
from rim_lightning.networks.rim import RIM
from rim_lightning.training.objective import Objective
from rim_lightning.types import FaceBatch, Terms

STAGES = ("coarse", "fhn", "hrn", "student", "assistant", "joint")
"""coarse: the coarse net alone, by its pixel loss, at half the cost. fhn: all of the hallucination network. hrn:
student and assistant read its faces; student, assistant: one after the other (residual knowledge distillation, arXiv
2002.09168). joint: everything."""

MOVES_FHN = ("coarse", "fhn", "joint")


@dataclass
class Step:
    """What the phases of one training step share, so that nothing is computed twice.

    Attributes:
        batch: sharp faces and labels. stage: one of `STAGES`.
        output: the hallucination network's output for the probes of the batch, with graph in the stages `MOVES_FHN`; in
            the stage coarse the coarse face alone, in both places.
        teacher: the frozen teacher's four stage maps of the sharp faces; None in the stages coarse and fhn.
        teacher_embedding: (B, E), likewise.
        student: the student's four stage maps, detached, once its phase has run.
    """

    batch: FaceBatch
    stage: str
    output: Hallucination
    teacher: list[Tensor] | None = None
    teacher_embedding: Tensor | None = None
    student: list[Tensor] | None = None


def prepare_step(rim: RIM, batch: FaceBatch, enlarged: Tensor, stage: str) -> Step:
    """One forward pass of the hallucination network (coarse and sharp faces together) and of the frozen teacher.

    Args:
        batch: sharp faces, RGB in [-1, 1]. enlarged: (B, 3, S, S), their probes enlarged to S.
        stage: one of `STAGES`; outside `MOVES_FHN` the hallucination network is only read.
    """
    if stage == "coarse":
        coarse = rim.fhn.coarse(enlarged)
        return Step(batch, stage, Hallucination(coarse, coarse, None, None))
    with torch.set_grad_enabled(stage in MOVES_FHN):
        step = Step(batch, stage, rim.fhn(enlarged, batch.hr if stage in ("fhn", "joint") else None))
    if stage != "fhn":
        with torch.no_grad():
            step.teacher = rim.hrn.teacher.stages(rim.hrn.resized(batch.hr))
            step.teacher_embedding = rim.hrn.embed_gallery(step.teacher[-1])
    return step


def domain_terms(rim: RIM, objective: Objective, step: Step, reversal: float | None = None) -> Terms:
    """Eq 6: the discriminator ascends L_domain.

    Args:
        reversal: None: on detached features (the max step of `sequential`). A number: the features are reached through
            gradient reversal of that strength, so that descending "loss" makes θ_d ascend and θ_G descend L_domain.
    """
    coarse, hr = step.output.priors.features, step.output.hr_priors.features
    if reversal is None:
        coarse, hr = coarse.detach(), hr.detach()
    else:
        coarse, hr = scale_gradient(coarse, -reversal), scale_gradient(hr, -reversal)
    domain = _domain(rim, objective, coarse, hr)
    return {"domain": domain, "loss": -domain}


def hallucination_terms(rim: RIM, objective: Objective, step: Step, alone: bool = True) -> Terms:
    """Eq 1 and 5: L_domain + λ0 L_pixel + λ1 L_landmark + λ2 L_parsing, the pixel loss of I_c, and in joint learning
    how the hallucinated face is recognized.

    Args:
        alone: False leaves L_domain to `domain_terms` with reversal and the student's loss to `student_terms`.
    """
    weights = objective.weights["hallucination"]
    batch, output = step.batch, step.output
    terms: Terms = {}
    if weights["coarse"]:
        terms["coarse"] = objective.pixel(output.coarse, batch.hr)
    if step.stage == "coarse":
        return objective.total("hallucination", terms)
    size = batch.hr.shape[-1]
    read = [priors for priors in (output.priors, output.hr_priors) if priors is not None]
    if weights["pixel"]:
        terms["pixel"] = objective.pixel(output.sr, batch.hr)
    if weights["landmark"]:
        terms["landmark"] = sum(objective.landmark(each.heatmaps, batch.landmarks, size) for each in read) / len(read)
    if weights["parsing"]:
        terms["parsing"] = sum(objective.parsing(each.parsing, batch.parsing) for each in read) / len(read)
    if alone and output.hr_priors is not None:
        terms["domain"] = _domain(rim, objective, output.priors.features, output.hr_priors.features)
    if step.stage == "joint" and weights["identity"]:
        terms["identity"] = objective.identity(rim.embed_gallery(output.sr), step.teacher_embedding)
    if step.stage == "joint" and weights["student"] and alone:
        # Through the student without moving it: it learns in its own phase.
        student = _Student(rim.hrn)
        seen = torch.func.functional_call(student, _at_rest(student), output.sr)
        terms["student"] = _student_terms(objective, step, *seen)["loss"]
    return objective.total("hallucination", terms)


def student_terms(rim: RIM, objective: Objective, step: Step, reach: float = 0.0) -> Terms:
    """Eq 11: ‖f_T^K − f_S^K‖² (or more stages), and the cosine of the embeddings. Leaves `step.student` behind.

    Args:
        reach: factor of the gradient that goes on into the hallucinated face.
    """
    sr = step.output.sr
    stages, embedding = _Student(rim.hrn)(scale_gradient(sr, reach) if reach else sr.detach())
    step.student = [stage.detach() for stage in stages]
    return _student_terms(objective, step, stages, embedding)


def assistant_terms(rim: RIM, objective: Objective, step: Step) -> Terms:
    """Eq 12: Σ_k ‖(f_T^k − f_S^k) − f_A^k‖² and the cosine of the summed embedding; the student is not moved."""
    weights = objective.weights["assistant"]
    faces = rim.hrn.resized(step.output.sr.detach())
    if step.student is None:  # its phase does not run in this stage
        with torch.no_grad():
            step.student = rim.hrn.student.stages(faces)
    stages = rim.hrn.assistant.stages(faces)
    terms: Terms = {}
    if weights["residual"]:
        terms["residual"] = objective.distance(residual_targets(step.teacher, step.student), stages, step.teacher)
    if weights["embedding"]:
        both = _Sum(rim.hrn)
        fixed = _at_rest(both, "network.student.")
        embedding = torch.func.functional_call(both, fixed, (step.student[-1], stages[-1]))
        terms["embedding"] = objective.identity(embedding, step.teacher_embedding)
    return objective.total("assistant", terms)


class Phase(NamedTuple):
    """A part of the step with an optimizer of its own.

    Attributes:
        name: as in the configuration and the logs.
        modules: dotted names, below the training module, of what it moves.
        stages: training stages in which it runs.
        terms: its unweighted terms and their weighted sum "loss"; None where the training module computes them.
    """

    name: str
    modules: tuple[str, ...]
    stages: tuple[str, ...]
    terms: Callable[[RIM, Objective, Step], Terms] | None


PHASES = (
    Phase("domain", ("rim.discriminator", "objective.domain"), ("fhn", "joint"), domain_terms),
    Phase("hallucination", ("rim.fhn",), MOVES_FHN, hallucination_terms),
    Phase("student", ("rim.hrn.student",), ("hrn", "student", "joint"), student_terms),
    Phase("assistant", ("rim.hrn.assistant",), ("hrn", "assistant", "joint"), assistant_terms),
)


def simultaneous_terms(rim: RIM, objective: Objective, step: Step) -> dict[str, Terms]:
    """The terms of every phase of the stage; one backward of the sum of their "loss" has the gradients that the phases
    have one by one, at the same parameters, because θ_d is reached through gradient reversal.
    """
    terms: dict[str, Terms] = {}
    weights = objective.weights["hallucination"]
    if step.stage in ("fhn", "joint"):
        terms["domain"] = domain_terms(rim, objective, step, reversal=weights["domain"])
    if step.stage in MOVES_FHN:
        terms["hallucination"] = hallucination_terms(rim, objective, step, alone=False)
    if step.stage in ("hrn", "student", "joint"):
        reach = weights["student"] if step.stage in MOVES_FHN else 0.0
        terms["student"] = student_terms(rim, objective, step, reach)
    if step.stage in ("hrn", "assistant", "joint"):
        terms["assistant"] = assistant_terms(rim, objective, step)
    return terms


class _Student(nn.Module):
    """The student's maps and embedding of hallucinated faces as one forward, which `functional_call` needs."""

    def __init__(self, network: RecognitionNetwork):
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> tuple[list[Tensor], Tensor]:
        stages = self.network.student.stages(self.network.resized(faces))
        return stages, self.network.embed(stages[-1], None)


class _Sum(nn.Module):
    """The embedding of both last maps, likewise."""

    def __init__(self, network: RecognitionNetwork):
        super().__init__()
        self.network = network

    def forward(self, student: Tensor, assistant: Tensor) -> Tensor:
        return self.network.embed(student, assistant)


def _at_rest(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Its weights below the prefix without gradient and copies of its statistics: `functional_call` with them reads
    these and moves neither.
    """
    weights = {name: value.detach() for name, value in module.named_parameters() if name.startswith(prefix)}
    return weights | {name: value.clone() for name, value in module.named_buffers() if name.startswith(prefix)}


def _student_terms(objective: Objective, step: Step, stages: list[Tensor], embedding: Tensor) -> Terms:
    weights = objective.weights["student"]
    wanted = [step.teacher[k - 1] for k in objective.student_stages]
    terms: Terms = {}
    if weights["stage"]:
        terms["stage"] = objective.distance(wanted, [stages[k - 1] for k in objective.student_stages], wanted)
    if weights["embedding"]:
        terms["embedding"] = objective.identity(embedding, step.teacher_embedding)
    return objective.total("student", terms)


def _domain(rim: RIM, objective: Objective, coarse: Tensor, hr: Tensor) -> Tensor:
    embeddings = rim.discriminator(torch.cat([coarse, hr]))
    return objective.domain(*embeddings.split([len(coarse), len(hr)]))
