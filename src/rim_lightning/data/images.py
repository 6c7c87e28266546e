"""The one decoder of pictures: any file format, mode and size becomes 8-bit RGB, in training and in use."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rim_lightning.extras import install_command
from rim_lightning.files import printable

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    Picture = str | os.PathLike | bytes | Image.Image | NDArray | Tensor

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""File formats that are opened; HEIF needs the extra "heic". Pillow knows more, some of which start other programs."""

MIN_SIDE = 7  # pixels; shortest side of an image
MAX_PIXELS = 100_000_000  # decoding takes up to 2 GB
BRANDS_LENGTH = 48  # bytes at the beginning of AVIF and HEIF files that name what is inside
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITS_PER_SAMPLE_TAG, PHOTOMETRIC_TAG, ORIENTATION_TAG = 258, 262, 274  # of TIFF; the last one also of EXIF


class ImageError(ValueError):
    """An image that cannot be used. The message names it and says what to do."""


def read_image(source: "Picture", name: str | None = None, upright: bool = True) -> NDArray[np.uint8]:
    """Decode any picture as 8-bit RGB.

    16 bits are scaled to 8; Pillow does so for colors, by their upper 8 bits. Integers of 32 bits count as 8 bits if
    none is above 255, and as 16 bits up to 65535. Transparent pixels are blended with white. The first frame of an
    animation is taken. Color profiles are ignored: training sets have none.

    Args:
        source: One of
            - the path of an image file in one of `IMAGE_FORMATS`, or its content as bytes;
            - a Pillow image;
            - an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): gray, RGB or RGBA as uint8, uint16 (0 to 65535) or
              floating-point numbers (0 to 1);
            - a tensor (C, H, W) with 1, 3 or 4 channels, uint8 or floating-point (0 to 1).
        name: Name of the picture in messages; by default its path or kind.
        upright: Turn a file or Pillow image as its EXIF orientation says. False keeps the pixels where the file stores
            them, for annotations in coordinates of the file. (Pillow turns TIFF files in either case.)

    Returns:
        (H, W, 3) uint8 RGB, contiguous and writable.

    Raises:
        ImageError: If the source is not an image, is damaged, has more than `MAX_PIXELS` pixels or a side below
            `MIN_SIDE` pixels, or has values that are not finite or out of range.
        FileNotFoundError: If there is no such file.
    """
    from PIL import Image

    if isinstance(source, str | os.PathLike):
        name = name or printable(str(source))
        pixels = _decode_file(_existing_file(Path(source), name), name, upright)
    elif isinstance(source, bytes):
        name = name or "the image"
        pixels = _decode_file(io.BytesIO(source), name, upright)
    elif isinstance(source, Image.Image):
        name = name or "the image"
        with _one_sentence(None, name):
            pixels = _from_pillow(source, name, upright)
    elif isinstance(source, np.ndarray):
        name = name or "the array"
        pixels = _from_array(source, name)
    elif hasattr(source, "detach") and hasattr(source, "cpu"):  # a tensor, without an import of torch
        name = name or "the tensor"
        pixels = _from_tensor(source, name)
    else:
        raise ImageError(
            f"{name or 'An image'} is a {type(source).__name__}: give a path, a Pillow image, an array or a tensor."
        )
    return _checked(pixels, name)


def has_plain_pixels(path: Path) -> bool:
    """Report whether a file has 8-bit pixels without transparency, by its header alone.

    Every decoder reads such pixels alike; those of 16-bit, floating-point and transparent images depend on conversion
    rules.

    Args:
        path: An image file. A file that cannot be opened counts as plain: it yields no pixels.

    Returns:
        True if so.
    """
    try:
        with _opened(path) as picture:
            return _is_plain(picture)
    except Exception:  # a damaged header makes Pillow's decoders raise errors of any kind
        return True


