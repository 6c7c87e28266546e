"""Intervals that show how certain a figure is: over pairs, over people and over training seeds."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.functional.verification import tar_at_far
from rim_lightning.seeds import seed_interval, student_quantile

__all__ = [
    "SeedFigures",
    "bootstrap_interval",
    "figure_difference",
    "figure_interval",
    "mean_interval",
    "paired_difference",
    "percentile_interval",
    "person_interval",
    "person_resampled_tar",
    "seed_interval",
]


class SeedFigures(NamedTuple):
    """A figure of one system by training seed, and the same with resampled pairs or people.

    Leading axes, if there are any, are independent systems.

    Attributes:
        figures: (..., S) for S seeds.
        resampled: (..., S, B) for B resamples. Every seed has the same pairs or people in resample b.
        trained: False for a system that another training cannot change, such as the pretrained teacher.
    """

    figures: Tensor
    resampled: Tensor
    trained: bool = True


def figure_interval(system: SeedFigures, level: float = 0.95) -> tuple[Tensor, Tensor]:
    """Compute the interval of the mean of a figure over seeds: for other pairs (or people) and for other seeds.

    One seed has the percentile interval over its resamples, which knows nothing of another training. Several have
    mean ± t √(u + s / S). u is the variance of the mean over the resamples. s is the variance between the figures of
    the seeds, without the part that u holds already: each pair is decided by chance in each seed. t has the degrees of
    freedom of Satterthwaite (Biometrics Bulletin 2, 1946): S − 1 where the seeds alone vary, more where they vary less.
    Percentiles over S = 3 resampled seeds would reach from the least to the largest figure and cover in 75 %.

    Args:
        system: The figures.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Lower ends and upper ends, (...).
    """
    return _interval([system], system.figures.double().mean(-1), system.resampled.double().mean(-2), level)


def figure_difference(a: SeedFigures, b: SeedFigures, level: float = 0.95) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the difference a − b of two systems on the same pairs (or people), and its interval.

    Resample b holds the same pairs for both, so that pairs that are hard for both cancel. If both have equally many
    seeds, seed i of one is compared with seed i of the other. Otherwise the variances between the seeds add up (Welch).
    A system that was trained once is taken to vary as much between seeds as the other one does.

    Args:
        a: Figures of one system.
        b: Figures of the other one, with as many resamples.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Means of the difference, lower ends and upper ends, (...).
    """
    if a.figures.shape[-1] == b.figures.shape[-1]:
        paired = SeedFigures(a.figures.double() - b.figures.double(), a.resampled.double() - b.resampled.double())
        return paired.figures.mean(-1), *figure_interval(paired, level)
    mean = a.figures.double().mean(-1) - b.figures.double().mean(-1)
    resampled = a.resampled.double().mean(-2) - b.resampled.double().mean(-2)
    return mean, *_interval([a, b], mean, resampled, level)


