"""Error rates at given thresholds and the cost of given likelihood ratios, with intervals over people."""

from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.functional.bootstrap import percentile_interval
from rim_lightning.functional.unseen_events import with_unseen_events


class FixedRates(NamedTuple):
    """False accept and false reject rate at a threshold.

    Attributes:
        far: Share of impostor pairs that are accepted.
        frr: Share of genuine pairs that are refused.
        far_interval: Its 95 % interval over other people, low and high.
        frr_interval: Its 95 % interval over other people, low and high.
    """

    far: float
    frr: float
    far_interval: tuple[float, float]
    frr_interval: tuple[float, float]


class CountedErrors(NamedTuple):
    """Pairs of P people and the wrong answers to them at a threshold.

    Attributes:
        passed: Impostor pairs that are accepted, by person of the gallery and of the probe, (P, P) float64.
        impostors: All impostor pairs, (P, P) float64.
        refused: Genuine pairs that are refused, (P,) float64.
        genuine: All genuine pairs, (P,) float64.
    """

    passed: Tensor
    impostors: Tensor
    refused: Tensor
    genuine: Tensor

    def rates(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Compute both rates if person i counts w_i times: an impostor pair w_i · w_j times, a genuine one w_i times.

        Args:
            weights: (..., P) float64.

        Returns:
            False accept rates and false reject rates, (...); NaN without a pair of the kind.
        """
        passed, impostors = (((weights @ table) * weights).sum(-1) for table in (self.passed, self.impostors))
        return passed / impostors, (weights @ self.refused) / (weights @ self.genuine)


class PairsOfPeople:
    """All compared pairs of a gallery and a probe template, by their people, for rates at many thresholds.

    Pairs that share a person are not independent: intervals resample people. If person i is drawn w_i times, an
    impostor pair of persons i ≠ j has weight w_i · w_j and a genuine pair w_i.

    Args:
        first: Person of the gallery template of each pair, (P,) integers.
        second: Person of the probe template of each pair, (P,) integers.
        generator: Source of the random numbers, on the CPU.
        samples: Number of resamples.

    Attributes:
        people: Number of people.
        numbers: Their numbers, ascending, (people,).
        same: Which pairs are genuine, (P,) bool.
        weights: How often each resample draws each person, (samples, people) float64.
    """

    def __init__(self, first: Tensor, second: Tensor, generator: torch.Generator, samples: int = 400) -> None:
        self.numbers, person = torch.cat([first, second]).unique(return_inverse=True)
        self.people = len(self.numbers)
        self.same = first == second
        self._place = person[: len(first)] * self.people + person[len(first) :]  # (P,) of a table people × people
        draws = torch.randint(self.people, (samples, self.people), generator=generator)
        self.weights = torch.zeros(samples, self.people, dtype=torch.float64)  # times that each person is drawn
        self.weights.scatter_add_(1, draws, torch.ones_like(self.weights))
        self._impostors = self._table(~self.same)
        self._genuine = self._table(self.same).diagonal()

    def rates(self, scores: Tensor, threshold: float) -> FixedRates:
        """Compute the rates of accepting a pair if its score ≥ threshold.

        The interval of a rate of 0 does not end at 0, see `with_unseen_events`.

        Args:
            scores: Score of each pair, (P,).
            threshold: The threshold.

        Returns:
            Rates and intervals.
        """
        errors = self.errors(scores, threshold)
        far, frr = errors.rates(torch.ones(self.people, dtype=torch.float64))
        resampled = errors.rates(self.weights)
        far_interval, frr_interval = (
            with_unseen_events(percentile_interval(rates[rates.isfinite()]), people).tolist()
            for rates, people in zip(resampled, (self.people, self._genuine.count_nonzero().item()), strict=True)
        )
        return FixedRates(far.item(), frr.item(), tuple(far_interval), tuple(frr_interval))

    def errors(self, scores: Tensor, threshold: float) -> CountedErrors:
        """Count the wrong answers if a pair is accepted whose score ≥ threshold.

        Args:
            scores: Score of each pair, (P,).
            threshold: The threshold.

        Returns:
            Pairs and wrong answers by person, in the order of `numbers`.
        """
        accepted = scores >= threshold
        passed, refused = self._table(accepted & ~self.same), self._table(~accepted & self.same)
        return CountedErrors(passed, self._impostors, refused.diagonal(), self._genuine)

    def mean_cost(self, costs: Tensor) -> tuple[float, Tensor]:
        """Compute the mean of a cost, in which both kinds of pairs count alike: `cllr` of `ratio_costs`.

        Args:
            costs: What the answer to each pair costs, (P,).

        Returns:
            The mean of the two kinds' means, and the same of each resample, (samples,) float64. A resample without
            one kind of pair is NaN.
        """
        costs, weights = costs.double(), self.weights
        genuine, impostors = self._table(self.same, costs).diagonal(), self._table(~self.same, costs)
        mean = (genuine.sum() / self._genuine.sum() + impostors.sum() / self._impostors.sum()) / 2
        of_genuine = (weights @ genuine) / (weights @ self._genuine)
        of_impostors = ((weights @ impostors) * weights).sum(1) / ((weights @ self._impostors) * weights).sum(1)
        return mean.item(), (of_genuine + of_impostors) / 2

    def _table(self, pairs: Tensor, values: Tensor | None = None) -> Tensor:
        """Count the chosen pairs, (P,) bool, by gallery and probe person, or add up their values, (P,)."""
        chosen = None if values is None else values[pairs]
        counts = self._place[pairs].bincount(chosen, minlength=self.people**2)
        return counts.reshape(self.people, self.people).double()
