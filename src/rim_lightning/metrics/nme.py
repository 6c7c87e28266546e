"""Normalised mean error of landmarks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.metrics.unique import keep_unique
from rim_lightning.schemes import LANDMARK_SCHEMES

# Which points make an eye, where the scheme fixes it. iBUG-68: the OUTER corners (36 and 45, counted from 0), the
# inter-ocular distance of the 300-W challenge. Five and 194 points: the eye centers.
EYES = {
    "ibug68": ([36], [45]),
    "five": ([0], [1]),
    "helen194": (LANDMARK_SCHEMES["helen194"].left_eye, LANDMARK_SCHEMES["helen194"].right_eye),
}


class NormalizedMeanError(Metric):
    """Mean distance between predicted and true points over the distance between the eyes, in percent.

    Of a face it is the mean over its annotated points; of a set, the mean over faces. The eye distance is that of the
    TRUE points. Faces without annotation, or without that of the eyes, do not count.

    Args:
        scheme: landmark scheme.
        left_eye, right_eye: indices of the points whose mean is an eye; by default those of `EYES`. Which eye is left
            does not matter.

    Raises:
        ValueError: if the scheme has no known eyes and none are given.
    """

    full_state_update = False
    higher_is_better = False
    errors: list[Tensor]
    index: list[Tensor]

    def __init__(self, scheme: str, left_eye: Sequence[int] | None = None, right_eye: Sequence[int] | None = None):
        super().__init__()
        known = EYES.get(scheme, (None, None))
        left, right = left_eye or known[0], right_eye or known[1]
        if not left or not right:
            raise ValueError(f"Which points are the eyes of {scheme!r}? Give left_eye and right_eye.")
        self.scheme = scheme
        self.left_eye, self.right_eye = list(left), list(right)
        self.add_state("errors", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """prediction, target: (B, N, 2) in pixels of one grid, target NaN if not annotated; index: (B,) int64."""
        prediction, target = prediction.detach().float(), target.float()
        distances = (prediction - target).norm(dim=-1)
        left, right = target[:, self.left_eye].mean(1), target[:, self.right_eye].mean(1)
        labeled = target.isfinite().all(-1)
        mean = torch.where(labeled, distances, 0).sum(1) / labeled.sum(1)
        self.errors.append(100 * mean / (left - right).norm(dim=-1))  # NaN: the face does not count
        self.index.append(index)

    def compute(self) -> Tensor:
        """Percent of the eye distance, mean over the unique faces that count; NaN if there is none."""
        if not isinstance(self.index, Tensor) and not self.index:
            return torch.tensor(float("nan"), device=self.device)
        _, errors = keep_unique(dim_zero_cat(self.index), dim_zero_cat(self.errors))
        return errors[~errors.isnan()].mean()
