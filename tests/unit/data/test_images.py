"""Whatever people hand in becomes 8-bit RGB, or one sentence that names it."""

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

import rim_lightning
from rim_lightning.data.images import (
    ImageError,
    has_plain_pixels,
    image_format,
    picture_header,
    picture_size,
    read_image,
    read_numbers,
)
from tests.helpers.pictures import png_chunk, tiff_file

RGB = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)


def saved(folder, picture, name, **options):
    path = folder / name
    picture.save(path, **options)
    return path


def test_a_file_a_picture_an_array_and_a_tensor_are_the_same(tmp_path):
    picture = Image.fromarray(RGB)
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    path = saved(tmp_path, picture, "face.png")
    for source in (
        path,
        str(path),
        path.read_bytes(),
        picture,
        RGB,
        RGB / 255,
        tensor,
        tensor / 255,
        (tensor / 255).double(),
    ):
        image = read_image(source)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("L", (8, 8), 100), (100, 100, 100)),
        (Image.new("1", (8, 8), 1), (255, 255, 255)),
        (Image.new("LA", (8, 8), (100, 51)), (224, 224, 224)),  # 100 * 0.2 + 255 * 0.8
        (Image.new("RGBA", (8, 8), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (8, 8), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("CMYK", (8, 8), (255, 0, 0, 0)), (0, 255, 255)),
        (Image.fromarray(np.full((8, 8), 100 * 257, np.uint16)), (100, 100, 100)),
        (Image.fromarray(np.full((8, 8), 100 * 257, np.int32)), (100, 100, 100)),
    ],
    ids=["gray", "1 bit", "gray with alpha", "opaque", "transparent", "CMYK", "16 bit", "16 bit in 32"],
)
def test_every_mode_becomes_rgb(picture, expected):
    image = read_image(picture)
    assert image.shape == (8, 8, 3)
    np.testing.assert_array_equal(image.reshape(-1, 3), np.broadcast_to(np.array(expected, np.uint8), (64, 3)))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((8, 8), 7, np.uint8), 7),
        (np.full((8, 8, 1), 7, np.uint8), 7),
        (np.full((8, 8, 4), 255, np.uint8), 255),
        (np.full((8, 8, 3), 7 * 257, np.uint16), 7),
        (np.full((8, 8), 0.5, np.float16), 128),  # 127.5 rounds to the even level
    ],
)
def test_arrays_of_every_kind(array, expected):
    assert (read_image(array) == expected).all()


def test_a_palette_with_a_transparent_color(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    assert tuple(read_image(saved(tmp_path, picture, "plain.png"))[0, 0]) == (10, 20, 30)
    assert tuple(read_image(saved(tmp_path, picture, "clear.png", transparency=1))[0, 0]) == (255, 255, 255)


def test_sixteen_bit_files(tmp_path):
    ramp = np.linspace(0, 65535, 81).astype(np.uint16).reshape(9, 9)
    image = read_image(saved(tmp_path, Image.fromarray(ramp), "deep.png"))
    np.testing.assert_array_equal(image[..., 0], np.rint(ramp / 257.0))


def test_an_image_is_turned_as_its_exif_says(tmp_path):
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:, :8] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = saved(tmp_path, Image.fromarray(upright), "turned.png", exif=exif)
    image = read_image(path)
    assert image.shape == (16, 8, 3)
    assert (image[:8] == 255).all()
    assert (image[8:] == 0).all()


@pytest.mark.parametrize(("kind", "deep"), [("png", False), ("png", True), ("jpg", False), ("webp", False)])
def test_every_orientation(tmp_path, kind, deep):
    """The stored pixels that EXIF 2.32, 4.6.4 A, describes, made from the upright ones with numpy."""
    upright = np.zeros((16, 24), np.uint8)
    upright[:8, :8] = 255
    upright[8:, :8] = 120
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T}
    stored |= {6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1)}
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = Image.fromarray(pixels.astype(np.uint16) * 257 if deep else np.ascontiguousarray(pixels))
        path = saved(
            tmp_path, picture, f"{orientation}.{kind}", exif=exif, **({} if kind == "png" else {"quality": 100})
        )
        np.testing.assert_allclose(read_image(path)[..., 0], upright, atol=3)
        np.testing.assert_allclose(read_image(path, upright=False)[..., 0], pixels, atol=3)
        assert picture_header(path) == (*pixels.shape[::-1], orientation)


