"""How sure a figure is: intervals over pairs, over people and over seeds."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

import torch
from torch import Tensor

from rim_lightning.functional.verification import tar_at_far


def paired_difference(
    correct_a: Tensor, correct_b: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float, float]:
    """How much better model a is than model b on the same pairs: the mean of a − b and its percentile interval.

    Pairs are drawn with replacement for both models together, so that what is hard for both cancels, and the training
    seeds of a model that has several are drawn as well; for models of as many seeds together, seed i with seed i.

    Args:
        correct_a, correct_b: (P,), or (S, P) with S seeds: bools or numbers, pair i the same in both
            (`kfold_decisions`).
        generator, samples, level: as for `bootstrap_interval`.

    Returns:
        mean, low, high.

    Raises:
        ValueError: if the numbers of pairs differ or there are no pairs.
    """
    a, b = (each.double().cpu().reshape(-1, each.shape[-1]) for each in (correct_a, correct_b))
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
    """Percentile interval of the mean of (P,) or (S, P) values, over pairs and seeds as in `paired_difference`."""
    return paired_difference(values, torch.zeros_like(values), generator, samples, level)[1:]


def person_interval(
    values: Tensor, person: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean of values that share people: people are drawn with replacement, each with all of
    its values.

    Args:
        values: (K,) numbers or bools. person: (K,) integers. generator, samples, level: as for `bootstrap_interval`.

    Raises:
        ValueError: if the shapes differ or there are no values.
    """
    if values.shape != person.shape or not len(values):
        raise ValueError(f"Values and their people are (K,) each, got {tuple(values.shape)} and {tuple(person.shape)}.")
    people, place = person.cpu().unique(return_inverse=True)
    totals, counts = (torch.zeros(len(people), dtype=torch.float64) for _ in range(2))
    totals.index_add_(0, place, values.double().cpu())
    counts.index_add_(0, place, torch.ones(len(place), dtype=torch.float64))
    drawn = torch.randint(len(people), (samples, len(people)), generator=generator)
    return percentile_interval(totals[drawn].sum(1) / counts[drawn].sum(1), level)


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
    """TAR at a FAR over ALL gallery × probe pairs, and what it becomes when PEOPLE are resampled.

    Pairs that share a person are not independent, so people are drawn with replacement, as many as there are. With
    w_i = how often person i was drawn, an impostor pair of persons i ≠ j weighs w_i · w_j and a genuine pair w_i. In
    every resample the threshold is chosen anew, as `threshold_at_far` does. A resample in which genuine or impostor
    pairs have no weight is drawn again. Generators alike draw the same people for every system, and the resamples of
    two systems can be subtracted.

    Args:
        scores: (G, P) finite, higher is more alike.
        identity_gallery: (G,) integers. identity_probe: (P,) integers. Equal numbers are one person.
        far: false accept rate in [0, 1).
        generator: on the CPU. samples: number of resamples.
        min_impostors: as for `tar_at_far`, of the pairs as they are.
        left_out: (G, P) bool, True = not a comparison, like a face with itself; None leaves out nothing.

    Returns:
        TAR of the pairs as they are, (samples,) resampled; or None if far × (number of impostor pairs) is below
        `min_impostors`.

    Raises:
        ValueError: if shapes differ, a score is not finite, far is not in [0, 1) or one kind of pair is missing.
    """
    shape = (len(identity_gallery), len(identity_probe))
    if scores.shape != shape or (left_out is not None and left_out.shape != shape):
        masked = "" if left_out is None else f" and a mask {tuple(left_out.shape)}"
        raise ValueError(f"{shape[0]} gallery and {shape[1]} probe faces, but scores {tuple(scores.shape)}{masked}.")
    scores = scores.double().cpu()
    people, person = torch.cat([identity_gallery, identity_probe]).cpu().unique(return_inverse=True)
    same = person[: shape[0], None] == person[None, shape[0] :]
    kept = torch.ones_like(same) if left_out is None else ~left_out.cpu()
    estimate = tar_at_far(scores[kept], same[kept], far, min_impostors)
    if estimate is None:
        return None

    genuine, genuine_person, _ = _descending(scores, person, kept & same)
    impostor, first, second = _descending(scores, person, kept & ~same)
    rates = []
    while len(rates) < samples:
        drawn = torch.randint(len(people), (len(people),), generator=generator)
        weight = drawn.bincount(minlength=len(people)).double()
        accepted = (weight[first] * weight[second]).cumsum(0)  # down to and with this impostor pair
        genuine_weight = weight[genuine_person]
        if accepted[-1] == 0 or genuine_weight.sum() == 0:
            continue
        allowed = math.floor(far * accepted[-1].item() + 1e-9)  # as in `threshold_at_far`
        refused = impostor[torch.searchsorted(accepted, allowed, right=True)]
        rates.append((genuine_weight[genuine > refused].sum() / genuine_weight.sum()).item())
    return estimate[0], torch.tensor(rates, dtype=torch.float64)


