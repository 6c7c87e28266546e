"""Lists of verification pairs other than LFW's View 2: CALFW, CPLFW and plain CSV files."""

import csv
import hashlib
import io
from collections.abc import Collection, Iterable
from pathlib import Path

from rim_lightning.data.pairs import Pair
from rim_lightning.data.readers.files import numbered_rows, read_label_text, require_images
from rim_lightning.files import whole_file

ANNOTATED_FOLDS = 10
MAX_DIGITS = 9
_COLUMNS = ["gallery", "probe", "same", "fold"]


def read_annotated_pairs(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Read the pairs of CALFW (Zheng et al., 2017) or CPLFW (Zheng and Deng, 2018).

    The lists are called `pairs_CALFW.txt` and `pairs_CPLFW.txt`. A pair is two lines `<image> <flag>` with the same
    flag: 0 is impostor, any other number genuine. Images are file names in `aligned images/` or `images/`, as
    `read_folder` names them. As published, the 3,000 genuine pairs come first and the 3,000 impostor pairs after them.

    Fold k is the k-th tenth of the genuine and the k-th tenth of the impostor pairs: so grouped, no person of CPLFW is
    in two folds. The genuine flags of CPLFW are all 1; those of CALFW number the folds from 1, which is checked.

    Args:
        file: The list.
        names: Names of the prepared images; every image of a pair must be among them. None skips that check.

    Returns:
        The pairs in the order of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is wrong, a kind of pair cannot be dealt to ten folds, the flags contradict the folds, or
            an image is missing.
    """
    file = Path(file)
    text = read_label_text(file, "two lines '<image> <flag>' per pair").splitlines()
    lines = [(number, line.split()) for number, line in enumerate(text, start=1) if line.strip()]
    for number, fields in lines:
        if len(fields) != 2 or not _is_count(fields[1]):
            raise ValueError(f"{file} line {number} is not '<image> <flag>' with a whole number as flag.")
    if len(lines) % 2:
        raise ValueError(f"{file} has {len(lines)} lines; expected two per pair.")
    entries: list[tuple[int, str, str, int]] = []
    for (number, (gallery, flag)), (_, (probe, other)) in zip(lines[::2], lines[1::2], strict=True):
        if int(flag) != int(other):
            raise ValueError(f"{file} lines {number} and {number + 1} are one pair but have flags {flag} and {other}.")
        entries.append((number, gallery, probe, int(flag)))
    pairs = _dealt_to_folds(file, entries)
    require_images(file, ((number, fields[0]) for number, fields in lines), names)
    return pairs


def _dealt_to_folds(file: Path, entries: list[tuple[int, str, str, int]]) -> list[Pair]:
    """Deal the (line number, gallery, probe, flag) of a list to folds, see `read_annotated_pairs`."""
    flags = [flag for _, _, _, flag in entries]
    genuine = sum(flag > 0 for flag in flags)
    size = {True: genuine // ANNOTATED_FOLDS, False: (len(flags) - genuine) // ANNOTATED_FOLDS}
    if min(size.values()) == 0 or len(entries) != ANNOTATED_FOLDS * sum(size.values()):
        raise ValueError(
            f"{file} lists {len(entries)} pairs, of which {genuine} genuine; expected "
            f"{ANNOTATED_FOLDS} folds of as many pairs of each kind."
        )
    flags_are_folds = max(flags) > 1
    counts = {True: 0, False: 0}  # of the pairs of either kind so far
    pairs = []
    for number, gallery, probe, flag in entries:
        same = flag > 0
        fold = counts[same] // size[same]
        counts[same] += 1
        if same and flags_are_folds and flag != fold + 1:
            raise ValueError(f"{file} line {number} has flag {flag} where its place in the list is fold {fold + 1}.")
        pairs.append(Pair(gallery, probe, same, fold))
    return pairs


def read_pair_csv(file: str | Path, names: Collection[str] | None = None) -> list[Pair]:
    """Read pairs from a comma-separated table with the header `gallery,probe,same` or `gallery,probe,same,fold`.

    `same` is 0 or 1; `fold` counts from 0. Without that column every pair is in fold 0: such a list is for figures
    that need no folds, like TAR at FAR.

    Args:
        file: The table.
        names: Names of the prepared images; every image of a pair must be among them. None skips that check.

    Returns:
        The pairs in the order of the table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the header or a line is wrong, there are no pairs, or an image is missing.
    """
    file = Path(file)
    text = read_label_text(file, f"a table with the header {','.join(_COLUMNS)}")
    (_, header), *rows = numbered_rows(file, text, ",") or [(0, [])]
    if header not in (_COLUMNS[:3], _COLUMNS) or not rows:
        raise ValueError(f"{file} is not the header {','.join(_COLUMNS)} (the fold may be left out) and then pairs.")
    pairs = []
    for number, row in rows:
        if len(row) != len(header) or row[2] not in ("0", "1") or not all(_is_count(fold) for fold in row[3:]):
            raise ValueError(
                f"{file} line {number} is not '{','.join(header)}' with same 0 or 1 and a whole number as fold."
            )
        pairs.append(Pair(row[0], row[1], row[2] == "1", int(row[3]) if row[3:] else 0))
    mentions = ((number, name) for number, row in rows for name in row[:2])
    require_images(file, mentions, names)
    return pairs


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_DIGITS


def write_pair_csv(file: str | Path, pairs: Iterable[Pair]) -> str:
    """Write the table that `read_pair_csv` reads.

    The bytes depend on the pairs alone, so that two runs with one digest have judged the same pairs.

    Args:
        file: File to write. Its folder must exist.
        pairs: The pairs.

    Returns:
        SHA-256 of the table as 64 hexadecimal digits.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows((pair.gallery, pair.probe, int(pair.same), pair.fold) for pair in pairs)
    content = table.getvalue().encode()
    with whole_file(file) as part:
        part.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