@pytest.mark.parametrize(("kind", "turned"), [("png", False), ("jpg", False), ("webp", False), ("tif", True)])
def test_pixels_stay_where_the_file_stores_them_unless_they_are_to_be_upright(tmp_path, kind, turned):
    """Pillow itself turns TIFF files when it loads them."""
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :16] = 255  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = saved(tmp_path, Image.fromarray(stored), f"turned.{kind}", exif=exif)
    upright = read_image(path)
    assert upright.shape == (32, 16, 3)
    assert (upright[:16] > 250).all()
    as_stored = read_image(path, upright=False)
    np.testing.assert_array_equal(as_stored, upright if turned else np.rot90(upright))


def test_a_transparent_gray_level_of_sixteen_bits_is_white(tmp_path):
    levels = np.full((8, 8), 33_600, np.uint16)
    levels[0] = 12_850
    image = read_image(saved(tmp_path, Image.fromarray(levels), "clear.png", transparency=12_850))
    assert (image[0] == 255).all()
    assert (image[1:] == 131).all()


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_colors_that_are_multiplied_by_their_opacity(mode):
    """A fifth of the gray level 100, whose multiplied value is 20, and four fifths of white."""
    color = (20, 20, 20, 51) if mode == "RGBa" else (20, 51)
    assert (read_image(Image.new(mode, (8, 8), color)) == 224).all()


