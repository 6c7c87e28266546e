"""What stands beside every verdict, of commands, page and Python alike. Imports no torch, so that `--help` is quick."""

from collections.abc import Sequence
from typing import NamedTuple

DEFAULT_FAR = 1e-3
"""False accept rate of everything that decides, unless the user chooses another one. There is no second default."""

BICUBIC_PROBES = "bicubic"
"""How the probes of calibrations are made whose card does not say it."""


class CalibrationSet(NamedTuple):
    """The set of people whom thresholds and error rates come from.

    Attributes:
        name: Name of the set, with its split.
        people: Number of people.
        faces: "photographs", "synthetic", or "not stated" (a card of an earlier version).
        probes: How the probes were made of them, in words.
    """

    name: str
    people: int
    faces: str
    probes: str = BICUBIC_PROBES

    def in_words(self) -> str:
        """Return the set in words.

        Example:
            >>> CalibrationSet("synthetic_64, val", 40, "synthetic").in_words()
            '40 synthetic people (synthetic_64, val)'
            >>> CalibrationSet("celeba_128, val", 34, "photographs").in_words()
            'photographs of 34 people (celeba_128, val)'
            >>> CalibrationSet("mine, val", 9, "not stated").in_words()
            '9 people (mine, val; the card does not say whether they are photographs)'
            >>> CalibrationSet("celeba_128, val", 34, "photographs", "camera").in_words()
            'photographs of 34 people (celeba_128, val), probes made by camera'
        """
        made = "" if self.probes == BICUBIC_PROBES else f", probes made by {self.probes}"
        if self.faces == "synthetic":
            return f"{self.people} synthetic people ({self.name}){made}"
        if self.faces == "photographs":
            return f"photographs of {self.people} people ({self.name}){made}"
        return f"{self.people} people ({self.name}; the card does not say whether they are photographs){made}"


TRUE_PROBES = "true probes"
"""How the probes of a calibration are called that nobody made; the size of those without a face is not known."""

VERBAL_SCALE = (
    (1e6, "extremely strong"),
    (1e4, "very strong"),
    (1e3, "strong"),
    (1e2, "moderately strong"),
    (1e1, "moderate"),
    (2.0, "weak"),
)
"""Support that a likelihood ratio gives from this value on: ENFSI Guideline for Evaluative Reporting, 2015."""


class Ratio(NamedTuple):
    """How many times as probable a similarity is for pictures of one person as for pictures of two people.

    Attributes:
        log10: Logarithm of the ratio, to base 10; never beyond the bound.
        bound: Largest absolute value that is stated: the logarithm of the number of people, because what none of N
            people shows may still have a probability of 1 / N.
        at_bound: True if the ratio would be beyond the bound: it is at least so large, or at most so small.
    """

    log10: float
    bound: float
    at_bound: bool

    def in_words(self) -> str:
        """Return the ratio with its verbal scale.

        Example:
            >>> Ratio(1.8, 2.6, False).in_words()
            'likelihood ratio 63: moderate support for one person rather than two'
            >>> Ratio(-2.6, 2.6, True).in_words()
            'likelihood ratio at most 1/398: moderately strong support for two people rather than one'
            >>> Ratio(0.1, 2.6, False).in_words()
            'likelihood ratio 1.3: it supports neither one person nor two'
            >>> Ratio(1.9985, 2.6, False).in_words()  # 99.65
            'likelihood ratio 100: moderately strong support for one person rather than two'
        """
        size = 10.0 ** abs(self.log10)
        size = float(f"{size:.2g}") if size < 10 else round(size)  # the words are those of the number that is shown
        number = f"{size:g}" if size < 10 else f"{size:,.0f}"
        bounded = ("at least " if self.log10 > 0 else "at most ") if self.at_bound else ""
        shown = f"likelihood ratio {bounded}{number if self.log10 >= 0 or size == 1 else f'1/{number}'}"
        support = next((word for least, word in VERBAL_SCALE if size >= least), None)
        if support is None:
            return f"{shown}: it supports neither one person nor two"
        kinds = "one person rather than two" if self.log10 > 0 else "two people rather than one"
        return f"{shown}: {support} support for {kinds}"


