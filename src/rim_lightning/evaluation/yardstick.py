"""Figures of any system from the scores that it gives to pairs, and how far one system is ahead of another."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rim_lightning.evaluation.figures import threshold_figures, verification_figures
from rim_lightning.evaluation.judged_pairs import JudgedPairs
from rim_lightning.functional.bootstrap import (
    SeedFigures,
    figure_difference,
    paired_difference,
    percentile_interval,
    person_interval,
)
from rim_lightning.functional.identification import first_ranks
from rim_lightning.functional.likelihood_ratio import cllr, cllr_min, fit_bounded, ratio_costs, with_fewer_strangers
from rim_lightning.functional.open_set import one_picture_search
from rim_lightning.functional.resampled_curves import SortedPairs, pair_weights, person_weights, resampled_figures
from rim_lightning.functional.verification import FALSE_ACCEPT_RATES, kfold_decisions
from rim_lightning.runs.progress import progress_bar

RESAMPLES = 300
"""Resamples of pairs or people, as many as for all pairs in rim-compare."""

SHOWN_FROM = 200_000
"""Number of pairs from which on the resamples have a progress bar."""

FPIRS = {"fnir_at_fpir_1e-1": 0.1, "fnir_at_fpir_1e-2": 0.01}
"""Name of a figure -> false positive identification rate at which it is the false negative one."""


class Figure(NamedTuple):
    """A figure with its 95 % interval.

    Attributes:
        value: The figure.
        low: Lower end; NaN if there is no interval.
        high: Upper end.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")


class MeasuredSystem(NamedTuple):
    """A system on P pairs.

    Attributes:
        figures: Name -> figure.
        resampled: Name -> the figure of each resample, (RESAMPLES,) float64.
        correct: Which pairs are decided correctly by the threshold of the other folds, (P,) bool; None without folds.
        log10_ratios: log10 of the likelihood ratio of each pair, (P,); None if nothing was there to fit them to.
    """

    figures: dict[str, Figure]
    resampled: dict[str, Tensor]
    correct: Tensor | None
    log10_ratios: NDArray[np.float64] | None


def measure_system(
    pairs: JudgedPairs,
    search: tuple[Tensor, Tensor, Tensor] | None = None,
    calibration: JudgedPairs | None = None,
) -> MeasuredSystem:
    """Measure a system.

    Args:
        pairs: Pairs with the scores of the system.
        search: Scores of a search, person of each probe and of each gallery picture, see `search_scores`.
        calibration: Pairs of other people with scores of the same system, to which likelihood ratios are fitted. None
            fits those of each fold to the other folds.

    Returns:
        The figures. "accuracy", "eer", "auc" and "tar_at_far_…" are those of `verification_figures`. Intervals of the
        last three, and of "cllr", are over people, or over pairs if the people are unknown; so is everything that
        differs in a resample.
    """
    scores, same = pairs.scores, pairs.same
    plain = threshold_figures(scores, same)
    figures: dict[str, Figure] = {}
    correct = None
    if pairs.fold is not None:
        plain = verification_figures(scores, same, pairs.fold)
        correct, _ = kfold_decisions(scores, same, pairs.fold)
        figures["accuracy"] = Figure(plain["accuracy"], plain["accuracy_low"], plain["accuracy_high"])
    ratios = likelihood_ratios(pairs, calibration)
    costs = []
    if ratios is not None:
        plain["cllr"] = cllr(ratios, same.numpy())
        costs = [(torch.from_numpy(ratio_costs(ratios, same.numpy())), same)]
    fars = {name: far for name, far in FALSE_ACCEPT_RATES.items() if name in plain}
    weights = progress_bar(
        _weights(pairs), desc="resamples", total=RESAMPLES, unit="resample", leave=False, shown=len(same) > SHOWN_FROM
    )
    resampled = resampled_figures(SortedPairs(scores, same), weights, fars, costs)
    figures |= {name: Figure(plain[name], *percentile_interval(values)) for name, values in resampled.items()}
    chosen = with_fewer_strangers(same.numpy())
    figures["cllr_min"] = Figure(cllr_min(scores.double().numpy()[chosen], same.numpy()[chosen]))
    if search is not None:
        figures |= search_figures(*search)
    return MeasuredSystem(figures, resampled, correct, ratios)


