"""The choice of a face on the page: the faces of a picture, of which one is clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rim_lightning.data.images import read_image
from rim_lightning.inference.face_pictures import numbered_faces, numbered_scale

if TYPE_CHECKING:
    from PIL import Image

    from rim_lightning.data.detectors import Face


class FaceMenu(NamedTuple):
    """Faces of a picture to choose from, and the choice.

    Attributes:
        picture: Path of the picture.
        faces: Its usable faces in the order of their numbers.
        chosen: Number of the face that is meant. None for the largest, which is number 1.
    """

    picture: str
    faces: list[Face]
    chosen: int | None = None

    def clicked(self, x: float, y: float) -> FaceMenu:
        """Choose the face that was clicked.

        Args:
            x: Column of `drawn` that was clicked, in its pixels.
            y: Row, likewise.

        Returns:
            The menu with another choice. It is the same if no box was clicked. Of boxes that overlap the smallest
            counts.
        """
        scale = numbered_scale(read_image(self.picture).shape)
        boxes = {number: scale * (face.box + 0.5) for number, face in enumerate(self.faces, start=1)}
        hit = [number for number, (x0, y0, x1, y1) in boxes.items() if x0 <= x <= x1 and y0 <= y <= y1]
        return self._replace(chosen=max(hit)) if hit else self  # the numbers follow the sizes

    def numbered(self, number: int | None) -> FaceMenu:
        """Choose a face by its number. The menu is the same if there is no such number."""
        return self._replace(chosen=number) if number in range(1, len(self.faces) + 1) else self

    def drawn(self) -> Image.Image:
        """Return the picture with numbered boxes, that of the chosen face in another color."""
        return numbered_faces(read_image(self.picture), self.faces, self.chosen or 1)

    def number_in(self, picture: str | None) -> int | None:
        """Return the number that is chosen in a picture; None if the faces are those of an earlier picture."""
        return self.chosen if picture == self.picture else None
