"""How many landmarks are refused: those of annotated faces, and those of every tenth with each kind of mistake.

Run `python benchmarks/landmark_check.py ../shared/data`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim_lightning.data.images import PictureHeader, picture_header
from rim_lightning.data.landmark_check import landmark_fault
from rim_lightning.data.readers.celebamask import read_celebamask
from rim_lightning.data.readers.files import read_landmark_table
from rim_lightning.data.readers.lfw import read_lfw
from rim_lightning.data.readers.people import read_people
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.data.readers.record import Record
from rim_lightning.schemes import FIVE, five_points

Mistake = Callable[[NDArray, PictureHeader], NDArray]

MISTAKES: dict[str, Mistake] = {
    "made for a picture twice as large": lambda five, header: five * 2,
    "normalized to 0 to 1": lambda five, header: five / [header.width, header.height],
    "x and y exchanged": lambda five, header: five[:, ::-1],
    "y counted from the bottom": lambda five, header: [0, header.height - 1] + five * [1, -1],
    "the picture is mirrored": lambda five, header: [header.width - 1, 0] + five * [-1, 1],
    "left and right exchanged": lambda five, header: five[[1, 0, 2, 4, 3]],
    "eyes and mouth exchanged": lambda five, header: five[[3, 4, 2, 0, 1]],
    "the eyes exchanged": lambda five, header: five[[1, 0, 2, 3, 4]],
    "corners of the mouth exchanged": lambda five, header: five[[0, 1, 2, 4, 3]],
    "nose first": lambda five, header: five[[2, 0, 1, 3, 4]],
    "an eye and the nose exchanged": lambda five, header: five[[2, 1, 0, 3, 4]],
    "nose and a corner of the mouth exchanged": lambda five, header: five[[0, 1, 3, 2, 4]],
    "the picture is upside down": lambda five, header: [header.width - 1, header.height - 1] - five,
}


def read_sets(data: Path) -> dict[str, list[Record]]:
    """List the annotated pictures of each set of the folder."""
    table = read_landmark_table(data / "faces" / "faces.tsv")
    return {
        "Helen": read_pts(data / "helen", first_pixel=0.0),
        "CelebAMask-HQ": read_celebamask(data / "celebamask"),
        "CelebA": read_people(data / "celeba" / "images", data / "celeba" / "landmarks68.tsv"),
        "LFW": read_lfw(data / "lfw", landmarks=data / "lfw" / "landmarks5.tsv"),
        "faces": [Record(name, data / "faces" / name, None, "train", points) for name, points in table.items()],
    }


def main() -> None:
    """Print the share of refused landmarks for each set and mistake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the annotated sets")
    sets = read_sets(parser.parse_args().data)
    refused = {mistake: dict.fromkeys(sets, 0.0) for mistake in ("as annotated", *MISTAKES)}
    for name, records in sets.items():
        headers = [picture_header(record.image) for record in records]
        faults = [landmark_fault(record.landmarks, header) for record, header in zip(records, headers, strict=True)]
        refused["as annotated"][name] = float(np.mean([fault is not None for fault in faults]))
        faces = [(five_points(record.landmarks), header) for record, header in zip(records, headers, strict=True)][::10]
        for mistake, change in MISTAKES.items():
            changed = [(np.asarray(change(five, header)), header) for five, header in faces if five is not None]
            faults = [landmark_fault({FIVE.name: points}, header) for points, header in changed]
            refused[mistake][name] = float(np.mean([fault is not None for fault in faults]))
    print("| mistake |", " | ".join(f"{name} ({len(records)})" for name, records in sets.items()), "|")
    print("|---|" + "---|" * len(sets))
    for mistake, shares in refused.items():
        print(f"| {mistake} |", " | ".join(f"{share:.1%}" for share in shares.values()), "|")


if __name__ == "__main__":
    main()
