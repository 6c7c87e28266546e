"""Every loss of the method, with its weight."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.domain import DomainLoss
from rim_lightning.losses.embedding import EMBEDDING_TERMS, EmbeddingTerms
from rim_lightning.losses.identity import IdentityLoss
from rim_lightning.losses.landmark import LandmarkLoss
from rim_lightning.losses.parsing import ParsingLoss
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.types import Terms


class Objective(nn.Module):
    """Every loss of the method and the weight of every term.

    Args:
        pixel: L_pixel of I_sr (Eq 2, 5) and of I_c.
        landmark: L_landmark (Eq 3).
        parsing: L_parsing (Eq 4).
        domain: L_domain (Eq 7, 8).
        stages: Distance between feature maps (Eq 11, 12).
        contrastive: Softmax over the teacher's embeddings of all training faces.
        weights: Phase -> term -> weight. The phase hallucination has pixel, coarse, landmark, parsing, domain and
            rebuild (L_pixel of faces that the integrator makes of the features of sharp faces), identity (by the
            teacher), and in joint learning student (the student's loss). The phase student has stage,
            the phase assistant residual, and both have embedding, contrastive and relational (`EmbeddingTerms`), which
            the assistant learns for the sum of both. A term of weight 0 is not computed, except domain, which is
            always logged.
        student_stages: Stages of the teacher that the student regresses; the paper: the last one, (4,).
        assistant_stage_weights: Weights of the four stages in the assistant's residual (Eq 12), which is their weighted
            mean. Inference reads the last stage only.
        identity_from: First training stage with the identity loss: "joint", or "fhn", which then runs the teacher too.
        domain_moves: Which features the hallucination network moves by L_domain: "both" (Eq 10), or "coarse", those of
            the coarse faces towards those of the sharp faces.
        sum_moves: Which networks the loss of the summed embedding moves: "assistant" (Eq 12), or "both", the student
            too, whose own loss stays.

    Raises:
        ValueError: If the weights miss a term or name an unknown one, if all weights of a phase are 0, if a stage
            lies outside 1..4, or if the weights of the stages are not four numbers ≥ 0 with one above 0.
    """

    TERMS: ClassVar = {
        "hallucination": ("pixel", "coarse", "landmark", "parsing", "domain", "rebuild", "identity", "student"),
        "student": ("stage", *EMBEDDING_TERMS),
        "assistant": ("residual", *EMBEDDING_TERMS),
    }

    def __init__(  # noqa: PLR0913 - they are the keys of conf/objective/base.yaml
        self,
        pixel: PixelLoss,
        landmark: LandmarkLoss,
        parsing: ParsingLoss,
        domain: DomainLoss,
        stages: StageDistillation,
        contrastive: ContrastiveLoss,
        weights: Mapping[str, Mapping[str, float]],
        student_stages: Sequence[int],
        assistant_stage_weights: Sequence[float],
        identity_from: Literal["fhn", "joint"],
        domain_moves: Literal["both", "coarse"],
        sum_moves: Literal["assistant", "both"],
    ) -> None:
        super().__init__()
        for phase, terms in self.TERMS.items():
            if set(weights.get(phase, ())) != set(terms):
                raise ValueError(f"The weights of the phase {phase} must be {', '.join(terms)}.")
            if not any(weights[phase].values()):
                raise ValueError(f"Every weight of the phase {phase} is 0, which leaves it nothing to learn.")
        if not student_stages or not set(student_stages) <= {1, 2, 3, 4}:
            raise ValueError(f"student_stages is {list(student_stages)}; give stages out of 1, 2, 3 and 4.")
        if len(assistant_stage_weights) != 4 or min(assistant_stage_weights) < 0 or not any(assistant_stage_weights):
            raise ValueError(
                f"assistant_stage_weights is {list(assistant_stage_weights)}; give a number ≥ 0 for each of the four "
                "stages, one of them above 0."
            )
        if identity_from not in ("fhn", "joint"):
            raise ValueError(f'identity_from is the training stage fhn or joint, got "{identity_from}".')
        if domain_moves not in ("both", "coarse"):
            raise ValueError(f'domain_moves is both or coarse, got "{domain_moves}".')
        if sum_moves not in ("assistant", "both"):
            raise ValueError(f'sum_moves is assistant or both, got "{sum_moves}".')
        self.identity_from, self.domain_moves, self.sum_moves = identity_from, domain_moves, sum_moves
        self.pixel, self.landmark, self.parsing, self.domain, self.stages = pixel, landmark, parsing, domain, stages
        self.identity = IdentityLoss()
        self.embeddings = EmbeddingTerms(contrastive)
        self.weights = weights
        self.student_stages = tuple(student_stages)
        self.assistant_stage_weights = tuple(assistant_stage_weights)

    def has_identity(self, stage: str) -> bool:
        """Return True if the hallucination network has the identity loss in a training stage."""
        stages = ("fhn", "joint") if self.identity_from == "fhn" else ("joint",)
        return stage in stages and bool(self.weights["hallucination"]["identity"])

    def distance(
        self,
        target: list[Tensor],
        prediction: list[Tensor],
        reference: list[Tensor],
        weights: Sequence[float] | None = None,
    ) -> Tensor:
        """Distance between two lists of feature maps, in units of the teacher's maps where `stages` normalizes.

        Args:
            target: Maps to approach.
            prediction: Maps that are trained.
            reference: The teacher's maps.
            weights: Weight of each map in the mean; None weighs all alike.
        """
        return self.stages(target, prediction, reference if self.stages.normalize else None, weights)

    def total(self, phase: str, terms: Terms) -> Terms:
        """Return the terms and their weighted sum "loss".

        Args:
            phase: Name of the phase.
            terms: Its unweighted terms.

        Raises:
            ValueError: If there is no term, because all those of the training stage have weight 0.
        """
        weights = self.weights[phase]
        if not terms:
            raise ValueError(
                f"Every term that the phase {phase} has in this training stage has weight 0: raise one of "
                f"objective.weights.{phase}, or leave the stage out."
            )
        return terms | {"loss": torch.stack([weights[name] * value for name, value in terms.items()]).sum()}
