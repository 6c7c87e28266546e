import os
import subprocess
import sys

import numpy as np
import pytest

from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.data.views import center_crop
from rim_lightning.types import UNLABELED
from tests.helpers.faces import assert_same_face
from tests.helpers.tiny import augmentation as augmented_view

SIZE, MARGIN = 64, 8


@pytest.fixture(scope="module")
def face():
    image, ibug68, helen194, five, parsing = paint_face(5, 0, SIZE, MARGIN)
    return image, parsing, {"ibug68": ibug68, "helen194": helen194, "five": five}


def test_without_any_change_the_view_is_the_center_crop(face):
    still = augmented_view(SIZE, flip=0, rotation=0, scale=0, shift=0, photometric=0)
    assert_same_face(still(*face, seed=3), center_crop(*face, SIZE))
    np.testing.assert_allclose(center_crop(*face, SIZE)[2]["five"], face[2]["five"] - MARGIN)


def test_a_view_is_a_function_of_its_seed(face):
    augmentation = augmented_view(SIZE)
    first, other = augmentation(*face, seed=1), augmentation(*face, seed=2)
    assert_same_face(augmented_view(SIZE)(*face, seed=1), first)
    assert np.abs(first[0].astype(int) - other[0]).mean() > 1


def test_image_parsing_and_points_move_together():
    """A soft dot is followed by its center of mass, in the picture and in the parsing map."""
    side = SIZE + 2 * MARGIN
    yy, xx = np.mgrid[:side, :side]
    augmentation = augmented_view(SIZE, rotation=20, scale=0.2, shift=0.05, photometric=0)
    for seed in range(20):
        x, y = np.random.default_rng(seed).uniform(0.4 * side, 0.6 * side, 2)
        blob = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 18)
        image = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, 2)
        parsing = np.where(blob > 0.5, 6, 1).astype(np.uint8)
        points = np.full((5, 2), (x, y), np.float32)
        view, classes, moved = augmentation(image, parsing, {"five": points}, seed)
        weight = view[..., 0] / view[..., 0].sum(dtype=float)
        center = np.array([(weight * xx[:SIZE, :SIZE]).sum(), (weight * yy[:SIZE, :SIZE]).sum()])
        np.testing.assert_allclose(moved["five"][0], center, atol=0.15)
        np.testing.assert_allclose(moved["five"][0], np.argwhere(classes == 6).mean(0)[::-1], atol=0.6)


def test_outside_the_picture_is_unlabeled_and_inside_never():
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    parsing = np.ones((SIZE, SIZE), np.uint8)
    turned = augmented_view(SIZE, flip=0, rotation=30, scale=0, shift=0, photometric=0)
    view, classes, _ = turned(image, parsing, {}, seed=2)
    assert set(np.unique(classes)) == {1, UNLABELED}
    assert (view == 90).all()  # the border is repeated, not blackened
    framed = np.ones((SIZE + 40, SIZE + 40), np.uint8)
    _, classes, _ = turned(np.zeros((SIZE + 40, SIZE + 40, 3), np.uint8), framed, {}, seed=2)
    assert (classes == 1).all()


def test_unknown_points_and_missing_parsing_stay_so(face):
    points = face[2]["five"].copy()
    points[1] = np.nan
    _, parsing, moved = augmented_view(SIZE, flip=0)(face[0], None, {"five": points}, seed=0)
    assert parsing is None
    assert np.isnan(moved["five"][1]).all()
    assert not np.isnan(moved["five"][[0, 2, 3, 4]]).any()


def test_rotation_does_not_decide_brightness():
    """Compose.set_random_seed would give both the same stream."""
    augmentation = augmented_view(SIZE, flip=0, scale=0, shift=0, contrast=0, gamma=0, hue=0, photometric=1)
    gray = np.full((SIZE, SIZE, 3), 120, np.uint8)
    points = np.float32([(20, 30), (40, 30), (30, 40), (20, 50), (40, 50)])
    drawn = []
    for seed in range(120):
        view, _, moved = augmentation(gray, None, {"five": points}, seed)
        across = moved["five"][1] - moved["five"][0]
        drawn.append((np.arctan2(across[1], across[0]), float(view.mean())))
    assert np.std(drawn, axis=0).min() > 0.02
    assert abs(np.corrcoef(np.transpose(drawn))[0, 1]) < 0.3


WATCHED_IMPORT = """
import sys
requests = []
sys.addaudithook(lambda event, _: requests.append(event) if event in ("urllib.Request", "socket.connect") else None)
import {module}
print(len(requests))
"""


@pytest.mark.parametrize(("module", "asks"), [("rim_lightning.data.augmentation", False), ("albumentations", True)])
def test_importing_the_augmentation_does_not_ask_the_network_for_a_newer_release(module, asks):
    environment = {name: value for name, value in os.environ.items() if name != "NO_ALBUMENTATIONS_UPDATE"}
    environment |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    command = [sys.executable, "-W", "ignore", "-c", WATCHED_IMPORT.format(module=module)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (int(run.stdout) > 0) == asks
