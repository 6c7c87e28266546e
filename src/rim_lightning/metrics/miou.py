"""Mean intersection over union of face parsing."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.metrics.unique import keep_unique
from rim_lightning.types import UNLABELED


class ParsingIoU(Metric):
    """Mean over classes of the intersection over union of the pixels of all images together.

    Unlabeled pixels (255) do not count. A class that is in neither truth nor prediction is left out of the mean.

    Args:
        classes: Number of classes.
    """

    full_state_update = False
    higher_is_better = True
    confusion: list[Tensor]
    index: list[Tensor]

    def __init__(self, classes: int = 11) -> None:
        super().__init__()
        self.classes = classes
        # One matrix per image instead of their sum, so that repeated images can be dropped.
        self.add_state("confusion", default=[], dist_reduce_fx="cat")
        self.add_state("index", default=[], dist_reduce_fx="cat")

    def update(self, logits: Tensor, parsing: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            logits: Scores of the classes, (B, classes, h, w). They are enlarged bilinearly to (H, W).
            parsing: True class of each pixel, (B, H, W) uint8, or `UNLABELED`.
            index: Position of each image in the data set, (B,) int64.
        """
        logits = F.interpolate(logits.detach().float(), parsing.shape[-2:], mode="bilinear", align_corners=False)
        predicted, truth = logits.argmax(1).flatten(1), parsing.flatten(1).long()  # (B, H * W)
        cell = truth * self.classes + predicted
        counts = torch.zeros(len(logits), self.classes**2, dtype=torch.long, device=logits.device)
        labeled = truth != UNLABELED
        counts.scatter_add_(1, torch.where(labeled, cell, 0), labeled.long())
        self.confusion.append(counts.view(-1, self.classes, self.classes))
        self.index.append(index)

    def compute(self) -> Tensor:
        """Compute the mean IoU over the unique images.

        Returns:
            Scalar in [0, 1]; NaN if no pixel is labeled.
        """
        return self.per_class().nanmean()

    def per_class(self) -> Tensor:
        """Compute the IoU of each class. Within `sync_context()` it covers the images of all ranks.

        Returns:
            (classes,) in [0, 1]; NaN for a class that is in neither truth nor prediction.
        """
        if not isinstance(self.index, Tensor) and not self.index:
            return torch.full((self.classes,), float("nan"), device=self.device)
        _, confusion = keep_unique(dim_zero_cat(self.index), dim_zero_cat(self.confusion))
        matrix = confusion.sum(0).double()  # (true, predicted)
        shared = matrix.diagonal()
        return (shared / (matrix.sum(0) + matrix.sum(1) - shared)).float()
