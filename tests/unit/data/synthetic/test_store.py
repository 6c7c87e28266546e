import multiprocessing

import numpy as np
import pytest

from rim_lightning.data.alignment import template
from rim_lightning.data.synthetic.store import paint_face, synthetic_store
from rim_lightning.data.views import flip_face
from rim_lightning.schemes import HELEN11, five_points
from tests.helpers.stores import small_synthetic_store

SIZE = 96
CLASS = {name: number for number, name in enumerate(HELEN11.classes)}


@pytest.fixture(scope="module")
def faces():
    return [paint_face(person, view, SIZE, margin=12) for person in range(12) for view in range(2)]


def classes_at(parsing, points):
    x, y = np.round(points).astype(int).T
    return parsing[y.clip(0, len(parsing) - 1), x.clip(0, len(parsing) - 1)]


def test_a_face_is_a_function_of_its_seeds(faces):
    for first, again in zip(faces[3], paint_face(1, 1, SIZE, margin=12), strict=True):
        np.testing.assert_array_equal(first, again)
    assert np.abs(faces[0][0].astype(int) - faces[1][0]).mean() > 5  # another view
    assert np.abs(faces[0][0].astype(int) - faces[2][0]).mean() > 5  # another person


@pytest.mark.parametrize(
    ("eye", "brow", "ring", "arc", "ibug"),
    [
        ("left_eye", "left_eyebrow", slice(134, 154), slice(174, 194), slice(36, 42)),
        ("right_eye", "right_eyebrow", slice(114, 134), slice(154, 174), slice(42, 48)),
    ],
)
def test_eyes_and_brows_of_landmarks_and_parsing_are_the_same(faces, eye, brow, ring, arc, ibug):
    hits, misses = [], []
    for _, ibug68, helen194, _, parsing in faces:
        for points, name in ((helen194[ring], eye), (ibug68[ibug], eye), (helen194[arc], brow)):
            center = points.mean(0)
            inside = classes_at(parsing, center + 0.5 * (points - center))
            inside = inside[inside != CLASS["hair"]]  # a fringe may hide them
            hits.append(inside == CLASS[name])
            outside = classes_at(parsing, center + 2.5 * (points - center))
            misses.append(outside == CLASS[name])
    # A curved brow shrunk to its center may leave its own outline, and its enlarged end may cross it.
    assert np.concatenate(hits).mean() > 0.9
    assert np.concatenate(misses).mean() < 0.1


def test_nose_and_lips_of_landmarks_and_parsing_are_the_same(faces):
    for _, ibug68, helen194, five, parsing in faces:
        assert classes_at(parsing, five[2:3]) == CLASS["nose"]
        nose = helen194[41:58]
        assert (classes_at(parsing, nose.mean(0) + 0.8 * (nose - nose.mean(0))) == CLASS["nose"]).mean() > 0.8
        lower = (helen194[[77, 79, 81]] + helen194[[105, 107, 109]]) / 2
        assert (classes_at(parsing, lower) == CLASS["lower_lip"]).all()
        upper = (helen194[[63, 67]] + helen194[[91, 95]]) / 2
        assert (classes_at(parsing, upper) == CLASS["upper_lip"]).mean() >= 0.5  # it can be one pixel thin
        inner = ibug68[60:68]
        if np.ptp(inner[[2, 6], 1]) > 3:
            assert classes_at(parsing, inner.mean(0, keepdims=True)) == CLASS["inner_mouth"]


def test_every_class_is_painted(faces):
    seen = np.unique(np.stack([face[4] for face in faces]))
    np.testing.assert_array_equal(seen, np.arange(len(HELEN11.classes)))


def test_five_points_are_those_of_the_other_schemes_and_near_the_template(faces):
    for _, ibug68, helen194, five, _ in faces:
        np.testing.assert_allclose(five_points({"ibug68": ibug68}), five, atol=1e-3)
        assert np.abs(five_points({"helen194": helen194}) - five).max() < 0.06 * SIZE
    fives = np.stack([face[3] for face in faces])
    assert np.abs(fives.mean(0) - template(SIZE, 12)).max() < 0.03 * SIZE
    assert np.abs(fives - template(SIZE, 12)).max() < 0.15 * SIZE


