"""Pictures of a hallucinated face for people to look at, with its landmarks and parsing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from rim_lightning.files import whole_file, without_surrogates
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.schemes import parsing_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rim_lightning.data.detectors import Face
    from rim_lightning.inference.recognizer import HallucinatedFaces

HALLUCINATED = "hallucinated: not a photograph"
"""What stands on every picture of a hallucinated face that could be taken for one, and in its file."""
MARK_COLOR = (230, 159, 0)  # orange of Okabe and Ito

CAPTION_HEIGHT = 18  # pixels
GAP = 4  # pixels between two pictures
POINT_COLOR = (60, 220, 90)
USABLE_COLOR, FAULTY_COLOR, CHOSEN_COLOR = (30, 140, 255), (230, 70, 40), (20, 150, 60)
NUMBERED_SIDE = 960  # pixels; smaller pictures are enlarged, so that the numbers can be read


def sharp_face(faces: HallucinatedFaces, index: int) -> Image.Image:
    """Return a hallucinated face in its own size.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.

    Returns:
        Picture of (S, S) pixels.
    """
    return Image.fromarray(to_pixels(faces.sr[index], black=0.0))


def face_pictures(faces: HallucinatedFaces, index: int, side: int) -> list[tuple[Image.Image, str]]:
    """Return five pictures of one face: bicubic, coarse, hallucinated, landmarks and parsing.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.
        side: Side of a picture in pixels.

    Returns:
        (picture, caption) in that order. The first caption also says the size of the probe.
    """
    bicubic, coarse, hallucinated = (
        _enlarged(to_pixels(image[index], black=0.0), side) for image in (faces.bicubic, faces.coarse, faces.sr)
    )
    landmarks = hallucinated.copy()
    draw = ImageDraw.Draw(landmarks)
    radius = max(1.0, side / 128)
    for points in faces.landmarks.values():
        for x, y in ((points[index] + 0.5) * (side / faces.sr.shape[-1])).tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=POINT_COLOR)
    classes = parsing_colors()[faces.parsing[index].numpy()]  # (h, w) -> (h, w, 3)
    parsing = Image.fromarray(classes).resize((side, side), Image.Resampling.NEAREST)
    return [
        (bicubic, f"bicubic, {faces.size[index]:.0f} px"),
        (coarse, "coarse"),
        (hallucinated, "hallucinated"),
        (landmarks, "landmarks"),
        (parsing, "parsing"),
    ]


def face_strip(faces: HallucinatedFaces, index: int, side: int = 192) -> Image.Image:
    """Return the pictures of one face in a row, each under its caption.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.
        side: Side of each picture in pixels.

    Returns:
        One picture.
    """
    return captioned_row(face_pictures(faces, index, side), side)


def captioned_row(pictures: Sequence[tuple[Image.Image, str]], side: int) -> Image.Image:
    """Return pictures in a row, each under its caption.

    Args:
        pictures: (picture, caption). A picture of another size is enlarged or reduced bicubically.
        side: Side of each picture in pixels.

    Returns:
        One picture.
    """
    strip = Image.new("RGB", (len(pictures) * (side + GAP) - GAP, side + CAPTION_HEIGHT), "white")
    draw = ImageDraw.Draw(strip)
    for column, (picture, caption) in enumerate(pictures):
        left = column * (side + GAP)
        draw.text((left + 2, 3), caption, fill="black")
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.BICUBIC)
        strip.paste(picture, (left, CAPTION_HEIGHT))
    return strip


def numbered_scale(shape: tuple[int, ...]) -> float:
    """Return the factor by which `numbered_faces` enlarges a picture of this shape."""
    return max(1.0, NUMBERED_SIDE / max(shape[:2]))


def numbered_faces(image: NDArray[np.uint8], faces: Sequence[Face], chosen: int | None = None) -> Image.Image:
    """Draw the boxes, points and numbers of faces into a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        faces: Its faces. The first is number 1.
        chosen: Number of the face that is meant, if one is.

    Returns:
        The picture, enlarged if it is small. Boxes of faces that cannot be used are red, that of the chosen one is
        green.
    """
    picture = Image.fromarray(image)
    scale = numbered_scale(image.shape)
    if scale > 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 320))
    font = ImageFont.load_default(size=9 * line)
    for number, face in reversed(list(enumerate(faces, start=1))):  # the first on top
        color = CHOSEN_COLOR if number == chosen else USABLE_COLOR if face.fault is None else FAULTY_COLOR
        x0, y0, x1, y1 = ((face.box + 0.5) * scale).tolist()
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=color, width=line)
        for x, y in ((face.points + 0.5) * scale).tolist():
            draw.ellipse((x - line, y - line, x + line, y + line), fill=POINT_COLOR)
        _, _, width, height = draw.textbbox((0, 0), str(number), font=font)
        left = min(max(0.0, x0), picture.width - width - 2 * line)
        above = y0 - height - 2 * line
        top = above if above >= 0 else min(max(0.0, y0), picture.height - height - 2 * line)
        draw.rectangle((left, top, left + width + 2 * line, top + height + 2 * line), fill=color)
        draw.text((left + line, top + line), str(number), font=font, fill="white")
    return picture


def save_picture(picture: Image.Image, file: Path, texts: Mapping[str, str] | None = None) -> None:
    """Write a PNG file, whole or not at all.

    Args:
        picture: The picture.
        file: The file. Its folder is made if it is missing.
        texts: Keyword -> text, written into the file beside the pixels.

    Raises:
        OSError: If it cannot be written. The error names the file.
    """
    chunks = PngInfo()
    for keyword, text in (texts or {}).items():
        chunks.add_itxt(keyword, text)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as part:
            picture.save(part, "PNG", pnginfo=chunks)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def hallucination_texts(model: str, digest: str) -> dict[str, str]:
    """Return what the file of a hallucinated face says about itself, by the keywords of PNG.

    Args:
        model: Name of the model.
        digest: Name of its weights (`Recognizer.probe_fingerprint`).
    """
    from rim_lightning import __version__

    return {
        "Title": HALLUCINATED,
        "Description": f"{HALLUCINATED}. A network made this face of a probe; it is no evidence of who is on it.",
        "Software": f"rim-lightning {__version__}",
        "Source": f"model {without_surrogates(model)}, digest {digest}",
    }


def _enlarged(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
