"""What the network makes of a probe, side by side, for people to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.schemes import parsing_colors

if TYPE_CHECKING:
    from PIL import Image

    from rim_lightning.inference.recognizer import HallucinatedFaces

COLUMNS = ("bicubic", "coarse", "hallucinated", "landmarks", "parsing")


def face_pictures(faces: HallucinatedFaces, index: int, side: int) -> dict[str, Image.Image]:
    """Pictures of one face by the names of `COLUMNS`, enlarged to (side, side)."""
    from PIL import Image, ImageDraw

    def picture(pixels: NDArray[np.uint8]) -> Image.Image:
        return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)

    shown = {
        name: picture(to_pixels(image[index], black=0.0))
        for name, image in zip(COLUMNS, (faces.bicubic, faces.coarse, faces.sr), strict=False)
    }
    points = shown["hallucinated"].copy()
    draw = ImageDraw.Draw(points)
    radius = max(1.0, side / 128)
    for maps in faces.heatmaps.values():
        for x, y in (decode_heatmaps(maps[index : index + 1], side)[0] + 0.5).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(60, 220, 90))
    shown["landmarks"] = points
    classes = parsing_colors()[faces.parsing[index].numpy()]
    shown["parsing"] = Image.fromarray(classes).resize((side, side), Image.Resampling.NEAREST)
    return shown


def face_strip(faces: HallucinatedFaces, index: int, side: int = 192) -> Image.Image:
    """The pictures of one face in a row, each under its name."""
    from PIL import Image, ImageDraw

    shown = face_pictures(faces, index, side)
    caption, gap = 18, 4
    strip = Image.new("RGB", (len(shown) * (side + gap) - gap, side + caption), "white")
    draw = ImageDraw.Draw(strip)
    for column, (name, picture) in enumerate(shown.items()):
        left = column * (side + gap)
        text = f"{name}, {faces.size[index]:.0f} px" if name == "bicubic" else name
        draw.text((left + 2, 3), text, fill="black")
        strip.paste(picture, (left, caption))
    return strip
