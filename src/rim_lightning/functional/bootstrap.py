"""Intervals that show how certain a figure is: over pairs, over people and over training seeds."""

import math

import torch
from torch import Tensor

from rim_lightning.functional.verification import tar_at_far
from rim_lightning.seeds import seed_interval

__all__ = [
    "bootstrap_interval",
    "mean_interval",
    "paired_difference",
    "percentile_interval",
    "person_interval",
    "person_resampled_tar",
    "seed_interval",
    "seeds_resampled",
]


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
    correct_a: Tensor, correct_b: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """Compare two models on the same pairs: the mean of a − b and its percentile interval.

    A resample draws pairs with replacement. Both models get the same pairs, so that pairs that are hard for both
    cancel. A resample also draws the training seeds with replacement. If both models have the same number of seeds,
    seed i of one is drawn together with seed i of the other.

    Args:
        correct_a: Correctness of model a, (P,) or (S, P) for S seeds, bools or numbers (see `kfold_decisions`).
        correct_b: Correctness of model b on the same P pairs, (P,) or (S, P).
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.
        level: Coverage of the interval, in (0, 1).

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
    differences = []
    for _ in range(samples):
        pairs = torch.randint(count, (count,), generator=generator)
        seeds_a = seeds_b = torch.randint(len(a), (len(a),), generator=generator)
        if len(a) != len(b):
            seeds_b = torch.randint(len(b), (len(b),), generator=generator)
        differences.append(a[:, pairs].mean(1)[seeds_a].mean() - b[:, pairs].mean(1)[seeds_b].mean())
    return (a.mean() - b.mean()).item(), *percentile_interval(torch.stack(differences), level)


def mean_interval(
    values: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Compute the percentile interval of a mean over pairs and training seeds, see `paired_difference`.

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

    Pairs that share a person are not independent. A resample therefore draws people with replacement, as many as there
    are. If person i is drawn w_i times, an impostor pair of persons i ≠ j has weight w_i · w_j and a genuine pair has
    weight w_i. Each resample chooses its own threshold, as `threshold_at_far` does. A resample without any weight on
    genuine or on impostor pairs is drawn again. Generators of one seed draw the same people for every system, so that
    the resamples of two systems can be subtracted.

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
    shape = (len(identity_gallery), len(identity_probe))
    if scores.shape != shape or (left_out is not None and left_out.shape != shape):
        masked = "" if left_out is None else f" and a mask {tuple(left_out.shape)}"
        raise ValueError(
            f"Scores of {shape[0]} gallery and {shape[1]} probe faces must be {shape}, got scores "
            f"{tuple(scores.shape)}{masked}."
        )
    scores = scores.double().cpu()
    people, person = torch.cat([identity_gallery, identity_probe]).cpu().unique(return_inverse=True)
    same = person[: shape[0], None] == person[None, shape[0] :]
    compared = torch.ones_like(same) if left_out is None else ~left_out.cpu()  # (G, P)
    estimate = tar_at_far(scores[compared], same[compared], far, min_impostors)
    if estimate is None:
        return None

    genuine, genuine_person, _ = _descending(scores, person, compared & same)
    impostor, first, second = _descending(scores, person, compared & ~same)
    rates: list[float] = []
    while len(rates) < samples:
        sample = torch.randint(len(people), (len(people),), generator=generator)
        weight = sample.bincount(minlength=len(people)).double()
        impostor_weight, genuine_weight = weight[first] * weight[second], weight[genuine_person]
        if impostor_weight.any() and genuine_weight.any():
            rates.append(_weighted_tar(genuine, genuine_weight, impostor, impostor_weight, far))
    return estimate[0], torch.tensor(rates, dtype=torch.float64)


def seeds_resampled(values: Tensor, generator: torch.Generator) -> Tensor:
    """Average a figure over training seeds that each resample draws with replacement.

    Generators of one seed draw the same training seeds for two systems that have equally many.

    Args:
        values: Figures of S training seeds in B resamples, (S, B).
        generator: Source of the random numbers, on the CPU.

    Returns:
        Means over S drawn seeds, (B,).
    """
    seeds = torch.randint(len(values), values.T.shape, generator=generator)
    return values.T.gather(1, seeds).mean(1)


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


def _weighted_tar(
    genuine: Tensor, genuine_weight: Tensor, impostor: Tensor, impostor_weight: Tensor, far: float
) -> float:
    """TAR at a FAR of weighted genuine and impostor scores, each in descending order."""
    accepted = impostor_weight.cumsum(0)  # weight of the pairs down to this impostor pair
    allowed = math.floor(far * accepted[-1].item() + 1e-9)  # see `threshold_at_far`
    refused = impostor[torch.searchsorted(accepted, allowed, right=True)]
    return (genuine_weight[genuine > refused].sum() / genuine_weight.sum()).item()


def _descending(scores: Tensor, person: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the pairs (G, P) bool, highest first, and the persons of their gallery and probe faces."""
    row, column = pairs.nonzero(as_tuple=True)
    ordered, order = scores[row, column].sort(descending=True)
    return ordered, person[row[order]], person[len(scores) + column[order]]