def image_format(path: Path) -> str | None:
    """Return the format of an image file by its first bytes, whatever its name.

    Args:
        path: Any file.

    Returns:
        One of `IMAGE_FORMATS`; None if it is no image of these formats.
    """
    try:
        with _opened(path) as picture:
            return "JPEG" if picture.format == "MPO" else picture.format
    except Exception:  # a file of any content makes Pillow's decoders raise errors of any kind
        pass
    try:
        with open(path, "rb") as stream:
            content = stream.read(BRANDS_LENGTH)
    except OSError:
        return None
    return _branded_format(content)


def missing_libraries() -> dict[str, str]:
    """Return the formats of `IMAGE_FORMATS` that cannot be opened here, each with the command that changes this."""
    from PIL import features

    missing = {} if features.check("avif") else {"AVIF": "pip install 'pillow>=11.3'"}
    return missing if find_spec("pillow_heif") else missing | {"HEIF": install_command("heic")}


class PictureHeader(NamedTuple):
    """Size and orientation of a picture, as `read_image(path, upright=False)` reads it.

    Attributes:
        width: Pixels in a row.
        height: Number of rows.
        orientation: EXIF orientation, 1 to 8; 1 if the file has none.
    """

    width: int
    height: int
    orientation: int

    @property
    def clockwise_turn(self) -> int:
        """Degrees by which the orientation turns the picture clockwise. Mirroring does not count."""
        return {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}.get(self.orientation, 0)


def picture_header(file: Path | bytes) -> PictureHeader:
    """Return size and orientation of an image file, by its header alone.

    Args:
        file: Path or content of an image file.

    Raises:
        OSError: If it cannot be opened.
    """
    with _opened(io.BytesIO(file) if isinstance(file, bytes) else file) as picture:
        try:
            orientation = picture.getexif().get(ORIENTATION_TAG, 1)
        except Exception:  # a damaged orientation says nothing about the pixels
            orientation = 1
        turned_by_pillow = picture.format == "TIFF"
        return PictureHeader(*picture.size, 1 if turned_by_pillow or orientation not in range(1, 9) else orientation)


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file as `read_image(path, upright=False)` reads it, by its header alone.

    Args:
        path: An image file.

    Raises:
        OSError: If it cannot be opened.
    """
    header = picture_header(path)
    return header.width, header.height


def read_numbers(path: Path, lightness: bool = False) -> NDArray[np.uint8]:
    """Read the numbers that a gray or palette picture stores, such as classes, without any conversion.

    Args:
        path: An image file.
        lightness: True to read the lightness of pictures of any other kind. False refuses them.

    Returns:
        (H, W) uint8.

    Raises:
        ImageError: If the file is not such a picture, or is damaged.
        FileNotFoundError: If there is no such file.
    """
    file, name = _existing_file(path, str(path)), str(path)
    with _one_sentence(file, name), _opened(file) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(name)
        if picture.mode not in ("L", "P"):
            if not lightness:
                raise ImageError(f"{name} has mode {picture.mode}; expected a gray or palette PNG of class numbers")
            picture = picture.convert("L")
        return np.array(picture, dtype=np.uint8)


def _existing_file(path: Path, name: str) -> Path:
    if path.is_dir():
        raise ImageError(f"{name} is a folder: give an image file.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {name}.")
    return path


def _decode_file(file: Path | io.BytesIO, name: str, upright: bool) -> NDArray[np.uint8]:
    size = file.stat().st_size if isinstance(file, Path) else file.getbuffer().nbytes
    if size == 0:
        raise ImageError(f"{name} is empty: replace the file.")
    with _one_sentence(file, name):
        try:
            with _opened(file) as picture:
                return _from_pillow(picture, name, upright)
        except ImageError:
            raise
        except ValueError:
            content = _without_texts(file)  # they may stand behind the pixels
            if content is None:
                raise
            with _opened(content) as picture:
                return _from_pillow(picture, name, upright)


@contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator["Image.Image"]:
    """Open an image file of one of `IMAGE_FORMATS`. Texts that Pillow finds too long are left out."""
    from PIL import Image

    formats = _registered_formats()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged tags, and about Pillow's size limit: `MAX_PIXELS` is ours
        try:
            picture = Image.open(file, formats=formats)
        except ValueError:
            content = _without_texts(file)
            if content is None:
                raise
            picture = Image.open(content, formats=formats)
        with picture:
            yield picture


def _registered_formats() -> list[str]:
    """Register all formats, also that of the extra "heic" if it is installed, and return those of `IMAGE_FORMATS`."""
    from PIL import Image

    Image.init()
    if find_spec("pillow_heif") is None:
        return [name for name in IMAGE_FORMATS if name in Image.OPEN and name != "HEIF"]
    if "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in IMAGE_FORMATS if name in Image.OPEN]


def _without_texts(file: Path | io.BytesIO) -> io.BytesIO | None:
    """Return a PNG without its texts and color profile, or None if the file is no PNG or holds none of them.

    Pillow refuses the whole picture if one of them is too long, though they say nothing about the pixels.
    """
    content = file.read_bytes() if isinstance(file, Path) else file.getvalue()
    if not content.startswith(PNG_SIGNATURE):
        return None
    parts, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start + 8 <= len(content):
        length, kind = int.from_bytes(content[start : start + 4], "big"), content[start + 4 : start + 8]
        end = start + length + 12  # length, kind, content and checksum
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            parts.append(content[start:end])
        start = end
    pixels_alone = b"".join(parts)
    return io.BytesIO(pixels_alone) if len(pixels_alone) < len(content) else None


@contextmanager
def _one_sentence(file: Path | io.BytesIO | None, name: str) -> Iterator[None]:
    """Turn every error of Pillow's decoders into one sentence about the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise _unknown_format(file, name) from None
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except (ImageError, PermissionError):
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise errors of any kind
        raise _decoding_error(name, error) from error


