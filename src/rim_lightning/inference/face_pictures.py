"""Pictures of a hallucinated face for people to look at, with its landmarks and parsing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from rim_lightning.files import whole_file, without_surrogates
from rim_lightning.functional.marked_faces import mark_landmarks, part_legend
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.functional.resize import before_enlargement
from rim_lightning.schemes import FIVE, parsing_colors

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
SWATCH = 10  # side in pixels of a color in a legend
USABLE_COLOR, FAULTY_COLOR, CHOSEN_COLOR = (30, 140, 255), (213, 94, 0), (0, 158, 115)
NUMBERED_SIDE = 960  # pixels; smaller pictures are enlarged, so that the numbers can be read
REPEATED_FROM = 3  # factor of enlargement from which on pixels are repeated, and not interpolated


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
    """Return six pictures of one face: its own pixels, bicubic, coarse, hallucinated, landmarks and parsing.

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
    size, hr_size = float(faces.size[index]), faces.sr.shape[-1]
    own = min(max(1, round(size)), hr_size)
    pixels = to_pixels(before_enlargement(2 * faces.bicubic[index : index + 1] - 1, own)[0])
    points = {
        scheme: (places[index].double().numpy() + 0.5) * (side / hr_size) - 0.5
        for scheme, places in faces.landmarks.items()
    }
    landmarks = mark_landmarks(np.asarray(hallucinated), points, max(1.2, side / 128))
    classes = parsing_colors()[faces.parsing[index].numpy()]  # (h, w) -> (h, w, 3)
    return [
        (Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), f"probe, {size:.0f} px"),
        (bicubic, "bicubic"),
        (coarse, "coarse"),
        (hallucinated, "hallucinated"),
        (Image.fromarray(landmarks), "landmarks"),
        (Image.fromarray(classes).resize((side, side), Image.Resampling.NEAREST), "parsing"),
    ]


def face_strip(faces: HallucinatedFaces, index: int, side: int = 192) -> Image.Image:
    """Return the pictures of one face in a row, each under its caption, above a legend of the colors.

    Args:
        faces: Hallucinated faces.
        index: Number of the face.
        side: Side of each picture in pixels.

    Returns:
        One picture.
    """
    return with_legend(captioned_row(face_pictures(faces, index, side), side), part_legend())


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


def with_legend(
    picture: Image.Image,
    legend: Mapping[str, tuple[int, int, int]],
    boxes: Mapping[str, tuple[int, int, int]] | None = None,
) -> Image.Image:
    """Return a picture above a legend, which has as many lines as it needs.

    Args:
        picture: The picture.
        legend: Words -> RGB, 0 to 255.
        boxes: The same for boxes in the picture, which come first and are empty in the legend, too.

    Returns:
        A picture of the same width.
    """
    boxes = boxes or {}
    entries = [*boxes.items(), *legend.items()]
    font = ImageFont.load_default()
    places: list[tuple[float, int]] = []
    left, line = 2.0, 0
    for words, _ in entries:
        width = SWATCH + GAP + font.getlength(words) + 3 * GAP
        if left > 2 and left + width > picture.width:
            left, line = 2.0, line + 1
        places.append((left, line))
        left += width
    shown = Image.new("RGB", (picture.width, picture.height + (line + 1) * CAPTION_HEIGHT), "white")
    shown.paste(picture)
    draw = ImageDraw.Draw(shown)
    for number, ((words, color), (left, line)) in enumerate(zip(entries, places, strict=True)):
        top = picture.height + line * CAPTION_HEIGHT + 4
        place = (left, top, left + SWATCH - 1, top + SWATCH - 1)
        if number < len(boxes):
            draw.rectangle(place, outline=color, width=2)
        else:
            draw.rectangle(place, fill=color, outline="black")
        draw.text((left + SWATCH + GAP, top - 1), words, font=font, fill="black")
    return shown


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
        The picture, enlarged if it is small; the pixels of a tiny one are repeated. Boxes are blue; those of faces that
        cannot be used are orange-red, that of the chosen one is green. The five points have the colors of their parts.
    """
    picture = Image.fromarray(image)
    scale = numbered_scale(image.shape)
    if scale > 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.NEAREST if scale >= REPEATED_FROM else Image.Resampling.BICUBIC)
    line = max(2, round(max(picture.size) / 320))
    marked = np.asarray(picture)
    for face in faces:
        marked = mark_landmarks(marked, {FIVE.name: (face.points + 0.5) * scale - 0.5}, line)
    picture = Image.fromarray(marked)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=9 * line)
    for number, face in reversed(list(enumerate(faces, start=1))):  # the first on top
        color = CHOSEN_COLOR if number == chosen else USABLE_COLOR if face.fault is None else FAULTY_COLOR
        x0, y0, x1, y1 = ((face.box + 0.5) * scale).tolist()
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=color, width=line)
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
