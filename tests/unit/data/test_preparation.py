"""Preparation: what a store gets from records; resuming, skipping, and bytes that depend on the input alone."""

import hashlib
import io
import os
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageCms

from rim_lightning.data import detection, preparation
from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112, align, similarity_from_points, template
from rim_lightning.data.images import IMAGE_FORMATS, read_image
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.record import Record
from rim_lightning.data.stores.prepared import partial_path
from rim_lightning.data.stores.writer import StoreWriter
from rim_lightning.inference.faces import FaceAligner
from tests.helpers.pictures import levels, png_chunk, png_file, tiff_file

SETTINGS = {"name": "toy", "hr_size": 32, "margin": 0.125, "workers": 0, "progress": False}


def load_map(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 11, (60, 50), dtype=np.uint8)


def no_map() -> np.ndarray:
    raise SyntaxError("the map is damaged.\nA second line.")  # what Pillow raises for a broken PNG chunk


def make_record(folder, index: int, **changes) -> Record:
    rng = np.random.default_rng(index)
    image = folder / f"{index:02d}.png"
    Image.fromarray(rng.integers(0, 256, (60, 50, 3), dtype=np.uint8)).save(image)
    five = FIVE_POINT_TEMPLATE_112 * 0.4 + rng.uniform(0, 8, (5, 2))
    record = Record(image.name, image, f"person{index % 3}", "train", {"five": five}, partial(load_map, index))
    return record._replace(**changes)


@pytest.fixture
def records(tmp_path):
    (tmp_path / "source").mkdir()
    return [make_record(tmp_path / "source", index) for index in range(2 * preparation.BLOCK + 3)]


@pytest.fixture
def fake_detector(monkeypatch):
    """A detector that finds the template in every image but black ones; it records the batches it was given."""
    batches = []

    def detect(images, detector):
        batches.append([image.tobytes() for image in images])
        face = detection.Face(np.zeros(4), FIVE_POINT_TEMPLATE_112 * 0.4, 0.9)
        return [detection.CentralFace(face, 1) if image.any() else None for image in images]

    monkeypatch.setattr(detection, "find_central_faces", detect)
    return batches