def seed_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float, float]:
    """Mean of one figure over n training seeds and its t-interval: mean ± t · std / √n with n − 1 degrees of freedom.

    Args:
        values: n ≥ 2 finite numbers, one per seed. level: coverage, in (0, 1).

    Returns:
        mean, std (n − 1 in the denominator), low, high.

    Raises:
        ValueError: if there are fewer than two values, one is not finite or level is not in (0, 1).

    Example:
        >>> [round(figure, 2) for figure in seed_interval([1.0, 2.0, 3.0])]  # t with 2 degrees of freedom is 4.30
        [2.0, 1.0, -0.48, 4.48]
    """
    if len(values) < 2 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"An interval over seeds needs two or more finite values, got {list(values)}.")
    if not 0 < level < 1:
        raise ValueError(f"The coverage is {level}; it must lie in (0, 1).")
    mean, std = fmean(values), stdev(values)
    margin = _student_quantile(len(values) - 1, level) * std / math.sqrt(len(values))
    return mean, std, mean - margin, mean + margin


def seeds_resampled(values: Tensor, generator: torch.Generator) -> Tensor:
    """(S, B) figures of S training seeds in B resamples -> (B,): means over S seeds, drawn anew for each resample.

    Generators alike draw alike: seed i of one system with seed i of another that has as many.
    """
    drawn = torch.randint(len(values), values.T.shape, generator=generator)
    return values.T.gather(1, drawn).mean(1)


def percentile_interval(resampled: Tensor, level: float = 0.95) -> tuple[float, float]:
    """low, high of (B,) resampled figures that leave (1 − level) / 2 outside on either side; level in (0, 1)."""
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = resampled.quantile(tails).tolist()
    return low, high


def _descending(scores: Tensor, person: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The chosen pairs from the highest score down: their scores and the persons of the gallery and the probe face."""
    row, column = chosen.nonzero(as_tuple=True)
    ordered, order = scores[row, column].sort(descending=True)
    return ordered, person[row[order]], person[len(scores) + column[order]]


def _student_quantile(freedom: int, level: float) -> float:
    """T with P(|T| ≤ t) = level, by bisection of the angle θ = atan(t / √freedom)."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _student_coverage(freedom, middle) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _student_coverage(freedom: int, angle: float) -> float:
    """P(|T| ≤ √freedom · tan(angle)), a finite sum (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def bootstrap_interval(
    values: Tensor, generator: torch.Generator, samples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of values over pairs.

    Of an accuracy: pass the correctness of each pair (`kfold_decisions`). Of the difference of two models on the same
    pairs: pass the difference of their correctness vectors, so that both are resampled together.

    Args:
        values: (P,) numbers or bools, one per pair. generator: on the CPU. samples: number of resamples.
        level: coverage, in (0, 1).

    Raises:
        ValueError: if there are no values.
    """
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"A bootstrap resamples a vector of values, got shape {tuple(values.shape)}.")
    values = values.double().cpu()
    means = torch.stack(
        [values[torch.randint(len(values), (len(values),), generator=generator)].mean() for _ in range(samples)]
    )
    low, high = means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=means.dtype)).tolist()
    return low, high
