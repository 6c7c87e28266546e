"""How well are faces found? For both detectors: small, turned and enrolled faces, refusals, recognition, frames.

    python benchmarks/detectors.py ../shared/data                       # all tables
    python benchmarks/detectors.py ../shared/data --tables turned --detectors yunet --every 2

Faces are the validation photographs of Helen, with their annotated points, and the validation portraits of
CelebAMask-HQ, with their 68 points. "once" is what the detector finds when it looks once, as rim-lightning did before
it looked closer; the other rows are `find_faces`. A face is right if its five points are less than 30 % of the eye
distance off on average (beyond that, the teacher's cosine to the well-aligned face falls below .3), else it is
nonsense.

small        cut-outs of few pixels
turned       cut-outs turned by some degrees, and what the thresholds of confidence and residual refuse there
profile      faces by how far they look to the side, of Helen's training and validation photographs
background   squares of the background of CelebAMask-HQ's portraits, which show no face
points       how far the points lie from the annotation, with and without their mean offset, and from those that the
             same detector finds in the whole photograph
alignment    how far a face that is aligned by the points found in it is shifted, scaled and turned against the same
             face aligned by its annotated points: mean ± standard deviation over the faces that are right. The law of
             `functional/misalignment.py` comes from here
enrollment   whole photographs: cosine of the teacher between the face as it is found and by its annotated points, for
             MTCNN once (which took the largest face, as `rim enroll` did), and for each detector now
recognition  small probes of validation people of CelebA, aligned by the points found in them, against one photograph of
             each person, aligned as the set has it; a probe that is not found matches nobody
frames       pictures of 720p and 1080p into which photographs are pasted
"""

import argparse
import json
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from rim_lightning.data.alignment import align, similarity_from_points, template, transform_points
from rim_lightning.data.detection import find_faces
from rim_lightning.data.detector_choice import DETECTORS
from rim_lightning.data.detectors import Face, load_detector, search
from rim_lightning.data.readers.files import read_label_text, read_landmark_table, same_name
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.functional.bootstrap import percentile_interval, person_resampled_tar
from rim_lightning.networks.teacher_weights import load_teacher
from rim_lightning.schemes import five_points

CONTEXT = 1.5  # width of a cut-out, as a multiple of the aligned square of the face
SIZES = (8, 10, 12, 16, 20, 28, 40)
ALIGNED_SIZES = (8, 10, 12, 14, 16, 20, 28, 40, 56, 112)
TURNS = (0, 30, 45, 90, 180, 270)
ENLARGED = 240  # pixels, as earlier versions did
RIGHT = 0.3  # of the eye distance
SIDEWAYS = (
    0.0,
    0.2,
    0.5,
    0.7,
    1.0,
)  # how far the tip of the nose lies from the middle between the eyes (0) to an eye (1)
PROFILES = 100  # faces of each of these ranges
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


def find_all_once(images, name):
    detector = load_detector(name, "cpu")
    faces_of = []
    for image in images:
        scale = max(1.0, ENLARGED / max(image.shape[:2]))
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image
        (faces,) = search(detector, [enlarged], "cpu")
        faces_of.append([face._replace(points=(face.points + 0.5) / scale - 0.5) for face in faces])
    return faces_of


def find_once(images, name):
    return [[face for face in faces if face.confidence >= LEAST_ONCE[name]] for faces in find_all_once(images, name)]


def find_closely(images, name):
    return [[face for face in find_faces([image], name)[0] if face.fault is None] for image in images]


def find_all_closely(images, name):
    """Find faces, with those that confidence or residual refuses."""
    return [
        [
            face
            for face in find_faces([image], name)[0]
            if face.fault is None or "confidence" in face.fault or "five points" in face.fault
        ]
        for image in images
    ]


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
    print("\n| turned by | detector | 20 px: right, nonsense, not found | ms of CPU | 120 px | ms of CPU |")
    print("|---|---|---|---|---|---|")
    for degrees in TURNS:
        for title, (finder, name) in finders.items():
            cells = []
            for size in (20, 120):
                pictures, truth = zip(*(cut_out(*face, size, degrees) for face in faces), strict=True)
                faces_of, milliseconds = timed(finder, pictures, name)
                errors = errors_of(faces_of, truth)
                shares = ((errors <= RIGHT).mean(), (errors > RIGHT).mean(), np.isnan(errors).mean())
                cells += [", ".join(f"{share:.0%}" for share in shares), f"{milliseconds:.0f}"]
            print(f"| {degrees}° | {title} | {' | '.join(cells)} |", flush=True)


