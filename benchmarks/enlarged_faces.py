"""How often is an enlarged picture noticed, how near is the estimated size, and how often is a sharp one accused?

    python benchmarks/enlarged_faces.py ../shared/data val     # Helen's 87 validation photographs, for the rule
    python benchmarks/enlarged_faces.py ../shared/data test    # its 330 test photographs, for the table

Each photograph is reduced until its face has 10 to 36 px, or 40 to 110, saved as JPEG or not, enlarged, and saved as
JPEG or not: one face of a random size for each row. The sharp rows are photographs as they are, reduced, blurred, and
saved as JPEG; and those faces of `faces/` whose eyes are at least 40.3 px apart in their source, so that nobody
enlarged them to 160 px.
"""

import io
import sys
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from rim_lightning.data.alignment import similarity_from_points, template
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.inference.resolution import size_of_detail
from rim_lightning.schemes import five_points

FACTORS = (2, 4, 8)
FILTERS = ("nearest", "bilinear", "bicubic", "Lanczos")
SIZES = ((10, 36), (40, 110))
QUALITY = (50, 95)
REDUCTIONS = ("BILINEAR", "BICUBIC", "LANCZOS", "BOX")
SOURCE_EYES = 40.3


class Placed(NamedTuple):
    """A picture, and center and side of the square of its face, in pixels of the picture."""

    picture: Image.Image
    center: np.ndarray
    size: float


def placed(picture, points):
    matrix = similarity_from_points(points, template(112))
    size = 112 / np.hypot(matrix[0, 0], matrix[1, 0])
    return Placed(picture, np.linalg.solve(matrix[:, :2], 55.5 - matrix[:, 2]), float(size))


def resized(face, factor, name):
    width, height = (max(1, round(side * factor)) for side in face.picture.size)
    picture = face.picture.resize((width, height), getattr(Image.Resampling, name.upper()))
    scale = np.array([width / face.picture.width, height / face.picture.height])
    return Placed(picture, (face.center + 0.5) * scale - 0.5, face.size * float(scale.mean()))


def saved(face, rng):
    """Save the picture as JPEG of a random quality."""
    content = io.BytesIO()
    face.picture.save(content, "JPEG", quality=int(rng.integers(QUALITY[0], QUALITY[1] + 1)))
    return face._replace(picture=Image.open(content).convert("RGB"))


def blurred(face, sigma):
    return face._replace(picture=Image.fromarray(cv2.GaussianBlur(np.asarray(face.picture), (0, 0), sigma)))


def reduced(face, rng, low, high):
    size = np.exp(rng.uniform(np.log(low), np.log(high)))
    return resized(face, size / face.size, str(rng.choice(REDUCTIONS)))


def estimated(face):
    return size_of_detail(np.asarray(face.picture), face.center, face.size)


def enlarged_row(faces, sizes, factor, name, after, rng):
    """Return share of the faces that are noticed, and the ratios of estimated and true size of those."""
    ratios = []
    for face in faces:
        small = reduced(face, rng, *sizes)
        small = saved(small, rng) if rng.random() < 0.5 else small
        large = resized(small, factor, name)
        large = saved(large, rng) if after else large
        size = estimated(large)
        if size < large.size:
            ratios.append(size / small.size)
    return len(ratios) / len(faces), np.array(ratios)


def enlarged_cell(faces, sizes, factor, name, rng):
    cells = []
    for after in (False, True):
        share, ratios = enlarged_row(faces, sizes, factor, name, after, rng)
        median, near = (np.median(ratios), np.mean(np.abs(np.log(ratios)) < np.log(1.4))) if len(ratios) else (0.0, 0.0)
        cells.append(f"{share:.1%}, {median:.2f}, {near:.0%}")
    return " | ".join(cells)


def sharp_rows(faces, rng):
    """Yield the name of a row and the share of sharp faces that are accused."""
    changes = {
        "photographs as they are": lambda face: face,
        "as JPEG": lambda face: saved(face, rng),
        "blurred, σ 0.7 px": lambda face: blurred(face, 0.7),
        "blurred, σ 1 px": lambda face: blurred(face, 1.0),
        "reduced to 60–150 px": lambda face: reduced(face, rng, 60, 150),
        "reduced to 12–40 px": lambda face: reduced(face, rng, 12, 40),
        "reduced to 12–40 px, as JPEG": lambda face: saved(reduced(face, rng, 12, 40), rng),
        "reduced to 7–12 px": lambda face: reduced(face, rng, 7, 12),
    }
    for name, change in changes.items():
        changed = [change(face) for face in faces]
        yield name, len(faces), np.mean([estimated(face) < face.size for face in changed])


def crops(data, people):
    """Return faces of `faces/` that were not enlarged: of validation people, or of FFHQ, which has no names."""
    rows = [line.split("\t") for line in (data / "faces" / "faces.tsv").read_text().splitlines()[1:]]
    for row in rows:
        if float(row[12]) >= SOURCE_EYES and (row[1] in people if row[1] else not people):
            points = np.array(row[2:12], float).reshape(5, 2)
            yield placed(Image.open(data / "faces" / row[0]).convert("RGB"), points)


def main():
    data, split = Path(sys.argv[1]), sys.argv[2]
    rng = np.random.default_rng(0)
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    faces = [
        placed(Image.open(record.image).convert("RGB"), five_points(record.landmarks))
        for record in records
        if record.split == split
    ]
    print(f"{len(faces)} photographs of {split}; noticed, median of estimated / true size, within a factor of 1.4")
    for sizes in SIZES:
        print(f"\nFaces of {sizes[0]} to {sizes[1]} px")
        columns = [f"{factor}×{jpeg}" for factor in FACTORS for jpeg in ("", ", JPEG")]
        print("| enlarged by | " + " | ".join(columns) + " |")
        print("|---" * (1 + 2 * len(FACTORS)) + "|")
        for name in FILTERS:
            cells = [enlarged_cell(faces, sizes, factor, name, rng) for factor in FACTORS]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\n| sharp pictures | faces | accused |\n|---|---|---|")
    for name, count, share in sharp_rows(faces, rng):
        print(f"| {name} | {count} | {share:.1%} |", flush=True)
    people = set((data / "faces" / "validation_people.txt").read_text().split())
    for name, own in (("CelebA, validation people, 160 px", people), ("FFHQ, 160 px", set())):
        shares = [estimated(face) < face.size for face in crops(data, own)]
        print(f"| {name} | {len(shares)} | {np.mean(shares):.1%} |", flush=True)
    start = time.process_time()
    for face in faces:
        estimated(face)
    print(f"\n{(time.process_time() - start) / len(faces) * 1e3:.1f} ms of CPU for a photograph of 256 px")


if __name__ == "__main__":
    main()
