"""The one decoder of pictures: any file format, mode and size becomes 8-bit RGB, in training and in use."""

import errno
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

from rim_lightning.data.picture_limits import (
    MAX_FILE,
    MAX_PIXELS,
    PNG_SIGNATURE,
    TIFF_SIGNATURES,
    content_fault,
    pixels_fault,
    png_chunks,
    tags_fault,
    tiles_fault,
)
from rim_lightning.extras import install_command
from rim_lightning.files import open_regular, printable, read_fault_named

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    Picture = str | os.PathLike | bytes | Image.Image | NDArray | Tensor

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""File formats that are opened; HEIF needs the extra "heic". Pillow knows more, some of which start other programs."""

MIN_SIDE = 7  # pixels; shortest side of an image
STRIP = 4_000_000  # pixels that are converted at a time, so that few copies of a large picture are in memory
BRANDS_LENGTH = 48  # bytes at the beginning of AVIF and HEIF files that name what is inside
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1")
SIGNATURES = (b"\xff\xd8\xff", PNG_SIGNATURE, b"RIFF", b"BM", b"GIF8", b"P", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG
HEADER_LENGTH = 2**16  # bytes of a PNG that mostly hold all that stands before its pixels
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
        ImageError: If the source is not an image, is damaged, is beyond the limits of `picture_limits`, has a side
            below `MIN_SIDE` pixels, or has values that are not finite or out of range.
        FileNotFoundError: If there is no such file.
    """
    from PIL import Image

    if isinstance(source, str | os.PathLike):
        name = name or printable(str(source))
        pixels = _decode_content(read_content(Path(source), name), name, upright)
    elif isinstance(source, bytes):
        name = name or "the image"
        if not source:
            raise _empty(name)
        pixels = _decode_content(source, name, upright)
    elif isinstance(source, Image.Image):
        name = name or "the image"
        with _one_sentence(b"", name):
            pixels = _rgb(_loaded(source, name, upright), name)
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


def read_content(path: Path, name: str | None = None) -> bytes:
    """Read an image file, once: its digest and its pixels are to be those of one content.

    Args:
        path: The file.
        name: Name of the picture in messages; by default its path.

    Returns:
        Its bytes, for `read_image`.

    Raises:
        ImageError: If it is no regular file (a folder, a pipe, a device), is empty, or has more than `MAX_FILE` bytes.
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
    """
    name = name or printable(str(path))
    try:
        with open_regular(path) as file, read_fault_named(path):
            too_long = os.fstat(file.fileno()).st_size > MAX_FILE
            content = b"" if too_long else file.read()
    except FileNotFoundError:
        if path.is_symlink():
            raise FileNotFoundError(f"{name} is a link to a missing file: restore the file.") from None
        raise FileNotFoundError(f"There is no image {name}.") from None
    except (NotADirectoryError, ValueError):  # a part of the path is a file, or no name at all
        raise FileNotFoundError(f"There is no image {name}.") from None
    except OSError as error:
        kinds = {
            errno.EISDIR: "is a folder",
            errno.EINVAL: "is no regular file",
            errno.ELOOP: "is a link that leads to itself",
        }
        if error.errno not in kinds:
            raise
        raise ImageError(f"{name} {kinds[error.errno]}: give an image file.") from None
    if too_long:
        raise ImageError(f"{name} has more than {MAX_FILE >> 20} MB: reduce it.")
    if not content:
        raise _empty(name)
    return content


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
        with open_regular(path) as file:
            content = file.read(HEADER_LENGTH)
        if content.startswith(PNG_SIGNATURE):
            try:
                with _opened(content, "") as picture:
                    return _is_plain(picture)
            except Exception:  # more than that stands before the pixels, or the file is damaged
                pass
        with _opened(read_content(path), "") as picture:
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
        with open_regular(path) as file:
            content = file.read(BRANDS_LENGTH)
        if content.startswith((*SIGNATURES, *TIFF_SIGNATURES)):
            with _opened(read_content(path), "") as picture:
                return "JPEG" if picture.format == "MPO" else picture.format
    except OSError:
        return None
    except Exception:  # a file of any content makes Pillow's decoders raise errors of any kind
        pass
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


