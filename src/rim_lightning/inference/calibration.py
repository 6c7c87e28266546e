"""Thresholds for each size of the probe, chosen on people whom the model was not trained on. Imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.functional.neighbors import log_neighbors
from rim_lightning.functional.unseen_events import with_unseen_events
from rim_lightning.inference.quality import QUALITY_FAR, QualityModel
from rim_lightning.inference.search_calibration import SearchCalibration, SearchPoint
from rim_lightning.inference.verdict import BICUBIC_PROBES, CalibrationSet, PooledQuality, ProbeQuality, Ratio

PROBE_SIZES = (7, 8, 10, 12, 14, 16, 20, 24, 28, 40, 56, 112)
FARS = (1e-1, 1e-2, 1e-3, 1e-4)
COUNTS = (1, 2, 4)
REACH = 1.25
"""Factor beyond the sizes of a calibration with true probes up to which it holds."""
EQUAL_FROM = 28.0
"""Size in pixels from which all probes of a template weigh the same. Weights were chosen among 8 to 28 px."""
SYNTHETIC_SETS = ("synthetic", "drawn_")
"""How the names of our synthetic sets begin, now and in version 0.1. Cards of earlier versions have no other sign."""


class OperatingPoint(NamedTuple):
    """A threshold and its error rates on the people of the calibration.

    Attributes:
        threshold: Accept if similarity ≥ threshold.
        far: False accept rate that the threshold was chosen for.
        frr: False reject rate at the threshold.
        far_interval: 95 % interval of the false accept rate of other people at the threshold. None if the card is of
            an earlier version and has none.
        frr_interval: The same of the false reject rate.
        not_acquired: Share of probes in which no usable face is found, which are not in these rates. None if that was
            not measured.
    """

    threshold: float
    far: float
    frr: float
    far_interval: tuple[float, float] | None = None
    frr_interval: tuple[float, float] | None = None
    not_acquired: float | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """Thresholds by number of pictures, size of the probe and false accept rate, and the people they come from.

    C is the number of `counts`, S of `sizes` and F of `fars`. The axes of both arrays are: number of probes, number of
    gallery pictures, size of the probe, false accept rate. An entry is NaN if fewer than ten impostor pairs would
    decide it.

    Attributes:
        set_name: Name of the set of people, for the card.
        digest: SHA-256 of the manifest of that prepared set.
        people: Number of people.
        genuine: Number of genuine pairs of single pictures.
        impostors: Number of impostor pairs of single pictures.
        counts: Numbers of pictures that are pooled into one template: ascending, from 1.
        sizes: Sides of the probes in pixels, ascending.
        fars: False accept rates.
        thresholds: (C, C, S, F) float64.
        frrs: (C, C, S, F) float64, false reject rates.
        synthetic: True if the faces of the set are synthetic, False if they are photographs. None if that is not known:
            cards of earlier versions do not say.
        probes: How the probes of the calibration were made, in words.
        intervals: (C, C, S, F, 4) float64, 95 % intervals over other people: of the false accept rate at the threshold
            (low, high), then of the false reject rate. None in cards of earlier versions.
        ratios: (C, C, S, 5) float64, the likelihood ratio: intercept and slope of its log10 over the similarity; the
            bound of its absolute value; its cost (Cllr) on these people; the least cost of any function of the
            similarity (Cllr_min). None in cards of earlier versions.
        not_acquired: Share of probes of each size in which no usable face was found, (S,). None if the faces were
            aligned before. If there are shares, the thresholds hold for sizes near `sizes` alone, see `REACH`.
        searches: Thresholds of searches. None in cards of earlier versions.
        quality: What the signals of a probe say of its quality. None in cards of earlier versions, or if they were not
            measured.
    """

    set_name: str
    digest: str
    people: int
    genuine: int
    impostors: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    fars: tuple[float, ...]
    thresholds: NDArray[np.float64]
    frrs: NDArray[np.float64]
    synthetic: bool | None = None
    probes: str = BICUBIC_PROBES
    intervals: NDArray[np.float64] | None = None
    ratios: NDArray[np.float64] | None = None
    not_acquired: tuple[float, ...] | None = None
    searches: SearchCalibration | None = None
    quality: QualityModel | None = None

    def __post_init__(self) -> None:
        cells = (len(self.counts), len(self.counts), len(self.sizes))
        shape = (*cells, len(self.fars))
        if not self.thresholds.shape == self.frrs.shape == shape:
            raise ValueError(
                f"Thresholds and false reject rates are {shape}, got {self.thresholds.shape} and {self.frrs.shape}."
            )
        for name, values, expected in (
            ("Intervals", self.intervals, (*shape, 4)),
            ("Likelihood ratios", self.ratios, (*cells, 5)),
        ):
            if values is not None and values.shape != expected:
                raise ValueError(f"{name} are {expected}, got {values.shape}.")

    def __eq__(self, other: object) -> bool:
        return self.to_plain() == other.to_plain() if isinstance(other, Calibration) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @property
    def chosen_on(self) -> CalibrationSet:
        """The set of people whom the thresholds come from."""
        kinds = {True: "synthetic", False: "photographs", None: "not stated"}
        return CalibrationSet(self.set_name, self.people, kinds[self.synthetic], self.probes)

    def operating_point(self, size: float, far: float, probes: int = 1, gallery: int = 1) -> OperatingPoint:
        """Return threshold and false reject rate for a probe.

        Between two sizes or counts, both are interpolated over the logarithm. Beyond the last ones, the last ones hold.

        Args:
            size: Side of the probe in pixels.
            far: False accept rate, one of `usable_fars`.
            probes: Number of probes that are pooled into one template.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            The operating point.

        Raises:
            ValueError: If the calibration has no threshold for that false accept rate at that size.

        Example:
            >>> thresholds = np.array([0.2, 0.4]).reshape(1, 1, 2, 1)  # 8 and 32 px
            >>> made_up = Calibration("made up", "", 2, 9, 9, (1,), (8, 32), (1e-3,), thresholds, thresholds)
            >>> point = made_up.operating_point(size=16, far=1e-3)
            >>> round(point.threshold, 3)  # log 16 lies half-way between log 8 and log 32
            0.3
        """
        column = self.check_far(far)
        threshold, frr = (
            float(self._between(values[..., column], size, probes, gallery)) for values in (self.thresholds, self.frrs)
        )
        if self.not_acquired is not None:
            self._check_reach(size)
        if math.isnan(threshold):
            raise ValueError(
                f"The calibration has too few people or pairs for a false accept rate of {far:g} at {size:.0f} px: "
                "choose a greater one."
            )
        if self.intervals is None:
            return OperatingPoint(threshold, far, frr)
        ends = self._between(self.stated_intervals(column), size, probes, gallery).tolist()
        shares = self.not_acquired
        lost = None if shares is None else sum(weight * shares[k] for k, weight in log_neighbors(self.sizes, size))
        return OperatingPoint(threshold, far, frr, tuple(ends[:2]), tuple(ends[2:]), lost)

    def stated_intervals(self, column: int) -> NDArray[np.float64]:
        """Return the 95 % intervals at a false accept rate, as answers state them.

        Cards of earlier versions have intervals from 0 to 0 where no true pair was missed, see `with_unseen_events`.

        Args:
            column: Position of the rate in `fars`.

        Returns:
            (C, C, S, 4): of the false accept rate (low, high), then of the false reject rate.

        Raises:
            ValueError: If the card has none.
        """
        if self.intervals is None:
            raise ValueError("The card has no intervals.")
        people = self.people if self.ratios is None else np.rint(10 ** self.ratios[..., 2])  # of each kind of template
        of_column = self.intervals[..., column, :]
        ends = [with_unseen_events(of_column[..., place], people) for place in (slice(0, 2), slice(2, 4))]
        return np.concatenate(ends, axis=-1)

    def template_point(self, sizes: Sequence[float], far: float, gallery: int = 1) -> OperatingPoint:
        """Return threshold and rates for a template of probes, pooled with `probe_weights`.

        Args:
            sizes: Side of each probe in pixels, at least one.
            far: False accept rate, one of `usable_fars`.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            Of one size, its point. Of several, the weighted mean of their thresholds, whose false accept rate is near
            the wanted one; the plain mean of their false reject rates, which is rather too high; the interval that
            holds those of all false accept rates, the means of the ends of the others, and the largest share of
            probes without a face.

        Raises:
            ValueError: See `operating_point`.
        """
        points = [self.operating_point(size, far, len(sizes), gallery) for size in sizes]
        if len(set(points)) == 1:
            return points[0]
        weights = np.array(probe_weights(sizes))
        shares = [point.not_acquired for point in points if point.not_acquired is not None]
        fars = [point.far_interval for point in points if point.far_interval is not None]
        frrs = [point.frr_interval for point in points if point.frr_interval is not None]
        return OperatingPoint(
            threshold=float(weights @ [point.threshold for point in points]),
            far=far,
            frr=float(np.mean([point.frr for point in points])),
            far_interval=(min(low for low, _ in fars), max(high for _, high in fars)) if fars else None,
            frr_interval=(float(np.mean(frrs, axis=0)[0]), float(np.mean(frrs, axis=0)[1])) if frrs else None,
            not_acquired=max(shares, default=None),
        )

    def beyond_measured(self, sizes: Sequence[float], gallery: int = 1) -> tuple[str, ...]:
        """Say where a comparison lies beyond what was measured, so that its rates are those of the nearest end.

        Probes larger than all that were measured are not named: networks read them reduced, nearly like the largest.

        Args:
            sizes: Side of each probe in pixels, at least one.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            A sentence for each such thing.

        Example:
            >>> points = np.zeros((1, 1, 1, 1))
            >>> made_up = Calibration("made up", "", 2, 9, 9, (1,), (8,), (1e-3,), points, points)
            >>> made_up.beyond_measured([8.0])
            ()
            >>> made_up.beyond_measured([5.0])
            ('the probe has 5 px: the rates are those of 8 px, the smallest size that was measured',)
            >>> print(made_up.beyond_measured([9.0], gallery=2)[0].partition(": ")[0])
            2 gallery pictures are pooled, and thresholds and rates are those of 1, the most that was measured
        """
        sentences = []
        least, most = self.sizes[0], self.counts[-1]
        if self.not_acquired is None and round(min(sizes)) < least:
            which = "the probe" if len(sizes) == 1 else "the smallest probe"
            sentences.append(
                f"{which} has {min(sizes):.0f} px: the rates are those of {least} px, the smallest size that was "
                "measured"
            )
        for count, what in ((len(sizes), "probes"), (gallery, "gallery pictures")):
            if count > most:
                sentences.append(
                    f"{count} {what} are pooled, and thresholds and rates are those of {most}, the most that was "
                    "measured: more strangers may pass"
                )
        return tuple(sentences)

    def template_ratio(self, similarity: float, sizes: Sequence[float], gallery: int = 1) -> Ratio | None:
        """Return the likelihood ratio of a template of probes, pooled with `probe_weights`.

        Args:
            similarity: Similarity of the template and a gallery template.
            sizes: Side of each probe in pixels, at least one.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            The ratio whose logarithm is the weighted mean of those of the sizes; None if the card has none.
        """
        known = [self.likelihood_ratio(similarity, size, len(sizes), gallery) for size in sizes]
        ratios = [ratio for ratio in known if ratio is not None]
        if not ratios or len(set(ratios)) == 1:
            return ratios[0] if ratios else None
        log10 = float(np.array(probe_weights(sizes)) @ [ratio.log10 for ratio in ratios])
        return Ratio(log10, min(ratio.bound for ratio in ratios), all(ratio.at_bound for ratio in ratios))

    def probe_quality(self, signals: Sequence[float], size: float, far: float, gallery: int = 1) -> ProbeQuality | None:
        """Return the quality of a single probe.

        Args:
            signals: Its signals (`networks.probe_signals`).
            size: Its side in pixels.
            far: False accept rate of the answer, one of `usable_fars`.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            The quality; None if the card knows none, or none near this size (`REACH`), or the network gave no signals.
        """
        if self.quality is None or not all(map(math.isfinite, signals)) or QUALITY_FAR not in self.usable_fars():
            return None
        if not self.quality.sizes[0] / REACH <= size <= self.quality.sizes[-1] * REACH:
            return None
        missed, at_quality_far = (
            self.quality.missed(self.operating_point(size, rate, 1, count).frr, signals, size)
            for rate, count in ((far, gallery), (QUALITY_FAR, 1))
        )
        return ProbeQuality(1 - at_quality_far, missed)

    def pooled_quality(self, signals: Sequence[Sequence[float]], sizes: Sequence[float]) -> PooledQuality | None:
        """Return the quality of each of several probes that are pooled, as if it were alone.

        Args:
            signals: The signals of each probe (`networks.probe_signals`).
            sizes: Side of each probe in pixels.

        Returns:
            The qualities; None if there are fewer than two probes, or `probe_quality` knows none of them.
        """
        if len(sizes) < 2:
            return None
        known = [self.probe_quality(own, size, QUALITY_FAR) for own, size in zip(signals, sizes, strict=True)]
        return PooledQuality.of([None if quality is None else quality.score for quality in known])

    def _check_reach(self, size: float) -> None:
        """Raise ValueError if a size is so far from those that were measured that nothing is known of it."""
        least, most = self.sizes[0] / REACH, self.sizes[-1] * REACH
        if not least <= size <= most:
            raise ValueError(
                f"The thresholds were measured on probes of {self.sizes[0]} to {self.sizes[-1]} px, and this one has "
                f"{size:.0f} px: measure it with probes of that size (rim calibrate)."
            )

    def likelihood_ratio(self, similarity: float, size: float, probes: int = 1, gallery: int = 1) -> Ratio | None:
        """Return the likelihood ratio of a similarity.

        Between two sizes or counts its logarithm is interpolated over their logarithm.

        Args:
            similarity: Similarity of a probe and a gallery template.
            size: Side of the probe in pixels.
            probes: Number of probes that are pooled into one template.
            gallery: Number of gallery pictures that are pooled into one template.

        Returns:
            The ratio; None if the card has none.
        """
        if self.ratios is None:
            return None
        intercept, slope, bound, *_ = self._between(self.ratios, size, probes, gallery).tolist()
        log10 = intercept + slope * similarity
        return Ratio(min(max(log10, -bound), bound), bound, abs(log10) > bound)

    def search_point(self, size: float, gallery: int, fpir: float) -> SearchPoint:
        """Return the threshold of a search for a single probe, see `SearchCalibration.point`.

        Args:
            size: Side of the probe in pixels.
            gallery: Number of pictures of the gallery.
            fpir: False positive identification rate: share of searches for strangers with a hit.

        Returns:
            Threshold and rates.

        Raises:
            ValueError: If the card has no thresholds of searches, or none for these values.
        """
        searches = self._required_searches()
        if self.not_acquired is not None:
            self._check_reach(size)
        return searches.point(size, gallery, fpir)

    def check_search(self, gallery: int, fpir: float) -> None:
        """Check before any search that there are thresholds of searches.

        Args:
            gallery: Number of pictures of the gallery.
            fpir: False positive identification rate.

        Raises:
            ValueError: If the card has none, or none for these values at any size.
        """
        self._required_searches().column(gallery, fpir)

    def _required_searches(self) -> SearchCalibration:
        if self.searches is None:
            raise ValueError(
                "The model has no thresholds of searches: export it again, or measure them (rim calibrate)."
            )
        return self.searches

    def _between(self, values: NDArray[np.float64], size: float, probes: int, gallery: int) -> NDArray[np.float64]:
        """Interpolate values by number of probes, number of gallery pictures and size, (C, C, S, …) -> (…)."""
        neighbors = (
            log_neighbors(self.counts, probes),
            log_neighbors(self.counts, gallery),
            log_neighbors(self.sizes, size),
        )
        terms = [a * b * c * values[i, j, k] for (i, a), (j, b), (k, c) in itertools.product(*neighbors)]
        return np.asarray(sum(terms))

    def check_far(self, far: float) -> int:
        """Check that there are thresholds for a false accept rate.

        Args:
            far: False accept rate.

        Returns:
            Its position in `fars`.

        Raises:
            ValueError: If there are none.
        """
        usable_fars = self.usable_fars()
        columns = [column for column, other in enumerate(self.fars) if other in usable_fars and _close(other, far)]
        if columns:
            return columns[0]
        if not usable_fars:
            raise ValueError(
                "The model has no usable thresholds: export it again with rim export --people and a set of more people."
            )
        choices = ", ".join(f"{usable:g}" for usable in usable_fars)
        raise ValueError(f"The model has no thresholds for a false accept rate of {far:g}: choose from {choices}.")

    def usable_fars(self) -> list[float]:
        """Return the false accept rates that have a threshold for every size and count.

        Of thresholds that a user measured, those that have one for any: their small sizes have few probes.
        """
        enough = np.all if self.not_acquired is None else np.any
        return [far for column, far in enumerate(self.fars) if enough(np.isfinite(self.thresholds[..., column]))]

    def to_plain(self) -> dict[str, Any]:
        """Return the calibration as numbers, strings and lists, for a JSON file.

        Returns:
            All attributes, `synthetic` only if it is known and `probes` only if they are not bicubic; instead of the
            arrays "points", nested lists (C, C, S, F) of [threshold, false reject rate] or None. With intervals
            their four ends follow in each list, and "ratios" are lists (C, C, S) of five numbers.
        """
        pairs = np.stack([self.thresholds, self.frrs], axis=-1)  # (C, C, S, F, 2)
        numbers = pairs if self.intervals is None else np.concatenate([pairs, self.intervals], axis=-1)
        points = [
            [
                [[None if math.isnan(pair[0]) else pair for pair in row] for row in by_size]
                for by_size in by_gallery_count
            ]
            for by_gallery_count in numbers.tolist()
        ]
        return {
            "faces": self.set_name,
            "digest": self.digest,
            **({} if self.synthetic is None else {"synthetic": self.synthetic}),
            **({} if self.probes == BICUBIC_PROBES else {"probes": self.probes}),
            "people": self.people,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "counts": list(self.counts),
            "sizes": list(self.sizes),
            "fars": list(self.fars),
            "points": points,
            **({} if self.ratios is None else {"ratios": self.ratios.tolist()}),
            **({} if self.not_acquired is None else {"not_acquired": list(self.not_acquired)}),
            **({} if self.searches is None else {"searches": self.searches.to_plain()}),
            **({} if self.quality is None else {"quality": self.quality.to_plain()}),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Calibration:
        """Read what `to_plain` returned.

        Args:
            plain: Content of the JSON file.

        Returns:
            The calibration.

        Raises:
            KeyError: If an entry is missing.
            TypeError: If an entry is not of its type, or is unknown.
            ValueError: If the lists of "points" do not fit counts, sizes and false accept rates.
        """
        rows = [row for by_gallery in plain["points"] for by_size in by_gallery for row in by_size]
        width = max((len(point) for row in rows for point in row if point is not None), default=2)
        missing = [math.nan] * width
        numbers = np.array(
            [
                [[[missing if pair is None else pair for pair in row] for row in by_size] for by_size in by_gallery]
                for by_gallery in plain["points"]
            ],
            dtype=np.float64,
        )  # (C, C, S, F, 2 or 6)
        ranges = {name: tuple(plain[name]) for name in ("counts", "sizes", "fars")}
        shape = (len(ranges["counts"]), len(ranges["counts"]), len(ranges["sizes"]), len(ranges["fars"]))
        if numbers.shape not in ((*shape, 2), (*shape, 6)):
            raise ValueError(f'"points" is {numbers.shape}: it must be {(*shape, 2)} or {(*shape, 6)}.')
        apart = ("faces", "points", "ratios", "not_acquired", "searches", "quality")
        other_entries = {name: value for name, value in plain.items() if name not in apart}
        if "synthetic" not in plain and str(plain["faces"]).startswith(SYNTHETIC_SETS):
            other_entries["synthetic"] = True
        return cls(
            set_name=plain["faces"],
            **(other_entries | ranges),
            thresholds=numbers[..., 0],
            frrs=numbers[..., 1],
            intervals=numbers[..., 2:] if width == 6 else None,
            ratios=np.array(plain["ratios"], dtype=np.float64) if "ratios" in plain else None,
            not_acquired=tuple(plain["not_acquired"]) if "not_acquired" in plain else None,
            searches=SearchCalibration.from_plain(plain["searches"], ranges["sizes"]) if "searches" in plain else None,
            quality=QualityModel.from_plain(plain["quality"]) if "quality" in plain else None,
        )


def probe_weights(sizes: Sequence[float]) -> list[float]:
    """Return the weight of each probe of a template: its size, up to `EQUAL_FROM`.

    Chosen on 404 validation people among powers of the size and functions of the mean similarity of true pairs:
    templates of 8, 8, 8 and 28 px then miss 31 instead of 54 % of true pairs at a FAR of 1e-2.

    Args:
        sizes: Side of each probe in pixels, at least one.

    Returns:
        As many weights, whose sum is 1.

    Example:
        >>> probe_weights([8, 24, 80, 300])
        [0.09090909090909091, 0.2727272727272727, 0.3181818181818182, 0.3181818181818182]
    """
    weights = [min(size, EQUAL_FROM) for size in sizes]
    total = sum(weights)
    return [weight / total for weight in weights]


def _close(far: float, other: float) -> bool:
    return math.isclose(far, other, rel_tol=1e-6)