def _interval(systems: Sequence[SeedFigures], mean: Tensor, resampled: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Interval of `mean` (...), which sums or subtracts the systems' means; `resampled` (..., B) has its resamples."""
    several = [system for system in systems if system.figures.shape[-1] > 1]
    if not several:
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
        low, high = resampled.quantile(tails, -1)
        return low, high
    variance = resampled.var(-1)
    square = torch.zeros_like(variance)  # Σ (variance between the figures of S seeds × their share)² / (S − 1)
    once = sum(system.trained and system.figures.shape[-1] == 1 for system in systems)
    for figures, of_resamples, _ in several:
        count = figures.shape[-1]
        own = of_resamples.double() - of_resamples.double().mean(-2, keepdim=True)  # what each seed has for itself
        by_chance = own.var(-1).sum(-1) / (count - 1)
        between = figures.double().var(-1)
        share = 1 / count + once
        variance = variance + (between - by_chance).clamp(min=0) * share
        square = square + (between * share) ** 2 / (count - 1)
    freedom = variance**2 / square.clamp(min=torch.finfo(torch.float64).tiny)
    margin = _student_quantiles(freedom, level) * variance.sqrt()
    return mean - margin, mean + margin


def _student_quantiles(freedom: Tensor, level: float) -> Tensor:
    """Quantiles of Student's T for any degrees of freedom ≥ 1; log t between whole ones is linear in 1 / freedom."""
    inverse, logarithm = (torch.tensor(values, dtype=torch.float64) for values in _student_table(level))
    wanted = (1 / freedom).clamp(0, 1)
    above = torch.searchsorted(inverse, wanted.contiguous()).clamp(1, len(inverse) - 1)
    share = (wanted - inverse[above - 1]) / (inverse[above] - inverse[above - 1])
    return torch.lerp(logarithm[above - 1], logarithm[above], share).exp()


@cache
def _student_table(level: float) -> tuple[list[float], list[float]]:
    """Return 1 / freedom, ascending from 0, and log t."""
    whole = (120, 40, 20, 12, 8, 6, 5, 4, 3, 2, 1)
    quantiles = [NormalDist().inv_cdf((1 + level) / 2), *(student_quantile(freedom, level) for freedom in whole)]
    return [0.0, *(1 / freedom for freedom in whole)], [math.log(quantile) for quantile in quantiles]


def bootstrap_interval(
    values: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a mean over pairs.

    For an accuracy, pass the correctness of each pair (`kfold_decisions`). For the difference of two models on the same
    pairs, pass the difference of their correctness vectors, so that both are resampled together.

    Args:
        values: (P,) numbers or bools, one per pair.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Lower end and upper end.

    Raises:
        ValueError: If there are no values.
    """
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"A bootstrap resamples a vector of values, got shape {tuple(values.shape)}.")
    values = values.double().cpu()
    means = torch.stack(
        [values[torch.randint(len(values), (len(values),), generator=generator)].mean() for _ in range(samples)]
    )
    return percentile_interval(means, level)


def paired_difference(
    correct_a: Tensor,
    correct_b: Tensor,
    generator: torch.Generator,
    samples: int = 2000,
    level: float = 0.95,
    trained: tuple[bool, bool] = (True, True),
) -> tuple[float, float, float]:
    """Compare two models on the same pairs: the mean of a − b and its interval, see `figure_difference`.

    A resample draws pairs with replacement. Both models get the same pairs.

    Args:
        correct_a: Correctness of model a, (P,) or (S, P) for S seeds, bools or numbers (see `kfold_decisions`).
        correct_b: Correctness of model b on the same P pairs, (P,) or (S, P).
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        level: Coverage of the interval, in (0, 1).
        trained: False for a model that another training cannot change.

    Returns:
        Mean, lower end and upper end.

    Raises:
        ValueError: If the numbers of pairs differ or there are no pairs.
    """
    a, b = (correct.double().cpu().reshape(-1, correct.shape[-1]) for correct in (correct_a, correct_b))  # (S, P)
    count = a.shape[1]
    if count != b.shape[1] or not count:
        raise ValueError(
            f"Both models judge the same pairs, got {tuple(correct_a.shape)} and {tuple(correct_b.shape)}."
        )
    both = torch.cat([a, b])
    resampled = torch.stack(
        [both[:, torch.randint(count, (count,), generator=generator)].mean(1) for _ in range(samples)], 1
    )
    ours, theirs = (
        SeedFigures(values.mean(1), of_values, varies)
        for values, of_values, varies in ((a, resampled[: len(a)], trained[0]), (b, resampled[len(a) :], trained[1]))
    )
    mean, low, high = (end.item() for end in figure_difference(ours, theirs, level))
    return mean, low, high


def mean_interval(
    values: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Compute the interval of a mean over pairs and training seeds, see `figure_interval`.

    Args:
        values: (P,) or (S, P) for S seeds, bools or numbers.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Lower end and upper end.

    Raises:
        ValueError: If there are no values.
    """
    return paired_difference(values, torch.zeros_like(values), generator, samples, level)[1:]


def person_interval(
    values: Tensor, person: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Compute the percentile interval of a mean of values that share people.

    A resample draws people with replacement; each person brings all of their values.

    Args:
        values: (K,) numbers or bools.
        person: Person of each value, (K,) integers.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        level: Coverage of the interval, in (0, 1).

    Returns:
        Lower end and upper end.

    Raises:
        ValueError: If the shapes differ or there are no values.
    """
    if values.shape != person.shape or not len(values):
        raise ValueError(
            f"Values and their people must be (K,) each, K ≥ 1, got {tuple(values.shape)} and {tuple(person.shape)}."
        )
    people, place = person.cpu().unique(return_inverse=True)
    totals, counts = (torch.zeros(len(people), dtype=torch.float64) for _ in range(2))
    totals.index_add_(0, place, values.double().cpu())
    counts.index_add_(0, place, torch.ones(len(place), dtype=torch.float64))
    rows = torch.randint(len(people), (samples, len(people)), generator=generator)
    return percentile_interval(totals[rows].sum(1) / counts[rows].sum(1), level)


def person_resampled_tar(
    scores: Tensor,
    identity_gallery: Tensor,
    identity_probe: Tensor,
    far: float,
    generator: torch.Generator,
    samples: int = 200,
    min_impostors: int = 10,
    left_out: Tensor | None = None,
) -> tuple[float, Tensor] | None:
    """Compute the TAR at a FAR over ALL gallery × probe pairs, and its values when PEOPLE are resampled.

    Pairs that share a person are not independent. A resample draws as many people as there are, with replacement. If
    person i is drawn w_i times, an impostor pair of persons i ≠ j has weight w_i · w_j and a genuine pair w_i. Each
    resample chooses its own threshold, as `threshold_at_far` does. One without weight on genuine or on impostor pairs
    is drawn again. Generators of one seed draw the same people for every system.

    Args:
        scores: (G, P) finite; a higher score means more alike.
        identity_gallery: Person of each gallery face, (G,) integers.
        identity_probe: Person of each probe, (P,) integers.
        far: False accept rate in [0, 1).
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        min_impostors: Smallest number of impostor pairs that `far` must allow above the threshold.
        left_out: (G, P) bool, True where two faces are not compared, such as a face with itself. None compares all.

    Returns:
        TAR of all pairs and TAR of each resample, (samples,) float64; None if far × (number of impostor pairs) <
        `min_impostors`.

    Raises:
        ValueError: If shapes differ, a score is not finite, far is not in [0, 1) or one kind of pair is missing.
    """
    _check_shape((len(identity_gallery), len(identity_probe)), scores, left_out)
    scores = scores.double().cpu()
    people, person = torch.cat([identity_gallery, identity_probe]).cpu().unique(return_inverse=True)
    same = person[: len(identity_gallery), None] == person[None, len(identity_gallery) :]
    compared = torch.ones_like(same) if left_out is None else ~left_out.cpu()  # (G, P)
    estimate = tar_at_far(scores[compared], same[compared], far, min_impostors)
    if estimate is None:
        return None

    genuine, genuine_person, _ = _descending(scores, person, compared & same)
    impostor, first, second = _descending(scores, person, compared & ~same)
    pairs_of = (first * len(people) + second).bincount(minlength=len(people) ** 2).reshape(len(people), -1).double()
    rates: list[float] = []
    while len(rates) < samples:
        sample = torch.randint(len(people), (len(people),), generator=generator)
        weight = sample.bincount(minlength=len(people)).double()
        total, genuine_weight = (weight @ pairs_of @ weight).item(), weight[genuine_person]
        if total and genuine_weight.any():
            allowed = math.floor(far * total + 1e-9)  # weight of impostor pairs, see `threshold_at_far`
            refused = _refused_score(impostor, first, second, weight, allowed, far)
            rates.append((genuine_weight[genuine > refused].sum() / genuine_weight.sum()).item())
    return estimate[0], torch.tensor(rates, dtype=torch.float64)


def percentile_interval(resampled: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Compute the percentile interval of resampled figures.

    Args:
        resampled: Figures of B resamples, (B,).
        level: Coverage of the interval, in (0, 1). A share (1 − level) / 2 lies outside on either side.

    Returns:
        Lower end and upper end.
    """
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = resampled.quantile(tails).tolist()
    return low, high


def _check_shape(shape: tuple[int, int], scores: Tensor, left_out: Tensor | None) -> None:
    if scores.shape != shape or (left_out is not None and left_out.shape != shape):
        masked = "" if left_out is None else f" and a mask {tuple(left_out.shape)}"
        raise ValueError(
            f"Scores of {shape[0]} gallery and {shape[1]} probe faces must be {shape}, got scores "
            f"{tuple(scores.shape)}{masked}."
        )


def _refused_score(impostor: Tensor, first: Tensor, second: Tensor, weight: Tensor, allowed: int, far: float) -> Tensor:
    """Return the highest impostor score that is refused if impostor pairs of the weight `allowed` are accepted.

    Args:
        impostor: Scores, highest first, (N,).
        first: Person of the gallery face of each pair, (N,).
        second: Person of the probe of each pair, (N,).
        weight: Weight of each person; that of a pair is the product of two.
        allowed: Weight, less than that of all pairs.
        far: False accept rate, near whose share of the pairs the score mostly is: the others are not looked at then.
    """
    for end in (math.ceil(4 * far * len(impostor)) + 1000, len(impostor)):
        accepted = (weight[first[:end]] * weight[second[:end]]).cumsum(0)
        if accepted[-1] > allowed:
            break
    return impostor[torch.searchsorted(accepted, allowed, right=True)]


def _descending(scores: Tensor, person: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the pairs (G, P) bool, highest first, and the persons of their gallery and probe faces."""
    row, column = pairs.nonzero(as_tuple=True)
    ordered, order = scores[row, column].sort(descending=True)
    return ordered, person[row[order]], person[len(scores) + column[order]]