def _unknown_format(file: Path | io.BytesIO | None, name: str) -> ImageError:
    content = file if isinstance(file, io.BytesIO) else io.BytesIO()
    if isinstance(file, Path):
        with open(file, "rb") as stream:
            content = io.BytesIO(stream.read(BRANDS_LENGTH))
    if branded := _branded_format(content.getvalue()):
        if install := missing_libraries().get(branded):
            return ImageError(f"{name} is a {branded} image, which needs a library: {install}.")
        return ImageError(f"{name} is damaged or incomplete: get a new copy.")
    if content.getvalue()[:4] in TIFF_SIGNATURES:
        return ImageError(f"{name} is a TIFF file with pixels of an unknown kind: save it as an 8-bit image.")
    return ImageError(
        f"{name} is not an image of a known format ({', '.join(IMAGE_FORMATS)}): convert it to one of them."
    )


def _branded_format(content: bytes) -> str | None:
    """Tell AVIF and HEIF files by the brands in their first bytes; None for other files."""
    brands = content[8:BRANDS_LENGTH] if content[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIF" if any(brand in brands for brand in HEIF_BRANDS) else None


def _decoding_error(name: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"{name} does not fit into memory: reduce it.")
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return ImageError(f"{name} is damaged or incomplete ({type(error).__name__}: {reason}): get a new copy.")


def _too_large(name: str) -> ImageError:
    return ImageError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")


def _from_pillow(picture: "Image.Image", name: str, upright: bool) -> NDArray[np.uint8]:
    if picture.format not in (None, "MPO", *IMAGE_FORMATS):  # Pillow may start other programs to load it
        raise ImageError(f"{name} is a {picture.format} image: convert it to one of {', '.join(IMAGE_FORMATS)}.")
    if picture.width * picture.height > MAX_PIXELS:
        raise _too_large(name)
    transparent = _transparent_color(picture)
    picture.load()
    if transparent is not None:
        picture.info["transparency"] = transparent
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = _eight_bits(picture, name)
    return _rgb(_turned_upright(picture) if upright else picture, name)


def _transparent_color(picture: "Image.Image") -> int | tuple[int, ...] | None:
    """Return the transparent color of a PNG at the depth of its decoded pixels; None if Pillow has it right.

    A file names the color at its own depth, and Pillow passes it on unchanged.
    """
    color = picture.info.get("transparency")
    tiles = getattr(picture, "tile", [])
    if picture.format != "PNG" or not tiles or isinstance(color, bytes | None):
        return None
    decoder = tiles[0][3]
    if decoder in ("L;2", "L;4"):
        return int(color) * (85 if decoder == "L;2" else 17)
    if decoder == "RGB;16B":
        return tuple(level >> 8 for level in color)
    return None


def _turned_upright(picture: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a damaged orientation says nothing about the pixels
        return picture


def _is_plain(picture: "Image.Image") -> bool:
    deep = picture.mode in ("I", "F") or picture.mode.startswith("I;16")
    return not deep and picture.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in picture.info


def _rgb(picture: "Image.Image", name: str) -> NDArray[np.uint8]:
    from PIL import Image

    if _is_plain(picture):
        return np.asarray(picture.convert("RGB"))
    if picture.mode == "F":
        raise ImageError(f"{name} has floating-point pixels of an unknown range: save it as an 8-bit image.")
    picture = picture.convert("LA") if picture.mode == "La" else picture  # Pillow converts La to nothing else
    picture = picture.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))


