"""Faces that were small from the start: SCface (Grgic 2011), TinyFace and QMUL-SurvFace (Cheng et al., 2018)."""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rim_lightning.data.images import read_content
from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.aligned import ALIGNED_POINTS, aligned_face
from rim_lightning.data.readers.files import excerpt, inner_name, list_images, require_file, require_folder
from rim_lightning.data.readers.mat_cells import read_mat_cells
from rim_lightning.data.readers.record import Record

SCFACE_DISTANCES = (1, 2, 3)

VERIFICATION = "Face_Verification_Test_Set"
"""Folder of QMUL-SurvFace with the pictures and the pairs of its verification test."""

PAIR_LISTS = {"positive_pairs_names": True, "negative_pairs_names": False}
"""Name of a list of pairs there, and of the variable in it -> whether the pairs show one person."""


class IdentificationSet(NamedTuple):
    """Images of an identification protocol and the role of each.

    Attributes:
        records: Gallery, then probes, all of the test split. A distractor of the gallery has no identity.
        gallery: Names of the records that are searched.
        probe: Names of the records that are searched for.
    """

    records: list[Record]
    gallery: list[str]
    probe: list[str]


def read_scface(root: str | Path, mugshots: str = "mugshot_frontal_original_all") -> IdentificationSet:
    """List SCface: frontal mugshots as gallery, pictures of seven surveillance cameras at three distances as probes.

    The folder holds `<mugshots>/<person>_frontal.jpg` and
    `surveillance_cameras_distance_<d>/cam_<c>/<person>_cam<c>_<d>.jpg` for the distances d = 1 (4.2 m) to 3 (1 m).
    Cameras 6 and 7 are infrared. A record is named `<person>/<file name>`; the file name tells camera and distance.

    Args:
        root: Folder of the database.
        mugshots: Folder of the mugshots, `mugshot_frontal_original_all` or `mugshot_frontal_cropped_all`.

    Returns:
        Gallery and probes, sorted by file name.

    Raises:
        FileNotFoundError: If a folder of this layout is missing or empty.
        ValueError: If a picture has another name.
    """
    root = require_folder(Path(root), f"{mugshots}/ and surveillance_cameras_distance_1/ ... _3/ of SCface")
    gallery = [
        _scface_record(image, "frontal") for image in list_images(root / mugshots, "mugshots '<person>_frontal.jpg'")
    ]
    probe = []
    for distance in SCFACE_DISTANCES:
        folder = root / f"surveillance_cameras_distance_{distance}"
        cameras = sorted(require_folder(folder, "cam_1/ ... cam_7/ of SCface").glob("cam_[1-7]"))
        if not cameras:
            raise FileNotFoundError(f"{folder} holds no folders cam_1/ ... cam_7/; expected those of SCface there.")
        for camera in cameras:
            what = f"cam{camera.name[-1]}_{distance}"
            probe += [_scface_record(image, what) for image in list_images(camera, f"pictures '<person>_{what}.jpg'")]
    return _identification_set(gallery, probe)


def read_tinyface(root: str | Path) -> IdentificationSet:
    """List the test set of TinyFace: `Gallery_Match` and the distractors as gallery, `Probe` as probes.

    The folder holds images in `Testing_Set/Gallery_Match`, `Testing_Set/Gallery_Distractor` and `Testing_Set/Probe`.
    The person is the number at the beginning of a file name, `<person>_<n>.jpg`. Distractors show nobody of the probes
    and have no identity, whatever their names. A record is named `<folder>/<file name>`.

    Args:
        root: Folder of the data set.

    Returns:
        Gallery and probes, sorted by file name.

    Raises:
        FileNotFoundError: If a folder of this layout is missing or empty.
        ValueError: If a picture has another name.
    """
    return _tinyface(Path(root) / "Testing_Set")


def read_tinyface_aligned(root: str | Path) -> IdentificationSet:
    """List the test set of TinyFace as the authors of AdaFace aligned it (`aligned_pad_0.1_pad_high`).

    The folder holds `Gallery_Match`, `Gallery_Distractor` and `Probe` with the file names of TinyFace. A face has 112 x
    112 pixels: MTCNN found it in the picture, which was padded by a tenth as the name of the folder says, and it was
    warped to the five-point template of ArcFace. Its points are therefore known, and no detector is needed.

    Args:
        root: That folder.

    Returns:
        Gallery and probes as of `read_tinyface`, with the five points of the template.

    Raises:
        FileNotFoundError: If a folder of this layout is missing or empty.
        ValueError: If a picture has another name.
    """
    images = _tinyface(Path(root))
    aligned = [
        record._replace(landmarks=ALIGNED_POINTS, load_content=partial(_aligned_content, record.image, record.name))
        for record in images.records
    ]
    return images._replace(records=aligned)


def _aligned_content(image: Path, name: str) -> bytes:
    return aligned_face(read_content(image, name), name)


