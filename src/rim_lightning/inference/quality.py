"""How much worse or better a probe is than others of its size, by signals that come with its embedding. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.functional.neighbors import log_neighbors
from rim_lightning.functional.offset_regression import fit_log_odds, log_odds, sigmoid

QUALITY_FAR = 1e-2
"""False accept rate at which the quality is stated and its weights are fitted."""

Floats = NDArray[np.float64]


class QualityModel(NamedTuple):
    """Log odds that a true pair is missed with a probe, beside those of all probes of its size.

    A signal of K counts by how far it is from its mean at that size, in standard deviations. Between two sizes both
    are interpolated over the logarithm; beyond the last ones, the last ones hold.

    Attributes:
        signals: Names of the signals (`networks.probe_signals`), K of them.
        sizes: Sides of the probes in pixels, ascending, S of them.
        means: Mean of each signal at each size, S lists of K.
        spreads: Its standard deviation, likewise, > 0.
        weights: Rise of the log odds for each signal greater by one standard deviation, K of them.
    """

    signals: tuple[str, ...]
    sizes: tuple[int, ...]
    means: tuple[tuple[float, ...], ...]
    spreads: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]

    def missed(self, rate: float, signals: Sequence[float], size: float) -> float:
        """Return the share of true pairs that is missed with such a probe.

        Args:
            rate: Share that is missed with all probes of its size, in [0, 1].
            signals: The signals of the probe, finite.
            size: Its side in pixels.

        Returns:
            The share, in [0, 1].

        Example:
            >>> model = QualityModel(("length",), (8, 32), ((0.0,), (2.0,)), ((1.0,), (1.0,)), (-1.0,))
            >>> round(model.missed(0.5, [2.0], 16), 3)  # the mean at 16 px is 1, one standard deviation less
            0.269
        """
        return float(sigmoid(log_odds(np.array(rate)) + self.rise(np.array([signals]), size)[0]))

    def rise(self, signals: Floats, size: float) -> Floats:
        """Return the rise of the log odds for probes of one size, (N, K) -> (N,)."""
        means, spreads = (
            sum(share * np.array(rows[place]) for place, share in log_neighbors(self.sizes, size))
            for rows in (self.means, self.spreads)
        )
        return np.asarray((signals - means) / spreads @ np.array(self.weights))

    def to_plain(self) -> dict[str, Any]:
        """Return the model for a JSON file."""
        return {name: _listed(value) for name, value in self._asdict().items()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> QualityModel:
        """Read what `to_plain` returned.

        Raises:
            TypeError: If an entry is missing or unknown.
        """
        return cls(**{name: _fixed(value) for name, value in plain.items()})


class MissedPairs(NamedTuple):
    """Probes of one size with their true pairs at the threshold of `QUALITY_FAR`.

    Attributes:
        signals: (N, K), finite.
        missed: Number of true pairs of each probe below the threshold, (N,).
        pairs: Number of its true pairs, (N,).
    """

    signals: Floats
    missed: Floats
    pairs: Floats


def fit_quality(names: Sequence[str], probes: Mapping[int, MissedPairs]) -> QualityModel | None:
    """Fit the weights of the signals: a logistic regression around the rate of each size.

    Args:
        names: Names of the K signals.
        probes: Size in pixels, ascending -> probes.

    Returns:
        The model. None if at no size some true pairs are missed and some not, or a signal is constant.
    """
    usable = {size: each for size, each in probes.items() if 0 < each.missed.sum() < each.pairs.sum()}
    spreads = {size: each.signals.std(0) for size, each in usable.items()}
    if not usable or min(spread.min() for spread in spreads.values()) <= 0:
        return None
    means = {size: each.signals.mean(0) for size, each in usable.items()}
    inputs = [(each.signals - means[size]) / spreads[size] for size, each in usable.items()]
    rates = [each.missed.sum() / each.pairs.sum() for each in usable.values()]
    offsets = [np.full(len(each.pairs), log_odds(rate)) for each, rate in zip(usable.values(), rates, strict=True)]
    missed, pairs = (np.concatenate([getattr(each, name) for each in usable.values()]) for name in ("missed", "pairs"))
    weights = fit_log_odds(np.concatenate(inputs), np.concatenate(offsets), missed, pairs)
    rows = [_fixed([each[size].tolist() for size in usable]) for each in (means, spreads)]
    return QualityModel(tuple(names), tuple(usable), rows[0], rows[1], _fixed(weights.tolist()))


def _listed(value: Any) -> Any:
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def _fixed(value: Any) -> Any:
    return tuple(_fixed(part) for part in value) if isinstance(value, list) else value