LOW_QUALITY = 0.25
"""Quality below which a probe is said to be of low quality: three of four true pairs are missed at a FAR of 1e-2."""


class ProbeQuality(NamedTuple):
    """How much a single probe is worth, by its size and by signals of the networks.

    Attributes:
        score: Estimated share of true pairs with such a probe that are above the threshold for a FAR of 1e-2, in
            [0, 1]: 0 is worst. It does not depend on the false accept rate of an answer.
        missed: Estimated share of true pairs with such a probe that are missed at the false accept rate of the answer.
    """

    score: float
    missed: float

    def caution(self) -> str | None:
        """Return a sentence that belongs before the verdict if the quality is low; else None.

        Example:
            >>> ProbeQuality(0.08, 0.963).caution()
            'low quality of the probe: of 100 true pairs with such a probe, about 96 would be missed'
            >>> ProbeQuality(0.4, 0.8).caution()
        """
        if self.score >= LOW_QUALITY:
            return None
        count = round(100 * self.missed)
        missed = f"about {count}" if count < 100 else "more than 99"
        return f"low quality of the probe: of 100 true pairs with such a probe, {missed} would be missed"


class PooledQuality(NamedTuple):
    """Quality of each picture of a probe that several pictures make, as if it were the probe alone.

    What they are worth together was not measured: the quality is fitted on single probes.

    Attributes:
        best: Greatest of the known scores.
        mean: Their mean; of copies of a picture one counts.
        scores: `ProbeQuality.score` of each picture; None where the card knows none for its size.
    """

    best: float
    mean: float
    scores: tuple[float | None, ...]

    @classmethod
    def of(cls, scores: Sequence[float | None]) -> "PooledQuality | None":
        """Return best and mean of some scores; None if none is known."""
        known = [score for score in scores if score is not None]
        return cls(max(known), sum(known) / len(known), tuple(scores)) if known else None

    def in_words(self) -> str:
        """Return the quality in words.

        Example:
            >>> PooledQuality.of([0.5, None, 0.25]).in_words()
            'quality of 2 of the 3 probes, each alone: best 0.50, mean 0.38 (0 is worst); pooled: not measured'
        """
        known = sum(score is not None for score in self.scores)
        which = f"the {known}" if known == len(self.scores) else f"{known} of the {len(self.scores)}"
        return (
            f"quality of {which} probes, each alone: best {self.best:.2f}, mean {self.mean:.2f} (0 is worst); "
            "pooled: not measured"
        )

    def caution(self) -> str | None:
        """Return a sentence that belongs before the verdict if every picture is known to be of low quality; else None.

        Example:
            >>> PooledQuality.of([0.1, 0.2]).caution()
            'low quality of each of the 2 probes, alone; how many true pairs they miss when pooled was not measured'
            >>> PooledQuality.of([0.1, 0.3]).caution()
            >>> PooledQuality.of([0.1, None]).caution()
        """
        if self.best >= LOW_QUALITY or None in self.scores:
            return None
        return (
            f"low quality of each of the {len(self.scores)} probes, alone; how many true pairs they miss when pooled "
            "was not measured"
        )


def verdict(accepted: bool, far: float) -> str:
    """Return on which side of the threshold a similarity lies.

    Args:
        accepted: True if similarity ≥ threshold.
        far: False accept rate that the threshold was chosen for.

    Returns:
        The side, with the false accept rate.

    Example:
        >>> verdict(False, 1e-3)
        'below the threshold (FAR 1 in 1,000)'
    """
    return f"{'above' if accepted else 'below'} the threshold ({in_words(far)})"


def shown_apart(similarity: float, threshold: float) -> tuple[str, str]:
    """Return a similarity and a threshold with three decimals, or with so many that they differ if they do.

    Example:
        >>> shown_apart(0.41234, 0.33)
        ('0.412', '0.330')
        >>> shown_apart(0.32996, 0.33)
        ('0.32996', '0.33000')
        >>> shown_apart(-0.0001, 0.33)
        ('0.000', '0.330')
    """
    for digits in range(3, 18):
        shown = f"{similarity:z.{digits}f}", f"{threshold:z.{digits}f}"
        if shown[0] != shown[1] or similarity == threshold:
            break
    return shown