def _tinyface(folder: Path) -> IdentificationSet:
    require_folder(folder, "Gallery_Match/, Gallery_Distractor/ and Probe/ of TinyFace")
    match, probe = (
        [
            Record(f"{part}/{image.name}", image, _person(image, r"(\d+)_.+", "<person>_<n>.jpg"), "test", {})
            for image in list_images(folder / part, "images '<person>_<n>.jpg' of TinyFace")
        ]
        for part in ("Gallery_Match", "Probe")
    )
    distractors = [
        Record(f"Gallery_Distractor/{image.name}", image, None, "test", {})
        for image in list_images(folder / "Gallery_Distractor", "TinyFace's distractors")
    ]
    return _identification_set([*match, *distractors], probe)


def read_survface(root: str | Path) -> IdentificationSet:
    """List the identification test of QMUL-SurvFace: `gallery` as gallery, `mated_probe` as probes.

    The folder holds flat pictures `<person>_cam<c>_<n>.jpg` in `Face_Identification_Test_Set/gallery` and
    `Face_Identification_Test_Set/mated_probe`. A person has several pictures in the gallery. The people of
    `unmated_probe` are nobody of the gallery and are left out.

    Args:
        root: Folder of the data set.

    Returns:
        Gallery and probes, sorted by file name. A record is named `<folder>/<file name>`.

    Raises:
        FileNotFoundError: If a folder of this layout is missing or empty.
        ValueError: If a picture has another name.
    """
    folder = require_folder(Path(root) / "Face_Identification_Test_Set", "gallery/ and mated_probe/ of QMUL-SurvFace")
    gallery, probe = (
        [
            Record(f"{part}/{image.name}", image, _person(image, r"(\d+)_cam.+", "<person>_cam<c>_<n>.jpg"), "test", {})
            for image in list_images(folder / part, "pictures '<person>_cam<c>_<n>.jpg' of QMUL-SurvFace")
        ]
        for part in ("gallery", "mated_probe")
    )
    return _identification_set(gallery, probe)


def read_survface_faces(root: str | Path) -> list[Record]:
    """List the pictures of the verification test of QMUL-SurvFace, all of the test split.

    Args:
        root: Folder of the data set. It holds pictures `<person>_cam<c>_<n>.jpg` in
            `Face_Verification_Test_Set/verification_images`.

    Returns:
        Records sorted by file name, which is their name.

    Raises:
        FileNotFoundError: If a folder of this layout is missing or empty.
        ValueError: If a picture has another name.
    """
    folder = Path(root) / VERIFICATION / "verification_images"
    return [
        Record(image.name, image, _person(image, r"(\d+)_cam.+", "<person>_cam<c>_<n>.jpg"), "test", {})
        for image in list_images(folder, "pictures '<person>_cam<c>_<n>.jpg' of QMUL-SurvFace")
    ]


def read_survface_pairs(place: str | Path) -> list[Pair]:
    """Read the pairs of the verification test of QMUL-SurvFace.

    They lie in two files of MATLAB beside the pictures, `positive_pairs_names.mat` and `negative_pairs_names.mat`, each
    a cell array of N x 2 names. The test has no folds.

    Args:
        place: Folder of the data set, or of its verification test, or one of the two files.

    Returns:
        The pairs of one person, then those of two people.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or a pair contradicts the people that its names begin with.
    """
    folder = Path(place)
    if folder.is_dir():
        folder = folder / VERIFICATION if (folder / VERIFICATION).is_dir() else folder
    elif folder.stem in PAIR_LISTS:
        folder = folder.parent
    else:
        raise ValueError(
            f"{folder} is not called {' or '.join(f'{name}.mat' for name in PAIR_LISTS)}: give one of these lists of "
            "QMUL-SurvFace, or their folder."
        )
    return [pair for name, same in PAIR_LISTS.items() for pair in _survface_list(folder / f"{name}.mat", same)]


def _survface_list(file: Path, same: bool) -> list[Pair]:
    require_file(file, "a list of pairs of QMUL-SurvFace")
    pairs = []
    for number, (first, second) in enumerate(read_mat_cells(file, file.stem, 2), start=1):
        for name in (first, second):
            inner_name(name, f"{file} row {number}")
        people = [re.match(r"\d+(?=_cam)", name) for name in (first, second)]
        if people[0] is None or people[1] is None or (people[0][0] == people[1][0]) != same:
            raise ValueError(
                f"{file} row {number} pairs {excerpt(first)} with {excerpt(second)}; expected names "
                f"'<person>_cam<c>_<n>.jpg' of {'one person' if same else 'two people'}."
            )
        pairs.append(Pair(first, second, same, 0))
    return pairs


def _scface_record(image: Path, what: str) -> Record:
    person = _person(image, rf"(\d+)_{what}", f"<person>_{what}.jpg")
    return Record(f"{person}/{image.name}", image, person, "test", {})


def _person(image: Path, pattern: str, layout: str) -> str:
    match = re.fullmatch(pattern, image.stem)
    if match is None:
        raise ValueError(f"{image} is not named '{layout}'; take it out of the folder or rename it.")
    return match[1]


def _identification_set(gallery: Iterable[Record], probe: Iterable[Record]) -> IdentificationSet:
    names = ([record.name for record in gallery], [record.name for record in probe])
    return IdentificationSet([*gallery, *probe], *names)