def refusals(faces, names):
    """Choose the thresholds of confidence and residual on the even faces, and show them on the odd ones.

    Of each cut-out the most confident face is taken. Faces that are refused for other reasons are left out.
    """
    cut_outs = [
        (number % 2, *cut_out(*face, size, degrees))
        for degrees in TURNS
        for size in (20, 120)
        for number, face in enumerate(faces)
    ]
    for name in names:
        for title, finder in ((f"{name}, once", find_all_once), (name, find_all_closely)):
            rows = []
            for (half, _, points), found in zip(cut_outs, finder([row[1] for row in cut_outs], name), strict=True):
                if found:
                    best = max(found, key=lambda face: face.confidence)
                    rows.append((half, errors_of([[best]], [points])[0] <= RIGHT, best.confidence, best.residual))
            print_refusals(title, *(np.array(column) for column in zip(*rows, strict=True)))


def print_refusals(title, half, right, confidence, residual):
    counts = [f"{(right & (half == part)).sum()}, {(~right & (half == part)).sum()}" for part in (0, 1)]
    print(f"\n| {title}: used if | first half: right refused, nonsense used | second half |\n|---|---|---|")
    print(f"| (right, nonsense) | {' | '.join(counts)} |")
    used = {
        **{f"confidence >= {least}": confidence >= least for least in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)},
        **{f"residual <= {most:.0%}": residual <= most for most in (0.1, 0.15, 0.2, 0.3, 0.4)},
        "confidence >= 0.6, residual <= 30%": (confidence >= 0.6) & (residual <= 0.3),
    }
    for rule, is_used in used.items():
        cells = (
            f"{(right & ~is_used)[half == part].sum()}, {(~right & is_used)[half == part].sum()}" for part in (0, 1)
        )
        print(f"| {rule} | {' | '.join(cells)} |", flush=True)


def sideways(points):
    """Return how far the tip of the nose lies from the middle between the eyes towards one of them, from 0 to 1."""
    left, right, nose = points[:3]
    along = (right - left) / np.linalg.norm(right - left)
    return 2 * abs((nose - (left + right) / 2) @ along) / np.linalg.norm(right - left)


def profiles(data, step, names):
    print(
        "\n| nose off the middle | faces | detector | 20 px: right, nonsense, not found | 120 px |"
        "\n|---|---|---|---|---|"
    )
    faces = helen(data, ("train", "val"))
    for low, high in pairwise(SIDEWAYS):
        chosen = [face for face in faces if low <= sideways(face[1]) < high][:PROFILES][::step]
        for name in names:
            cells = []
            for size in (20, 120):
                pictures, truth = zip(*(cut_out(*face, size, 0) for face in chosen), strict=True)
                errors = errors_of(find_closely(pictures, name), truth)
                shares = ((errors <= RIGHT).mean(), (errors > RIGHT).mean(), np.isnan(errors).mean())
                cells.append(", ".join(f"{share:.0%}" for share in shares))
            print(f"| {low:.0%} to {high:.0%} | {len(chosen)} | {name} | {' | '.join(cells)} |", flush=True)


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


def points_of(pictures, name, finder=find_closely):
    """Return the points of the face nearest to the center of each picture; None where none is found."""
    points = []
    for faces, picture in zip(finder(pictures, name), pictures, strict=True):
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


def precision_of_alignment(faces, names):
    print("\n| face | detector | faces | shift across, % of the side | shift down | scale, % | rotation, degrees |")
    print("|---|---|---|---|---|---|---|")
    square, middle = template(112), np.full(2, 55.5)
    for size in ALIGNED_SIZES:
        pictures, truth = zip(*(cut_out(*face, size, 0) for face in faces), strict=True)
        for name in names:
            moves = []
            for points, true in zip(points_of(pictures, name), truth, strict=True):
                if points is not None and errors_of([[Face(None, points, 1.0)]], [true])[0] <= RIGHT:
                    aligned, found = (similarity_from_points(five, square) for five in (true, points))
                    turn = complex(*found[:, 0]) / complex(*aligned[:, 0])  # of the aligned face
                    middle_in_picture = np.linalg.solve(aligned[:, :2], middle - aligned[:, 2])
                    across, down = (transform_points(middle_in_picture, found) - middle) / 112
                    moves.append((100 * across, 100 * down, 100 * np.log(abs(turn)), np.degrees(np.angle(turn))))
            cells = (f"{mean:+.2f} ± {std:.2f}" for mean, std in zip(np.mean(moves, 0), np.std(moves, 0), strict=True))
            print(f"| {size} px | {name} | {len(moves)} | {' | '.join(cells)} |", flush=True)


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


