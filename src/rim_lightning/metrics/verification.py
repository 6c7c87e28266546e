"""Verification of sharp gallery faces against probes, over pairs sampled from a labeled set."""

import warnings

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from rim_lightning.functional.pairs import sample_balanced_pairs
from rim_lightning.functional.verification import (
    FALSE_ACCEPT_RATES,
    cosine_similarity,
    equal_error_rate,
    kfold_accuracy,
    roc_auc,
    tar_at_far,
)
from rim_lightning.metrics.unique import keep_unique

FIGURES = ("accuracy", "accuracy_std", *FALSE_ACCEPT_RATES, "eer", "auc", "pairs")
"""Names of the figures of `IdentityVerification`."""


class IdentityVerification(Metric):
    """Cosine verification of gallery embedding i against probe embedding j ≠ i, on randomly sampled pairs.

    People are assigned to folds at random, and both faces of a pair are in one fold, as in LFW View 2. A threshold is
    therefore never applied to the people it was chosen on. A fold contributes as many impostor as genuine pairs. The
    pairs depend only on the seed, the identities and the indices, not on the order or the rank of the faces.

    A fold needs two people, so there are at most half as many folds as people. If fewer than two folds have pairs (as
    in a sanity check of two batches), all figures are NaN except "pairs".

    Args:
        pairs: Number of genuine pairs over all folds, and of impostor pairs. Fewer if there are not enough faces.
        seed: Seed of the random numbers.
        folds: Number of folds.

    Attributes:
        scores_and_labels: Scores and labels (`same`) of the pairs of the last `compute`, for curves. None if there
            were too few.

    Raises:
        ValueError: If there are no pairs or fewer than two folds.
    """

    full_state_update = False
    gallery: list[Tensor]
    probe: list[Tensor]
    identity: list[Tensor]
    index: list[Tensor]

    def __init__(self, pairs: int, seed: int, folds: int = 10) -> None:
        super().__init__()
        # Data without people are nothing to warn of: their figures are NaN.
        warnings.filterwarnings("ignore", message=".*IdentityVerification was called before the ``update``")
        if pairs < 1 or folds < 2:
            raise ValueError(f"Verification needs 1 pair and 2 folds or more, got {pairs} and {folds}.")
        self.pairs = pairs
        self.seed = seed
        self.folds = folds
        self.scores_and_labels: tuple[Tensor, Tensor] | None = None
        for name in ("gallery", "probe", "identity", "index"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, gallery: Tensor, probe: Tensor, identity: Tensor, index: Tensor) -> None:
        """Add a batch of faces.

        Args:
            gallery: Embeddings of the sharp faces, (B, E).
            probe: Embeddings of the same faces as probes, (B, E).
            identity: Person of each face, (B,) int64. Faces with `NO_IDENTITY` are not paired.
            index: Position of each face in the data set, (B,) int64.
        """
        self.gallery.append(gallery.detach().float())
        self.probe.append(probe.detach().float())
        self.identity.append(identity)
        self.index.append(index)

    def compute(self) -> dict[str, Tensor]:
        """Compute the figures over the unique faces.

        Returns:
            Scalars: "accuracy", the mean over folds with thresholds of the other folds; "accuracy_std", its standard
            deviation over folds; "tar_at_far_1e-1", "tar_at_far_1e-2" and "tar_at_far_1e-3", NaN where fewer than 10
            impostor pairs would decide; "eer"; "auc"; and "pairs", the number of pairs.
        """
        self.scores_and_labels = None
        if not isinstance(self.index, Tensor) and not self.index:
            return self._figures(0)
        states = (self.index, self.gallery, self.probe, self.identity)
        _, gallery, probe, identity = keep_unique(*(dim_zero_cat(state).cpu() for state in states))
        first, second, folds = sample_balanced_pairs(identity, self.pairs, self.folds, self.seed)
        if len(folds.unique()) < 2:
            return self._figures(len(first))
        scores = cosine_similarity(gallery[first], probe[second])
        same = identity[first] == identity[second]
        self.scores_and_labels = scores, same
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

    def _figures(self, pairs: int, **measured: float) -> dict[str, Tensor]:
        figures = {name: measured.get(name, float("nan")) for name in FIGURES[:-1]} | {"pairs": float(pairs)}
        return {name: torch.tensor(value, device=self.device) for name, value in figures.items()}