def picture_header(file: Path | bytes, name: str | None = None) -> PictureHeader:
    """Return size and orientation of an image file. Its pixels are not converted.

    Args:
        file: Path or content of an image file.
        name: Name of the picture in messages; by default its path.

    Raises:
        ImageError: If it is no regular file, or beyond the limits of `picture_limits`.
        OSError: If it cannot be opened.
    """
    name = name or ("the image" if isinstance(file, bytes) else printable(str(file)))
    content = file if isinstance(file, bytes) else read_content(file, name)
    with _opened(content, name) as picture:
        if picture.format == "TIFF" or _is_plain_png(picture, content):  # Pillow itself turns TIFF files
            return PictureHeader(*picture.size, 1)
        orientation = _orientation(picture)
        return PictureHeader(*picture.size, orientation if orientation in range(1, 9) else 1)


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file as `read_image(path, upright=False)` reads it.

    Args:
        path: An image file.

    Raises:
        ImageError: See `picture_header`.
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
    name = str(path)
    content = read_content(path)
    with _one_sentence(content, name), _opened(content, name) as picture:
        if picture.mode not in ("L", "P"):
            if not lightness:
                raise ImageError(f"{name} has mode {picture.mode}; expected a gray or palette PNG of class numbers")
            picture = picture.convert("L")
        return np.array(picture, dtype=np.uint8)


def _decode_content(content: bytes, name: str, upright: bool) -> NDArray[np.uint8]:
    with _one_sentence(content, name):
        try:
            with _opened(content, name) as picture:
                loaded = _loaded(picture, name, upright)
        except ImageError:
            raise
        except ValueError:
            shorter = _without_texts(content)  # they may stand behind the pixels
            if shorter is None:
                raise
            with _opened(shorter, name) as picture:
                loaded = _loaded(picture, name, upright)
        del picture  # so that one copy alone is in memory
        return _rgb(loaded, name)


@contextmanager
def _opened(content: bytes, name: str) -> Iterator["Image.Image"]:
    """Open an image file of one of `IMAGE_FORMATS` within the limits. Texts that Pillow finds too long are left out."""
    from PIL import Image

    if fault := content_fault(content):
        raise ImageError(f"{name} {fault}.")
    formats = _registered_formats()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged tags, and about Pillow's size limit: ours is lower
        try:
            picture = Image.open(io.BytesIO(content), formats=formats)
        except Image.DecompressionBombError:
            raise _too_large(name) from None
        except ValueError:
            shorter = _without_texts(content)
            if shorter is None:
                raise
            picture = Image.open(io.BytesIO(shorter), formats=formats)
        with picture:
            fault = pixels_fault(picture.format, picture.mode, picture.size, len(content))
            if fault := fault or tiles_fault(picture.tile, picture.size):
                raise ImageError(f"{name} {fault}.")
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


def _without_texts(content: bytes) -> bytes | None:
    """Return a PNG without its texts and color profile, or None if the file is no PNG or holds none of them.

    Pillow refuses the whole picture if one of them is too long, though they say nothing about the pixels.
    """
    if not content.startswith(PNG_SIGNATURE):
        return None
    parts = [PNG_SIGNATURE]
    for kind, start, end in png_chunks(content):
        if kind not in (*PNG_TEXTS, b"iCCP"):
            parts.append(content[start:end])
    pixels_alone = b"".join(parts)
    return pixels_alone if len(pixels_alone) < len(content) else None


@contextmanager
def _one_sentence(content: bytes, name: str) -> Iterator[None]:
    """Turn every error of Pillow's decoders into one sentence about the file."""
    from PIL import UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError:
        raise _unknown_format(content, name) from None
    except ImageError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise errors of any kind
        raise _decoding_error(name, error) from error


def _unknown_format(content: bytes, name: str) -> ImageError:
    if branded := _branded_format(content):
        if install := missing_libraries().get(branded):
            return ImageError(f"{name} is a {branded} image, which needs a library: {install}.")
        return ImageError(f"{name} is damaged or incomplete: get a new copy.")
    if content.startswith(TIFF_SIGNATURES):
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


def _empty(name: str) -> ImageError:
    return ImageError(f"{name} is empty: replace the file.")


def _too_large(name: str) -> ImageError:
    return ImageError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")


class _Loaded(NamedTuple):
    """A decoded picture before its conversion to 8-bit RGB.

    Attributes:
        picture: Its pixels, turned upright if this was asked for.
        kind: Format of its file, or None.
        bits: Bits of a deep gray level.
        inverted: True if 0 is white.
    """

    picture: "Image.Image"
    kind: str | None
    bits: int
    inverted: bool


