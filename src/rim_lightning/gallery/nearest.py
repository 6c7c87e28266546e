"""Exact search: who is most similar to each of many probes, among templates that arrive in batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Nearest(NamedTuple):
    """A template that is the most similar one of its person.

    Attributes:
        person: Name of the person.
        similarity: Cosine with the probe, added up in float64: it does not depend on what else is searched for.
        batch: What the template came in.
        row: Its place there.
    """

    person: str
    similarity: float
    batch: Any
    row: int


class NearestPeople:
    """Finds the people who are most similar to each probe, each by their most similar template.

    All templates are compared in float32, whose error is bounded; what may be among the best within that bound is
    compared in float64. So nobody is missed. Of equal templates the first counts.

    Args:
        probes: (B, E) of length 1.
        top: Number of people to find.
    """

    def __init__(self, probes: Vectors, top: int) -> None:
        self._probes = probes.astype(np.float32)
        self._top = top
        # |computed − true| ≤ E · 2⁻²⁴ for vectors of length 1 (Higham 2002, Eq 3.5), rounded up for lengths near 1.
        self._error = 1.1 * probes.shape[1] * 2.0**-24
        self._floor = np.full(len(probes), -np.inf)
        self._found: list[dict[str, Nearest]] = [{} for _ in probes]

    def add(self, vectors: Vectors, names: list[str], codes: NDArray[np.integer], batch: Any = None) -> None:
        """Compare a batch of templates.

        Args:
            vectors: (N, E) of length 1.
            names: P names of people, each once.
            codes: (N,) position in `names` of the person of each template.
            batch: What the templates come in, see `Nearest`.
        """
        scores = vectors @ self._probes.T  # (N, B)
        best, order, starts = _best_of_people(scores, codes)  # (people, B)
        close = best >= self._least(best)
        ends = [*starts[1:], len(order)]
        changed = set()
        for group, probe in zip(*close.nonzero(), strict=True):
            rows = order[starts[group] : ends[group]]
            rows = np.sort(rows[scores[rows, probe] >= best[group, probe] - 2 * self._error])
            exact = cosines(vectors[rows], self._probes[probe])
            row, name = rows[exact.argmax()], names[codes[rows[0]]]
            known = self._found[probe].get(name)
            if known is None or exact.max() > known.similarity:
                self._found[probe][name] = Nearest(name, float(exact.max()), batch, int(row))
                changed.add(probe)
        for probe in changed:
            self._keep_best(probe)

    def found(self) -> list[list[Nearest]]:
        """Return for each probe up to `top` people, the most similar first."""
        return [list(found.values())[: self._top] for found in self._found]

    def _least(self, best: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the score from which a person may be among the best for each probe, (B,)."""
        floor = self._floor
        if len(best) > self._top and np.isneginf(floor).any():  # else every person of the first batch would be close
            floor = np.maximum(floor, np.partition(best, -self._top, axis=0)[-self._top] - self._error)
        return np.asarray(floor - self._error)

    def _keep_best(self, probe: int) -> None:
        by_similarity = sorted(self._found[probe].values(), key=lambda nearest: -nearest.similarity)[: self._top]
        self._found[probe] = {nearest.person: nearest for nearest in by_similarity}
        if len(by_similarity) == self._top:
            self._floor[probe] = by_similarity[-1].similarity


def cosines(vectors: Vectors, probe: Vectors) -> NDArray[np.float64]:
    """Return the cosines of vectors (N, E) with one (E,), all of length 1. A row has the same bits among any others."""
    return np.asarray((vectors.astype(np.float64) * probe).sum(axis=1))


def _best_of_people(
    scores: NDArray[np.float32], codes: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Return the best scores of each person (people, B), the rows (N,) sorted by person, and where each one begins."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    if len(starts) == len(codes):
        return scores[order], order, starts
    return np.maximum.reduceat(scores[order], starts, axis=0), order, starts