def contents(path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def test_a_stored_face_is_the_aligned_image_with_its_frame(tmp_path, records):
    store = prepare(records[:3], tmp_path / "toy", **SETTINGS)
    assert store.images.shape == (3, 40, 40, 3)
    assert (store.hr_size, store.margin) == (32, 4)
    record = records[2]
    matrix = similarity_from_points(record.landmarks["five"], template(32, margin=4))
    pixels = np.asarray(Image.open(record.image))
    image, landmarks, parsing = align(pixels, matrix, 40, record.landmarks, load_map(2))
    np.testing.assert_array_equal(store.images[2], image)
    np.testing.assert_array_equal(store.landmarks["five"][2], landmarks["five"])
    np.testing.assert_array_equal(store.parsing[2], parsing)
    # least squares: the points keep the centroid of the template exactly
    np.testing.assert_allclose(store.landmarks["five"][2].mean(0), template(32, margin=4).mean(0), atol=1e-4)


def test_other_pixels_or_points_under_the_same_names_are_refused(tmp_path, records):
    prepare(records[:3], tmp_path / "toy", **SETTINGS)
    prepare(records[:3], tmp_path / "toy", **SETTINGS)
    moved = [*records[:2], records[2]._replace(landmarks={"five": records[2].landmarks["five"] + 0.5})]
    with pytest.raises(ValueError, match="prepared from other images, landmarks or splits"):
        prepare(moved, tmp_path / "toy", **SETTINGS)
    Image.fromarray(np.zeros((60, 50, 3), dtype=np.uint8)).save(records[0].image)
    with pytest.raises(ValueError, match="prepared from other images, landmarks or splits"):
        prepare(records[:3], tmp_path / "toy", **SETTINGS)


def test_another_image_of_the_same_size_and_date_is_refused(tmp_path, records):
    image = records[0].image
    prepare(records[:3], tmp_path / "toy", **SETTINGS)
    status, content = image.stat(), bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(
        ValueError, match=r"toy was prepared from have been replaced by others of the same size; delete"
    ):
        prepare(records[:3], tmp_path / "toy", **SETTINGS)


def test_the_frame_does_not_change_the_face(tmp_path, records):
    framed = prepare(records[:3], tmp_path / "framed", **SETTINGS)
    bare = prepare(records[:3], tmp_path / "bare", **{**SETTINGS, "margin": 0.0})
    difference = framed.images[:, 4:36, 4:36].astype(int) - bare.images[:]
    assert np.abs(difference).max() <= 1  # the warp's fixed-point weights round the shift
    np.testing.assert_allclose(framed.landmarks["five"][:] - 4, bare.landmarks["five"], atol=1e-4)


def test_without_alignment_the_center_square_is_scaled(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (160, 200, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    landmarks = {"five": FIVE_POINT_TEMPLATE_112 + 20}
    record = Record("a", tmp_path / "a.png", None, "test", landmarks)
    store = prepare([record], tmp_path / "toy", alignment="none", **SETTINGS)
    blocks = image[:, 20:180].reshape(40, 4, 40, 4, 3).mean(axis=(1, 3))
    assert np.abs(store.images[0] - blocks).max() <= 0.5 + 1e-6
    # the square begins at (20, 0) and is reduced to a quarter, edges onto edges
    expected = (FIVE_POINT_TEMPLATE_112 + 20 - [20, 0] + 0.5) / 4 - 0.5
    np.testing.assert_allclose(store.landmarks["five"][0], expected, atol=1e-4)


@pytest.mark.slow
def test_worker_processes_give_the_same_bytes(tmp_path, records):
    prepare(records, tmp_path / "alone", **SETTINGS)
    prepare(records, tmp_path / "workers", **{**SETTINGS, "workers": 2})
    assert contents(tmp_path / "alone") == contents(tmp_path / "workers")


def test_an_interrupted_run_resumes_with_the_same_bytes_and_batches(tmp_path, records, fake_detector, monkeypatch):
    records = [record._replace(landmarks={}) for record in records]
    Image.new("RGB", (50, 60)).save(records[5].image)
    prepare(records, tmp_path / "whole", **SETTINGS)
    whole_batches = list(fake_detector)
    fake_detector.clear()

    def stop(self, index, sample, write=StoreWriter.write):
        if index == preparation.BLOCK + 7:
            raise KeyboardInterrupt
        write(self, index, sample)

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(records, tmp_path / "killed", **SETTINGS)
    assert partial_path(tmp_path / "killed").exists()
    assert fake_detector == whole_batches[:2]
    fake_detector.clear()
    prepare(records, tmp_path / "killed", **SETTINGS)
    assert fake_detector == whole_batches[1:]
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_unusable_files_are_named_and_left_out(tmp_path, records, fake_detector):
    bad = {index: records[index].image for index in range(1, 8)}
    bad[1].write_bytes(b"")
    bad[2].write_bytes(records[0].image.read_bytes()[:500])
    bad[3].write_text("this is no image")
    bad[4].unlink()
    bad[5].unlink()
    bad[5].mkdir()
    Image.new("RGB", (50, 60)).save(bad[6])
    records[6] = records[6]._replace(landmarks={})
    records[7] = records[7]._replace(load_parsing=no_map)
    Image.fromarray(np.asarray(Image.open(records[8].image))).save(bad[1].with_suffix(".jpg"))
    truncated = bad[1].with_suffix(".jpg")
    truncated.write_bytes(truncated.read_bytes()[:-200])
    records[8] = records[8]._replace(image=truncated)
    records[9] = records[9]._replace(landmarks={"five": np.ones((5, 2))})

    store = prepare(records, tmp_path / "toy", **SETTINGS)
    reasons = {entry["name"]: entry["reason"] for entry in store.manifest["skipped"]}
    assert reasons.pop("02.png").startswith("is damaged or incomplete (")
    assert reasons.pop("08.png").startswith("is damaged or incomplete (OSError: image file is truncated")
    assert reasons == {
        "01.png": "is empty: replace the file",
        "03.png": f"is not an image of a known format ({', '.join(IMAGE_FORMATS)}): convert it to one of them",
        "04.png": "cannot be read (No such file or directory)",
        "05.png": "is a folder: give an image file",
        "06.png": "no face found",
        "07.png": "has unusable labels (the map is damaged)",
        "09.png": "has landmarks that all coincide (at 1, 1): leave them empty where a face is not annotated",
    }
    assert len(store) == len(records) - 9
    np.testing.assert_array_equal(
        store.images[store.index_of("10.png")],
        prepare(records[10:11], tmp_path / "one", **SETTINGS).images[0],
    )


def test_the_detector_runs_where_points_are_missing_or_unwanted(tmp_path, records, fake_detector):
    records = records[:4]
    records[1] = records[1]._replace(landmarks={"ibug68": np.full((68, 2), np.nan)})
    auto = prepare(records, tmp_path / "auto", **SETTINGS)
    assert [len(batch) for batch in fake_detector] == [1]
    np.testing.assert_allclose(auto.landmarks["five"][1], template(32, margin=4), atol=1e-4)
    assert np.isnan(auto.landmarks["ibug68"][0]).all()
    assert [sample["detected"] for sample in auto.manifest["samples"]] == [False, True, False, False]

    fake_detector.clear()
    detected = prepare(records, tmp_path / "detect", landmarks="detect", **SETTINGS)
    assert [len(batch) for batch in fake_detector] == [4]
    np.testing.assert_allclose(detected.landmarks["five"][0], template(32, margin=4), atol=1e-4)


def test_only_unannotated_images_are_turned_upright(tmp_path, fake_detector):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / "upright.png")
    turned, upright = (Record(name, tmp_path / name, None, "test", {}) for name in ("turned.png", "upright.png"))
    store = prepare([turned, upright], tmp_path / "toy", **SETTINGS)
    np.testing.assert_array_equal(store.images[0], store.images[1])

    annotated = turned._replace(landmarks={"five": FIVE_POINT_TEMPLATE_112 * 0.4})
    store = prepare([annotated], tmp_path / "annotated", **SETTINGS)
    matrix = similarity_from_points(annotated.landmarks["five"], template(32, margin=4))
    np.testing.assert_array_equal(store.images[0], align(pixels, matrix, 40, {}, None)[0])


def test_a_finished_store_is_returned_without_work(tmp_path, records, monkeypatch):
    records[0].image.write_bytes(b"")
    first = prepare(records, tmp_path / "toy", **SETTINGS)
    monkeypatch.setattr(preparation, "_prepare_block", None)
    assert prepare(records, tmp_path / "toy", **SETTINGS).manifest == first.manifest


def test_a_store_of_other_settings_or_records_is_not_overwritten(tmp_path, records):
    prepare(records, tmp_path / "toy", **SETTINGS)
    with pytest.raises(ValueError, match="was prepared with hr_size=32, not 64; delete it or choose another output"):
        prepare(records, tmp_path / "toy", **{**SETTINGS, "hr_size": 64})
    with pytest.raises(ValueError, match="was prepared from other images, landmarks or splits"):
        prepare(records[1:], tmp_path / "toy", **SETTINGS)
    with pytest.raises(ValueError, match="was prepared from other images, landmarks or splits"):
        prepare([records[0]._replace(split="val"), *records[1:]], tmp_path / "toy", **SETTINGS)


def test_a_folder_of_other_files_is_not_overwritten(tmp_path, records):
    with pytest.raises(ValueError, match="source exists and is not a prepared data set; choose another output"):
        prepare(records, tmp_path / "source", **SETTINGS)
    (tmp_path / "empty").mkdir()
    assert len(prepare(records[:1], tmp_path / "empty", **SETTINGS)) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hr_size": 8}, "hr_size is 8"),
        ({"margin": 2.0}, "margin is 2.0"),
        ({"alignment": "three"}, "alignment is 'three'; choose 'five' or 'none'"),
        ({"landmarks": "guess"}, "landmarks is 'guess'; choose 'auto' or 'detect'"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, records, change, message):
    with pytest.raises(ValueError, match=message):
        prepare(records, tmp_path / "toy", **{**SETTINGS, **change})


def plain(mode, color):
    return Image.new(mode, (40, 40), color)


def palette(index):
    picture = Image.new("P", (40, 40), index)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    return picture


def deep(level, dtype):
    return Image.fromarray(np.full((40, 40), level, dtype))


def animation(*colors):
    frames = [Image.new("RGB", (40, 40), color) for color in colors]
    return frames[0], {"save_all": True, "append_images": frames[1:]}


def text(characters):
    """A compressed text of a PNG; Pillow refuses more than a million characters."""
    return png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * characters))


