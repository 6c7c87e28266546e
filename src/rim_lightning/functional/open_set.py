"""Open-set search: how often a stranger gets a hit in a gallery, and somebody of the gallery none.

The terms are those of ISO/IEC 19795-1: the false positive identification rate (FPIR) is the share of searches for
strangers with a hit, the false negative identification rate (FNIR) that of searches for people of the gallery without
theirs. A hit is a gallery picture whose score is not below a threshold.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.functional.bootstrap import percentile_interval
from rim_lightning.functional.unseen_events import with_unseen_events


class SearchRates(NamedTuple):
    """A threshold for galleries of some size, and its rates.

    Attributes:
        threshold: The lowest one whose FPIR is not beyond the wanted one.
        fnir: False negative identification rate.
        fpir_interval: 95 % interval of the FPIR over other people, low and high.
        fnir_interval: The same of the FNIR.
        deciding: Number of people who are taken for somebody else in the gallery of all others.
    """

    threshold: float
    fnir: float
    fpir_interval: tuple[float, float]
    fnir_interval: tuple[float, float]
    deciding: int


class SearchedPeople:
    """Scores of probes against a gallery with one picture of each person.

    A gallery of N people is a random choice of N of them. The rates are means over all such choices, in closed form: a
    probe that is similar to a of M people has a hit with the probability 1 − C(M − a, N) / C(M, N).

    Args:
        scores: (G, P) finite; G people of the gallery, P probes.
        person: Number of the person of each probe, from 0: the row of the scores, (P,) int64.
        compared: (G, P) bool, False where the gallery picture is the one that the probe was made of.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples of people for intervals.
    """

    def __init__(
        self, scores: Tensor, person: Tensor, compared: Tensor, generator: torch.Generator, samples: int = 200
    ) -> None:
        self._person = person
        own = torch.zeros_like(compared)
        own[person, torch.arange(len(person))] = True
        self._strangers = scores.double().masked_fill(own, -torch.inf)  # (G, P)
        self._mated = scores.double()[person, torch.arange(len(person))]  # (P,)
        self._has_mate = (own & compared).any(0)
        people = len(scores)
        draws = torch.randint(people, (samples, people), generator=generator)
        self._weights = torch.zeros(samples, people, dtype=torch.float64)  # times that each person is drawn
        self._weights.scatter_add_(1, draws, torch.ones_like(self._weights))

    @property
    def largest(self) -> int:
        """Number of people of the largest gallery without the person of a probe."""
        return len(self._strangers) - 1

    def rates(self, gallery: int, fpir: float) -> SearchRates:
        """Choose a threshold for galleries of some number of people.

        Args:
            gallery: Number of people, from 1 to `largest`.
            fpir: False positive identification rate in (0, 1).

        Returns:
            Threshold and rates.
        """
        threshold = self._threshold(gallery, fpir)
        hits = (self._strangers >= threshold).double()  # (G, P)
        weights, of_probe = self._weights, self._weights[:, self._person]  # (B, G), (B, P)
        others = weights.sum(1, keepdim=True) - of_probe
        hit = _hit_probability(weights @ hits, others, gallery)  # (B, P)
        searching = of_probe * (others >= gallery)  # where a resample has too few others there is no such gallery
        fpirs = (searching * hit).sum(1) / searching.sum(1)
        fpirs = fpirs[fpirs.isfinite()]
        # A person who is drawn twice makes a gallery of fewer people: the mean is too low, the spread is not.
        fpirs = (fpirs - fpirs.mean() + self.fpir(gallery, threshold)).clamp(0, 1)
        missed = (self._mated < threshold)[self._has_mate].double()
        mated = of_probe[:, self._has_mate]
        fnirs = (mated * missed).sum(1) / mated.sum(1)
        return SearchRates(
            threshold=threshold,
            fnir=missed.mean().item(),
            fpir_interval=_interval(fpirs, self._person),
            fnir_interval=_interval(fnirs, self._person[self._has_mate]),
            deciding=len(self._person[hits.any(0)].unique()),
        )

    def fpir(self, gallery: int, threshold: float) -> float:
        """Compute the false positive identification rate of a threshold."""
        similar = (self._strangers >= threshold).sum(0).double()
        return _hit_probability(similar, torch.tensor(self.largest, dtype=torch.float64), gallery).mean().item()

    def _threshold(self, gallery: int, fpir: float) -> float:
        """Return the lowest threshold whose FPIR is not beyond the wanted one."""
        ordered = self._strangers.sort(0, descending=True).values[:-1]  # (M, P): the own row is last
        similar = torch.arange(len(ordered) + 1, dtype=torch.float64)
        probability = _hit_probability(similar, torch.tensor(self.largest, dtype=torch.float64), gallery)  # (M + 1,)
        steps = probability.diff()[:, None].expand_as(ordered) / ordered.shape[1]
        scores, order = ordered.flatten().sort(descending=True)
        reached = steps.flatten()[order].cumsum(0)  # FPIR if all scores down to this one are hits
        refused = scores[int((reached > fpir + 1e-12).nonzero()[0])]  # the highest score that must be refused
        return torch.nextafter(refused, refused.new_tensor(torch.inf)).item()


def _interval(rates: Tensor, person: Tensor) -> tuple[float, float]:
    """Return the 95 % interval of resampled rates of probes, whose people are given."""
    finite = rates[rates.isfinite()]
    low, high = with_unseen_events(percentile_interval(finite), len(person.unique())).tolist()
    return low, high


def one_picture_search(scores: Tensor, probe: Tensor, gallery: Tensor) -> SearchedPeople | None:
    """Take the scores of a search if the gallery has one picture of each person, and the people of all probes.

    Args:
        scores: (P, G) finite; P probes, G gallery pictures.
        probe: Person of each probe, (P,) int64.
        gallery: Person of each gallery picture, (G,) int64.

    Returns:
        The searched people, whose intervals resample people by seed 0; None for another gallery.
    """
    ordered, place = gallery.sort()
    row = torch.searchsorted(ordered, probe).clamp(max=len(ordered) - 1)
    if len(ordered.unique()) < len(ordered) or not torch.equal(ordered[row], probe):
        return None
    compared = torch.ones_like(scores.T, dtype=torch.bool)
    return SearchedPeople(scores.T[place], row, compared, torch.Generator().manual_seed(0))


def _hit_probability(similar: Tensor, others: Tensor, gallery: int) -> Tensor:
    """Compute 1 − C(others − similar, gallery) / C(others, gallery), which is 1 where a gallery cannot avoid a hit."""
    left = others - similar - gallery
    log_miss = (
        torch.lgamma(others - similar + 1)
        - torch.lgamma((left + 1).clamp(min=1))
        - torch.lgamma(others + 1)
        + torch.lgamma((others - gallery + 1).clamp(min=1))
    )
    return torch.where(left >= 0, 1 - log_miss.exp(), 1.0).clamp(0, 1)
