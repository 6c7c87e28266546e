"""Stage-wise distillation of the teacher into student and assistant (RIM Eq 11, 12)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.distributed import gather_batch
from rim_lightning.functional.precision import full_precision


def residual_targets(teacher_stages: Sequence[Tensor], student_stages: Sequence[Tensor]) -> list[Tensor]:
    """f_T^k − f_S^k of each stage k, detached: what the assistant has to regress (Eq 12).

    Args:
        teacher_stages, student_stages: as many feature maps, (B, C_k, H_k, W_k) each.

    Raises:
        ValueError: if numbers or shapes of the stages differ.
    """
    _check(teacher_stages, student_stages)
    return [
        full_precision(teacher.detach()) - full_precision(student.detach())
        for teacher, student in zip(teacher_stages, student_stages, strict=True)
    ]


class StageDistillation(nn.Module):
    """Mean over stages of the distance between target and predicted features; the target has no gradient.

    The student regresses the teacher's last stage (Eq 11: lists of one), the assistant `residual_targets` of all four
    (Eq 12). "l2" is the mean squared error of a stage; "cosine" is 1 − cosine of a sample's whole flattened map.

    Args:
        kind: "l2" or "cosine".
        normalize: divide the squared error of a stage by the mean square of its reference over all ranks, so that
            stages of different scale weigh alike; only with "l2".

    Raises:
        ValueError: for another kind, or normalize with "cosine".
    """

    def __init__(self, kind: Literal["l2", "cosine"] = "l2", normalize: bool = False):
        super().__init__()
        if kind not in ("l2", "cosine"):
            raise ValueError(f"The distillation loss is {kind!r}; choose 'l2' or 'cosine'.")
        if kind == "cosine" and normalize:
            raise ValueError("A cosine has no scale to normalize; set normalize to False or the kind to 'l2'.")
        self.kind = kind
        self.normalize = normalize

    def forward(
        self, target: Sequence[Tensor], prediction: Sequence[Tensor], reference: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Scalar loss.

        Args:
            target, prediction: as many features, (B, ...) each.
            reference: features whose scale the stages are measured in, needed if and only if `normalize`; the
                teacher's stages: a residual target would shrink, and its weight grow, as the student learns.

        Raises:
            ValueError: if numbers or shapes differ, or the reference is missing or not wanted.
        """
        _check(target, prediction)
        if self.normalize != (reference is not None) or (reference is not None and len(reference) != len(target)):
            raise ValueError("Give one reference feature per stage if, and only if, the loss normalizes.")
        terms = []
        for k, (wanted, given) in enumerate(zip(target, prediction, strict=True)):
            wanted, given = full_precision(wanted.detach()), full_precision(given)
            if self.kind == "cosine":
                terms.append(1 - F.cosine_similarity(wanted.flatten(1), given.flatten(1), dim=1).mean())
                continue
            error = (wanted - given).square().mean()
            terms.append(error / _mean_square(reference[k]) if self.normalize else error)
        return torch.stack(terms).mean()


@torch.no_grad()
def _mean_square(reference: Tensor) -> Tensor:
    """Over all ranks, whose batches are equally large; never 0."""
    value = full_precision(reference).square().mean()
    return gather_batch(value[None]).mean().clamp(min=torch.finfo(value.dtype).eps)


def _check(target: Sequence[Tensor], prediction: Sequence[Tensor]) -> None:
    shapes, others = ([tuple(stage.shape) for stage in stages] for stages in (target, prediction))
    if not shapes or shapes != others:
        raise ValueError(
            f"Stages of shapes {shapes} do not fit {others}; project the student's and the assistant's maps first."
        )
