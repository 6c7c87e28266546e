"""Stage-wise distillation of the teacher into student and assistant (RIM Eq 11, 12)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.precision import full_precision


def residual_targets(teacher_stages: Sequence[Tensor], student_stages: Sequence[Tensor]) -> list[Tensor]:
    """Compute the targets of the assistant, f_T^k − f_S^k for each stage k (Eq 12).

    Args:
        teacher_stages: Feature maps f_T^k of the teacher, (B, C_k, H_k, W_k) each.
        student_stages: Feature maps f_S^k of the student, of the same shapes.

    Returns:
        One map per stage, without gradient, at least float32.

    Raises:
        ValueError: If numbers or shapes of the stages differ.
    """
    _check(teacher_stages, student_stages)
    return [
        full_precision(teacher.detach()) - full_precision(student.detach())
        for teacher, student in zip(teacher_stages, student_stages, strict=True)
    ]


class StageDistillation(nn.Module):
    """Mean over stages of the distance between target and predicted features. The target has no gradient.

    The student regresses the last stage of the teacher (Eq 11: lists of one map). The assistant regresses
    `residual_targets` of all four stages (Eq 12).

    Args:
        kind: "l2", the mean squared error of a stage, or "cosine", 1 − cosine of the whole flattened map of a sample.
        normalize: Divide the squared error of a stage by the mean square of its reference over all ranks, so that
            stages of different scale have equal weight. Only for "l2".

    Raises:
        ValueError: If the kind is unknown, or "cosine" is to be normalized.
    """

    def __init__(self, kind: Literal["l2", "cosine"], normalize: bool) -> None:
        super().__init__()
        if kind not in ("l2", "cosine"):
            raise ValueError(f"The distillation loss is {kind!r}; choose 'l2' or 'cosine'.")
        if kind == "cosine" and normalize:
            raise ValueError("A cosine has no scale to normalize; set normalize to False or the kind to 'l2'.")
        self.kind = kind
        self.normalize = normalize

    def forward(
        self,
        target: Sequence[Tensor],
        prediction: Sequence[Tensor],
        reference: Sequence[Tensor] | None = None,
        weights: Sequence[float] | None = None,
    ) -> Tensor:
        """Compute the loss.

        Args:
            target: Target features of each stage, (B, ...) each.
            prediction: Predicted features of each stage, of the same shapes.
            reference: Features whose scale normalizes the error of each stage; required if `normalize` is set and
                refused otherwise. Pass the stages of the teacher: a residual target shrinks as the student learns, so
                that its weight would grow.
            weights: Weight of each stage in the mean, not all 0; None weighs all alike.

        Returns:
            Scalar ≥ 0.

        Raises:
            ValueError: If numbers or shapes differ, or the reference is missing or refused.
        """
        _check(target, prediction)
        if self.normalize != (reference is not None) or (reference is not None and len(reference) != len(target)):
            raise ValueError("Give one reference feature per stage if, and only if, the loss normalizes.")
        terms = [self._distance(*stages) for stages in zip(target, prediction, strict=True)]
        if reference is not None:
            terms = [error / _mean_square(stage) for error, stage in zip(terms, reference, strict=True)]
        if weights is None:
            return torch.stack(terms).mean()
        weighted = [weight * error for weight, error in zip(weights, terms, strict=True)]
        return torch.stack(weighted).sum() / sum(weights)

    def _distance(self, target: Tensor, prediction: Tensor) -> Tensor:
        target, prediction = full_precision(target.detach()), full_precision(prediction)
        if self.kind == "cosine":
            return 1 - F.cosine_similarity(target.flatten(1), prediction.flatten(1), dim=1).mean()
        return (target - prediction).square().mean()


@torch.no_grad()
def _mean_square(reference: Tensor) -> Tensor:
    """Mean square over all ranks, whose batches are equally large. At least the machine epsilon."""
    value = full_precision(reference).square().mean()
    return gather_batch(value[None]).mean().clamp(min=torch.finfo(value.dtype).eps)


def _check(target: Sequence[Tensor], prediction: Sequence[Tensor]) -> None:
    shapes, others = ([tuple(stage.shape) for stage in stages] for stages in (target, prediction))
    if not shapes or shapes != others:
        raise ValueError(
            f"Stages of shapes {shapes} do not fit {others}; project the student's and the assistant's maps first."
        )