def enrollment(data, faces, names):
    teacher = load_teacher("mobilefacenet_onnx", data / "weights" / "mobilefacenet512.onnx")
    pictures, truth = zip(*faces, strict=True)
    wanted = embeddings_of(teacher, pictures, truth)
    print(
        "\n| photographs | detector | enrolled | cosine: median, 5 % of faces below | below .3 |\n|---|---|---|---|---|"
    )
    for title, quarters in (("upright", lambda number: 0), ("on their side or head", lambda number: 1 + number % 3)):
        turned = [np.ascontiguousarray(np.rot90(picture, -quarters(n))) for n, picture in enumerate(pictures)]
        for row, finder, name in (
            ("mtcnn, once, largest face", find_once, "mtcnn"),
            *((name, find_closely, name) for name in names),
        ):
            largest = [
                max(found, key=lambda face: np.prod(np.ptp(face.box.reshape(2, 2), axis=0)), default=None)
                for found in finder(turned, name)
            ]
            enrolled = [face is not None for face in largest]
            points = [None if face is None else face.points for face in largest]
            cosines = (embeddings_of(teacher, turned, points) * wanted).sum(1).numpy()[enrolled]
            print(
                f"| {title} | {row} | {np.mean(enrolled):.1%} | {np.median(cosines):.3f}, "
                f"{np.quantile(cosines, 0.05):.3f} | {(cosines < 0.3).mean():.1%} |",
                flush=True,
            )


def recognition(data, step, names, probes_of_each=2):
    finders = finders_of(names)
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
    of_gallery = embeddings_of(teacher, gallery, [known] * len(gallery))
    print(f"\n{len(gallery)} gallery faces, {len(probes)} probes: TAR at FAR 1e-2")
    print("| face | aligned by | found | TAR | minus the first detector |\n|---|---|---|---|---|")
    for size in (16, 20, 28):
        small, truth = zip(*(cut_out(probe, known, size, 0) for probe in probes), strict=True)
        rows = {"the alignment of the set": truth}
        for title, (finder, name) in finders.items():
            rows[title] = points_of(small, name, finder)
        tars = {}
        for title, points in rows.items():
            scores = of_gallery @ embeddings_of(teacher, small, points).T
            scores[:, [five is None for five in points]] = -1
            tars[title] = person_resampled_tar(scores, *people, 1e-2, torch.Generator().manual_seed(0))
        first, first_samples = tars[names[0]]
        for title, (tar, samples) in tars.items():
            found = np.mean([five is not None for five in rows[title]])
            (low, high), (least, most) = percentile_interval(samples), percentile_interval(samples - first_samples)
            print(
                f"| {size} px | {title} | {found:.1%} | {tar:.1%} ({low:.1%} to {high:.1%}) | "
                f"{tar - first:+.1%} ({least:+.1%} to {most:+.1%}) |",
                flush=True,
            )


def frames(faces, finders):
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
        for title, (finder, name) in finders.items():
            finder([frame[:64, :64]], name)  # loads the weights
            (found,), milliseconds = timed(finder, [frame], name)
            near = [
                any(
                    np.linalg.norm(face.points - points, axis=1).mean() < RIGHT * np.ptp(points[:2, 0])
                    for face in found
                )
                for points in truth
            ]
            print(f"| {height}p | {title} | {milliseconds / 1000:.2f} | {sum(near)} of {len(near)} |", flush=True)


def helen(data, splits):
    """Return the photographs of some splits of Helen and their five points."""
    records = read_pts(data / "helen", splits=data / "splits.json", split_key="helen", first_pixel=0.0)
    return [
        (np.asarray(Image.open(record.image).convert("RGB")), five_points(record.landmarks))
        for record in records
        if record.split in splits
    ]


def celebamask(data):
    """Return the validation portraits of CelebAMask-HQ and the five points of their 68."""
    table = read_landmark_table(data / "celebamask" / "landmarks.tsv")
    faces = []
    for name in json.loads((data / "splits.json").read_text())["celebamask"]["val"]:
        image = np.asarray(Image.open(data / "celebamask" / "images" / name).convert("RGB"))
        faces.append((image, five_points({"ibug68": table[same_name(Path(name).stem)]["ibug68"]})))
    return faces


TABLES = (
    "small",
    "turned",
    "refusals",
    "profile",
    "background",
    "points",
    "alignment",
    "enrollment",
    "recognition",
    "frames",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the annotated sets")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--detectors", nargs="+", choices=DETECTORS, default=DETECTORS)
    parser.add_argument("--every", type=int, default=1, help="take every n-th face or person")
    options = parser.parse_args()
    data, step, names, finders = options.data, options.every, options.detectors, finders_of(options.detectors)
    torch.set_num_threads(1)
    faces = [*helen(data, ("val",)), *celebamask(data)][::step]
    print(f"{len(faces)} faces")
    tables = {
        "small": lambda: small_faces(faces, finders),
        "turned": lambda: turned_faces(faces, finders),
        "refusals": lambda: refusals(faces, names),
        "profile": lambda: profiles(data, step, names),
        "background": lambda: without_a_face(data, step, finders),
        "points": lambda: precision_of_points(faces, names),
        "alignment": lambda: precision_of_alignment(faces, names),
        "enrollment": lambda: enrollment(data, faces, names),
        "recognition": lambda: recognition(data, step, names),
        "frames": lambda: frames(faces, finders),
    }
    for table in options.tables:
        tables[table]()


if __name__ == "__main__":
    main()
