"""Error rates of groups of people at one threshold (ISO/IEC 19795-10): who is mistaken more often?"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import Reading
from rim_lightning.comparison.paper.cells import FIRST_SEED, attempt, rows_with_progress
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.sweep import probe_kinds
from rim_lightning.comparison.paper.write import Table
from rim_lightning.comparison.setup import Comparison, groups_of
from rim_lightning.evaluation.protocols import PairSet
from rim_lightning.functional.bootstrap import percentile_interval
from rim_lightning.functional.fixed_thresholds import PairsOfPeople
from rim_lightning.functional.seeded_probes import ProbeKind
from rim_lightning.functional.verification import thresholds_at_fars

COLUMNS = ("system", "people", "probe made by", "size", "FAR", "group", "number of people", "FMR (95 %)", "FNMR (95 %)")
RATIO = "greatest / least"
CHANCE = f"{RATIO}, groups drawn by lot"
ENDLESS = 1e9
"""What stands for the ratio of a rate to one of 0."""
DRAWS = 200
"""How often people are dealt to groups by lot."""
NOTES = (
    "One threshold for everybody, chosen for the FAR over all pairs of these people. FMR: false match rate among the "
    "pairs of two people of a group, who are harder to tell apart than people of two groups. FNMR: false non-match "
    "rate. The intervals are over other people.",
    f'"{RATIO}": ratio of the rates of the groups. It is at least 1. "{CHANCE}": the median and 95 % of the same if '
    "these people are dealt to groups of these sizes by lot: a ratio within is no sign of a difference.",
    FIRST_SEED,
)


class GroupRates(NamedTuple):
    """Error rates of G groups at the threshold of everybody.

    Attributes:
        groups: Names of the groups.
        people: Number of people of each.
        rates: (2, G) float64: false match rates, false non-match rates.
        resampled: (2, G, samples) float64, the same of each resample of people.
        by_lot: (2, G, DRAWS) float64, the same of people who are dealt to groups by lot.
    """

    groups: list[str]
    people: list[int]
    rates: Tensor
    resampled: Tensor
    by_lot: Tensor


def make_group_table(comparison: Comparison) -> Table:
    """Make the table of groups on the people that the protocol names; `groups` names the file of their groups."""
    file, settings = comparison.settings["groups"], comparison.settings["tricks"]
    groups = groups_of(comparison.settings)
    lines, notes = [], []
    for title, people in comparison.people().items():
        known = [name in groups for name in people.people]
        if not any(known):
            notes.append(f"{title}: {file} names nobody of them.")
            continue
        notes.append(f"{title}: of {len(known)} names {sum(known)} have a group. The others are left out.")
        lines += group_rows(comparison.laboratory, title, people, groups, probe_kinds(settings), settings["fars"])
    if not lines:
        raise ValueError(f"{file} names none of the people of {', '.join(comparison.people())}.")
    return Table("Groups of people", [*COLUMNS], lines, [*NOTES, *notes])


def group_rows(
    laboratory: Laboratory,
    title: str,
    people: PairSet,
    groups: Mapping[str, str],
    kinds: Mapping[ProbeKind, Sequence[int]],
    fars: Sequence[float],
) -> list[list[str]]:
    """Measure each group of some people.

    Args:
        laboratory: Measures the systems.
        title: Name of the people.
        people: Faces of known people.
        groups: Name of a person -> name of the group.
        kinds: Way of making the probe -> sizes that are measured with it, in pixels.
        fars: False accept rates that the thresholds are chosen for.

    Returns:
        Rows of the table.
    """
    lines = []
    cells = [(label, reading, kind, size) for label, reading in SWEEP for kind in kinds for size in kinds[kind]]
    for label, reading, kind, size in rows_with_progress(cells):
        place = [label, title, kind.in_words(), f"{size} px"]
        by_far = attempt(rates_of_groups, laboratory, reading, people, groups, size, kind, fars)
        if isinstance(by_far, str) or not by_far:
            reason = by_far if isinstance(by_far, str) else ""
            lines.append([*place, "", "", "", reason or "not measurable", ""])
            continue
        for far, found in by_far.items():
            where = [*place, f"{far:g}"]
            for number, group in enumerate(found.groups):
                cells_of_group = [_rate(found.rates[kind, number], found.resampled[kind, number]) for kind in (0, 1)]
                lines.append([*where, group, str(found.people[number]), *cells_of_group])
            lines.append([*where, RATIO, "", *(_ratio(found.rates[kind], found.resampled[kind]) for kind in (0, 1))])
            lines.append([*where, CHANCE, "", *(_ratio(None, found.by_lot[kind]) for kind in (0, 1))])
    return lines


def rates_of_groups(
    laboratory: Laboratory,
    reading: Reading,
    people: PairSet,
    groups: Mapping[str, str],
    size: int,
    kind: ProbeKind,
    fars: Sequence[float],
) -> dict[float, GroupRates]:
    """Measure the error rates of groups of people at thresholds of everybody.

    Args:
        laboratory: Measures the systems.
        reading: Systems that embed the two sides of the pairs.
        people: Faces of known people.
        groups: Name of a person -> name of the group.
        size: Side of the probes in pixels.
        kind: How the probes are made.
        fars: False accept rates that the thresholds are chosen for.

    Returns:
        False accept rate -> rates of the groups. One that fewer than ten pairs would decide is left out.

    Raises:
        ValueError: If fewer than two groups have pairs of one and of two people.
    """
    every = laboratory.all_pairs(reading, people, size, kind)
    row, column = (~every.left_out).nonzero(as_tuple=True)
    pairs = PairsOfPeople(every.gallery[row], every.probe[column], torch.Generator().manual_seed(0))
    scores = every.scores[row, column]
    names = [people.people[number] for number in pairs.numbers.tolist()]
    titles = sorted({groups[name] for name in names if name in groups})
    members = torch.tensor([[groups.get(name) == title for name in names] for title in titles]).double()  # (G, P)
    usable = pairs.errors(scores, 0.0).rates(members.reshape(len(titles), len(names)))
    kept = (usable[0].isfinite() & usable[1].isfinite()).nonzero().flatten().tolist()
    if len(kept) < 2:
        raise ValueError(f"{people.title}: fewer than two groups have pairs of one person and of two people.")
    titles, members = [titles[number] for number in kept], members[kept]
    dealt = _dealt_by_lot(members)
    found = {}
    for far, threshold in zip(fars, thresholds_at_fars(scores, pairs.same, fars), strict=True):
        if math.isnan(threshold):
            continue
        errors = pairs.errors(scores, threshold)
        rates = [errors.rates(weights) for weights in (members, pairs.weights * members[:, None], dealt)]
        counts = members.sum(1).int().tolist()
        found[far] = GroupRates(titles, counts, *(torch.stack(both) for both in rates))
    return found


def _dealt_by_lot(members: Tensor) -> Tensor:
    """Deal the people of the groups (G, P) to groups of the same sizes, (G, DRAWS, P)."""
    random = torch.Generator().manual_seed(0)
    grouped = members.any(0).nonzero().flatten()
    dealt = members[:, None].repeat(1, DRAWS, 1)
    for draw in range(DRAWS):
        dealt[:, draw, grouped] = members[:, grouped[torch.randperm(len(grouped), generator=random)]]
    return dealt


def _rate(rate: Tensor, resampled: Tensor) -> str:
    low, high = percentile_interval(resampled[resampled.isfinite()])
    return f"{rate:.3g} ({low:.3g} … {high:.3g})"


def _ratio(rates: Tensor | None, resampled: Tensor) -> str:
    """Format the greatest through the least of the rates (G,) and the interval of (G, samples); or its median."""
    ratios = resampled.amax(0) / resampled.amin(0)
    ratios = ratios[~ratios.isnan()].clamp(max=ENDLESS)
    if not len(ratios):
        return "no errors"
    tails = torch.tensor([0.025, 0.975], dtype=ratios.dtype)
    low, high = ratios.quantile(tails, interpolation="nearest").tolist()  # nothing lies between a number and endless
    middle = ratios.median() if rates is None else rates.max() / rates.min()
    return f"{_number(float(middle))} ({_number(low)} … {_number(high)})"


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < ENDLESS / 2 else "∞"
