"""Templates of probes: tables of tracks, thresholds by the number of pictures, and pictures of two people."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rim_lightning.inference.calibration import Calibration, probe_weights
from rim_lightning.inference.faces import AlignedFace
from rim_lightning.inference.recognizer import pool
from rim_lightning.inference.templates import TemplatePicture, disagreement, read_groups


def calibration(fars=(1e-1, 1e-3)):
    """.9 − .1 · (number of probes) − .05 · (number of gallery pictures); .2 more at 8 px and a FAR of 1e-3."""
    counts = (1, 2, 4)
    thresholds = np.array(
        [
            [
                [
                    [0.9 - 0.1 * p - 0.05 * g + (0.2 if size == 8 and far < 0.1 else 0.0) for far in fars]
                    for size in (8, 32)
                ]
                for g in counts
            ]
            for p in counts
        ]
    )
    return Calibration("made up", "", 9, 99, 99, counts, (8, 32), fars, thresholds, thresholds / 2)


def faces(*sizes):
    return [AlignedFace(torch.zeros(3, 4, 4), float(size), 1, f"{number}.png") for number, size in enumerate(sizes)]


def test_the_threshold_is_that_of_the_number_of_pictures():
    for count in (1, 2, 4, 9):
        point = calibration().template_point([32] * count, 1e-3)
        assert point.threshold == pytest.approx(0.9 - 0.1 * min(count, 4) - 0.05)
        assert point.frr == pytest.approx(point.threshold / 2)


def test_probes_of_a_template_weigh_as_much_as_they_are_large():
    assert probe_weights([8, 24]) == [0.25, 0.75]
    assert probe_weights([8, 28, 28, 200]) == pytest.approx([8 / 92, *[28 / 92] * 3])
    embeddings = at_angles(0, 90)
    assert pool(embeddings, [8, 24])[:2].tolist() == pytest.approx([1 / math.sqrt(10), 3 / math.sqrt(10)])
    assert torch.equal(pool(embeddings, [24, 24]), pool(embeddings))


def test_a_template_of_several_sizes_has_the_weighted_threshold_and_the_mean_error():
    large, small = 0.9 - 0.2 - 0.05, 0.9 - 0.2 - 0.05 + 0.2
    point = calibration().template_point([28, 8], 1e-3)
    at_28 = calibration().operating_point(28, 1e-3, 2).threshold
    assert large < at_28 < small
    assert point.threshold == pytest.approx((28 * at_28 + 8 * small) / 36)
    assert point.frr == pytest.approx((at_28 + small) / 4)
    assert (point.far_interval, point.frr_interval, point.not_acquired) == (None, None, None)
    with pytest.raises(ValueError, match=r"no thresholds for a false accept rate of 0\.01"):
        calibration().template_point([32], 1e-2)


def test_intervals_and_ratios_of_several_sizes():
    intervals = np.zeros((3, 3, 2, 2, 4))
    intervals[:, :, 0] = (0.1, 0.3, 0.6, 0.8)  # at 8 px
    intervals[:, :, 1] = (0.2, 0.5, 0.2, 0.4)  # at 32 px
    ratios = np.zeros((3, 3, 2, 5))
    ratios[:, :, 0, :3] = (-1.0, 2.0, 3.0)
    ratios[:, :, 1, :3] = (-1.0, 6.0, 2.5)
    known = replace(calibration(), intervals=intervals, ratios=ratios)
    point = known.template_point([8, 32], 1e-3)
    assert point.far_interval == pytest.approx((0.1, 0.5))
    assert point.frr_interval == pytest.approx((0.4, 0.6))
    ratio = known.template_ratio(0.5, [8, 32])  # 0 at 8 px, 2 at 32 px
    assert ratio.log10 == pytest.approx(2 * 28 / 36)
    assert (ratio.bound, ratio.at_bound) == (2.5, False)
    assert known.template_ratio(0.9, [32, 8]).log10 == pytest.approx((2.5 * 28 + 0.8 * 8) / 36)  # bounded, then mixed
    assert known.template_ratio(0.5, [8, 8]) == known.likelihood_ratio(0.5, 8, 2)
    assert calibration().template_ratio(0.5, [8, 32]) is None


def at_angles(*degrees):
    """Embeddings in a plane."""
    radians = [math.radians(angle) for angle in degrees]
    return torch.tensor([[math.cos(angle), math.sin(angle), 0.0] for angle in radians])


def test_pictures_around_two_directions_are_two_people():
    """Groups at 0° and at 80°: cosine .174; the threshold of 3 pictures and 2 at 1e-1 lies between those of 2 and 4."""
    embeddings = at_angles(-4, 80, 0, 84, 4)
    found = disagreement(embeddings, [32] * 5, calibration())
    assert found.groups == ([0, 2, 4], [1, 3])
    assert found.similarity == pytest.approx(math.cos(math.radians(82)), abs=1e-6)
    share = math.log(3 / 2) / math.log(2)
    assert found.threshold == pytest.approx(0.9 - 0.1 * (2 + 2 * share) - 0.05 * 2)
    assert found.far == 1e-1


def test_pictures_of_one_direction_agree():
    assert disagreement(at_angles(-20, 0, 20, 5), [32] * 4, calibration()) is None


def test_one_picture_that_is_another_person_is_found():
    """The threshold of 3 pictures and 1 is about .59, that of the angle 70° is .34."""
    found = disagreement(at_angles(0, 3, 70, -3), [32] * 4, calibration())
    assert found.groups == ([0, 1, 3], [2])


@pytest.mark.parametrize("degrees", [[10], [0, 0], [0, 0, 0]])
def test_one_picture_and_equal_pictures_agree(degrees):
    assert disagreement(at_angles(*degrees), [32] * len(degrees), calibration()) is None


def test_a_model_without_that_rate_judges_by_its_largest():
    assert disagreement(at_angles(0, 89), [32, 32], calibration((1e-2, 1e-3))).far == 1e-2


def table(tmp_path, text):
    (tmp_path / "tracks.csv").write_text(text)
    return tmp_path / "tracks.csv"


def test_a_table_is_divided_by_its_tracks(tmp_path):
    file = table(
        tmp_path,
        'picture,track,time,face\na/1.png,7,0:00:01.000,"1,2,30,40.5"\nb.png,x,,\na/2.png,7,0:00:02.000,\n',
    )
    one, other = read_groups(file, "clip")
    assert (one.name, other.name) == ("clip, track 7", "clip, track x")
    assert one.pictures == [
        TemplatePicture(tmp_path / "a/1.png", (1, 2, 30, 40.5), "0:00:01.000"),
        TemplatePicture(tmp_path / "a/2.png", None, "0:00:02.000"),
    ]
    assert other.pictures == [TemplatePicture(tmp_path / "b.png")]


def test_two_columns_suffice_and_semicolons_separate_too(tmp_path):
    (group,) = read_groups(table(tmp_path, "track;picture\n1;a.png\n"), "t")
    assert group.pictures == [TemplatePicture(Path(tmp_path / "a.png"))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,track\na.png,1\n", "has no columns 'picture' and 'track'; its first line has name, track"),
        ("picture,track\n", "names no picture"),
        ("", "has no columns"),
        ("picture,track\na.png,\n", "line 2 names no track: say to which one a.png belongs"),
        ("picture,track\n../a.png,1\n", "line 2 names '../a.png', which can be no image in the folder"),
        ("picture,track\n/etc/a.png,1\n", "line 2 names '/etc/a.png'"),
        ("picture,track\na.png\n", "line 2 has 1 columns where the header has 2"),
        ('picture,track,face\na.png,1,"1,2,3"\n', "line 2 has '1,2,3' as box of a face: give x0,y0,x1,y1 in pixels"),
        ('picture,track,face\na.png,1,"9,2,3,4"\n', "line 2 has '9,2,3,4' as box"),
        ('picture,track,face\na.png,1,"nan,2,3,4"\n', "line 2 has 'nan,2,3,4' as box"),
    ],
)
def test_a_wrong_table_is_one_sentence_with_its_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=r"tracks\.csv") as error:
        read_groups(table(tmp_path, text), "t")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
