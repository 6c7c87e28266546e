"""Data sets by name, and the preparation of those that are missing."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rim_lightning.data.images import ImageError, picture_header, read_image
from rim_lightning.data.landmark_check import differ, landmark_fault
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import MANIFEST
from rim_lightning.data.unused import NOTES, detection_notes, files_among, left_out_files, unused_files, write_list
from rim_lightning.runs.progress import say
from rim_lightning.schemes import five_points

LOOKED_AT = 12
"""Largest number of pictures whose faces are searched to check the landmarks of a data set."""

MIN_ELSEWHERE = 4
"""Number of pictures with faces elsewhere that refuses the landmarks. Of 519 annotated pictures none is one."""

MAX_OFFSET = 0.15
"""Largest mean distance of annotated and detected points, as a share of the side of the face. In 120 annotated pictures
of CelebA and Helen the median is 0.03, the largest 0.09."""

MAX_EMPTY = 4
"""Number of pictures without a face from which on nothing can be said."""


class Source(NamedTuple):
    """A data set that can be prepared.

    Attributes:
        name: Name of the set. The prepared store is called `<name>_<hr_size>`.
        read: Lists the images of the set with their annotations. The files among the keywords of a `partial`, such as
            tables of landmarks, count as used.
    """

    name: str
    read: Callable[[], list[Record]]


def call_reader(read: Callable[..., list[Record]], arguments: Mapping[str, Any]) -> list[Record]:
    """Read the list of a data set with arguments that a user chose.

    Raises:
        FileNotFoundError: If files of the source are missing.
        ValueError: If the reader has no such argument, or the files are laid out differently.
    """
    try:
        inspect.signature(read).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"source.reader: {error}.") from error
    return read(**arguments)


def check_on_faces(records: Sequence[Record], name: str) -> None:
    """Check on a few pictures that landmarks lie on the faces, before a data set is prepared.

    Landmarks that were made for pictures of half the size, for another cut-out, for turned pictures or for other ones
    can form a face inside the picture.

    The first picture whose face lies where its landmarks are ends the check. So do pictures that show no face.

    Args:
        records: Images and labels that a reader returned.
        name: Name of the data set, for the message.

    Raises:
        ValueError: If at least `MIN_ELSEWHERE` pictures show faces and none of them where the landmarks are.
    """
    from rim_lightning.data.detection import find_faces

    annotated = [record for record in records if five_points(record.landmarks) is not None]
    elsewhere: list[str] = []
    empty = 0
    for record in annotated[:: max(1, len(annotated) // LOOKED_AT)][:LOOKED_AT]:
        five = five_points(record.landmarks)
        try:
            content = record.content()
            image = read_image(content, upright=False)
            if five is None or landmark_fault(record.landmarks, picture_header(content)):
                continue  # it is left out with a better reason
        except (OSError, ImageError):  # it is left out
            continue
        faces = find_faces([image])[0]
        if any(not differ(five, face.points, MAX_OFFSET) for face in faces):
            return
        elsewhere += [record.name] if faces else []
        empty += not faces
        if empty >= MAX_EMPTY:
            return
    if len(elsewhere) >= MIN_ELSEWHERE:
        raise ValueError(
            f"The landmarks of {name} do not lie on faces: in {len(elsewhere)} pictures that were looked at, the first "
            f"is {elsewhere[0]}, the face is elsewhere; they may belong to pictures of another size, cut-out or "
            "orientation, or to others."
        )


def prepare_missing(sources: Iterable[Source], prepared_dir: str | Path, hr_size: int, workers: int) -> None:
    """Prepare the stores of the sources that do not exist yet. An interrupted preparation is resumed.

    Args:
        sources: Data sets.
        prepared_dir: Folder of the prepared stores.
        hr_size: Side of an aligned face in pixels.
        workers: Number of processes; 0 works in this one.

    Raises:
        FileNotFoundError: If the files of a source are missing.
        ValueError: If a store exists that was made from other images, landmarks or splits.
    """
    listed = [(source, source.read()) for source in sources]  # a mistake in the last one is found at once
    for source, records in listed:
        name = source.name
        output = Path(prepared_dir) / f"{name}_{hr_size}"
        if (output / MANIFEST).is_file():
            prepare(records, output, name=name, hr_size=hr_size, workers=workers)  # checks that it is made of these
            continue
        check_on_faces(records, name)
        store = prepare(records, output, name=name, hr_size=hr_size, workers=workers)
        own: list[str | Path] = [*files_among(getattr(source.read, "keywords", {})), store.path]
        left_out = left_out_files(store, unused_files(records, own))
        file = write_list(store.path, left_out)
        if left_out:
            say(f"{name}: {len(left_out)} files were left out, {file or output} names them", err=True)
        notes = detection_notes(store)
        file = write_list(store.path, notes, NOTES)
        if notes:
            say(f"{name}: pictures were turned or show several faces, {file or output} names them", err=True)
