"""Templates of probes: several pictures of one person that are searched for as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rim_lightning.data.readers.files import excerpt, read_picture_rows
from rim_lightning.inference.recognizer import pool
from rim_lightning.inference.verdict import in_words, shown_apart

if TYPE_CHECKING:
    from rim_lightning.inference.calibration import Calibration
    from rim_lightning.inference.faces import Box


class TemplatePicture(NamedTuple):
    """A picture of a template.

    Attributes:
        path: The picture.
        box: Box of the face in it, in pixels. None for the largest face.
        time: Time code of its frame in a clip; "" if it is of none.
        name: Name of the picture in messages. None for its path.
    """

    path: Path
    box: Box | None = None
    time: str = ""
    name: str | None = None


class PictureGroup(NamedTuple):
    """Pictures that are taken as those of one person.

    Attributes:
        name: Name of the template, for messages.
        pictures: At least one.
        track: Number or name of the track; None for another group.
    """

    name: str
    pictures: list[TemplatePicture]
    track: str | None = None


class Disagreement(NamedTuple):
    """Two groups of the pictures of one template that look like two people.

    Attributes:
        groups: Positions of the pictures of each group, the larger group first.
        similarity: Similarity of the templates of the two groups, in [-1, 1].
        threshold: Similarity from which on they would pass for one person.
        far: False accept rate of this threshold.
    """

    groups: tuple[list[int], list[int]]
    similarity: float
    threshold: float
    far: float

    def in_words(self, names: Sequence[str]) -> str:
        """Return a warning for the name of the template to stand before.

        Args:
            names: Names of all pictures of the template.
        """
        few = [names[place] for place in self.groups[1]]
        shown = few[0] if len(few) == 1 else f"{few[0]} and {len(few) - 1} more"
        similarity, threshold = shown_apart(self.similarity, self.threshold)
        return (
            f"its pictures look like two people (similarity {similarity}, less than {threshold} at "
            f"{in_words(self.far)}): look at {shown}, and divide them"
        )

    def plain(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it for a JSON object, with the names of the pictures in place of their positions."""
        return self._asdict() | {"groups": [[names[place] for place in group] for group in self.groups]}


def read_groups(table: Path, name: str) -> list[PictureGroup]:
    """Read the groups of pictures of a table with the columns `picture` and `track`, such as `tracks.csv`.

    Columns `time` (time code) and `face` (box x0,y0,x1,y1 of the face in the picture) are used if they are there.

    Args:
        table: The table. Its columns are separated by tabs, commas or semicolons; paths of pictures are relative to it.
        name: Name of the table or clip, with which the names of the groups begin.

    Returns:
        A group for each track, in the order of their first rows.

    Raises:
        FileNotFoundError: If there is no such table.
        ValueError: If it is damaged, lacks a column or rows, or names a picture outside of its folder.
    """
    pictures_of: dict[str, list[TemplatePicture]] = {}
    for where, path, cells in read_picture_rows(table, "track"):
        picture = TemplatePicture(path, _box_of(cells.get("face", ""), where), cells.get("time", ""))
        pictures_of.setdefault(cells["track"], []).append(picture)
    return [PictureGroup(f"{name}, track {track}", pictures, track) for track, pictures in pictures_of.items()]


def disagreement(embeddings: Tensor, sizes: Sequence[float], calibration: Calibration) -> Disagreement | None:
    """Tell whether the pictures of a template look like two people.

    The two pictures that are least alike begin two groups, and every other one joins the one that it resembles more.
    The pictures disagree if the templates of the groups are less similar than the threshold of the largest false accept
    rate of the model (1e-1, if it has it) for templates of so many pictures and the smallest size.

    Args:
        embeddings: (N, E) of length 1, of each picture.
        sizes: Side of the face on each in pixels, N of them.
        calibration: Thresholds of the model.

    Returns:
        The groups; None if the pictures agree, or are fewer than two.
    """
    if len(sizes) < 2:
        return None
    similarities = embeddings @ embeddings.T  # (N, N)
    one, other = divmod(int(similarities.argmin()), len(sizes))
    nearer = similarities[:, one] >= similarities[:, other]  # (N,), of the first group
    nearer[one], nearer[other] = True, False
    groups = sorted((torch.nonzero(member).flatten().tolist() for member in (nearer, ~nearer)), key=len, reverse=True)
    far = max(calibration.usable_fars(), default=math.nan)
    threshold = calibration.operating_point(min(sizes), far, *map(len, groups)).threshold
    similarity = float(pool(embeddings[groups[0]]) @ pool(embeddings[groups[1]]))
    if similarity >= threshold:
        return None
    return Disagreement((groups[0], groups[1]), similarity, threshold, far)


def _box_of(cell: str, where: str) -> Box | None:
    """Return the box in a cell of the column `face`; None if it is empty."""
    if not cell:
        return None
    try:
        x0, y0, x1, y1 = (float(number) for number in cell.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = math.nan
    if not (0 <= x0 < x1 < math.inf and 0 <= y0 < y1 < math.inf):
        raise ValueError(f"{where} has '{excerpt(cell)}' as box of a face: give x0,y0,x1,y1 in pixels, or nothing.")
    return x0, y0, x1, y1
