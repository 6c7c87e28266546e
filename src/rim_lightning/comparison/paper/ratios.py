"""Likelihood ratios with hallucination and without: what they cost on people whom they were not fitted to."""

from collections.abc import Mapping, Sequence

from rim_lightning.comparison.laboratory.laboratory import Laboratory, RatioQuality
from rim_lightning.comparison.paper.cells import attempt, difference_cell, rate_cell, rows_with_progress
from rim_lightning.comparison.paper.rows import CONTROLS, RIM, TRICKS
from rim_lightning.comparison.paper.sweep import probe_kinds
from rim_lightning.comparison.paper.tricks import AHEAD_OF_BEST
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.seeded_probes import ProbeKind

NOTES = (
    "Cllr, the cost of likelihood ratios in bits, over ALL pairs of a sharp gallery face, read by the teacher, with a "
    "probe of these people, and its 95 % interval over other people and, for several seeds, other trainings. 0 is "
    "perfect, and 1 is the cost of saying nothing. Least: Cllr_min, the least cost of any "
    "rising function of the similarity.",
    "The ratio of a cosine is fitted by logistic regression to the calibration pairs, whose probes are made alike, and "
    "never says more than the number of their people.",
    f'"{AHEAD_OF_BEST}": less is better; the control is the row without hallucination that costs least in this cell, '
    "which favors the control.",
)


def make_ratio_table(comparison: Comparison) -> Table:
    """Make the table of likelihood ratios on the people that the protocol names."""
    settings, people = comparison.settings["tricks"], comparison.people()
    return ratio_table(comparison.laboratory, people, comparison.calibration, probe_kinds(settings))


def ratio_table(
    laboratory: Laboratory,
    people: Mapping[str, PairSet],
    calibration: PairSet,
    kinds: Mapping[ProbeKind, Sequence[int]],
) -> Table:
    """Measure `TRICKS`, in one block of rows for each set of people and way of making probes.

    Args:
        laboratory: Measures the systems.
        people: Title -> faces whose people are known.
        calibration: Pairs that the ratios are fitted to.
        kinds: Way of making the probe -> sizes that are measured with it, in pixels.
    """
    sizes = sorted({size for sizes_of_kind in kinds.values() for size in sizes_of_kind})
    lines = []
    for title, kind in rows_with_progress([(title, kind) for title in people for kind in kinds]):
        found = {
            (row.label, size): attempt(
                laboratory.likelihood_ratios, row.reading, people[title], calibration, size, kind
            )
            for row in TRICKS
            for size in kinds[kind]
        }
        place = [title, kind.in_words()]
        lines += [[row.label, *place, *(_cell(found.get((row.label, size), "")) for size in sizes)] for row in TRICKS]
        lines.append([AHEAD_OF_BEST, *place, *(_difference(found, size) for size in sizes)])
    columns = ["system", "people", "probe made by", *(f"{size} px: Cllr (95 %), least" for size in sizes)]
    return Table("Likelihood ratios", columns, lines, [*NOTES])


def _cell(found: RatioQuality | str | None) -> str:
    if isinstance(found, RatioQuality):
        return f"{rate_cell(found.cost)}, {found.least:.3f}"
    return "not measurable" if found is None else found


def _difference(found: Mapping[tuple[str, int], RatioQuality | str | None], size: int) -> str:
    """Format what RIM costs more than the best row without hallucination; empty without RIM or without any of them."""
    (rim,) = (found.get((row.label, size)) for row in TRICKS if row.reading == RIM)
    controls = {row.label: other for row in CONTROLS if isinstance(other := found.get((row.label, size)), RatioQuality)}
    if not isinstance(rim, RatioQuality) or not controls:
        return ""
    best = min(controls, key=lambda label: controls[label].cost.figures.mean().item())
    return f"{difference_cell(rim.cost, controls[best].cost)}, against {best}"
