"""The sets of the tables: drawn by seed, disjoint where they must be."""

import pytest

from rim_lightning.comparison.protocols import drawn_pairs, face_set, mirrored_pairs
from tests.stores import noise_store, small_drawn_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_drawn_store(tmp_path_factory.mktemp("store") / "drawn", people=30, views=3, hr_size=32)


def test_a_face_set_is_a_split_or_a_draw_of_it(store):
    whole = face_set(str(store.path), "all", "train")
    assert whole.faces.positions.tolist() == store.select("train").tolist()
    first, again = (face_set(str(store.path), "some", "train", draw=7, seed=3) for _ in range(2))
    other = face_set(str(store.path), "some", "train", draw=7, seed=4)
    assert len(first.faces) == 7 and first.faces.positions.tolist() == again.faces.positions.tolist()
    assert first.digest == again.digest and first.faces.positions.tolist() != other.faces.positions.tolist()
    assert len({whole.digest, first.digest, other.digest}) == 3
    with pytest.raises(ValueError, match="fewer than the 1000 wanted"):
        face_set(str(store.path), "too many", "train", draw=1000)


def test_drawn_pairs_keep_people_within_a_fold(store):
    pairs = drawn_pairs(str(store.path), "people", "train", pairs=40)
    identity = store.identity[pairs.faces.positions]
    assert (identity[pairs.gallery] == identity[pairs.probe]).tolist() == pairs.same.tolist()
    assert pairs.same.float().mean() == 0.5 and not (pairs.gallery == pairs.probe).any()
    folds = {}
    for one, other, fold in zip(pairs.gallery.tolist(), pairs.probe.tolist(), pairs.fold.tolist(), strict=True):
        for position in (one, other):
            folds.setdefault(identity[position], set()).add(fold)
    assert all(len(each) == 1 for each in folds.values())


def test_a_set_without_people_is_mirrored(tmp_path):
    names = [f"face{n}" for n in range(24)]
    store = noise_store(tmp_path / "helen", names, [None] * 24, {"ibug68": 68}, split="test", hr_size=32)
    pairs = mirrored_pairs(str(store.path), "Helen")
    genuine = pairs.same.nonzero().squeeze(1)
    assert len(pairs.same) == 48 and (pairs.probe[genuine] == pairs.gallery[genuine] + 24).all()
    assert (pairs.faces[24].hr == pairs.faces[0].hr.flip(-1)).all()