def _loaded(picture: "Image.Image", name: str, upright: bool) -> _Loaded:
    if picture.format not in (None, "MPO", *IMAGE_FORMATS):  # Pillow may start other programs to load it
        raise ImageError(f"{name} is a {picture.format} image: convert it to one of {', '.join(IMAGE_FORMATS)}.")
    if fault := pixels_fault(picture.format, picture.mode, picture.size):
        raise ImageError(f"{name} {fault}.")
    transparent = _transparent_color(picture)
    picture.load()
    if transparent is not None:
        picture.info["transparency"] = transparent
    tags = getattr(picture, "tag_v2", {})
    deep = _is_deep(picture)
    bits = tags.get(BITS_PER_SAMPLE_TAG, (16,))[0] if deep else 8
    inverted = deep and picture.mode != "I" and tags.get(PHOTOMETRIC_TAG) == 0
    method = _turn(_orientation(picture)) if upright else None
    turned = picture if method is None else picture.transpose(method)
    return _Loaded(turned, picture.format, bits, inverted)


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


def _orientation(picture: "Image.Image") -> int:
    """Return the EXIF orientation of a picture; 1 if it has none, or a damaged one: that says nothing about pixels."""
    try:
        profile = picture.info.get("Raw profile type exif", "")  # the text of a PNG
        if profile and tags_fault(bytes.fromhex("".join(profile.split("\n")[3:]))):
            return 1
        return picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises errors of any kind
        return 1


def _is_plain_png(picture: "Image.Image", content: bytes) -> bool:
    """Return True for a PNG that says nothing about its orientation; Pillow would decode all pixels to look for it."""
    return picture.format == "PNG" and all(kind not in (*PNG_TEXTS, b"eXIf") for kind, _, _ in png_chunks(content))


def _turn(orientation: int) -> "Image.Transpose | None":
    from PIL.Image import Transpose

    return {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)


def _is_deep(picture: "Image.Image") -> bool:
    return picture.mode == "I" or picture.mode.startswith("I;16")


def _is_plain(picture: "Image.Image") -> bool:
    deep = picture.mode == "F" or _is_deep(picture)
    return not deep and picture.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in picture.info


def _rgb(loaded: _Loaded, name: str) -> NDArray[np.uint8]:
    """Convert a picture to 8-bit RGB, (H, W, 3), a strip at a time."""
    picture = loaded.picture
    if picture.mode == "F":
        raise ImageError(f"{name} has floating-point pixels of an unknown range: save it as an 8-bit image.")
    factor = _factor(loaded, name)
    rgb = np.empty((picture.height, picture.width, 3), np.uint8)
    for top, strip in _strips(picture):
        if factor:
            rgb[top : top + strip.height] = _from_array(_sixteen_bits(strip, loaded, factor), name)
        else:
            rgb[top : top + strip.height] = np.asarray(_on_white(strip))
    return rgb


def _strips(picture: "Image.Image") -> Iterator[tuple[int, "Image.Image"]]:
    """Yield the first row and the pixels of each strip of a picture."""
    rows = max(1, STRIP // max(1, picture.width))
    if rows >= picture.height:
        yield 0, picture
        return
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _on_white(picture: "Image.Image") -> "Image.Image":
    from PIL import Image

    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if _is_plain(picture):
        return picture.convert("RGB")
    picture = picture.convert("LA") if picture.mode == "La" else picture  # Pillow converts La to nothing else
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _factor(loaded: _Loaded, name: str) -> int:
    """Return by how much the levels of a deep gray picture are multiplied to have 16 bits; 0 for other pictures."""
    if not _is_deep(loaded.picture):
        return 0
    if loaded.picture.mode != "I":
        return 1
    extrema = [(levels.min(), levels.max()) for levels in (np.asarray(strip) for _, strip in _strips(loaded.picture))]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    if low < 0 or high > 65535:
        raise ImageError(f"{name} has pixels beyond 16 bits: save it as an 8-bit or 16-bit image.")
    return 257 if high <= 255 and loaded.kind != "PPM" else 1  # 8 bits in 32; Pillow scales those of PPM


def _sixteen_bits(strip: "Image.Image", loaded: _Loaded, factor: int) -> NDArray[np.uint16]:
    """Return the levels of a strip of a deep gray picture, (H, W), from 0 to 65535."""
    levels = np.asarray(strip).astype(np.int64) * factor
    if strip.mode != "I" and loaded.bits < 16:
        levels = levels * 65535 // (2**loaded.bits - 1)
    if loaded.inverted:
        levels = 65535 - levels
    if "transparency" in loaded.picture.info:  # the gray level that is transparent
        levels = np.where(levels == loaded.picture.info["transparency"], 65535, levels)
    return levels.astype(np.uint16)


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
    if fault := pixels_fault(None, "", (width, height)):
        raise ImageError(f"{name} {fault}.")
    return np.require(image, requirements=["C", "W"])  # the view of a Pillow image must not be written to
