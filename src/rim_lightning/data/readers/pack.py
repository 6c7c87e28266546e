"""Verification sets in one file: aligned faces two by two with a label, as insightface's `.bin` or as Parquet."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.aligned import ALIGNED_POINTS, aligned_face
from rim_lightning.data.readers.files import require_file
from rim_lightning.data.readers.pair_table import read_pair_table
from rim_lightning.data.readers.pickled_pack import read_pickled_pack
from rim_lightning.data.readers.record import Record
from rim_lightning.files import open_regular

FOLDS = 10
PARQUET = b"PAR1"


def read_pack(
    file: str | Path, pictures: Sequence[str] = ("image1", "image2"), same: str = "same"
) -> tuple[list[Record], list[Pair]]:
    """Read a verification set of faces aligned to 112 px: LFW, CALFW, CPLFW, AgeDB-30, CFP-FP and others.

    Faces 2i and 2i + 1 are pair i. The folds are ten consecutive parts of the list, as in the evaluation that these
    files come from (scikit-learn's `KFold(10)`). The people are unknown.

    Args:
        file: A pickle as `read_pickled_pack` reads it, or a Parquet file as `read_pair_table` reads it.
        pictures: Columns of pictures of a Parquet file.
        same: Column of labels of a Parquet file.

    Returns:
        Records of the test split with the five points of the template, and the pairs.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds something else than faces and labels, or not two faces for each label.
    """
    file = require_file(Path(file), "a pack of faces and labels, or a Parquet file")
    with open_regular(file) as stream:
        is_table = stream.read(len(PARQUET)) == PARQUET
    faces, labels = read_pair_table(file, pictures, same) if is_table else read_pickled_pack(file)
    if not labels or len(faces) != 2 * len(labels):
        raise ValueError(
            f"{file} holds {len(faces)} faces and {len(labels)} labels; expected two faces for each label."
        )
    names = [f"{number:06d}.jpg" for number in range(len(faces))]
    records = [
        Record(name, file, None, "test", ALIGNED_POINTS, load_content=partial(aligned_face, face, name))
        for name, face in zip(names, faces, strict=True)
    ]
    return records, [
        Pair(names[2 * number], names[2 * number + 1], label, fold)
        for number, (label, fold) in enumerate(zip(labels, consecutive_folds(len(labels)), strict=True))
    ]


def read_pack_faces(
    file: str | Path, pictures: Sequence[str] = ("image1", "image2"), same: str = "same"
) -> list[Record]:
    """List the faces of a verification set for rim-prepare; see `read_pack`."""
    return read_pack(file, pictures, same)[0]


def consecutive_folds(pairs: int, folds: int = FOLDS) -> list[int]:
    """Deal pairs to consecutive folds of nearly one size; the first ones have one more.

    Example:
        >>> consecutive_folds(5, folds=3)
        [0, 0, 1, 1, 2]
    """
    size, more = divmod(pairs, folds)
    return [fold for fold in range(folds) for _ in range(size + (fold < more))]
