"""Lists of verification pairs other than LFW's View 2: CALFW, CPLFW, plain CSV files, and random draws."""

import csv
import hashlib
import io
from collections.abc import Collection, Iterable
from pathlib import Path

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.files import require_file

ANNOTATED_FOLDS = 10
_COLUMNS = ["gallery", "probe", "same", "fold"]


def read_annotated_pairs(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Pairs of CALFW (Zheng et al., 2017) or CPLFW (Zheng and Deng, 2018) from `pairs_CALFW.txt` or `pairs_CPLFW.txt`.

    A pair is two lines `<image> <flag>` with one flag: 0 = impostor, any other number = genuine. Images are file names
    in `aligned images/` or `images/`, as `read_folder` names them. As published, the 3,000 genuine pairs come first and
    the 3,000 impostor pairs after them. The k-th tenth of the genuine and the k-th tenth of the impostor pairs are
    fold k: so grouped, no person of CPLFW is in two folds. The genuine flags of CPLFW are all 1; those of CALFW number
    the folds from 1, which is checked.

    Args:
        file: the list.
        names: names of the images at hand; every image of a pair must be among them. None leaves that unchecked.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where a line is wrong, a kind of pair cannot be dealt to ten folds, flags contradict the folds, or
            an image is missing.
    """
    file = require_file(Path(file), "two lines '<image> <flag>' per pair")
    text = file.read_text(encoding="utf-8").splitlines()
    lines = [(number, line.split()) for number, line in enumerate(text, start=1) if line.strip()]
    for number, fields in lines:
        if len(fields) != 2 or not fields[1].isdecimal():
            raise ValueError(f"{file} line {number} is not '<image> <flag>' with a whole number as flag.")
    if len(lines) % 2:
        raise ValueError(f"{file} has {len(lines)} lines; expected two per pair.")
    entries = []
    for (number, (gallery, flag)), (_, (probe, other)) in zip(lines[::2], lines[1::2], strict=True):
        if int(flag) != int(other):
            raise ValueError(f"{file} lines {number} and {number + 1} are one pair but have flags {flag} and {other}.")
        entries.append((number, gallery, probe, int(flag)))

    size = {same: sum((flag > 0) == same for *_, flag in entries) // ANNOTATED_FOLDS for same in (True, False)}
    if min(size.values()) == 0 or len(entries) != ANNOTATED_FOLDS * sum(size.values()):
        raise ValueError(
            f"{file} lists {len(entries)} pairs, of which {sum(flag > 0 for *_, flag in entries)} genuine; expected "
            f"{ANNOTATED_FOLDS} folds of as many pairs of each kind."
        )
    flags_are_folds = any(flag > 1 for *_, flag in entries)
    read = {True: 0, False: 0}
    pairs = []
    for number, gallery, probe, flag in entries:
        same = flag > 0
        fold = read[same] // size[same]
        read[same] += 1
        if same and flags_are_folds and flag != fold + 1:
            raise ValueError(f"{file} line {number} has flag {flag} where its place in the list is fold {fold + 1}.")
        pairs.append(Pair(gallery, probe, same, fold))
    _require_images(file, ((number, fields[0]) for number, fields in lines), names)
    return pairs


def read_pair_csv(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Pairs from a comma-separated table with the header `gallery,probe,same` or `gallery,probe,same,fold`.

    `same` is 0 or 1; `fold` counts from 0. Without that column every pair is in fold 0: such a list is for figures
    that need no folds, like TAR at FAR.

    Args:
        file: the table.
        names: names of the images at hand; every image of a pair must be among them. None leaves that unchecked.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the header or a line is wrong, there are no pairs, or an image is missing.
    """
    file = require_file(Path(file), f"a table with the header {','.join(_COLUMNS)}")
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    if header not in (_COLUMNS[:3], _COLUMNS) or not rows:
        raise ValueError(f"{file} is not the header {','.join(_COLUMNS)} (the fold may be left out) and then pairs.")
    pairs = []
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or row[2] not in ("0", "1") or not all(fold.isdecimal() for fold in row[3:]):
            raise ValueError(
                f"{file} line {number} is not '{','.join(header)}' with same 0 or 1 and a whole number as fold."
            )
        pairs.append(Pair(row[0], row[1], row[2] == "1", int(row[3]) if row[3:] else 0))
    mentioned = ((number, name) for number, pair in enumerate(pairs, start=2) for name in (pair.gallery, pair.probe))
    _require_images(file, mentioned, names)
    return pairs


def write_pair_csv(file: str | Path, pairs: Iterable[Pair]) -> str:
    """Writes the table that `read_pair_csv` reads; returns the SHA-256 of its bytes in hexadecimal.

    The bytes depend on the pairs alone, so the digest tells whether two runs judged the same pairs.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((pair.gallery, pair.probe, int(pair.same), pair.fold) for pair in pairs)
    content = table.getvalue().encode()
    Path(file).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _require_images(file: Path, mentioned: Iterable[tuple[int, str]], names: Collection[str] | None) -> None:
    """ValueError for the first (line, image) that is not among the names; None = anything goes."""
    if names is None:
        return
    known = set(names)
    missing = [(number, name) for number, name in mentioned if name not in known]
    if missing:
        number, name = missing[0]
        raise ValueError(
            f"{file} line {number} names {name}, the first of {len({name for _, name in missing})} images that are "
            "missing from the prepared data; prepare the folder that the list was made for."
        )
