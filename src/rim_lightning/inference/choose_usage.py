"""The choice of weights by size on people whom the model was not trained on."""

from collections.abc import Iterable

import torch
from torch import Tensor

from rim_lightning.functional.verification import tar_at_far
from rim_lightning.inference.people import People
from rim_lightning.networks.usage import SizeCurve

DECIDING_FARS = (1e-2, 1e-3)
"""False accept rates whose TAR decides. Where too few impostor pairs decide about one, the other decides alone."""

WEIGHTS = tuple(number / 10 for number in range(11))


def choose_mixture(people: People) -> SizeCurve:
    """Choose the weight of RIM in the embedding of a probe, for each size.

    The weights do not grow with the size. At every size no TAR is below that of the teacher alone; among such weights
    the sum over all sizes of the mean TAR is the largest.

    Args:
        people: Embeddings by RIM and by the teacher.

    Returns:
        The weights, each from `WEIGHTS`.

    Raises:
        ValueError: If too few pairs of two people decide.
    """
    means = torch.stack([_allowed_means(_mixture_rates(people, size)) for size in people.probes])  # (sizes, W)
    total = means[0]
    choices = []
    for of_size in means[1:]:
        # The best path up to the size before that ends in a weight of w or more, for every w.
        best, choice = total.flip(0).cummax(0)
        choices.append((len(WEIGHTS) - 1 - choice).flip(0))
        total = of_size + best.flip(0)
    chosen = [int(total.argmax())]
    for choice in reversed(choices):
        chosen.append(int(choice[chosen[-1]]))
    return SizeCurve(tuple(people.probes), tuple(WEIGHTS[number] for number in reversed(chosen)))


def choose_reduced_gallery(people: People) -> SizeCurve:
    """Choose the weight of the gallery face that is reduced to the size of the probe, for each size.

    Args:
        people: Embeddings, those of the probes as they are used, with those of the reduced gallery faces.

    Returns:
        The weights with the largest mean TAR, each from `WEIGHTS`. No TAR is below that of the sharp gallery alone.

    Raises:
        ValueError: If too few pairs of two people decide.
    """
    chosen = []
    for size, probes in people.probes.items():
        sharp, reduced = people.sharp @ probes.T, people.reduced[size] @ probes.T
        rates = _rates(people, ((1 - weight) * sharp + weight * reduced for weight in WEIGHTS))
        chosen.append(WEIGHTS[int(_allowed_means(rates).argmax())])
    return SizeCurve(tuple(people.probes), tuple(chosen))


def check_pairs(title: str, count: int) -> None:
    """Refuse people of whom too few pairs decide about the weights.

    Args:
        title: Name of the set of people.
        count: Number of pairs of two people; an image of one and an image of the other make two.

    Raises:
        ValueError: If no false accept rate has enough of them.
    """
    needed = round(10 / max(DECIDING_FARS))
    if count < needed:
        raise ValueError(f"{title} has {count} pairs of two people, too few to choose weights: {needed} are needed.")


def _mixture_rates(people: People, size: int) -> Tensor:
    """Return the rates of every weight of RIM at a size, (W, F)."""
    return _rates(people, (people.sharp @ people.mixed_probes(size, weight).T for weight in WEIGHTS))


def _rates(people: People, scores_of_weights: Iterable[Tensor]) -> Tensor:
    """Return the TAR of every weight at every false accept rate that enough pairs decide about, (W, F).

    Args:
        people: The people.
        scores_of_weights: Scores of all images of the gallery with all probes, (N, N), for each of `WEIGHTS`.
    """
    other = ~torch.eye(len(people.identity), dtype=torch.bool)  # an image makes no pair with itself
    same = (people.identity[:, None] == people.identity)[other]
    if not same.any() or same.all():
        raise ValueError(f"{people.title} must show at least two people, one of them in two or more images.")
    check_pairs(people.title, int((~same).sum()))
    rows = []
    for scores in scores_of_weights:
        points = [tar_at_far(scores[other], same, far) for far in DECIDING_FARS]
        rows.append([point[0] for point in points if point is not None])
    return torch.tensor(rows, dtype=torch.float64)


def _allowed_means(rates: Tensor) -> Tensor:
    """Return the mean TAR of every weight, (W,); minus infinity where a TAR is below that of weight 0."""
    allowed = (rates >= rates[0]).all(1)
    return torch.where(allowed, rates.mean(1), -float("inf"))
