"""Signs of the quality of a probe that come with its embedding: nothing more is computed by a network."""

import torch
from torch import Tensor

from rim_lightning.functional.consistency import consistency_residual
from rim_lightning.functional.heatmaps import position_probabilities
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.networks.recognition import ProbeViews

SIGNALS = ("length", "residual", "spread")
"""Names of the signals, see `probe_signals`."""

SMALLEST = 1e-6
"""What is smaller counts as this, so that its logarithm is finite."""


def probe_signals(views: ProbeViews, embeddings: Tensor, sizes: Tensor) -> Tensor:
    """Return the signals of the quality of probes, as logarithms.

    - length: ‖f_S + f_A‖, the embedding before it is normalized. It is shorter where student and assistant see less.
    - residual: How far the hallucinated face, reduced again, is from the probe (`consistency_residual`).
    - spread: Entropy of the landmark heatmaps, the mean over all points: how uncertain their positions are.

    Args:
        views: Views of B probes.
        embeddings: Their embeddings, (B, E), not normalized.
        sizes: Side of each probe in pixels before it was enlarged, (B,).

    Returns:
        (B, 3) float32, in the order of `SIGNALS`; NaN if the network did not hallucinate the probes.
    """
    if views.sr is None or views.enlarged is None or views.priors is None:
        return torch.full((len(embeddings), len(SIGNALS)), torch.nan)
    residual = consistency_residual(views.sr, views.enlarged, sizes)
    signals = torch.stack([embeddings.float().norm(dim=1), residual, _spread(views.priors)], dim=1)
    return signals.float().clamp(min=SMALLEST).log()


def _spread(priors: Priors) -> Tensor:
    """Return the mean entropy of the heatmaps of all points, in nats, (B,)."""
    entropies = []
    for maps in priors.heatmaps.values():
        if priors.kind == "logits":
            probabilities = position_probabilities(maps)
        else:
            evidence = maps.float().clamp(min=SMALLEST)
            probabilities = evidence / evidence.sum((2, 3), keepdim=True)
        entropies.append(torch.special.entr(probabilities).sum((2, 3)))  # (B, N)
    return torch.cat(entropies, dim=1).mean(1)