def test_the_margin_only_adds_a_frame():
    wide, tight = paint_face(3, 1, 64, margin=8), paint_face(3, 1, 64)
    for padded, plain in zip(wide[1:4], tight[1:4], strict=True):
        np.testing.assert_allclose(padded - 8, plain, atol=1e-4)
    assert (wide[4][8:-8, 8:-8] == tight[4]).mean() > 0.99


def test_landmarks_keep_their_roles_in_a_mirror():
    """A mirrored face differs from itself by its turn and shift only, not by whole features."""
    image, ibug68, helen194, five, parsing = paint_face(4, 0, SIZE)
    points = {"ibug68": ibug68, "helen194": helen194, "five": five}
    _, _, moved = flip_face(image, parsing, points)
    for scheme, xy in points.items():
        assert np.abs(moved[scheme] - xy).mean() < 0.05 * SIZE, scheme
        unpermuted = np.stack([SIZE - 1 - xy[:, 0], xy[:, 1]], 1)
        assert np.abs(unpermuted - xy).mean() > 0.1 * SIZE, scheme


def test_people_can_be_recognized_at_16_pixels_but_not_perfectly():
    import cv2

    people, views = 20, 3
    faces = [paint_face(person, view, 64)[0] for person in range(people) for view in range(views)]
    small = np.stack([cv2.resize(face, (16, 16), interpolation=cv2.INTER_AREA) for face in faces]).astype(float)
    features = small[:, 2:14, 3:13].reshape(len(faces), -1)
    features -= features.mean(1, keepdims=True)
    features -= features.mean(0)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    score = features @ features.T
    person = np.repeat(np.arange(people), views)
    upper = np.triu(np.ones_like(score, dtype=bool), 1)
    same = person[:, None] == person[None]
    area = (score[same & upper][:, None] > score[~same & upper][None]).mean()
    assert 0.7 < area < 0.995


def test_a_store_keeps_people_apart_and_is_painted_once(tmp_path):
    store = small_synthetic_store(tmp_path / "synthetic")
    people = {split: set(store.identity[store.select(split)].tolist()) for split in ("train", "val", "test")}
    assert [len(people[split]) for split in ("train", "val", "test")] == [4, 1, 1]
    assert set.union(*people.values()) == set(range(6))
    image, ibug68, _, _, parsing = paint_face(2, 1, 48, margin=6)
    position = store.index_of("00002/001")
    np.testing.assert_array_equal(store.images[position], image)
    np.testing.assert_array_equal(store.landmarks["ibug68"][position], ibug68)
    np.testing.assert_array_equal(store.parsing[position], parsing)

    stamp = (tmp_path / "synthetic" / "images.npy").stat().st_mtime_ns
    small_synthetic_store(tmp_path / "synthetic")
    assert (tmp_path / "synthetic" / "images.npy").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="faces that were made with different settings"):
        small_synthetic_store(tmp_path / "synthetic", seed=1)


def test_too_few_people_for_the_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match="leave a split empty"):
        synthetic_store(
            tmp_path / "synthetic", 3, 1, 32, 0.125, 0, {"train": 0.9, "val": 0.05, "test": 0.05}, workers=0
        )


@pytest.mark.slow
def test_pixels_do_not_depend_on_the_workers(tmp_path):
    arguments = {
        "people": 3,
        "views": 2,
        "hr_size": 32,
        "margin": 0.125,
        "seed": 0,
        "splits": {"train": 1, "val": 1, "test": 1},
    }
    one = synthetic_store(tmp_path / "one", **arguments, workers=0)
    two = synthetic_store(tmp_path / "two", **arguments, workers=2)
    np.testing.assert_array_equal(one.images, two.images)
    assert one.names == two.names


@pytest.mark.slow
def test_two_processes_that_start_together_paint_once(tmp_path):
    """The second waits for the first, and both have the store."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    jobs = [context.Process(target=_painted_in_a_process, args=(tmp_path / "store", results)) for _ in range(2)]
    for job in jobs:
        job.start()
    digests = [results.get(timeout=120) for _ in jobs]
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert (
        digests[0] == digests[1] == small_synthetic_store(tmp_path / "alone", people=6, views=4).manifest["source_hash"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [".alone.lock", ".store.lock", "alone", "store"]


def _painted_in_a_process(path, results):
    results.put(small_synthetic_store(path, people=6, views=4).manifest["source_hash"])
