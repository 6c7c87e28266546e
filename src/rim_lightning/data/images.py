"""Pictures as people have them, of any file format, mode and size, as 8-bit RGB."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    Picture = str | os.PathLike | Image.Image | NDArray | Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""What is opened. Pillow knows more, of which some call other programs."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"),
    *(".jp2", ".j2k", ".heic", ".heif", ".avif"),
)
"""Of the files that are taken from a folder; those that cannot be opened are not passed over in silence."""

MIN_SIDE = 7  # pixels: the smallest face that a probe may be
MAX_PIXELS = 100_000_000  # up to 2 GB while it is decoded


class ImageError(ValueError):
    """An image that cannot be used. The message names it and says what to do."""


def read_image(source: "Picture", name: str | None = None) -> NDArray[np.uint8]:
    """Any picture as (H, W, 3) uint8 RGB.

    A file or Pillow image is turned as its EXIF orientation says; of several frames the first is taken; 16 bits become
    8; what is transparent becomes white.

    Args:
        source: the path of an image file (`FORMATS`); a Pillow image; an array (H, W), (H, W, 1), (H, W, 3) or
            (H, W, 4), gray, RGB or RGBA, of uint8, uint16 (0 to 65535) or float (0 to 1); or a tensor (C, H, W) of
            uint8 or float (0 to 1).
        name: what messages call it; else its path or kind.

    Raises:
        ImageError: it is no image, is damaged or larger than `MAX_PIXELS`, has a side below `MIN_SIDE` pixels, or
            values that are not finite or out of range. FileNotFoundError: there is no such file.
    """
    from PIL import Image

    if isinstance(source, str | os.PathLike):
        return _checked(_read_file(Path(source), name or str(source)), name or str(source))
    if isinstance(source, Image.Image):
        return _checked(_from_pillow(source, name or "the image"), name or "the image")
    if isinstance(source, np.ndarray):
        return _checked(_from_array(source, name or "the array"), name or "the array")
    if hasattr(source, "detach") and hasattr(source, "cpu"):  # a tensor, without an import of torch
        name = name or "the tensor"
        if source.ndim != 3 or source.shape[0] not in (1, 3, 4):
            raise ImageError(
                f"{name} is of shape {tuple(source.shape)}: give (C, H, W) with 1, 3 or 4 channels, uint8 or 0 to 1."
            )
        pixels = source.detach().cpu()
        pixels = pixels.float() if pixels.is_floating_point() else pixels  # numpy has no bfloat16
        return _checked(_from_array(pixels.permute(1, 2, 0).numpy(), name), name)
    raise ImageError(
        f"{name or 'An image'} is a {type(source).__name__}: give a path, a Pillow image, an array or a tensor."
    )


def several(sources: "Picture | Sequence[Picture]") -> "list[Picture]":
    """One picture, a sequence of them, or a batch of arrays (B, H, W, C) or tensors (B, C, H, W), as a list."""
    if isinstance(sources, list | tuple):
        return list(sources)
    if getattr(sources, "ndim", 0) == 4:
        return [sources[i] for i in range(len(sources))]
    return [sources]


def image_files(folder: str | os.PathLike) -> list[Path]:
    """The image files of a folder and all folders in it, links to folders too, in the order of their names.

    Raises:
        ImageError: there are none. NotADirectoryError: it is no folder. PermissionError: a folder may not be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"There is no folder {folder}.")
    found, seen = [], set()
    for place, folders, files in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link to where we are or were
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place, file) for file in files if Path(file).suffix.lower() in SUFFIXES]
    found.sort()
    if not found:
        raise ImageError(f"{folder} holds no image: files must end in {', '.join(SUFFIXES)}.")
    return found


def _raise(error: OSError) -> None:
    raise error


def _read_file(path: Path, name: str) -> NDArray:
    from PIL import Image, UnidentifiedImageError

    if path.is_dir():
        raise ImageError(f"{name} is a folder: give an image file.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {name}.")
    if path.stat().st_size == 0:
        raise ImageError(f"{name} is empty.")
    Image.init()  # all formats are known from now on
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged tags, and of a limit where we have our own
            with Image.open(path, formats=FORMATS) as picture:
                return _from_pillow(picture, name)
    except UnidentifiedImageError:
        raise ImageError(f"{name} is no image of a known format ({', '.join(FORMATS)}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.") from None
    except (ImageError, PermissionError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ImageError:
    if isinstance(error, MemoryError):
        return ImageError(f"{name} does not fit into memory: reduce it.")
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return ImageError(f"{name} is damaged or incomplete ({type(error).__name__}: {reason}).")


def _from_pillow(picture: "Image.Image", name: str) -> NDArray:
    if picture.width * picture.height > MAX_PIXELS:
        raise ImageError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")
    try:
        picture.load()
        return _rgb(_upright(picture), name)
    except ImageError:
        raise
    except Exception as error:  # as above
        raise _damaged(name, error) from error


def _upright(picture: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # a damaged orientation says nothing about the pixels
        return picture


def _rgb(picture: "Image.Image", name: str) -> NDArray:
    from PIL import Image

    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{name} has pixels beyond 16 bits: save it as an 8-bit or 16-bit image.")
        return _from_array(values.astype(np.uint16), name)
    if picture.mode == "F":
        raise ImageError(f"{name} has floating-point pixels of an unknown range: save it as an 8-bit image.")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


def _from_array(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ImageError(f"{name} is of shape {values.shape}: give (H, W) or (H, W, C) with 1, 3 or 4 channels.")
    if values.dtype == np.uint16:
        values = np.rint(np.arange(65536) / 257).astype(np.uint8)[values]
    elif np.issubdtype(values.dtype, np.floating):
        if not np.isfinite(values).all():
            raise ImageError(f"{name} holds values that are not finite.")
        low, high = float(values.min()), float(values.max())
        if low < -1e-6 or high > 1 + 1e-6:  # round-off is none of the user's
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
        raise ImageError(f"{name} has more than {MAX_PIXELS // 10**6} million pixels: reduce it.")
    return np.require(image, requirements=["C", "W"])  # of a Pillow image it is a view that must not be written to
