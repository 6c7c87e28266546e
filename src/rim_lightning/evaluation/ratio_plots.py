"""Plots of likelihood ratios that forensic scientists read: Tippett and empirical cross-entropy (ECE)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.functional.likelihood_ratio import (
    BoundedRatio,
    empirical_cross_entropy,
    isotonic_log10_ratios,
    with_fewer_strangers,
)
from rim_lightning.plotting import plain_label, pyplot, save_figure

PRIORS = np.linspace(-3, 3, 61)
"""log10 of the prior odds at which the cross-entropy is shown."""


class RatedPairs(NamedTuple):
    """Pairs and the likelihood ratio of their similarities.

    Attributes:
        scores: (P,) similarities.
        same: (P,) bool, True for a pair of one person.
        ratio: Likelihood ratio of a similarity.
    """

    scores: NDArray[Any]
    same: NDArray[np.bool_]
    ratio: BoundedRatio


def plot_ratios(path: Path, curves: Mapping[str, RatedPairs], title: str) -> None:
    """Plot how good likelihood ratios are.

    Left, the Tippett plot: shares of the pairs of one person (solid) and of two people (dashed) whose ratio is at
    least as great. Right, the empirical cross-entropy (Ramos et al. 2013) over the prior odds (solid), that of the best
    rising function of the similarity (dashed), and that of ratios of 1, which say nothing (dotted, black).

    Args:
        path: File of the picture. Its ending is the format.
        curves: Label -> pairs with their ratios.
        title: Title of the figure.
    """
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    for number, (label, (scores, same, ratio)) in enumerate(curves.items()):
        label = plain_label(label)
        color = plt.get_cmap("viridis")(number / max(1, len(curves) - 0.6))
        chosen = with_fewer_strangers(same)
        scores, same = scores[chosen].astype(np.float64), same[chosen]
        log10_ratios = ratio.log10(scores)
        left.plot(*_tippett(log10_ratios[same]), color=color, drawstyle="steps-pre", label=label)
        left.plot(*_tippett(log10_ratios[~same]), "--", color=color, drawstyle="steps-pre")
        best = isotonic_log10_ratios(scores, same)
        right.plot(PRIORS, empirical_cross_entropy(log10_ratios, same, PRIORS), color=color, label=label)
        right.plot(PRIORS, empirical_cross_entropy(best, same, PRIORS), "--", color=color)
    kinds = np.array([True, False])
    right.plot(PRIORS, empirical_cross_entropy(np.zeros(2), kinds, PRIORS), ":", color="black", label="says nothing")
    left.set(xlabel="log10 of the likelihood ratio", ylabel="share of pairs with a ratio at least as great")
    left.axvline(0, color="black", linewidth=0.6)
    right.set(xlabel="log10 of the prior odds", ylabel="empirical cross-entropy (bits)", ylim=(0, 1.1))
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    save_figure(figure, path)


def _tippett(log10_ratios: NDArray[Any], points: int = 1000) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return at most `points` of the ratios, ascending, and the share of all that is at least as great as each."""
    ratios = np.sort(log10_ratios)
    places = np.unique(np.linspace(0, len(ratios) - 1, points).round().astype(int))
    return ratios[places], 1 - np.searchsorted(ratios, ratios[places], side="left") / len(ratios)
