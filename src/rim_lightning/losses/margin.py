"""Softmax with a margin over the training people, which trains a teacher from scratch."""

from typing import Literal

import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.reducers import DoNothingReducer
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper
from torch import Tensor, nn

from rim_lightning.distributed import masked_mean
from rim_lightning.types import NO_IDENTITY, Terms

CENTER_START = 0.01
"""Standard deviation of the initial centers, as in ArcFace's own code.

Only their directions count, and Adam turns short vectors faster. With the library's value of 1 the centers would hardly
change within a short training.
"""


class _FiniteArcFace(losses.ArcFaceLoss):
    """ArcFace whose gradient stays finite at a cosine of exactly ±1, where that of the arc cosine is infinite."""

    def get_angles(self, cosine_of_target_classes: Tensor) -> Tensor:
        return super().get_angles(cosine_of_target_classes.clamp(-1 + 1e-6, 1 - 1e-6))


class MarginSoftmax(nn.Module):
    """Cross-entropy of scaled cosines between embeddings and one learned center per person.

    "arcface" (arXiv 1801.07698) adds `margin` to the angle of the true person (the paper: 0.5 radians). "cosface"
    (arXiv 1801.09414) subtracts `margin` from the cosine of the true person (the paper: 0.35). "softmax" has no margin.

    Args:
        embedding_size: Length E of the embeddings.
        people: Number of training people; identities are 0..people - 1.
        kind: "arcface", "cosface" or "softmax".
        margin: Radians for "arcface", units of cosine for "cosface", 0 for "softmax".
        scale: Factor s of the cosines.

    Raises:
        ValueError: If the kind is unknown, the margin is negative, or "softmax" has a margin.
    """

    def __init__(
        self,
        embedding_size: int,
        people: int,
        kind: Literal["arcface", "cosface", "softmax"],
        margin: float,
        scale: float,
    ) -> None:
        super().__init__()
        if kind not in ("arcface", "cosface", "softmax"):
            raise ValueError(f'kind of MarginSoftmax must be "arcface", "cosface" or "softmax", got "{kind}".')
        if margin < 0 or (kind == "softmax" and margin != 0):
            raise ValueError(f'margin of "{kind}" is {margin}: give 0 for "softmax" and 0 or more for the others.')
        self.people = people
        common = {"num_classes": people, "embedding_size": embedding_size, "reducer": DoNothingReducer()}
        common["weight_init_func"] = TorchInitWrapper(nn.init.normal_, std=CENTER_START)
        if kind == "arcface":
            degrees = margin * 180 / torch.pi  # the unit of pytorch-metric-learning
            self.criterion = _FiniteArcFace(margin=degrees, scale=scale, **common)
        elif kind == "cosface":
            self.criterion = losses.CosFaceLoss(margin=margin, scale=scale, **common)
        else:
            self.criterion = losses.NormalizedSoftmaxLoss(temperature=1 / scale, **common)

    def forward(self, embedding: Tensor, identity: Tensor) -> Terms:
        """Compute loss and accuracy over the labeled samples of all ranks.

        Args:
            embedding: (B, E), not necessarily normalized.
            identity: Person of each sample, (B,) int64, 0..people - 1. Samples with `NO_IDENTITY` are left out.

        Returns:
            "loss", the mean cross-entropy, and "accuracy", the share of samples whose nearest center, without margin,
            is that of their own person. Both are scalars, 0 if no sample is labeled.

        Raises:
            ValueError: If an identity is ≥ the number of people.
        """
        labeled = identity != NO_IDENTITY
        if len(identity) and int(identity.max()) >= self.people:
            raise ValueError(
                f"Identity {int(identity.max())} in a batch, but MarginSoftmax was built for {self.people} people."
            )
        people = identity.clamp(min=0)
        # In half precision a scaled cosine is off by whole logits, and the criterion would keep its weights in half.
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.to(self.criterion.W.dtype)
            per_sample = self.criterion(embedding, people)["loss"]["losses"]
            with torch.no_grad():
                hits = self.criterion.get_logits(embedding).argmax(dim=1) == people
        return {"loss": masked_mean(per_sample, labeled), "accuracy": masked_mean(hits.float(), labeled)}
