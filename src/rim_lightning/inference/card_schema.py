"""What a card may say, with ranges. Imports no torch, but pydantic: import it where a card is read.

A default says that an entry may be missing, not what it is then: cards are read as they are.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rim_lightning.schema import Count, Digest, FileName, Schema, Share

LARGEST_SIMILARITY = 1.001
"""A cosine in half precision, rounded up."""

KNOWN_SIGNALS = ("length", "residual", "spread")
"""Signals of the quality of a probe, `networks.probe_signals.SIGNALS`, in their order."""

LARGEST_LOG10_RATIO = 9
"""log10 of the largest number of people of a calibration, which bounds its likelihood ratios."""


def _ascending(numbers: list[Any]) -> list[Any]:
    if any(low >= high for low, high in pairwise(numbers)):
        raise ValueError("its numbers must ascend")
    return numbers


def _point(numbers: list[float]) -> list[float]:
    threshold, *rates = numbers
    if not -LARGEST_SIMILARITY <= threshold <= LARGEST_SIMILARITY:
        raise ValueError("it must be a threshold between -1 and 1 and a rate")
    if not all(0 <= rate <= 1 for rate in rates):
        raise ValueError("it must be a threshold and a rate between 0 and 1")
    if len(rates) not in (1, 5):
        raise ValueError("it must be a threshold and a rate, or these and two intervals")
    if rates[1:] and (rates[1] > rates[2] or rates[3] > rates[4]):
        raise ValueError("its intervals must not end before they begin")
    return numbers


def _ratio(numbers: list[float]) -> list[float]:
    _, slope, bound, *costs = numbers
    if slope < 0:
        raise ValueError("a likelihood ratio must not fall where the similarity rises")
    if not 0 <= bound <= LARGEST_LOG10_RATIO or min(costs) < 0:
        raise ValueError(f"it must have a bound between 0 and {LARGEST_LOG10_RATIO} and two costs")
    return numbers


def _curve(columns: list[list[float]]) -> list[list[float]]:
    sizes, values = columns
    _ascending([0.0, *sizes])
    if len(sizes) != len(values) or not all(0 <= value <= 1 for value in values):
        raise ValueError("it must be sizes and as many weights between 0 and 1")
    return columns


Entries = Field(min_length=1, max_length=64)
ThresholdAndRates = Annotated[list[float], Field(min_length=2, max_length=6), AfterValidator(_point)]
RatioOfScores = Annotated[list[float], Field(min_length=5, max_length=5), AfterValidator(_ratio)]
TwoColumns = Annotated[list[Annotated[list[float], Entries]], Field(min_length=2, max_length=2), AfterValidator(_curve)]
"""Sizes of probes, and a number for each."""


class SearchesSchema(Schema):
    """`SearchCalibration.to_plain`."""

    galleries: Annotated[list[Annotated[int, Field(ge=1, le=10**9)]], Entries, AfterValidator(_ascending)]
    fpirs: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Entries]
    points: list[list[list[ThresholdAndRates | None]]]


class QualitySchema(Schema):
    """`QualityModel.to_plain`."""

    signals: Annotated[list[Annotated[str, Field(max_length=40)]], Entries]
    sizes: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Entries, AfterValidator(_ascending)]
    means: Annotated[list[list[Annotated[float, Field(ge=-1e3, le=1e3)]]], Entries]
    spreads: Annotated[list[list[Annotated[float, Field(ge=1e-6, le=1e3)]]], Entries]
    weights: Annotated[list[Annotated[float, Field(ge=-1e3, le=1e3)]], Entries]

    @model_validator(mode="after")
    def _fits(self) -> "QualitySchema":
        if self.signals != list(KNOWN_SIGNALS):
            raise ValueError(f"signals must be {', '.join(KNOWN_SIGNALS)}")
        rows = [*self.means, *self.spreads, self.weights]
        if not len(self.means) == len(self.spreads) == len(self.sizes) or {*map(len, rows)} != {len(self.signals)}:
            raise ValueError("means and spreads must have a row for each size, and a number for each signal")
        return self


class CalibrationSchema(Schema):
    """`Calibration.to_plain`."""

    faces: Annotated[str, Field(max_length=1000)]
    digest: Annotated[str, Field(max_length=64)]
    synthetic: bool = False
    probes: Annotated[str, Field(max_length=1000)] = ""
    people: Annotated[int, Field(ge=1, le=10**9)]
    genuine: Count
    impostors: Count
    counts: Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Entries, AfterValidator(_ascending)]
    sizes: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Entries, AfterValidator(_ascending)]
    fars: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Entries]
    points: list[list[list[list[ThresholdAndRates | None]]]]
    ratios: list[list[list[RatioOfScores]]] = Field(default=[])
    not_acquired: list[Share] = Field(default=[])
    searches: SearchesSchema | None = None
    quality: QualitySchema | None = None

    @model_validator(mode="after")
    def _fits(self) -> "CalibrationSchema":
        counts, sizes, fars = len(self.counts), len(self.sizes), len(self.fars)
        rows = [row for by_gallery in self.points for by_size in by_gallery for row in by_size]
        lengths = [len(self.points), *map(len, self.points), *(len(s) for g in self.points for s in g), *map(len, rows)]
        if lengths != [counts] * (1 + counts) + [sizes] * counts**2 + [fars] * (counts**2 * sizes):
            raise ValueError(
                f"points must be {counts} x {counts} x {sizes} x {fars} entries, as counts, sizes and fars"
            )
        if len({len(point) for row in rows for point in row if point is not None}) > 1:
            raise ValueError("points must all have intervals, or none of them")
        lengths = [len(self.ratios), *map(len, self.ratios), *(len(by_size) for g in self.ratios for by_size in g)]
        self._check_searches()
        if self.not_acquired and len(self.not_acquired) != sizes:
            raise ValueError(f"not_acquired must be {sizes} shares, as sizes")
        if self.ratios and lengths != [counts] * (1 + counts) + [sizes] * counts**2:
            raise ValueError(f"ratios must be {counts} x {counts} x {sizes} entries, as counts and sizes")
        if self.fars != sorted(self.fars, reverse=True):
            return self
        for row in rows:
            known = [point for point in row if point is not None]
            if any(now[0] < before[0] or now[1] < before[1] for before, now in pairwise(known)):
                raise ValueError(
                    "thresholds and false reject rates in points must rise where the false accept rate falls"
                )
        return self

    def _check_searches(self) -> None:
        if self.searches is None:
            return
        sizes, galleries, fpirs = len(self.sizes), len(self.searches.galleries), len(self.searches.fpirs)
        rows = [row for by_gallery in self.searches.points for row in by_gallery]
        lengths = [len(self.searches.points), *map(len, self.searches.points), *map(len, rows)]
        if lengths != [sizes, *[galleries] * sizes, *[fpirs] * (sizes * galleries)]:
            raise ValueError(f"searches.points must be {sizes} x {galleries} x {fpirs} entries, as sizes and searches")
        if any(len(point) != 6 for row in rows for point in row if point is not None):
            raise ValueError("searches.points must have a threshold, a rate and two intervals each")


class UsageSchema(Schema):
    """`Usage.to_plain`."""

    flip: bool = False
    shift: Annotated[float, Field(ge=0, le=0.25)] = 0.0
    mixture: TwoColumns = Field(default=[[1.0], [1.0]])
    reduced_gallery: TwoColumns = Field(default=[[1.0], [0.0]])


class ArgumentsSchema(Schema):
    """Arguments of the network, of which `networks.architecture_check` checks all before it is built."""

    model_config = ConfigDict(extra="allow")

    hr_size: Annotated[int, Field(ge=1, le=4096)]
    lr_size: Annotated[int, Field(ge=1, le=4096)]


class ArchitectureSchema(Schema):
    """Name and arguments of the network."""

    name: Literal["rim"]
    arguments: ArgumentsSchema


class TrainingSchema(Schema):
    """What is known of the run that trained the model; what else is there is not read."""

    model_config = ConfigDict(extra="ignore")

    command: str = ""
    sets: list[str] = Field(default=[])
    faces: Count = 0
    code: str = ""
    started_from: list["TrainingSchema"] = Field(default=[])


class CardSchema(Schema):
    """`card.json`. Further entries are for people, and are not read."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1, 2]
    version: str = "unknown"
    architecture: ArchitectureSchema
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    files: Annotated[dict[FileName, Digest], Field(min_length=1, max_length=100)]
    inputs: str = ""
    usage: UsageSchema = UsageSchema()
    calibration: CalibrationSchema | None
    pair_calibration: CalibrationSchema | None = None
    license: str
    limits: list[str]
    terms: str = ""
    training: TrainingSchema = TrainingSchema()
    metrics: dict[str, float | None] = Field(default={})
    checkpoint_sha256: Digest = ""
    half_precision: str = ""
    half_precision_change: Share = 0.0
