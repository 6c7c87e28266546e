"""How well are faces found? Small faces, turned faces, and pictures without a face; for both detectors.

    python benchmarks/detectors.py ../shared/data [every n-th face]

Faces are Helen's validation photographs with their annotated points. The pictures without a face are squares of the
background of CelebAMask-HQ's portraits. "once" is what the detector finds when it looks once, as rim-lightning did
before it looked closer; the other rows are `find_faces`. A face is right if its five points are less than 30 % of the
eye distance off on average (beyond that, the teacher's cosine to the well-aligned face falls below .3), else it is
nonsense.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DETECTORS
from rim_lightning.data.detectors import load_detector, search
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.schemes import five_points

CONTEXT = 1.5  # width of a cut-out, as a multiple of the aligned square of the face
SIZES = (8, 10, 12, 16, 20, 28, 40)
TURNS = (0, 15, 30, 45, 90, 180, 270)
ENLARGED = 240  # pixels, as earlier versions did
RIGHT = 0.3  # of the eye distance
LEAST_ONCE = {"yunet": 0.6, "mtcnn": 0.0}  # confidence of a face where the detector looks once; MTCNN has its own


def cut_out(photograph, points, size, degrees):
    """Return the face in a cut-out in which its square has `size` pixels, turned clockwise, and its points."""
    side = round(CONTEXT * size)
    target = template(size, 0) + (side - size) / 2
    matrix = similarity_from_points(points, target)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    turn = scale * cv2.getRotationMatrix2D((0.0, 0.0), -degrees, 1.0)[:, :2]
    middle = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([turn, middle - turn @ points.mean(0)])
    return align(photograph, matrix, side, {}, None)[0], transform_points(points, matrix)


def find_once(images, name):
    detector = load_detector(name, "cpu")
    faces_of = []
    for image in images:
        scale = max(1.0, ENLARGED / max(image.shape[:2]))
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image
        (faces,) = search(detector, [enlarged], "cpu")
        faces = [face for face in faces if face.confidence >= LEAST_ONCE[name]]
        faces_of.append([face._replace(points=(face.points + 0.5) / scale - 0.5) for face in faces])
    return faces_of


def find_closely(images, name):
    return [[face for face in find_faces([image], name)[0] if face.fault is None] for image in images]


FINDERS = {
    f"{name}{suffix}": (finder, name)
    for name in DETECTORS
    for suffix, finder in ((", once", find_once), ("", find_closely))
}


def errors_of(faces_of, truth):
    """Return the error of the first face of each picture as a share of the eye distance; NaN where none was found."""
    return np.array(
        [
            np.linalg.norm(faces[0].points - points, axis=1).mean() / np.linalg.norm(points[0] - points[1])
            if faces
            else np.nan
            for faces, points in zip(faces_of, truth, strict=True)
        ]
    )


def timed(finder, images, name):
    start = time.process_time()
    faces_of = finder(images, name)
    return faces_of, 1000 * (time.process_time() - start) / len(images)


def small_faces(faces):
    print("| face | detector | found | right | error of the five points | ms of CPU |\n|---|---|---|---|---|---|")
    for size in SIZES:
        pictures, truth = zip(*(cut_out(*face, size, 0) for face in faces), strict=True)
        for title, (finder, name) in FINDERS.items():
            finder(pictures[:1], name)  # loads the weights
            faces_of, milliseconds = timed(finder, pictures, name)
            errors = errors_of(faces_of, truth)
            found = np.isfinite(errors)
            print(
                f"| {size} px | {title} | {found.mean():.0%} | {(errors <= RIGHT).mean():.0%} | "
                f"{np.median(errors[found]):.0%} | {milliseconds:.0f} |",
                flush=True,
            )


def turned_faces(faces):
    print(
        "\n| turned by | detector | "
        + " | ".join(f"{size} px: right, nonsense, not found" for size in (20, 120))
        + " |"
    )
    print("|---|---|---|---|")
    for degrees in TURNS:
        for title, (finder, name) in FINDERS.items():
            cells = []
            for size in (20, 120):
                pictures, truth = zip(*(cut_out(*face, size, degrees) for face in faces), strict=True)
                errors = errors_of(finder(pictures, name), truth)
                shares = ((errors <= RIGHT).mean(), (errors > RIGHT).mean(), np.isnan(errors).mean())
                cells.append(", ".join(f"{share:.0%}" for share in shares))
            print(f"| {degrees}° | {title} | {' | '.join(cells)} |", flush=True)


def without_a_face(data, step):
    generator = np.random.default_rng(0)
    pictures = []
    for file in sorted((data / "celebamask" / "images").iterdir())[::step]:
        mask = np.asarray(Image.open(data / "celebamask" / "masks" / f"{file.stem}.png"))
        person = cv2.integral((~np.isin(mask, (0, 18))).astype(np.uint8))  # neither background nor cloth
        side = 64
        counts = person[side:, side:] - person[:-side, side:] - person[side:, :-side] + person[:-side, :-side]
        tops, lefts = np.where(counts == 0)
        if len(tops):
            chosen = generator.integers(len(tops))
            top, left = tops[chosen], lefts[chosen]
            pictures.append(np.asarray(Image.open(file).convert("RGB"))[top : top + side, left : left + side])
    print(f"\n{len(pictures)} pictures without a face\n| detector | pictures with a false face |\n|---|---|")
    for title, (finder, name) in FINDERS.items():
        print(f"| {title} | {np.mean([bool(found) for found in finder(pictures, name)]):.1%} |", flush=True)


def main():
    data, step = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    records = [record for record in records if record.split == "val"][::step]
    faces = [(np.asarray(Image.open(record.image).convert("RGB")), five_points(record.landmarks)) for record in records]
    print(f"{len(faces)} faces")
    small_faces(faces)
    turned_faces(faces)
    without_a_face(data, step)


if __name__ == "__main__":
    main()