def color(*levels):
    return struct.pack(f">{len(levels)}H", *levels)


def ycck_jpeg():
    """A JPEG of four channels whose marker of Adobe says that they are YCbCr and black."""
    file = io.BytesIO()
    Image.new("CMYK", (40, 40), (100, 127, 127, 0)).save(file, "JPEG", quality=100)
    content = bytearray(file.getvalue())
    content[content.index(b"Adobe") + 11] = 2
    return bytes(content)


def multi_picture():
    """The format of stereo cameras and of many telephones: the photograph, then others."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40), (10, 20, 30)).save(
        file, "MPO", quality=100, save_all=True, append_images=[Image.new("RGB", (40, 40), "white")]
    )
    return file.getvalue()


def lab_tiff():
    """CIE L*a*b* of sRGB (200, 100, 50), 8 bits."""
    srgb, lab = (ImageCms.createProfile(kind) for kind in ("sRGB", "LAB"))
    picture = ImageCms.profileToProfile(plain("RGB", (200, 100, 50)), srgb, lab, outputMode="LAB")
    file = io.BytesIO()
    picture.save(file, "TIFF")
    return file.getvalue()


# Name of the file, picture and options of saving (or its content), and the color that training and use must see.
PICTURES = {
    "ycck.jpg": (ycck_jpeg(), {}, (100, 100, 100)),  # Y is that of the ink (155 of each color), and no black
    "mpo.jpg": (multi_picture(), {}, (10, 20, 30)),
    "lab.tif": (lab_tiff(), {}, (199, 100, 50)),  # within a level of the 8 bits of L*a*b*
    "16 bit rgb.png": (png_file(16, 2, color(33_600, 25_700, 257) * 40), {}, (131, 100, 1)),
    "16 bit rgb clear.png": (
        png_file(16, 2, color(33_600, 257, 0) * 40, before=png_chunk(b"tRNS", color(33_600, 257, 0))),
        {},
        (255, 255, 255),
    ),
    "16 bit rgba.png": (png_file(16, 6, color(2570, 5140, 7710, 13_107) * 40), {}, (206, 208, 210)),
    "2 bit.png": (png_file(2, 0, bytes([0b01010101]) * 10), {}, (85, 85, 85)),
    "2 bit clear.png": (png_file(2, 0, bytes([0x55]) * 10, before=png_chunk(b"tRNS", color(1))), {}, (255, 255, 255)),
    "4 bit clear.png": (png_file(4, 0, bytes([0x33]) * 20, before=png_chunk(b"tRNS", color(3))), {}, (255, 255, 255)),
    "text.png": (png_file(8, 2, bytes([10, 20, 30]) * 40, before=text(3_000_000)), {}, (10, 20, 30)),
    "text behind.png": (png_file(8, 2, bytes([10, 20, 30]) * 40, behind=text(3_000_000)), {}, (10, 20, 30)),
    "profile.png": (
        png_file(8, 2, bytes([10, 20, 30]) * 40, before=png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3_000_000)))),
        {},
        (10, 20, 30),
    ),
    "16 bit big endian.tif": (tiff_file(16, 1, color(33_600) * 40, order=">"), {}, (131, 131, 131)),
    "16 bit, 0 is white.tif": (tiff_file(16, 0, struct.pack("<H", 65_535 - 33_600) * 40), {}, (131, 131, 131)),
    "8 bit, 0 is white.tif": (tiff_file(8, 0, bytes([155]) * 40), {}, (100, 100, 100)),
    "12 bit.tif": (tiff_file(12, 1, bytes([0x80, 0x08, 0x00]) * 20), {}, (128, 128, 128)),  # 0x800 of 0xFFF
    "32 bit.tif": (tiff_file(32, 1, struct.pack("<I", 33_600) * 40), {}, (131, 131, 131)),
    "8 in 32 bit.tif": (deep(100, np.int32), {}, (100, 100, 100)),
    "10 bit.pgm": (b"P5\n40 40\n1023\n" + color(512) * 1600, {}, (128, 128, 128)),
    "dark.pgm": (b"P5\n40 40\n65535\n" + color(255) * 1600, {}, (1, 1, 1)),
    "rgb.png": (plain("RGB", (10, 20, 30)), {}, (10, 20, 30)),
    "rgb.bmp": (plain("RGB", (10, 20, 30)), {}, (10, 20, 30)),
    "gray.png": (plain("L", 100), {}, (100, 100, 100)),
    "gray.jpg": (plain("L", 100), {}, (100, 100, 100)),
    "bits.png": (plain("1", 1), {}, (255, 255, 255)),
    "bits clear.png": (plain("1", 0), {"transparency": 0}, (255, 255, 255)),
    "gray clear.png": (plain("L", 9), {"transparency": 9}, (255, 255, 255)),
    "gray other clear.png": (plain("L", 9), {"transparency": 8}, (9, 9, 9)),
    "rgb clear.png": (plain("RGB", (9, 8, 7)), {"transparency": (9, 8, 7)}, (255, 255, 255)),
    "red clear.png": (plain("RGBA", (255, 0, 0, 0)), {}, (255, 255, 255)),
    "red clear.webp": (plain("RGBA", (255, 0, 0, 0)), {"lossless": True, "exact": True}, (255, 255, 255)),
    "red clear.tif": (plain("RGBA", (255, 0, 0, 0)), {}, (255, 255, 255)),
    "half.png": (plain("RGBA", (10, 20, 30, 51)), {}, (206, 208, 210)),  # 10 * 0.2 + 255 * 0.8
    "opaque.png": (plain("RGBA", (10, 20, 30, 255)), {}, (10, 20, 30)),
    "gray alpha.png": (plain("LA", (100, 51)), {}, (224, 224, 224)),  # 100 * 0.2 + 255 * 0.8
    "palette.png": (palette(1), {}, (40, 50, 60)),
    "palette clear.png": (palette(1), {"transparency": 1}, (255, 255, 255)),
    "palette half.png": (palette(1), {"transparency": bytes([255, 51])}, (212, 214, 216)),  # 40 * 0.2 + 255 * 0.8
    "16 bit.png": (deep(33_600, np.uint16), {}, (131, 131, 131)),  # 33,600 / 257 = 130.7
    "16 bit clear.png": (deep(33_600, np.uint16), {"transparency": 33_600}, (255, 255, 255)),
    "16 bit.tif": (deep(33_600, np.uint16), {}, (131, 131, 131)),
    "16 bit.pgm": (deep(33_600, np.uint16), {}, (131, 131, 131)),
    "16 in 32 bit.tif": (deep(33_600, np.int32), {}, (131, 131, 131)),
    "cmyk.tif": (plain("CMYK", (255, 0, 0, 0)), {}, (0, 255, 255)),
    "ycbcr.tif": (plain("YCbCr", (100, 128, 128)), {"compression": "tiff_deflate"}, (100, 100, 100)),
    "moving.gif": (*animation("red", "blue"), (255, 0, 0)),
    "moving.png": (*animation("red", "blue"), (255, 0, 0)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_training_and_use_see_the_same_pixels(tmp_path, name):
    picture, options, expected = PICTURES[name]
    if isinstance(picture, bytes):
        (tmp_path / name).write_bytes(picture)
    else:
        picture.save(tmp_path / name, **options)
    store = prepare([Record(name, tmp_path / name, None, "test", {})], tmp_path / "toy", alignment="none", **SETTINGS)
    in_use = read_image(tmp_path / name)
    assert in_use.shape == (40, 40, 3)
    np.testing.assert_array_equal(store.images[0], in_use)
    np.testing.assert_array_equal(np.unique(in_use.reshape(-1, 3), axis=0), [expected])
    (face,) = FaceAligner(40).align(tmp_path / name, aligned=True)  # rim verify, rim enroll, rim-embed and the page
    np.testing.assert_array_equal(levels(face.pixels).permute(1, 2, 0), in_use)


def test_pixels_without_a_known_range_are_skipped_in_training_as_they_are_refused_in_use(tmp_path, records):
    odd = {"float.tif": deep(0.5, np.float32), "32 bit.tif": deep(70_000, np.int32), "tiny.png": Image.new("L", (6, 6))}
    for name, picture in odd.items():
        picture.save(tmp_path / name)
    odd_records = [Record(name, tmp_path / name, None, "train", {}) for name in odd]
    store = prepare([records[0], *odd_records], tmp_path / "toy", alignment="none", **SETTINGS)
    assert {entry["name"]: entry["reason"] for entry in store.manifest["skipped"]} == {
        "float.tif": "has floating-point pixels of an unknown range: save it as an 8-bit image",
        "32 bit.tif": "has pixels beyond 16 bits: save it as an 8-bit or 16-bit image",
        "tiny.png": "is 6 x 6 pixels: a face needs at least 7 a side",
    }
    for name in odd:
        with pytest.raises(ValueError, match=r"save it as|at least 7"):
            read_image(tmp_path / name)


def test_a_store_that_an_older_decoder_made_is_refused_only_if_its_pixels_may_differ(tmp_path, records, monkeypatch):
    clear = records[0]._replace(image=tmp_path / "clear.png", name="clear.png")
    Image.new("RGBA", (50, 60), (255, 0, 0, 0)).save(clear.image)
    with monkeypatch.context() as older:
        older.setattr(preparation, "has_plain_pixels", lambda path: True)  # version 1 had no version in its digest
        prepare(records[1:4], tmp_path / "plain", **SETTINGS)
        prepare([clear, *records[1:3]], tmp_path / "odd", **SETTINGS)
    prepare(records[1:4], tmp_path / "plain", **SETTINGS)
    with pytest.raises(
        ValueError, match=r"odd was prepared from other images, .* read transparent or 16-bit images dif"
    ):
        prepare([clear, *records[1:3]], tmp_path / "odd", **SETTINGS)


def test_the_digest_of_plain_images_is_that_of_earlier_versions(tmp_path):
    """SHA-256 over the representation of (name, bytes, has parsing), then each scheme's name and float64 points."""
    records = []
    for name in ("a.jpg", "b.png"):
        Image.fromarray(np.zeros((60, 50, 3), np.uint8)).save(tmp_path / name)
        records.append(Record(name, tmp_path / name, None, "train", {"five": FIVE_POINT_TEMPLATE_112 * 0.4}))
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"('{record.name}', {record.image.stat().st_size}, False)".encode() + b"five")
        digest.update((FIVE_POINT_TEMPLATE_112 * 0.4).astype("<f8").tobytes())
    assert prepare(records, tmp_path / "toy", **SETTINGS).manifest["inputs"] == digest.hexdigest()