def likelihood_ratios(pairs: JudgedPairs, calibration: JudgedPairs | None) -> NDArray[np.float64] | None:
    """Return log10 of the likelihood ratio of each pair, fitted to other pairs; see `fit_bounded`.

    Args:
        pairs: The pairs, (P,).
        calibration: Pairs of other people. None fits the ratios of each fold to the pairs of the other folds.

    Returns:
        (P,); None without calibration and folds, or if the other folds lack a kind of pair.
    """
    scores = pairs.scores.double().numpy()
    if calibration is not None:
        ratio = fit_bounded(calibration.scores.double().numpy(), calibration.same.numpy(), _people(calibration))
        return ratio.log10(scores)
    if pairs.fold is None:
        return None
    ratios = np.empty_like(scores)
    for fold in pairs.fold.unique():
        held_out = pairs.fold == fold
        others = _chosen(pairs, ~held_out)
        if others.same.all() or not others.same.any():
            return None
        ratio = fit_bounded(others.scores.double().numpy(), others.same.numpy(), _people(others))
        ratios[held_out.numpy()] = ratio.log10(scores[held_out.numpy()])
    return ratios


def search_figures(scores: Tensor, probe: Tensor, gallery: Tensor) -> dict[str, Figure]:
    """Return the share of probes whose person is at rank 1, and FNIR at FPIR, with intervals over people.

    Args:
        scores: (K, G), K probes and G gallery pictures.
        probe: Person of each probe, (K,).
        gallery: Person of each gallery picture, (G,).

    Returns:
        "rank_1" and, if the gallery has one picture of each person, "fnir_at_fpir_…".
    """
    first = first_ranks(scores, probe, gallery) == 1
    interval = person_interval(first, probe, torch.Generator().manual_seed(0))
    figures = {"rank_1": Figure(first.double().mean().item(), *interval)}
    searched = one_picture_search(scores, probe, gallery)
    if searched is not None and searched.largest > 0:
        for name, fpir in FPIRS.items():
            rates = searched.rates(searched.largest, fpir)
            figures[name] = Figure(rates.fnir, *rates.fnir_interval)
    return figures


def system_difference(system: MeasuredSystem, reference: MeasuredSystem) -> dict[str, Figure]:
    """Return by how much the figures of a system are greater than those of another one on the same pairs.

    Every resample has the same pairs or people for both systems.

    Args:
        system: One system.
        reference: Another one, measured on the same pairs.

    Returns:
        Name -> difference with its paired 95 % interval.
    """
    differences: dict[str, Figure] = {}
    if system.correct is not None and reference.correct is not None:
        generator = torch.Generator().manual_seed(0)
        found = paired_difference(system.correct, reference.correct, generator, trained=(False, False))
        differences["accuracy"] = Figure(*found)
    for name in system.resampled:
        if name in reference.resampled:
            a, b = (
                SeedFigures(torch.tensor([each.figures[name].value]), each.resampled[name][None], trained=False)
                for each in (system, reference)
            )
            differences[name] = Figure(*(value.item() for value in figure_difference(a, b)))
    return differences


def figure_rows(figures: Mapping[str, Mapping[str, Figure]]) -> list[list[str]]:
    """Return a table: a row for each system, a column for each figure that any of them has.

    Args:
        figures: System -> its figures by name.

    Returns:
        The titles, and the cells of each row.
    """
    names = list(dict.fromkeys(name for of_system in figures.values() for name in of_system))
    rows = [["system", *names]]
    rows += [[system, *(_cell(of_system.get(name)) for name in names)] for system, of_system in figures.items()]
    return rows


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "not measurable"
    interval = "" if np.isnan(figure.low) else f" ({figure.low:.4f} … {figure.high:.4f})"
    return f"{figure.value:.4f}{interval}"


def _weights(pairs: JudgedPairs) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(0)
    if pairs.first is None or pairs.second is None:
        return pair_weights(pairs.same, generator, RESAMPLES)
    return person_weights(pairs.first, pairs.second, generator, RESAMPLES)


def _people(pairs: JudgedPairs) -> int:
    """Return the number of people; of unknown people that of the pairs of the rarer kind."""
    if pairs.first is None or pairs.second is None:
        return int(min(pairs.same.sum(), (~pairs.same).sum()))
    return len(torch.cat([pairs.first, pairs.second]).unique())


def _chosen(pairs: JudgedPairs, chosen: Tensor) -> JudgedPairs:
    first, second = (None if side is None else side[chosen] for side in (pairs.first, pairs.second))
    return JudgedPairs(pairs.scores[chosen], pairs.same[chosen], None, first, second)
