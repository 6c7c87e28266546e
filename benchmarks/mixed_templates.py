"""How often are two people in one template found, and how often is one person taken for two?

    python benchmarks/mixed_templates.py ../shared/data

Templates of four pictures of people on whom nothing was trained (`faces/validation_people.txt`), reduced bicubically to
each size: of one person, of three pictures of one and one of another, and of two and two. The model is that of the
package.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.templates import disagreement

SIZES = (10, 16, 24, 40)
KINDS = {"one person": (4, 0), "three and one": (3, 1), "two and two": (2, 2)}


def people_of(folder):
    """Pictures of each validation person who has four: arrays (128, 128, 3)."""
    people = set((folder / "validation_people.txt").read_text().split())
    names = defaultdict(list)
    with (folder / "faces.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["identity"] in people:
                names[row["identity"]].append(row["image"])
    return [[picture(folder, name) for name in group[:4]] for group in names.values() if len(group) >= 4]


def picture(folder, name):
    file = next(path for path in (folder / name, folder / "images" / name) if path.is_file())
    return np.asarray(Image.open(file).convert("RGB"))[16:144, 16:144]


def main():
    torch.set_num_threads(1)
    recognizer = Recognizer.from_checkpoint()
    calibration = recognizer.required_calibration()
    people = people_of(Path(sys.argv[1]) / "faces")
    print(f"| size | {' | '.join(f'{kind}: said to be two people' for kind in KINDS)} |")
    print("|---|" + "---|" * len(KINDS))
    for size in SIZES:
        faces = [
            recognizer.align([cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) for image in person], True)
            for person in people
        ]
        embeddings = [recognizer.embed_probes(person) for person in faces]
        cells = []
        for first, second in KINDS.values():
            said = 0
            for index in range(len(people)):
                other = (index + 1) % len(people)
                template = faces[index][:first] + faces[other][:second]
                together = torch.cat([embeddings[index][:first], embeddings[other][:second]])
                said += disagreement(together, [face.size for face in template], calibration) is not None
            cells.append(f"{said} of {len(people)}")
        print(f"| {size} px | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
