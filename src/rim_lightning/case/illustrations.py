"""Pictures that the network makes of a probe, for a record. Each says on its pixels that it is no photograph."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from rim_lightning.inference.face_pictures import HALLUCINATED, face_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_lightning.case.record_folder import RecordWriter
    from rim_lightning.inference.faces import AlignedFace
    from rim_lightning.inference.recognizer import Recognizer

PICTURE_WIDTH = 384  # pixels
ROWS = (0.06, 0.5, 0.94)  # height of each watermark, as a share of the picture


def add_illustrations(
    writer: RecordWriter,
    recognizer: Recognizer,
    faces: Sequence[tuple[AlignedFace, str]],
    entries: Sequence[dict[str, Any]],
) -> None:
    """Hallucinate the probes of a record, and write the pictures into it.

    Args:
        writer: The record.
        recognizer: The model.
        faces: The faces of the record with their sides.
        entries: The entries of these faces in the record. What is written is added to them.
    """
    for number, ((face, side), entry) in enumerate(zip(faces, entries, strict=True), start=1):
        if side != "probe":
            continue
        pictures = face_pictures(recognizer.hallucinate([face]), 0, PICTURE_WIDTH)
        for kind in ("hallucinated", "landmarks"):
            picture = next(picture for picture, caption in pictures if caption == kind)
            content = png_bytes(with_watermark(picture))
            entry["illustrations"][kind] = writer.keep_illustration(f"face_{number}_{kind}.png", content)


def with_watermark(picture: Image.Image, text: str = HALLUCINATED) -> Image.Image:
    """Return a picture with a text across it, at its top, in its middle and at its bottom.

    Args:
        picture: The picture.
        text: The text.
    """
    layer = Image.new("RGBA", picture.size)
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=picture.width / 15)
    for row in ROWS:
        middle, half = picture.height * row, picture.width / 22
        draw.rectangle((0, middle - half, picture.width, middle + half), fill=(0, 0, 0, 130))
        draw.text((picture.width / 2, middle), text, font=font, anchor="mm", fill="white")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def png_bytes(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
