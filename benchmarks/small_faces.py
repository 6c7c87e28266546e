"""How small may a face be for MTCNN to find it? On Helen's validation photographs, cut out and reduced.

    python benchmarks/small_faces.py ../shared/data

The aligned square of the face has the given side. The picture is `CONTEXT` times as wide, and enlarged for the search
as in `FaceAligner`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detection import find_faces
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.schemes import five_points

CONTEXT = 1.5
SIZES = (8, 10, 12, 16, 20, 28, 40)


def upright(points, size, side):
    """Return the matrix that scales the face and moves it to the middle, without turning it."""
    target = template(size, 0) + (side - size) / 2
    matrix = similarity_from_points(points, target)
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    shift = target.mean(0) - scale * points.mean(0)
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])


def main():
    data = Path(sys.argv[1])
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    records = [record for record in records if record.split == "val"]
    photographs = [np.asarray(Image.open(record.image).convert("RGB")) for record in records]
    print(f"{len(records)} faces\n| face | found | error of the five points, of the eye distance |\n|---|---|---|")
    for size in SIZES:
        side = round(CONTEXT * size)
        pictures, truth = [], []
        for record, photograph in zip(records, photographs, strict=True):
            points = five_points(record.landmarks)
            matrix = upright(points, size, side)
            pictures.append(align(photograph, matrix, side, {}, None)[0])
            truth.append(transform_points(points, matrix))
        detections = find_faces(pictures)
        errors = [
            np.linalg.norm(faces[0].points - points, axis=1).mean() / np.linalg.norm(points[0] - points[1])
            for faces, points in zip(detections, truth, strict=True)
            if faces
        ]
        print(f"| {size} px | {len(errors) / len(detections):.0%} | {np.median(errors):.0%} |", flush=True)


if __name__ == "__main__":
    main()
