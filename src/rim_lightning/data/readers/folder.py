"""Any folder of face images, flat; a .pts file beside an image gives its landmarks."""

from pathlib import Path

from rim_lightning.data.readers.files import list_images
from rim_lightning.data.readers.pts import points_beside
from rim_lightning.data.readers.record import Record


def read_folder(root: str | Path, split: str = "test", first_pixel: float = 1.0) -> list[Record]:
    """List the images directly in a folder, all in one split, of unknown people.

    Args:
        root: The folder.
        split: "train", "val" or "test".
        first_pixel: Coordinate of the center of the first pixel in .pts files, see
            `rim_lightning.data.readers.pts.read_points`.

    Returns:
        Records sorted by file name.

    Raises:
        FileNotFoundError: If the folder does not exist or holds no images.
        ValueError: If a .pts file is damaged.
    """
    return [
        Record(image.name, image, None, split, points_beside(image, first_pixel))
        for image in list_images(Path(root), "face images")
    ]
