"""How well are faces found? For both detectors: small and turned faces, pictures without a face, recognition, frames.

    python benchmarks/detectors.py ../shared/data                       # all tables
    python benchmarks/detectors.py ../shared/data --tables turned --detectors yunet --every 2

Faces are Helen's validation photographs with their annotated points. The pictures without a face are squares of the
background of CelebAMask-HQ's portraits. "once" is what the detector finds when it looks once, as rim-lightning did
before it looked closer; the other rows are `find_faces`. A face is right if its five points are less than 30 % of the
eye distance off on average (beyond that, the teacher's cosine to the well-aligned face falls below .3), else it is
nonsense.

"points" measures how far the points of a small face lie from the annotation, with and without their mean offset, and
from those that the same detector finds in the photograph itself. "recognition" aligns small probes of validation
people of CelebA by the points found in them, and compares them with a gallery of one photograph of each person that
the same detector aligned at full size; a probe that is not found matches nobody. "frames" times pictures of 720p and
1080p into which validation photographs are pasted.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DETECTORS
from rim_lightning.data.detectors import Face, load_detector, search
from rim_lightning.data.readers.files import read_label_text
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.functional.bootstrap import percentile_interval, person_resampled_tar
from rim_lightning.networks.teacher_weights import load_teacher
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


def finders_of(names):
    """Return what finds faces, by title: each detector that looks once, and that looks closer."""
    return {
        f"{name}{suffix}": (finder, name)
        for name in names
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


def small_faces(faces, finders):
    print("| face | detector | found | right | error of the five points | ms of CPU |\n|---|---|---|---|---|---|")
    for size in SIZES:
        pictures, truth = zip(*(cut_out(*face, size, 0) for face in faces), strict=True)
        for title, (finder, name) in finders.items():
            finder(pictures[:1], name)  # loads the weights
            faces_of, milliseconds = timed(finder, pictures, name)
            errors = errors_of(faces_of, truth)
            found = np.isfinite(errors)
            print(
                f"| {size} px | {title} | {found.mean():.0%} | {(errors <= RIGHT).mean():.0%} | "
                f"{np.median(errors[found]):.0%} | {milliseconds:.0f} |",
                flush=True,
            )


def turned_faces(faces, finders):
    print(
        "\n| turned by | detector | "
        + " | ".join(f"{size} px: right, nonsense, not found" for size in (20, 120))
        + " |"
    )
    print("|---|---|---|---|")
    for degrees in TURNS:
        for title, (finder, name) in finders.items():
            cells = []
            for size in (20, 120):
                pictures, truth = zip(*(cut_out(*face, size, degrees) for face in faces), strict=True)
                errors = errors_of(finder(pictures, name), truth)
                shares = ((errors <= RIGHT).mean(), (errors > RIGHT).mean(), np.isnan(errors).mean())
                cells.append(", ".join(f"{share:.0%}" for share in shares))
            print(f"| {degrees}° | {title} | {' | '.join(cells)} |", flush=True)


def without_a_face(data, step, finders):
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
    for title, (finder, name) in finders.items():
        print(f"| {title} | {np.mean([bool(found) for found in finder(pictures, name)]):.1%} |", flush=True)


def points_of(pictures, name):
    """Return the points of the face nearest to the center of each picture; None where none is found."""
    points = []
    for faces, picture in zip(find_closely(pictures, name), pictures, strict=True):
        middle = (np.array(picture.shape[1::-1]) - 1) / 2
        points.append(
            min((face.points for face in faces), key=lambda p: np.linalg.norm(p.mean(0) - middle), default=None)
        )
    return points


def precision_of_points(faces, names):
    print("\n| face | detector | error | without the mean offset | distance to its own points at full size |")
    print("|---|---|---|---|---|")
    offsets_at_full_size, square = {}, template(112)
    eyes = np.linalg.norm(square[0] - square[1])
    for size in (None, 40, 28, 20, 16):
        pictures, truth = zip(*(faces if size is None else (cut_out(*face, size, 0) for face in faces)), strict=True)
        for name in names:
            offsets = {}
            for index, (points, true) in enumerate(zip(points_of(pictures, name), truth, strict=True)):
                matrix = similarity_from_points(true, square)
                if points is not None and errors_of([[Face(None, points, 1.0)]], [true])[0] <= RIGHT:
                    offsets[index] = (transform_points(points, matrix) - transform_points(true, matrix)) / eyes
            if size is None:
                offsets_at_full_size[name] = offsets
            mean = np.mean(list(offsets.values()), axis=0)
            others = offsets_at_full_size[name]
            columns = (
                list(offsets.values()),
                [offset - mean for offset in offsets.values()],
                [offset - others[index] for index, offset in offsets.items() if index in others],
            )
            cells = (f"{np.median(np.linalg.norm(column, axis=2).mean(1)):.1%}" for column in columns)
            print(f"| {size or 'full'} | {name} | {' | '.join(cells)} |", flush=True)


def validation_people(data):
    """Return the 160x160 crops of each validation person of CelebA; their central 128x128 are the aligned square."""
    people = defaultdict(list)
    for person in json.loads((data / "splits.json").read_text())["celeba_identities"]["val"]:
        people[person] = sorted((data / "celeba" / "images" / person).iterdir())
    named = set((data / "faces" / "validation_people.txt").read_text().split()) - set(people)
    for line in read_label_text(data / "faces" / "faces.tsv", "a table of landmarks").splitlines()[1:]:
        image, person = line.split("\t")[:2]
        if person in named:
            people[person].append(data / "faces" / image)
    return [files for _, files in sorted(people.items()) if len(files) > 1]


@torch.inference_mode()
def embeddings_of(teacher, pictures, points):
    square = template(112)
    crops = [
        align(picture, similarity_from_points(square if five is None else five, square), 112, {}, None)[0]
        for picture, five in zip(pictures, points, strict=True)
    ]
    faces = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.normalize(torch.cat([teacher(part) for part in faces.split(64)]), dim=1)


def recognition(data, step, names, probes_of_each=2):
    teacher = load_teacher("mobilefacenet_onnx", data / "weights" / "mobilefacenet512.onnx")
    gallery, probes, gallery_person, probe_person = [], [], [], []
    for person, files in enumerate(validation_people(data)[::step]):
        pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files[: 1 + probes_of_each]]
        gallery.append(pictures[0])
        gallery_person.append(person)
        probes += pictures[1:]
        probe_person += [person] * (len(pictures) - 1)
    people = (torch.tensor(gallery_person), torch.tensor(probe_person))
    known = template(128) + (160 - 128) / 2
    print(f"\n{len(gallery)} gallery faces, {len(probes)} probes: TAR at FAR 1e-2\n| face | aligned by | found | TAR |")
    print("|---|---|---|---|")
    full = {name: (points_of(gallery, name), points_of(probes, name)) for name in names}
    for size in (16, 20, 28):
        small = [cut_out(probe, known, size, 0)[0] for probe in probes]
        scale = size / 128  # of the cut-out; its middle is the mean of the known points
        middle = (len(small[0]) - 1) / 2
        resampled = {}
        for name in names:
            of_gallery = embeddings_of(teacher, gallery, full[name][0])
            carried = [None if five is None else (five - known.mean(0)) * scale + middle for five in full[name][1]]
            for title, points in ((f"{name} at full size", carried), (name, points_of(small, name))):
                scores = of_gallery @ embeddings_of(teacher, small, points).T
                scores[:, [five is None for five in points]] = -1
                tar, samples = person_resampled_tar(scores, *people, 1e-2, torch.Generator().manual_seed(0))
                low, high = percentile_interval(samples)
                found = np.mean([five is not None for five in points])
                print(f"| {size} px | {title} | {found:.1%} | {tar:.1%} ({low:.1%} to {high:.1%}) |", flush=True)
                resampled[title] = (tar, samples)
        if len(names) == 2:
            (one, ones), (two, twos) = (resampled[name] for name in names)
            low, high = percentile_interval(ones - twos)
            print(f"| {size} px | {' - '.join(names)} | | {one - two:+.1%} ({low:+.1%} to {high:+.1%}) |", flush=True)


def frames(faces, names):
    print("\n| frame | detector | seconds of CPU | faces of 20, 24, 30 px found |\n|---|---|---|---|")
    generator = np.random.default_rng(0)
    for width, height in ((1280, 720), (1920, 1080)):
        frame = cv2.resize(faces[0][0][:40, :40], (width, height), interpolation=cv2.INTER_CUBIC)
        truth = []
        for number, column in enumerate(range(40, width - 90, 110)):
            picture, points = cut_out(*faces[number % len(faces)], (20, 24, 30)[number % 3], 0)
            top = int(generator.integers(height - len(picture)))
            frame[top : top + len(picture), column : column + len(picture)] = picture
            truth.append(points + np.array([column, top]))
        for name in names:
            find_faces([frame[:64, :64]], name)  # loads the weights
            (found,), milliseconds = timed(find_closely, [frame], name)
            near = [
                any(
                    np.linalg.norm(face.points - points, axis=1).mean() < RIGHT * np.ptp(points[:2, 0])
                    for face in found
                )
                for points in truth
            ]
            print(f"| {height}p | {name} | {milliseconds / 1000:.2f} | {sum(near)} of {len(near)} |", flush=True)


TABLES = ("small", "turned", "background", "points", "recognition", "frames")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the annotated sets")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=DETECTORS)
    parser.add_argument("--every", type=int, default=1, help="take every n-th face or person")
    options = parser.parse_args()
    data, step, names, finders = options.data, options.every, options.detectors, finders_of(options.detectors)
    torch.set_num_threads(1)
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    records = [record for record in records if record.split == "val"][::step]
    faces = [(np.asarray(Image.open(record.image).convert("RGB")), five_points(record.landmarks)) for record in records]
    print(f"{len(faces)} faces")
    tables = {
        "small": lambda: small_faces(faces, finders),
        "turned": lambda: turned_faces(faces, finders),
        "background": lambda: without_a_face(data, step, finders),
        "points": lambda: precision_of_points(faces, names),
        "recognition": lambda: recognition(data, step, names),
        "frames": lambda: frames(faces, names),
    }
    for table in options.tables:
        tables[table]()


if __name__ == "__main__":
    main()
