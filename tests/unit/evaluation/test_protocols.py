"""The sets that are measured: sampled by seed, disjoint between folds."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.data.dataset import FaceDataset, UnionDataset
from rim_lightning.data.images import read_image
from rim_lightning.data.preparation import prepare
from rim_lightning.data.readers.folder import read_folder
from rim_lightning.data.readers.pair_lists import read_pair_csv, write_pair_csv
from rim_lightning.evaluation.protocols import (
    everyone,
    face_set,
    first_image_as_gallery,
    listed_pairs,
    mirrored_pairs,
    misaligned,
    packed_pairs,
    random_pairs,
    sampled_pairs,
    surveillance,
)
from tests.helpers.packs import jpeg, write_pack
from tests.helpers.stores import noise_store, small_synthetic_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=30, views=3, hr_size=32)


def test_a_face_set_is_a_split_or_a_draw_of_it(store):
    whole = face_set(str(store.path), "all", "train")
    assert whole.dataset.positions.tolist() == store.select("train").tolist()
    first, again = (face_set(str(store.path), "some", "train", sample=7, seed=3) for _ in range(2))
    other = face_set(str(store.path), "some", "train", sample=7, seed=4)
    assert len(first.dataset) == 7
    assert first.dataset.positions.tolist() == again.dataset.positions.tolist()
    assert first.digest == again.digest
    assert first.dataset.positions.tolist() != other.dataset.positions.tolist()
    assert len({whole.digest, first.digest, other.digest}) == 3
    with pytest.raises(ValueError, match="fewer than the 1000 wanted"):
        face_set(str(store.path), "too many", "train", sample=1000)


def test_sampled_pairs_keep_people_within_a_fold(store):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=40)
    identity = store.identity[pairs.faces.positions]
    assert (identity[pairs.gallery] == identity[pairs.probe]).tolist() == pairs.same.tolist()
    assert pairs.same.float().mean() == 0.5
    assert not (pairs.gallery == pairs.probe).any()
    folds = {}
    for one, other, fold in zip(pairs.gallery.tolist(), pairs.probe.tolist(), pairs.fold.tolist(), strict=True):
        for position in (one, other):
            folds.setdefault(identity[position], set()).add(fold)
    assert all(len(folds_of_person) == 1 for folds_of_person in folds.values())


def test_people_of_two_sets_are_different_people(store):
    path = str(store.path)
    pairs = sampled_pairs([path, path], "both", "val", pairs=10)
    whole = everyone([path, path], "both", "val")
    alone = everyone(path, "one", "val")
    count = len(store.select("val"))
    assert len(alone.faces) == count
    assert alone.gallery.tolist() == alone.probe.tolist() == list(range(count))
    assert whole.gallery.tolist() == list(range(2 * count))
    assert len(whole.identity.unique()) == 2 * len(alone.identity.unique())
    assert torch.equal(whole.identity[:count], alone.identity)
    assert [whole.faces[i].identity.item() for i in range(2 * count)] == whole.identity.tolist()
    assert (whole.names[0], whole.names[count]) == (alone.names[0], alone.names[0])
    assert torch.equal(pairs.identity, whole.identity)
    assert torch.equal(pairs.same, pairs.identity[pairs.gallery] == pairs.identity[pairs.probe])


def test_the_first_folds_of_a_list(store, tmp_path):
    listed = sampled_pairs(str(store.path), "people", "train", pairs=40).listed()
    write_pair_csv(tmp_path / "pairs.csv", listed)
    some = listed_pairs(str(store.path), str(tmp_path / "pairs.csv"), "some", "csv", first_folds=3)
    folds = sorted({pair.fold for pair in listed})
    assert some.listed() == [pair for pair in listed if pair.fold in folds[:3]]


def test_a_set_without_people_is_mirrored(tmp_path):
    names = [f"face{n}" for n in range(24)]
    store = noise_store(tmp_path / "helen", names, [None] * 24, {"ibug68": 68}, split="test", hr_size=32)
    pairs = mirrored_pairs(str(store.path), "Helen")
    genuine = pairs.same.nonzero().squeeze(1)
    assert len(pairs.same) == 48
    assert (pairs.probe[genuine] == pairs.gallery[genuine] + 24).all()
    assert (pairs.faces[24].hr == pairs.faces[0].hr.flip(-1)).all()


def test_a_written_list_brings_the_same_pairs_back(store, tmp_path):
    pairs = random_pairs(str(store.path), "people", genuine=20, impostor=20, seed=1)
    digest = write_pair_csv(tmp_path / "pairs.csv", pairs.listed())
    again = listed_pairs(str(store.path), str(tmp_path / "pairs.csv"), "people", layout="csv")
    assert again.listed() == pairs.listed() == read_pair_csv(tmp_path / "pairs.csv")
    assert write_pair_csv(tmp_path / "again.csv", again.listed()) == digest
    identity = store.identity[pairs.faces.positions]
    assert (identity[pairs.gallery] == identity[pairs.probe]).tolist() == pairs.same.tolist()


def test_a_list_that_names_a_missing_image_gets_one_sentence(store, tmp_path):
    (tmp_path / "pairs.csv").write_text("gallery,probe,same\nnobody/1.png,nobody/2.png,1\n")
    with pytest.raises(ValueError, match=r"nobody/1.png"):
        listed_pairs(str(store.path), str(tmp_path / "pairs.csv"), "people", layout="csv")
    with pytest.raises(ValueError, match='has the layout "xml"; choose from lfw, annotated, csv'):
        listed_pairs(str(store.path), "pairs.xml", "people", layout="xml")


def test_one_image_of_everybody_is_the_gallery(store):
    people = first_image_as_gallery(str(store.path), "people", "train")
    gallery, probe = people.identity[people.gallery], people.identity[people.probe]
    assert len(gallery.unique()) == len(gallery)
    assert set(gallery.tolist()) == set(people.identity.tolist())
    assert len(people.gallery) + len(people.probe) == len(people.faces)
    assert len(probe) == 2 * len(gallery)
    assert not people.native


@pytest.mark.parametrize("layout", ["scface", "tinyface"])
def test_surveillance_faces_are_prepared_and_shown_as_they_are(tmp_path, layout):
    gallery, probes = {
        "scface": (
            ["mugshot_frontal_original_all/001_frontal.jpg", "mugshot_frontal_original_all/002_frontal.jpg"],
            [f"surveillance_cameras_distance_{d}/cam_1/002_cam1_{d}.jpg" for d in (1, 2, 3)],
        ),
        "tinyface": (
            ["Testing_Set/Gallery_Match/1_1.jpg", "Testing_Set/Gallery_Match/2_1.jpg"],
            ["Testing_Set/Probe/2_2.jpg", "Testing_Set/Probe/2_3.jpg"],
        ),
    }[layout]
    rng = np.random.default_rng(0)
    for name in [*gallery, *probes, *(["Testing_Set/Gallery_Distractor/9.jpg"] if layout == "tinyface" else [])]:
        file = tmp_path / layout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file)
    people = surveillance(str(tmp_path / layout), layout, "people", str(tmp_path), 32, 0, alignment="none")
    assert people.native
    assert len(people.probe) == len(probes)
    assert people.identity[people.gallery].tolist()[:2] == [0, 1]
    assert set(people.identity[people.probe].tolist()) == {1}
    with pytest.raises(ValueError, match='has the layout "lfw"; choose from scface, tinyface'):
        surveillance(str(tmp_path), "lfw", "people", str(tmp_path), 32, 0)


def test_the_aligned_faces_of_tinyface_keep_their_very_pixels(tmp_path):
    """They are the face: no detector, no border; as large as the template, and twice as large."""
    rng = np.random.default_rng(0)
    pictures = {}
    names = ("Gallery_Match/1_1.png", "Gallery_Match/2_1.png", "Gallery_Distractor/9.png", "Probe/2_2.png")
    for name in names:
        small = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        pictures[name] = small.resize((112, 112), Image.Resampling.BICUBIC)
        (tmp_path / "aligned" / name).parent.mkdir(parents=True, exist_ok=True)
        pictures[name].save(tmp_path / "aligned" / name)
    Image.new("RGB", (90, 90)).save(tmp_path / "aligned" / "Probe" / "1_2.png")
    people = surveillance(str(tmp_path / "aligned"), "tinyface_aligned", "people", str(tmp_path), 112, 0)
    store = people.faces.store
    assert sorted(store.names) == sorted(names)  # the picture of 90 px is left out
    assert [store.names[people.faces.positions[row]] for row in people.probe.tolist()] == ["Probe/2_2.png"]
    for face, name in zip(people.faces, store.names, strict=True):
        difference = face.hr.numpy().transpose(1, 2, 0).astype(int) - np.asarray(pictures[name], dtype=int)
        assert abs(difference).max() <= 1
    twice = surveillance(str(tmp_path / "aligned"), "tinyface_aligned", "people", str(tmp_path), 224, 0)
    for face, name in zip(twice.faces, twice.faces.store.names, strict=True):
        expected = np.asarray(pictures[name].resize((224, 224), Image.Resampling.BICUBIC), dtype=int)
        inner = slice(8, -8)
        assert abs(face.hr.numpy().transpose(1, 2, 0).astype(int) - expected)[inner, inner].mean() < 2


def test_calfws_layout_from_the_folder_to_the_pairs(tmp_path):
    """Made-up pictures in a flat folder, and the list of two lines a pair."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "aligned images"
    folder.mkdir()
    names = [f"Person_{number}_0001.jpg" for number in range(40)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / name)
    store = prepare(read_folder(folder), tmp_path / "calfw", name="calfw", hr_size=32, alignment="none", workers=0)
    lines = [
        f"{names[n]} {flag}\n{names[n + 20]} {flag}\n" for flag in (1, 0) for n in range(10 * flag, 10 * flag + 10)
    ]
    (tmp_path / "pairs_CALFW.txt").write_text("".join(lines))
    pairs = listed_pairs(str(store.path), str(tmp_path / "pairs_CALFW.txt"), "CALFW", layout="annotated")
    assert pairs.same.tolist() == [True] * 10 + [False] * 10
    assert pairs.fold.tolist() == [*range(10)] * 2
    assert pairs.listed()[0].gallery == names[10]
    assert pairs.listed()[-1].probe == names[29]
    (folder / names[3]).unlink()
    fewer = prepare(read_folder(folder), tmp_path / "fewer", name="calfw", hr_size=32, alignment="none", workers=0)
    with pytest.raises(ValueError, match=names[3]):
        listed_pairs(str(fewer.path), str(tmp_path / "pairs_CALFW.txt"), "CALFW", layout="annotated")