def in_percent(rate: float) -> str:
    """Return a rate in percent. One that is not 0 is not shown as 0, and one that is not 1 not as 100.

    Example:
        >>> [in_percent(rate) for rate in (0.0, 0.0004, 0.473, 0.9996, 1.0)]
        ['0.0%', '<0.1%', '47.3%', '>99.9%', '100.0%']
    """
    shown = f"{rate:.1%}"
    if shown == "0.0%" and rate > 0:
        return "<0.1%"
    return ">99.9%" if shown == "100.0%" and rate < 1 else shown


def expected_count(count: float) -> str:
    """Return a mean number with two digits.

    Example:
        >>> [expected_count(count) for count in (0.0034, 0.34, 12.3, 12345.0)]
        ['0.0034', '0.34', '12', '12,000']
    """
    rounded = float(f"{count:.2g}")
    return f"{rounded:g}" if rounded < 10 else f"{rounded:,.0f}"


def in_words(far: float) -> str:
    """Return a false accept rate in words.

    Args:
        far: False accept rate.

    Example:
        >>> in_words(1e-4)
        'FAR 1 in 10,000'
    """
    return f"FAR {count_of(far, 'in')}"


def count_of(rate: float, of: str = "of") -> str:
    """Return a rate as a number of cases, which people understand better than a share.

    Args:
        rate: Share from 0 to 1.
        of: Word between the two numbers.

    Returns:
        Two whole numbers whose ratio differs from the rate by 2 % at most; "no" or "all" cases for 0 and 1.

    Example:
        >>> [count_of(rate) for rate in (0.001, 0.473, 0.9987, 0.00013, 1.0, 0.0)]
        ['1 of 1,000', '47 of 100', '9,987 of 10,000', '13 of 100,000', 'all', 'no']
    """
    if rate in (0, 1):
        return "all" if rate else "no"
    all_cases = _denominator(rate)
    return f"{round(rate * all_cases):,} {of} {all_cases:,}"


def interval_counts(interval: tuple[float, float]) -> str:
    """Return the two ends of an interval of a rate as numbers of cases of one number.

    Example:
        >>> [interval_counts(ends) for ends in ((0.00068, 0.0014), (0.0, 0.031), (0.9, 1.0))]
        ['68 to 140 of 100,000', '0 to 31 of 1,000', '9 to 10 of 10']
    """
    all_cases = max((_denominator(end) for end in interval if 0 < end < 1), default=100)
    low, high = (f"{round(end * all_cases):,}" for end in interval)
    return f"{low} to {high} of {all_cases:,}"


def interval_of(interval: tuple[float, float] | None) -> str:
    """Return a 95 % interval of a rate in words, in brackets; nothing if there is none.

    Example:
        >>> interval_of((0.0005, 0.0021))
        ' (95 % interval: 5 to 21 of 10,000)'
        >>> interval_of(None)
        ''
    """
    return "" if interval is None else f" (95 % interval: {interval_counts(interval)})"


def _denominator(rate: float) -> int:
    """Return the smallest power of ten of which a whole number is within 2 % of a rate in (0, 1), and of 1 - it."""
    for digits in range(1, 12):
        all_cases = 10**digits
        cases = round(rate * all_cases)
        if 0 < cases < all_cases and abs(cases - rate * all_cases) <= 0.02 * min(rate, 1 - rate) * all_cases:
            break
    return all_cases


def unsharp(gallery_size: float, sharp_size: float) -> str | None:
    """Return a warning if a gallery face is not sharp, so that the stated error rates do not hold for it.

    Args:
        gallery_size: Side of the gallery face in pixels.
        sharp_size: Side from which on a face is sharp.

    Example:
        >>> unsharp(20.4, 64)
        'the gallery face has 20 px: the rates below are those of sharp ones, of 64 px or more'
    """
    if gallery_size >= sharp_size:
        return None
    return (
        f"the gallery face has {gallery_size:.0f} px: the rates below are those of sharp ones, of {sharp_size:.0f} px "
        "or more"
    )
