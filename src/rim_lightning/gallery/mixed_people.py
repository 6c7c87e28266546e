"""People of a gallery whose pictures look like two people."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import torch

from rim_lightning.gallery.index import Gallery, Template
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.templates import Disagreement, disagreement


class MixedPerson(NamedTuple):
    """A person whose pictures look like two people.

    Attributes:
        person: Name of the person.
        sources: Paths of all pictures of the person.
        disagreement: The two groups of them.
    """

    person: str
    sources: list[str]
    disagreement: Disagreement


def mixed_people(gallery: Gallery, people: Collection[str], calibration: Calibration | None) -> list[MixedPerson]:
    """Look for people whose pictures look like two people.

    Args:
        gallery: The gallery.
        people: Names of the people to look at.
        calibration: Thresholds of the model: those of its largest probes are taken, since the pictures are sharp. None,
            or thresholds of synthetic faces, tell nothing.

    Returns:
        Those people, sorted by name.
    """
    if calibration is None or calibration.synthetic or not calibration.usable_fars():
        return []
    wanted = set(people)
    counts = {name: count for name, count in gallery.people().items() if name in wanted and count > 1}
    digests = {row.digest for row in gallery.enrolled() if row.person in counts}
    templates_of: dict[str, list[Template]] = {name: [] for name in counts}
    for templates in gallery.templates_of(digests).values():
        for template in templates:
            if template.picture.person in counts:
                templates_of[template.picture.person].append(template)
    mixed = []
    for name, templates in templates_of.items():
        embeddings = torch.stack([template.embedding for template in templates])
        if split := disagreement(embeddings, [calibration.sizes[-1]] * len(templates), calibration):
            mixed.append(MixedPerson(name, [template.picture.source for template in templates], split))
    return mixed
