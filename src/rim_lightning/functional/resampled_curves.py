"""Figures of verification whose pairs or people are resampled: equal error rate, area under the ROC, TAR at FAR."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from rim_lightning.functional.verification import curve_area, curve_eer


def person_weights(first: Tensor, second: Tensor, generator: torch.Generator, samples: int) -> Iterator[Tensor]:
    """Yield how often each pair counts if people are resampled, see `person_resampled_tar`.

    A resample draws as many people as there are, with replacement. If person i is drawn w_i times, an impostor pair of
    persons i ≠ j has weight w_i · w_j and a genuine pair w_i. One without weight on genuine or on impostor pairs is
    drawn again. Generators of one seed draw the same people for every system.

    Args:
        first: Person of the first picture of each pair, (P,) integers.
        second: Person of the second picture of each pair, (P,) integers.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.

    Yields:
        (P,) float64.

    Raises:
        ValueError: If shapes differ or one kind of pair is missing.
    """
    if first.shape != second.shape:
        raise ValueError(f"Give two people for a pair, got {tuple(first.shape)} and {tuple(second.shape)}.")
    numbers, person = torch.cat([first, second]).unique(return_inverse=True)
    first, second = person[: len(first)], person[len(first) :]
    same = first == second
    _check_kinds(same)
    for _ in range(samples):
        weights = torch.zeros(0)
        while not (weights[same].any() and weights[~same].any() if len(weights) else False):
            sample = torch.randint(len(numbers), (len(numbers),), generator=generator)
            drawn = sample.bincount(minlength=len(numbers)).double()
            weights = torch.where(same, drawn[first], drawn[first] * drawn[second])
        yield weights


def pair_weights(same: Tensor, generator: torch.Generator, samples: int) -> Iterator[Tensor]:
    """Yield how often each pair counts if pairs are resampled; like `person_weights`, for unknown people.

    Args:
        same: Which pairs are genuine, (P,) bool.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.

    Yields:
        (P,) float64.

    Raises:
        ValueError: If one kind of pair is missing.
    """
    _check_kinds(same)
    for _ in range(samples):
        weights = torch.zeros(0)
        while not (weights[same].any() and weights[~same].any() if len(weights) else False):
            weights = torch.randint(len(same), (len(same),), generator=generator).bincount(minlength=len(same)).double()
        yield weights


class SortedPairs:
    """Pairs in the order of their scores, for figures of many resamples with one sorting.

    Args:
        scores: (P,) finite; a higher score means more alike.
        same: (P,) bool, True for a genuine pair.
    """

    def __init__(self, scores: Tensor, same: Tensor) -> None:
        ordered, self._order = scores.double().sort(descending=True)
        self._same = same[self._order]
        changes = (ordered.diff() != 0).nonzero().flatten()
        self._ends = torch.cat([changes, torch.tensor([len(scores) - 1])])  # the last pair of each different score

    def figures(self, weights: Tensor, fars: Mapping[str, float]) -> dict[str, float]:
        """Compute the figures if each pair counts a number of times.

        Args:
            weights: (P,) float64, not 0 for all pairs of a kind.
            fars: Name of a figure -> false accept rate in [0, 1).

        Returns:
            "eer", "auc" and the TAR of each name, see `tar_at_far`: at the lowest threshold that accepts no more than
            the share of the impostor pairs.
        """
        ordered = weights[self._order]
        genuine, impostor = (
            torch.cat([torch.zeros(1, dtype=torch.float64), (ordered * kind).cumsum(0)[self._ends]])
            for kind in (self._same, ~self._same)
        )
        far, tar = impostor / impostor[-1], genuine / genuine[-1]
        figures = {"eer": curve_eer(far, tar), "auc": curve_area(far, tar)}
        for name, rate in fars.items():
            allowed = math.floor(rate * impostor[-1].item() + 1e-9)  # as `threshold_at_far`
            figures[name] = tar[int(torch.searchsorted(impostor, allowed, right=True)) - 1].item()
        return figures


def resampled_figures(
    pairs: SortedPairs,
    weights: Iterator[Tensor],
    fars: Mapping[str, float],
    costs: Sequence[tuple[Tensor, Tensor]] = (),
) -> dict[str, Tensor]:
    """Compute figures of every resample.

    Args:
        pairs: The pairs of one system.
        weights: Weights of the pairs in each resample, (P,) float64.
        fars: Name of a figure -> false accept rate.
        costs: Nothing, or one pair of what each answer costs, (P,), and of which pairs are genuine, (P,) bool.

    Returns:
        Name -> (samples,) float64: the figures of `SortedPairs.figures`, and "cllr", the mean cost of the two kinds.
    """
    rows: dict[str, list[float]] = {}
    for weight in weights:
        figures = pairs.figures(weight, fars)
        for cost, same in costs:
            means = [(weight[kind] @ cost[kind] / weight[kind].sum()).item() for kind in (same, ~same)]
            figures["cllr"] = sum(means) / 2
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in rows.items()}


def _check_kinds(same: Tensor) -> None:
    if same.all() or not same.any():
        raise ValueError("Resampling needs pairs of one person and pairs of two people; one kind is missing.")
