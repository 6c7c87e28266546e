"""How long does the search for the face of a picture take? Milliseconds of CPU on one core, for both detectors.

    python benchmarks/search_time.py ../shared/data

Pictures are made of Helen's validation photographs. All cases take turns, so that other work of the machine slows all
of them alike; time of the process is counted, not time on the wall. The output has the median and the range over
pictures.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from detectors import cut_out
from PIL import Image

from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DETECTORS
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.schemes import five_points

PICTURES = 15  # of each kind
HEIGHT, WIDTH = 1080, 1920  # of a frame
TILE = 240  # side of a photograph in a frame of many, in pixels


def resized(photograph, side):
    scale = side / max(photograph.shape[:2])
    return cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def frame_of_one(photograph):
    frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    picture = resized(photograph, HEIGHT)
    height, width = picture.shape[:2]
    left = (WIDTH - width) // 2
    frame[:height, left : left + width] = picture
    return frame


def frame_of_many(photographs):
    frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    places = [(top, left) for top in range(0, HEIGHT - TILE + 1, TILE) for left in range(0, WIDTH, TILE)]
    for (top, left), photograph in zip(places, photographs, strict=False):
        picture = resized(photograph, TILE)
        frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return frame


def main():
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    data = Path(sys.argv[1])
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    records = [record for record in records if record.split == "val"]
    photographs = [np.asarray(Image.open(record.image).convert("RGB")) for record in records]
    chosen = list(zip(photographs, records, strict=True))[:PICTURES]
    generator = np.random.default_rng(0)
    kinds = {
        "cut-out of 36 px": [cut_out(image, five_points(record.landmarks), 24, 0)[0] for image, record in chosen],
        "photograph of 250 px": [resized(image, 250) for image, _ in chosen],
        "frame, one large face": [frame_of_one(image) for image, _ in chosen],
        "frame, 32 faces": [
            frame_of_many([photographs[index] for index in generator.permutation(len(photographs))[:32]])
            for _ in range(PICTURES)
        ],
    }
    times = {(kind, detector): [] for kind in kinds for detector in DETECTORS}
    for detector in DETECTORS:
        find_faces([kinds["cut-out of 36 px"][0]], detector)  # loads the weights
    for number in range(PICTURES):
        for kind, detector in times:
            start = time.process_time()
            find_faces([kinds[kind][number]], detector)
            times[kind, detector].append(1000 * (time.process_time() - start))
    print("| picture | detector | ms of CPU | range |\n|---|---|---|---|")
    for (kind, detector), values in times.items():
        print(f"| {kind} | {detector} | {np.median(values):.0f} | {min(values):.0f}–{max(values):.0f} |")


if __name__ == "__main__":
    main()
