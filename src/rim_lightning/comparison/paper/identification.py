"""rim_lightning.comparison.paper.identification."""

from collections.abc import Mapping, Sequence

import torch

from rim_lightning.comparison.laboratory.laboratory import Laboratory
from rim_lightning.comparison.laboratory.readings import TEACHER, Reading
from rim_lightning.comparison.paper.cells import NO_DATA, Progress, _attempt
from rim_lightning.comparison.paper.rows import SWEEP
from rim_lightning.comparison.paper.write import Table
from rim_lightning.evaluation.protocols import SearchSet
from rim_lightning.functional.bootstrap import person_interval


def identification_table(
    laboratory: Laboratory, sets: Mapping[str, SearchSet | None], ranks: Sequence[int], progress: Progress
) -> Table:
    """Closed-set identification: the share of probes whose person is among the first gallery images."""
    columns = ["system"]
    for name in sets:
        columns += [f"{name}: rank {ranks[0]} (95 %)", *(f"{name}: rank {rank}" for rank in ranks[1:])]
    lines = []
    for label, reading in progress((*SWEEP, ("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER)))):
        line = [label]
        for people in sets.values():
            if people is None:
                line += [NO_DATA, *[""] * (len(ranks) - 1)]
                continue
            found = _attempt(laboratory.search, reading, people, laboratory.lr_size)
            if isinstance(found, str):
                line += [found, *[""] * (len(ranks) - 1)]
                continue
            owners = people.identity[people.probe]
            low, high = person_interval(found <= ranks[0], owners, torch.Generator().manual_seed(0))
            rates = [(found <= rank).double().mean().item() for rank in ranks]
            line += [f"{rates[0]:.4f} ({low:.3f} … {high:.3f})", *(f"{rate:.4f}" for rate in rates[1:])]
        lines.append(line)
    return Table("Identification", columns, lines)
