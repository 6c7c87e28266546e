"""People whose pictures are searched for faces, with a detector and a network that are made up."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.data.images import ImageError
from rim_lightning.functional.camera import camera_probe, seeded_draws
from rim_lightning.functional.resize import enlarge
from rim_lightning.functional.seeded_probes import ProbeKind
from rim_lightning.inference.calibrate import thresholds_of
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.calibration_file import read_calibration, write_calibration
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.measured_people import people_of_photographs, people_of_probes, reduced_picture
from rim_lightning.types import to_unit

SMALLEST = 10


class MadeUp:
    """The face is the whole picture, and is found from `SMALLEST` pixels on. Its mean color is its embedding."""

    embedding_size = 3
    aligner = type("Aligner", (), {"detector": "made up"})

    def align(self, image, name):
        if len(image) < SMALLEST:
            raise ImageError(f"{name} shows no face that could be found: cut out the part with the face.")
        return [AlignedFace(to_unit(torch.from_numpy(image).permute(2, 0, 1)), float(len(image)), 1, name)]

    def embed_gallery(self, faces):
        return F.normalize(torch.stack([face.pixels.mean((1, 2)) for face in faces]))

    embed_probes = embed_gallery


def write_people(folder, people=12, pictures=4, side=48, seed=0):
    """Person and path of pictures, each of one color and noise."""
    random = np.random.default_rng(seed)
    listed = []
    for person in range(people):
        color = random.uniform(40, 215, 3)
        for number in range(pictures):
            path = folder / f"person {person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = color + random.normal(0, 8, 3) + random.normal(0, 20, (side, side, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            listed.append((path.parent.name, path))
    return listed


def test_photographs_become_probes_of_every_size(tmp_path):
    photographs = write_people(tmp_path)
    people, left_out = people_of_photographs(MadeUp(), photographs, "mine", sizes=(8, 16, 112))
    assert left_out == {}
    assert list(people.probes) == [16]  # no face of 8 px is found, and none has 112
    assert people.not_acquired == {16: 0.0}
    names = sorted({person for person, _ in photographs})
    assert people.identity.tolist() == [names.index(person) for person, _ in photographs]
    image = np.array(Image.open(photographs[5][1]))
    expected = MadeUp().embed_probes(MadeUp().align(reduced_picture(image, 16 / 48, ProbeKind(), 5), ""))
    torch.testing.assert_close(people.probes[16][5], expected[0])
    torch.testing.assert_close(people.sharp[5], MadeUp().embed_gallery(MadeUp().align(image, ""))[0])
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for _, path in photographs))
    assert people.digest == digest.hexdigest()
    assert people.made == "bicubic of whole photographs, faces found by made up"


def test_faces_that_are_not_found_are_counted_and_make_no_pair(tmp_path):
    """Every fourth probe of 16 px is lost: the rates are those of the others."""
    photographs = write_people(tmp_path)

    class Losing(MadeUp):
        seen = 0

        def align(self, image, name):
            if len(image) == 16:
                self.seen += 1
                if self.seen % 4 == 0:
                    raise ImageError(f"{name} shows no face.")
            return super().align(image, name)

    people, _ = people_of_photographs(Losing(), photographs, "mine", sizes=(16, 24))
    assert people.not_acquired == {16: 0.25, 24: 0.0}
    assert people.has_probe[16].tolist() == [True, True, True, False] * 12
    assert people.has_probe[24].all()
    calibration = thresholds_of(people, fars=(0.1,), counts=(1, 2))
    assert calibration.not_acquired == (0.25, 0.0)
    assert calibration.counts == (1, 2)  # a person's gallery of pictures 3 and 4, and probes 1 and 2
    scores = people.sharp @ people.probes[16].T
    compared = ~torch.eye(48, dtype=torch.bool) & people.has_probe[16]
    same = people.identity[:, None] == people.identity
    impostors, genuine = scores[compared & ~same], scores[compared & same]
    threshold = calibration.thresholds[0, 0, 0, 0]
    assert int((impostors >= threshold).sum()) == math.floor(0.1 * len(impostors))
    assert calibration.frrs[0, 0, 0, 0] == pytest.approx((genuine < threshold).double().mean().item())
    point = calibration.operating_point(16, 0.1)
    assert point.not_acquired == 0.25
    assert calibration.operating_point(math.sqrt(16 * 24), 0.1).not_acquired == pytest.approx(0.125)


def test_true_probes_belong_to_the_nearest_size(tmp_path):
    gallery = write_people(tmp_path / "gallery", pictures=2)
    probes = write_people(tmp_path / "probes", pictures=3, side=17)  # the same colors
    tiny = write_people(tmp_path / "tiny", people=2, pictures=2, side=9)
    few = write_people(tmp_path / "few", people=2, pictures=2, side=30)
    people, left_out = people_of_probes(MadeUp(), probes + tiny + few, gallery, "mine")
    assert list(people.probes) == [16]  # 30 px is near 28, of which there are 4 probes
    assert people.not_acquired == {16: pytest.approx(4 / 44)}
    assert sorted(left_out) == sorted(str(path) for _, path in tiny)
    assert int(people.has_sharp.sum()) == 24
    assert int(people.has_probe[16].sum()) == 36
    assert not (people.has_sharp & people.has_probe[16]).any()
    calibration = thresholds_of(people, fars=(0.1,), counts=(1,))
    assert (calibration.genuine, calibration.impostors) == (12 * 2 * 3, 24 * 36 - 12 * 2 * 3)
    assert calibration.probes == "true probes, faces found by made up"
    assert calibration.operating_point(18, 0.1).threshold == calibration.operating_point(15, 0.1).threshold
    for size in (12, 21):
        with pytest.raises(ValueError, match=f"measured on probes of 16 to 16 px, and this one has {size} px"):
            calibration.operating_point(size, 0.1)


def test_too_few_true_probes_get_a_sentence(tmp_path):
    gallery = write_people(tmp_path / "gallery", pictures=2)
    few = write_people(tmp_path / "few", people=3, pictures=2, side=16)
    with pytest.raises(
        ValueError, match=r"too few probes with a face \(6 of about 16 px\): give at least 20 of a size"
    ):
        people_of_probes(MadeUp(), few, gallery, "mine")
    tiny = write_people(tmp_path / "tiny", people=3, pictures=2, side=9)
    with pytest.raises(ValueError, match=r"\(none\): .*0.png shows no face"):
        people_of_probes(MadeUp(), tiny, gallery, "mine")
    with pytest.raises(ValueError, match="has no picture that can be used"):
        people_of_probes(MadeUp(), few, tiny, "mine")
    with pytest.raises(ValueError, match="has no photograph that can be used"):
        people_of_photographs(MadeUp(), tiny, "mine")


def test_a_whole_picture_is_reduced_as_a_probe_is():
    """A square picture by the camera is the probe of the same face, before it is enlarged back."""
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    small = reduced_picture(image, 0.25, ProbeKind("camera"), 7)
    assert small.shape == (16, 16, 3)
    hr = to_unit(torch.from_numpy(image).permute(2, 0, 1))[None]
    again = enlarge(to_unit(torch.from_numpy(small).permute(2, 0, 1))[None], 64)
    torch.testing.assert_close(again, camera_probe(hr, torch.tensor([16]), seeded_draws([7])), atol=0.02, rtol=0)
    wide = reduced_picture(image[:40], 0.25, ProbeKind("camera"), 7)
    assert wide.shape == (10, 16, 3)
    plain = reduced_picture(image[:40], 0.25, ProbeKind(), 0)
    by_pillow = np.asarray(Image.fromarray(image[:40]).resize((16, 10), Image.Resampling.BICUBIC)).astype(int)
    assert abs(plain.astype(int) - by_pillow).max() <= 1
    with pytest.raises(ValueError, match="reduced by bicubic or camera, got area"):
        reduced_picture(image, 0.25, ProbeKind("area"), 0)


def made_up_calibration():
    points = np.full((1, 1, 2, 2), 0.3)
    points[0, 0, 0, 1] = np.nan  # too few probes of 8 px
    intervals = np.where(np.isnan(points)[..., None], np.nan, [0.001, 0.02, 0.2, 0.4])
    about = ("mine", "0" * 64, 40, 60, 2000, (1,), (8, 16), (0.1, 0.01))
    return Calibration(*about, points, points, False, "true probes", intervals, None, (0.5, 0.1))


def test_a_rate_that_some_sizes_lack_is_refused_there_alone():
    calibration = made_up_calibration()
    assert calibration.usable_fars() == [0.1, 0.01]
    assert calibration.operating_point(16, 0.01).threshold == 0.3
    with pytest.raises(ValueError, match=r"too few people or pairs for a false accept rate of 0\.01 at 8 px"):
        calibration.operating_point(8, 0.01)


def test_a_calibration_file_holds_for_its_model_alone(tmp_path):
    path = tmp_path / "mine.json"
    write_calibration(path, made_up_calibration(), "0123456789abcdef")
    assert read_calibration(path, "0123456789abcdef") == made_up_calibration()
    with pytest.raises(ValueError, match=r"mine.json was measured for the model 0123456789abcdef, not for f{16}"):
        read_calibration(path, "f" * 16)
    content = json.loads(path.read_text())
    for change, sentence in (
        ({"format": 2}, "format is 2; it must be 1"),
        ({"more": 1}, "has the entry more"),
        ({"calibration": content["calibration"] | {"not_acquired": [0.5]}}, "not_acquired must be 2 shares"),
        ({"calibration": content["calibration"] | {"not_acquired": [0.5, 1.5]}}, r"not_acquired\[1\] is 1.5"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=f"mine.json.*{sentence}.*rim calibrate"):
            read_calibration(path, "0123456789abcdef")
    with pytest.raises(FileNotFoundError):
        read_calibration(tmp_path / "none.json", "0123456789abcdef")