def test_misaligned_faces_move_within_the_amount_and_stay_the_same_each_time(tmp_path):
    store = small_synthetic_store(tmp_path / "synthetic", people=12, views=2, hr_size=64)
    faces = FaceDataset(store, "train")
    moved = misaligned(faces, {"shift": 0.1}, 16)
    assert len(moved) == len(faces)
    steps = []
    for number in range(len(faces)):
        step = moved[number].landmarks["ibug68"] - faces[number].landmarks["ibug68"]
        assert step.std(0).max() < 1e-3  # a shift moves every point alike
        steps.append(step.mean(0))
        assert torch.equal(moved[number].hr, moved[number].hr)
    steps = torch.stack(steps)
    assert steps.abs().max() <= 6.5
    assert steps.abs().max() > 2
    assert len(steps.unique(dim=0)) > 3
    by_detector = misaligned(faces, "detector", 16)[3]
    assert torch.equal(by_detector.hr, misaligned(faces, "detector", 16)[3].hr)
    step = by_detector.landmarks["ibug68"] - faces[3].landmarks["ibug68"]
    assert 0.1 < step.abs().mean() < 8
    with pytest.raises(ValueError, match="Mirrored pairs cannot be moved"):
        misaligned(UnionDataset([faces]), {"shift": 0.1}, 16)


def test_the_pairs_of_a_pack_are_its_faces_two_by_two(tmp_path):
    file = tmp_path / "calfw.bin"
    faces, labels = write_pack(file, 20)
    options = {"prepared": str(tmp_path / "prepared"), "hr_size": 112, "workers": 0}
    pairs = packed_pairs(str(file), "CALFW", **options)
    assert pairs.same.tolist() == labels
    assert pairs.gallery.tolist() == list(range(0, 40, 2))
    assert pairs.probe.tolist() == list(range(1, 40, 2))
    assert pairs.fold.bincount().tolist() == [2] * 10
    assert pairs.identity is None
    shown = pairs.faces[7].hr.permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(shown, read_image(faces[7]))
    file.write_bytes(pickle.dumps(([*faces[:39], jpeg(0, side=96)], labels)))
    with pytest.raises(ValueError, match=r"calfw.bin: 1 faces cannot be used; the first is 000039.jpg, which has 96"):
        packed_pairs(str(file), "CALFW", **options | {"hr_size": 32})
