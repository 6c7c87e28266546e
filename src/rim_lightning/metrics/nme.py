"""Normalized mean error of landmarks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.metrics.unique import keep_unique
from rim_lightning.schemes import LANDMARK_SCHEMES

# Points whose mean is an eye. iBUG-68: the OUTER corners (36 and 45, counted from 0), as in the 300-W challenge. Five
# and 194 points: the eye centers.
EYES = {
    "ibug68": ([36], [45]),
    "five": ([0], [1]),
    "helen194": (LANDMARK_SCHEMES["helen194"].left_eye, LANDMARK_SCHEMES["helen194"].right_eye),
}


class NormalizedMeanError(Metric):
    """Mean distance between predicted and true points over the distance between the eyes, in percent.

    The error of a face is the mean over its annotated points, that of a set the mean over its faces. The eye distance
    is that of the TRUE points. Faces without annotated points, or without annotated eyes, do not count.

    Args:
        scheme: Name of the landmark scheme.
        left_eye: Indices of the points whose mean is one eye. None uses those of `EYES`.
        right_eye: Indices of the points whose mean is the other eye. None uses those of `EYES`.

    Raises:
        ValueError: If `EYES` lacks the scheme and no eyes are given.
    """

    full_state_update = False
    higher_is_better = False
    errors: list[Tensor]
    index: list[Tensor]

    def __init__(
        self, scheme: str, left_eye: Sequence[int] | None = None, right_eye: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        default_left, default_right = EYES.get(scheme, (None, None))
        left, right = left_eye or default_left, right_eye or default_right
        if not left or not right:
            raise ValueError(f"Which points are the eyes of {scheme!r}? Give left_eye and right_eye.")
        self.scheme = scheme
        self.left_eye, self.right_eye = list(left), list(right)
        self.add_state("errors", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, prediction: Tensor, target: Tensor, index: Tensor) -> None:
        """Add a batch of faces.

        Args:
            prediction: Predicted points, (B, N, 2), in pixels.
            target: True points, (B, N, 2), in pixels of the same grid; NaN if not annotated.
            index: Position of each face in the data set, (B,) int64.
        """
        prediction, target = prediction.detach().float(), target.float()
        distances = (prediction - target).norm(dim=-1)
        left, right = target[:, self.left_eye].mean(1), target[:, self.right_eye].mean(1)
        labeled = target.isfinite().all(-1)
        mean = torch.where(labeled, distances, 0).sum(1) / labeled.sum(1)
        self.errors.append(100 * mean / (left - right).norm(dim=-1))  # NaN: the face does not count
        self.index.append(index)

    def compute(self) -> Tensor:
        """Compute the mean over the unique faces that count.

        Returns:
            Scalar, percent of the eye distance; NaN if no face counts.
        """
        if not isinstance(self.index, Tensor) and not self.index:
            return torch.tensor(float("nan"), device=self.device)
        _, errors = keep_unique(dim_zero_cat(self.index), dim_zero_cat(self.errors))
        return errors[~errors.isnan()].mean()