def _eight_bits(picture: "Image.Image", name: str) -> "Image.Image":
    """Convert a deep gray picture to 8 bits. It keeps its orientation."""
    from PIL import Image

    values = np.asarray(picture).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name} has pixels beyond 16 bits: save it as an 8-bit or 16-bit image.")
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE_TAG, (16,))[0]
    if picture.mode != "I" and bits < 16:
        values = values * 65535 // (2**bits - 1)
    if picture.mode != "I" and tags.get(PHOTOMETRIC_TAG) == 0:  # 0 is white
        values = 65535 - values
    if picture.mode == "I" and picture.format != "PPM" and values.max() <= 255:  # Pillow scales those of PPM
        values = values * 257  # 8 bits in 32
    if "transparency" in picture.info:  # the gray level that is transparent
        values = np.where(values == picture.info["transparency"], 65535, values)
    shallow = Image.fromarray(_from_array(values.astype(np.uint16), name))
    shallow.getexif().update(picture.getexif())
    return shallow


def _from_tensor(tensor: "Tensor", name: str) -> NDArray[np.uint8]:
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3, 4):
        raise ImageError(
            f"{name} is of shape {tuple(tensor.shape)}: give (C, H, W) with 1, 3 or 4 channels, uint8 or 0 to 1."
        )
    values = tensor.detach().cpu()
    values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return _from_array(values.permute(1, 2, 0).numpy(), name)  # (C, H, W) -> (H, W, C)


def _from_array(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ImageError(f"{name} is of shape {values.shape}: give (H, W) or (H, W, C) with 1, 3 or 4 channels.")
    if values.dtype == np.uint16:
        values = np.rint(np.arange(65536) / 257).astype(np.uint8)[values]
    elif np.issubdtype(values.dtype, np.floating):
        if not np.isfinite(values).all():
            raise ImageError(f"{name} holds values that are not finite: replace NaN and infinity.")
        low, high = float(values.min()), float(values.max())
        if low < -1e-6 or high > 1 + 1e-6:  # beyond the round-off of the caller's arithmetic
            raise ImageError(f"{name} has values from {low:.7g} to {high:.7g}: floating-point images go from 0 to 1.")
        values = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    elif values.dtype != np.uint8:
        raise ImageError(f"{name} is of type {values.dtype}: give uint8, uint16 or floating-point numbers.")
    if values.shape[2] == 4:
        alpha = values[..., 3:].astype(np.float32) / 255
        values = np.rint(values[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _checked(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(f"{name} is {width} x {height} pixels: a face needs at least {MIN_SIDE} a side.")
    if height * width > MAX_PIXELS:
        raise _too_large(name)
    return np.require(image, requirements=["C", "W"])  # the view of a Pillow image must not be written to
