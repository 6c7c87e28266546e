"""Verification of sharp gallery faces against probes, over pairs sampled from a labeled set."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.pairs import sample_pairs
from rim_lightning.functional.verification import (
    cosine_similarity,
    equal_error_rate,
    kfold_accuracy,
    roc_auc,
    tar_at_far,
)
from rim_lightning.metrics.unique import keep_unique

FALSE_ACCEPT_RATES = {"tar_at_far_1e-1": 1e-1, "tar_at_far_1e-2": 1e-2, "tar_at_far_1e-3": 1e-3}


class IdentityVerification(Metric):
    """Cosine verification of gallery embedding i against probe embedding j ≠ i, on pairs sampled by seed.

    The people are dealt to folds at random and both faces of a pair belong to one fold, as in LFW View 2, so that a
    threshold is never judged on people it was chosen on. A fold contributes as many impostor as genuine pairs. The draw
    depends on seed, identities and indices alone, not on the order or the ranks that delivered the faces.

    A fold needs two people, hence there are at most half as many folds as people. With fewer than two folds of pairs
    (a sanity check of two batches) all figures are NaN and "pairs" tells how many were drawn.

    Args:
        pairs: how many genuine and how many impostor pairs to draw over all folds; fewer if the faces allow no more.
        seed: of the draw.
        folds: number of folds.

    Attributes:
        judged: (scores, same) of the pairs of the last `compute`, for curves; None where there were too few.

    Raises:
        ValueError: for no pairs or fewer than two folds.
    """

    full_state_update = False
    gallery: list[Tensor]
    probe: list[Tensor]
    identity: list[Tensor]
    index: list[Tensor]

    def __init__(self, pairs: int, seed: int, folds: int = 10):
        super().__init__()
        if pairs < 1 or folds < 2:
            raise ValueError(f"Verification needs 1 pair and 2 folds or more, got {pairs} and {folds}.")
        self.pairs = pairs
        self.seed = seed
        self.folds = folds
        self.judged: tuple[Tensor, Tensor] | None = None
        for name in ("gallery", "probe", "identity", "index"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, gallery: Tensor, probe: Tensor, identity: Tensor, index: Tensor) -> None:
        """gallery, probe: (B, E) embeddings of the same faces; identity: (B,) int64, `NO_IDENTITY` is not paired;
        index: (B,) int64, position in the data set.
        """
        self.gallery.append(gallery.detach().float())
        self.probe.append(probe.detach().float())
        self.identity.append(identity)
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Scalars: "accuracy" (mean over folds, threshold of the other folds), "accuracy_std" (over folds),
        "tar_at_far_1e-1", "…1e-2", "…1e-3" (NaN where fewer than 10 impostor pairs decide), "eer", "auc", "pairs".
        """
        self.judged = None
        if not isinstance(self.index, Tensor) and not self.index:
            return self._figures(0)
        states = (self.index, self.gallery, self.probe, self.identity)
        _, gallery, probe, identity = keep_unique(*(dim_zero_cat(state).cpu() for state in states))
        first, second, folds = sample_pairs(identity, self.pairs, self.folds, self.seed)
        if len(folds.unique()) < 2:
            return self._figures(len(first))
        scores = cosine_similarity(gallery[first], probe[second])
        same = identity[first] == identity[second]
        self.judged = scores, same
        accuracy, spread, _ = kfold_accuracy(scores, same, folds)
        rates = {name: tar_at_far(scores, same, far) for name, far in FALSE_ACCEPT_RATES.items()}
        return self._figures(
            len(first),
            accuracy=accuracy,
            accuracy_std=spread,
            eer=equal_error_rate(scores, same),
            auc=roc_auc(scores, same),
            **{name: rate[0] for name, rate in rates.items() if rate is not None},
        )

    def _figures(self, pairs: int, **known: float) -> dict[str, Tensor]:
        names = ("accuracy", "accuracy_std", *FALSE_ACCEPT_RATES, "eer", "auc")
        figures = {name: known.get(name, float("nan")) for name in names} | {"pairs": float(pairs)}
        return {name: torch.tensor(value, device=self.device) for name, value in figures.items()}
