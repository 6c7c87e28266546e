"""Thresholds of searches by size of the gallery. Imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.functional.neighbors import log_neighbors
from rim_lightning.inference.quality import QUALITY_FAR
from rim_lightning.inference.verdict import PooledQuality, ProbeQuality, count_of, in_words, interval_of

GALLERIES = (1, 3, 10, 30, 100, 300)
FPIRS = (0.1, 0.03, 0.01)


class SearchPoint(NamedTuple):
    """A threshold for searches in a gallery, and its rates on the people of the calibration.

    Attributes:
        threshold: A gallery picture is a hit if its similarity ≥ threshold.
        fpir: False positive identification rate that the threshold was chosen for: share of strangers with a hit.
        fnir: False negative identification rate: share of the people of the gallery without a hit of theirs.
        fpir_interval: 95 % interval of the FPIR of other people.
        fnir_interval: The same of the FNIR.
    """

    threshold: float
    fpir: float
    fnir: float
    fpir_interval: tuple[float, float]
    fnir_interval: tuple[float, float]

    def in_words(self) -> str:
        """Return the rates in a sentence."""
        of_strangers, of_mates = interval_of(self.fpir_interval), interval_of(self.fnir_interval)
        return (
            f"about {count_of(self.fpir)} searches for strangers give a false hit{of_strangers}, and "
            f"{count_of(self.fnir)} searches for people of the gallery find nothing{of_mates}"
        )


@dataclass(frozen=True, eq=False)
class SearchCalibration:
    """Thresholds of searches for a single probe in galleries with one picture of each person.

    Attributes:
        sizes: Sides of the probes in pixels, ascending (S).
        galleries: Numbers of people of the gallery, ascending (N).
        fpirs: False positive identification rates (K).
        points: (S, N, K, 6): threshold, FNIR, ends of the interval of the FPIR and of the FNIR; NaN where too few
            people would decide.
    """

    sizes: tuple[int, ...]
    galleries: tuple[int, ...]
    fpirs: tuple[float, ...]
    points: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = (len(self.sizes), len(self.galleries), len(self.fpirs), 6)
        if self.points.shape != shape:
            raise ValueError(f"Points of searches are {shape}, got {self.points.shape}.")

    def column(self, gallery: int, fpir: float) -> int:
        """Check that searches of a gallery were measured at a rate.

        Args:
            gallery: Number of pictures of the gallery.
            fpir: False positive identification rate.

        Returns:
            Its position in `fpirs`.

        Raises:
            ValueError: If the gallery is larger than any that was measured, or there is no such rate.
        """
        if gallery > self.galleries[-1]:
            raise ValueError(
                f"The gallery has {gallery:,} pictures, and searches were measured up to {self.galleries[-1]:,}: leave "
                "--fpir out, or measure them on more people (rim calibrate)."
            )
        columns = [column for column, other in enumerate(self.fpirs) if math.isclose(other, fpir, rel_tol=1e-6)]
        if not columns:
            choices = ", ".join(f"{other:g}" for other in self.fpirs)
            raise ValueError(f"There are no thresholds for an FPIR of {fpir:g}: choose from {choices}.")
        return columns[0]

    def point(self, size: float, gallery: int, fpir: float) -> SearchPoint:
        """Return the threshold of a search.

        Between two sizes or two galleries it is interpolated over the logarithm.

        Args:
            size: Side of the probe in pixels.
            gallery: Number of pictures of the gallery.
            fpir: False positive identification rate, one of `fpirs`.

        Returns:
            Threshold and rates.

        Raises:
            ValueError: If the gallery is larger than any that was measured, or there is no threshold.
        """
        column = self.column(gallery, fpir)
        weighted = itertools.product(log_neighbors(self.sizes, size), log_neighbors(self.galleries, max(gallery, 1)))
        terms = [a * b * self.points[i, j, column] for (i, a), (j, b) in weighted]
        threshold, fnir, *ends = np.asarray(sum(terms)).tolist()
        if math.isnan(threshold):
            raise ValueError(
                f"The calibration has too few people for an FPIR of {fpir:g} at {size:.0f} px: choose a greater one."
            )
        return SearchPoint(threshold, fpir, fnir, (ends[0], ends[1]), (ends[2], ends[3]))

    def to_plain(self) -> dict[str, Any]:
        """Return the calibration for a JSON file; a point without a threshold is None."""
        points = [
            [[None if math.isnan(point[0]) else point for point in row] for row in by_gallery]
            for by_gallery in self.points.tolist()
        ]
        return {"galleries": list(self.galleries), "fpirs": list(self.fpirs), "points": points}

    @classmethod
    def from_plain(cls, plain: dict[str, Any], sizes: tuple[int, ...]) -> SearchCalibration:
        """Read what `to_plain` returned.

        Raises:
            ValueError: If the points do not fit sizes, galleries and rates.
        """
        missing = [math.nan] * 6
        points = [
            [[missing if point is None else point for point in row] for row in by_gallery]
            for by_gallery in plain["points"]
        ]
        return cls(sizes, tuple(plain["galleries"]), tuple(plain["fpirs"]), np.array(points, dtype=np.float64))


def pooled_quality_of(answer: Mapping[str, Any]) -> PooledQuality | None:
    """Return the quality of the probes of a search for several, from its answer as in a JSON object."""
    plain = answer["pooled_quality"]
    return None if plain is None else PooledQuality(**plain)


def search_cautions(answer: Mapping[str, Any]) -> list[str]:
    """Return what is to be said before the hits of a search: low quality of probes, and what was not measured.

    Args:
        answer: Its answer as in a JSON object: `quality` of a single probe, or `pooled_quality`; `fpir` and `beyond`.
    """
    low = None
    if quality := answer.get("quality"):
        low = ProbeQuality(**quality).caution()
        if low is not None and answer.get("fpir") is not None:
            low = f"{low} ({in_words(QUALITY_FAR)})"  # the FPIR is another threshold
    elif "pooled_quality" in answer and (pooled := pooled_quality_of(answer)):
        low = pooled.caution()
    return [*([] if low is None else [low]), *answer["beyond"]]