@pytest.mark.parametrize(
    ("mode", "plain"),
    [("L", True), ("RGB", True), ("1", True), ("P", True), ("LA", False), ("RGBA", False), ("I;16", False)],
)
def test_plain_pixels_are_known_by_the_header(tmp_path, mode, plain):
    assert has_plain_pixels(saved(tmp_path, Image.new(mode, (8, 8)), "face.png")) == plain


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif"])
def test_the_size_of_a_file_is_that_of_its_pixels_as_stored(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = saved(tmp_path, Image.new("RGB", (32, 16)), f"turned.{kind}", exif=exif)
    height, width = read_image(path, upright=False).shape[:2]
    assert picture_size(path) == (width, height)


def test_a_file_that_cannot_be_opened_has_plain_pixels(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    assert has_plain_pixels(tmp_path / "text.png")


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    path = tmp_path / "moving.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert tuple(read_image(path)[0, 0]) == (255, 0, 0)


def png_header(width, height):
    """A PNG that claims this size and holds nothing."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.jpg", b"", "empty.jpg is empty: replace the file"),
        ("text.jpg", b"no image at all", "text.jpg is not an image of a known format"),
        ("page.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "page.jpg is not an image of a known format"),
        ("figure.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "figure.eps is not an image of a known"),
        ("bomb.png", png_header(60_000, 60_000), "bomb.png has more than 100 million pixels: reduce it"),
        ("large.png", png_header(10_001, 10_000), "large.png has more than 100 million pixels: reduce it"),
        (
            "double.tif",
            tiff_file(64, 1, bytes(320), 3),
            "double.tif is a TIFF file with pixels of an unknown kind: save it",
        ),
        ("hollow.png", png_header(64, 64), r"hollow.png is damaged or incomplete \(.*\): get a new copy"),
    ],
)
def test_a_file_that_is_no_image_gets_a_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=sentence):
        read_image(tmp_path / name)


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n%%EOF\n"


def test_nothing_starts_ghostscript(tmp_path, monkeypatch):
    def start(*arguments, **options):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    (tmp_path / "photograph.jpg").write_bytes(POSTSCRIPT)
    for read in (read_image, read_numbers):
        with pytest.raises(ImageError, match=r"photograph.jpg is not an image of a known format"):
            read(tmp_path / "photograph.jpg")
    with pytest.raises(ImageError, match="the image is a EPS image: convert it to one of JPEG"):
        read_image(Image.open(tmp_path / "photograph.jpg"))


def test_no_other_file_of_the_package_opens_pictures():
    package = Path(rim_lightning.__file__).parent
    opening = re.compile(r"Image\.open\(|imread|imdecode|PIL\.Image\.open|decode_image|read_image_file")
    files = {str(file.relative_to(package)) for file in package.rglob("*.py") if opening.search(file.read_text())}
    assert files == {"data/images.py", "data/stores/packed.py"}  # which opens its own pictures


def smooth(width=64, height=48):
    """A picture that lossy formats keep: levels that change slowly."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, 255 - x], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("kind", "name"), [("AVIF", "a.avif"), ("HEIF", "a.HEIC"), ("HEIF", "a.jpg")])
def test_pictures_of_phones(tmp_path, kind, name):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / name
    Image.fromarray(smooth()).save(path, kind, quality=95)
    for source in (path, path.read_bytes()):
        assert np.abs(read_image(source).astype(int) - smooth()).mean() < 3
    assert image_format(path) == kind
    assert picture_size(path) == (64, 48)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageError, match="is damaged or incomplete"):
        read_image(path)


def test_a_phone_picture_without_its_library_is_named_with_it(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.fromarray(smooth()).save(tmp_path / "a.heic", "HEIF")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    message = r"a.heic is a HEIF image, which needs a library: pip install 'rim-lightning\[heic\]'"
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "a.heic")
    assert image_format(tmp_path / "a.heic") == "HEIF"


def test_numbers_are_read_as_they_are_stored(tmp_path):
    numbers = np.arange(64, dtype=np.uint8).reshape(8, 8)
    palette = Image.fromarray(numbers)
    np.testing.assert_array_equal(read_numbers(saved(tmp_path, palette, "gray.png")), numbers)
    palette = palette.convert("P")
    palette.putpalette([255 - level // 3 for level in range(768)])
    np.testing.assert_array_equal(read_numbers(saved(tmp_path, palette, "palette.png")), numbers)
    colors = saved(tmp_path, Image.new("RGB", (8, 8), (255, 255, 255)), "colors.png")
    with pytest.raises(ImageError, match=r"colors.png has mode RGB; expected a gray or palette PNG of class numbers"):
        read_numbers(colors)
    assert (read_numbers(colors, lightness=True) == 255).all()
    with pytest.raises(FileNotFoundError, match=r"nowhere.png"):
        read_numbers(tmp_path / "nowhere.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_truncated_file_gets_a_sentence(tmp_path, kind):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole, kind)
    (tmp_path / "half").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ImageError, match=r"half is (damaged or incomplete|not an image)"):
        read_image(tmp_path / "half")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (np.zeros((1, 1, 3), np.uint8), "the array is 1 x 1 pixels: a face needs at least 7 a side"),
        (np.zeros((6, 90), np.uint8), "the array is 90 x 6 pixels"),
        (np.full((8, 8), np.nan), "the array holds values that are not finite: replace NaN and infinity"),
        (torch.full((3, 8, 8), float("inf")), "the tensor holds values that are not finite: replace NaN and infinity"),
        (torch.full((3, 8, 8), -1.0), "the tensor has values from -1 to -1: floating-point images go from 0 to 1"),
        (torch.zeros(8, 8, 3), r"the tensor is of shape \(8, 8, 3\): give \(C, H, W\)"),
        (np.zeros((8, 8, 2), np.uint8), r"the array is of shape \(8, 8, 2\)"),
        (np.zeros((0, 8, 3), np.uint8), r"the array is of shape \(0, 8, 3\)"),
        (np.zeros((8, 8), np.int64), "the array is of type int64: give uint8, uint16 or floating-point"),
        (Image.new("F", (8, 8)), "the image has floating-point pixels of an unknown range"),
        (Image.fromarray(np.full((8, 8), 70_000, np.int32)), "the image has pixels beyond 16 bits"),
        (17, "An image is a int: give a path, a Pillow image, an array or a tensor"),
    ],
)
def test_wrong_values_get_a_sentence(source, sentence):
    with pytest.raises(ImageError, match=sentence):
        read_image(source)


def test_a_name_for_messages():
    with pytest.raises(ImageError, match="probe 3 is 2 x 2 pixels"):
        read_image(np.zeros((2, 2), np.uint8), name="probe 3")


def test_paths_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no image .*nowhere.jpg"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(ImageError, match="is a folder: give an image file"):
        read_image(tmp_path)


def test_a_damaged_picture_that_pillow_opened_gets_a_sentence(tmp_path):
    path = saved(tmp_path, Image.fromarray(RGB), "face.jpg")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match="the image is damaged or incomplete"):
        read_image(Image.open(path))


def test_round_off_is_no_error():
    assert (read_image(np.full((8, 8), 1.0000001, np.float32)) == 255).all()
    with pytest.raises(ImageError, match=r"values from 1.001 to 1.001"):
        read_image(np.full((8, 8), 1.001))
