"""One folder per person: CelebA crops, CASIA-WebFace, VGGFace2 and the like."""

from pathlib import Path

from rim_lightning.data.listing import folders_in
from rim_lightning.data.readers.files import (
    images_elsewhere,
    images_in,
    read_landmark_table,
    read_splits,
    require_a_match,
    require_folder,
    same_name,
    split_of,
)
from rim_lightning.data.readers.record import Record


def read_people(
    root: str | Path,
    landmarks: str | Path | None = None,
    splits: str | Path | None = None,
    split_key: str = "celeba_identities",
) -> list[Record]:
    """List the images `root/<person>/<image>`. Training and validation people are disjoint.

    Args:
        root: Folder of the people's folders.
        landmarks: Table of landmarks (see `read_landmark_table`) whose images are named `<person>/<image>`.
        splits: JSON file with the splits, keyed by person. Without it, about a tenth of the people is for validation.
        split_key: Entry of that file.

    Returns:
        Records sorted by person and file name.

    Raises:
        FileNotFoundError: If a folder or file of this layout is missing.
        ValueError: If the table or the splits are damaged, or a person is in no split.
    """
    root = require_folder(Path(root), "one folder of images per person")
    table = read_landmark_table(Path(landmarks), root) if landmarks is not None else {}
    split_by_person = read_splits(splits, split_key)
    records = []
    for person in folders_in(root):
        split = split_of(person.name, split_by_person, splits)
        for image in images_in(person):
            name = f"{person.name}/{image.name}"
            records.append(Record(name, image, person.name, split, table.get(same_name(name), {})))
    if landmarks is not None:
        require_a_match(Path(landmarks), table, (same_name(record.name) for record in records))
    if not records:
        raise FileNotFoundError(
            f"{root} holds no images in sub-folders; expected one folder of images per person there"
            f"{images_elsewhere(root)}."
        )
    return records
