"""People whose pictures are pooled: one template of each, the mean of the embeddings of all pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rim_lightning.gallery.nearest import Vectors

BLOCK = 4096
"""Number of people that are compared at a time."""


class PooledPeople:
    """Pools the pictures of each person, which arrive in batches.

    A template is the mean of the embeddings of all pictures, of length 1, as `inference.recognizer.pool` makes it. The
    sums are kept in float64: so that they do not depend on the order of the pictures, up to rounding to float32.

    Args:
        size: Length E of an embedding.
    """

    def __init__(self, size: int) -> None:
        self._number: dict[str, int] = {}
        self._sums = np.zeros((0, size))
        self._counts = np.zeros(0, dtype=np.int64)

    def add(self, vectors: Vectors, names: Sequence[str], codes: NDArray[np.integer]) -> None:
        """Add pictures.

        Args:
            vectors: (N, E) embeddings of length 1.
            names: P names of people, each once.
            codes: (N,) position in `names` of the person of each picture.
        """
        for name in names:
            self._number.setdefault(name, len(self._number))
        if (more := len(self._number) - len(self._sums)) > 0:
            more = max(more, len(self._sums) // 2)  # so that it grows in few steps
            self._sums = np.concatenate([self._sums, np.zeros((more, self._sums.shape[1]))])
            self._counts = np.concatenate([self._counts, np.zeros(more, dtype=np.int64)])
        people = np.array([self._number[name] for name in names])[codes]  # (N,)
        order = np.argsort(people, kind="stable")
        starts = np.flatnonzero(np.diff(people[order], prepend=-1))
        self._sums[people[order[starts]]] += np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
        np.add.at(self._counts, people, 1)

    def counts(self) -> dict[str, int]:
        """Return the number of pictures of each person."""
        return dict(zip(self._number, self._counts.tolist(), strict=False))

    def templates(self, people: Sequence[str] | None = None) -> Iterator[tuple[Vectors, list[str]]]:
        """Yield the templates of some people in blocks.

        Args:
            people: Names; those that are unknown are skipped. None for all.

        Yields:
            (P, E) templates of length 1, and P names.
        """
        chosen = list(self._number) if people is None else [name for name in people if name in self._number]
        for start in range(0, len(chosen), BLOCK):
            names = chosen[start : start + BLOCK]
            sums = self._sums[[self._number[name] for name in names]]
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            yield (sums / np.maximum(lengths, 1e-12)).astype(np.float32), names
