"""`rim measure` of models of RIM: their rows are those of rim-eval and rim-compare, beside any other system."""

import json
import shutil
from functools import partial
from itertools import chain, combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rim_lightning.comparison.laboratory.embedding_cache import EmbeddingCache
from rim_lightning.comparison.laboratory.readings import Side, embed_part
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.data.readers.pair_lists import write_pair_csv
from rim_lightning.data.stores.packed import open_store
from rim_lightning.evaluation.figures import threshold_figures, verification_figures
from rim_lightning.evaluation.protocols import sampled_pairs
from rim_lightning.evaluation.store_embeddings import StoreProbes, embed_store
from rim_lightning.evaluation.verification import evaluate_verification
from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.resize import bicubic
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.functional.verification import cosine_similarity
from rim_lightning.inference.default_model import names_model
from rim_lightning.inference.model_folder import read_model, write_model
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import SizeCurve, Usage
from rim_lightning.types import to_unit
from tests.helpers.commands import run_here
from tests.helpers.mat_files import write_survface_lists
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed
from tests.integration.test_cli import checkpoint
from tests.integration.test_measure import write_onnx

SIZE = 12
FIGURES = ("accuracy", "accuracy_low", "accuracy_high", "eer", "auc", "tar_at_far_1e-1")
MIXED = Usage(mixture=SizeCurve((7.0, 28.0), (0.9, 0.2)))
LOOKED_TWICE = Usage(True, 0.0, MIXED.mixture, SizeCurve((7.0, 28.0), (0.8, 0.3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, a list of pairs of it, and a network in three model folders: as it is, mixed, and looking twice."""
    folder = tmp_path_factory.mktemp("measure")
    store = small_synthetic_store(folder / "store", people=24, views=3, hr_size=32)
    write_pair_csv(folder / "pairs.csv", sampled_pairs(str(store.path), "people", "train", pairs=40).listed())
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL)).eval()
    for name, usage in (("plain", None), ("mixed", MIXED), ("twice", LOOKED_TWICE)):
        write_model(folder / name, rim, None, {}, onnx=False, usage=usage)
    return folder


def pairs_of(folder):
    return sampled_pairs(str(folder / "store"), "people", "train", pairs=40)


def measured(folder, *words):
    ended = run_here("rim.main", "measure", *words, "--store", "store", "--json", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def check_row(row, expected, system):
    for name in FIGURES:
        key, _, end = name.partition("_low") if name.endswith("_low") else name.partition("_high")
        field = "low" if name.endswith("_low") else "high" if name.endswith("_high") else "value"
        assert not end
        assert (f"{system}{name}" in expected) == (key in row)
        if key in row:
            assert row[key][field] == pytest.approx(expected[f"{system}{name}"], abs=1e-6), name
    assert {"accuracy", "eer", "auc"} <= set(row)


@pytest.mark.parametrize(("name", "system"), [("plain", "rim"), ("mixed", "mixture"), ("twice", "reduced_gallery")])
def test_the_row_of_a_model_is_that_of_rim_eval(folder, name, system):
    model, pairs = read_model(folder / name), pairs_of(folder)
    expected = evaluate_verification(model.rim, pairs, [SIZE], model.usage, batch_size=len(pairs.faces))
    content = measured(folder, name, "--pairs", "pairs.csv", "--probe-size", SIZE)
    check_row(content["systems"][name], expected, f"{SIZE}/{system}/")
    assert (content["store"], content["face_size"], content["probes"]) == ("store", 32, "bicubic")


def test_the_row_of_cameras_is_that_of_rim_compare(folder, tmp_path):
    rim, pairs = read_model(folder / "plain").rim, pairs_of(folder)
    cache = EmbeddingCache(tmp_path)
    sides = []
    for part, side, rows in (
        ("gallery", Side(None), pairs.gallery),
        ("probe", Side(SIZE, "camera", "detector"), pairs.probe),
    ):
        unique, row = rows.unique(return_inverse=True)
        load = partial(partial, embed_part, rim, part, None, side)
        sides.append(cache.embed("tiny", side, load, pairs.faces, unique.tolist(), "tiny")[part][row])
    expected = verification_figures(cosine_similarity(*sides), pairs.same, pairs.fold)
    kind = ["--degradation", "camera", "--misalignment", "detector"]
    content = measured(folder, "plain", "--pairs", "pairs.csv", "--probe-size", SIZE, *kind)
    check_row(content["systems"]["plain"], expected, "")
    assert content["probes"] == "camera, moved as by a detector's points"
    assert content["systems"] != measured(folder, "plain", "--pairs", "pairs.csv", "--probe-size", SIZE)["systems"]


def test_a_checkpoint_is_the_model_that_is_made_of_it(folder, tmp_path):
    path = checkpoint(tmp_path)
    rows = [measured(folder, f"x={place}", "--pairs", "pairs.csv", "--probe-size", SIZE) for place in (path, "plain")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("pairs", [["--pairs", "pairs.csv"], []])
def test_a_model_does_not_differ_from_itself(folder, pairs):
    content = measured(folder, "a=mixed", "b=mixed", *pairs, "--probe-size", SIZE, "--degradation", "camera")
    assert content["systems"]["a"] == content["systems"]["b"]
    assert "auc" in content["minus_a"]["b"]
    for figure in content["minus_a"]["b"].values():
        assert figure == {"value": 0, "low": 0, "high": 0}


def test_every_system_sees_the_same_pixels_of_cameras(folder):
    """A network that returns its pixels as embedding shows what it saw."""
    store = open_store(folder / "store")
    probes = StoreProbes(SIZE, ProbeKind("camera", "detector"))
    everything = embed_store(lambda faces: faces.flatten(1), store, "all", probes)
    names = store.names[40:3:-5]
    some = embed_store(lambda faces: faces.flatten(1), store, "some", probes, names)
    assert set(some.names) == set(names)
    torch.testing.assert_close(everything.embeddings[everything.rows(some.names, "")], some.embeddings, rtol=0, atol=0)
    assert some.people == [everything.people[row] for row in everything.rows(some.names, "")]
    assert len(everything.embeddings.unique(dim=0)) == len(store)


def test_an_onnx_file_of_smaller_faces_reads_the_same_probes_reduced(folder, tmp_path):
    pytest.importorskip("onnxruntime")
    weight = np.random.default_rng(0).normal(size=(3 * 16 * 16, 12)).astype(np.float32)
    write_onnx(tmp_path / "net.onnx", weight, 16)
    words = [f"net={tmp_path / 'net.onnx'}", "rim=mixed", "--pairs", "pairs.csv", "--probe-size", SIZE]
    content = measured(folder, *words)
    assert content["reduced_to"] == {"net": 16}
    pairs = pairs_of(folder)
    sharp = to_unit(torch.stack([face.hr for face in pairs.faces]))
    sides = []
    for faces, rows in (
        (sharp, pairs.gallery),
        (seeded_probes(sharp, SIZE, ProbeKind(), range(len(sharp))), pairs.probe),
    ):
        shown = bicubic((to_levels(faces).float() - 127.5) / 127.5, 16, 16)
        sides.append(F.normalize(shown.flatten(1) @ torch.from_numpy(weight))[rows])
    expected = verification_figures((sides[0] * sides[1]).sum(1), pairs.same, pairs.fold)
    check_row(content["systems"]["net"], expected, "")
    ended = run_here("rim.main", "measure", *words, "--store", "store", cwd=folder)
    assert "- Models and ONNX files read the faces of store, 32 px; probes: of 12 px, bicubic." in ended.stdout
    assert "- net takes faces of 16 px: they are reduced to that." in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rim=nowhere"], "nowhere does not exist; expected a model folder, a checkpoint, an .onnx file or embeddings"),
        (["nowhere.ckpt"], "nowhere.ckpt"),
        (["altered"], "model.safetensors is damaged: its content is not what was written. Copy it again."),
        (["rim_128"], "rim_128 takes faces of 128 px, store holds faces of 32 px: prepare them with hr_size=128."),
        (["plain,mixed"], "plain, mixed: a model of RIM reads gallery and probes, so give it alone."),
        (["plain", "--store", "nowhere"], "nowhere"),
        (["plain", "--probe-size", "33"], "The probes have 33 px; give 7 to 32"),
        (["plain", "scores.csv"], "scores.csv has scores already"),
        (["empty", "plain"], "empty holds neither embeddings_*.parquet nor card.json"),
        (
            ["plain", "--pairs", "others.csv"],
            "The pairs name nobody.png, the first of 1 pictures that store does not hold",
        ),
        (
            ["twice", "--templates", "list.txt"],
            "twice looks twice at each gallery picture, which --templates cannot pool",
        ),
    ],
)
def test_wrong_models_are_refused_in_one_sentence(folder, tmp_path, words, said):
    for name in ("plain", "mixed", "twice", "store", "pairs.csv"):
        (tmp_path / name).symlink_to(folder / name)
    shutil.copytree(folder / "plain", tmp_path / "altered")
    with open(tmp_path / "altered" / "model.safetensors", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\1\2\3\4")
    (tmp_path / "empty").mkdir()
    (tmp_path / "scores.csv").write_text("score,same\n0.1,0\n0.9,1\n")
    (tmp_path / "others.csv").write_text(f"gallery,probe,same\n{pairs_of(folder).names[0]},nobody.png,0\n")
    ended = run_here(
        "rim.main", "measure", *["--store", "store", "--probe-size", SIZE, "--pairs", "pairs.csv"], *words, cwd=tmp_path
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["twice", "--store", "store"],
            "twice looks once more at each gallery picture, reduced to the size of the probe",
        ),
        (["plain", "--probe-size", "12"], "plain needs faces to embed: --store, a folder of rim-prepare."),
        (["a.csv", "--degradation", "camera"], "--probe-size, --degradation and --misalignment need --store"),
        (["a.csv", "--misalignment", "detector"], "--probe-size, --degradation and --misalignment need --store"),
        (["x.onnx", "--store", "store", "--degradation", "camera"], "are those of probes: add --probe-size."),
    ],
)
def test_options_that_do_not_go_together_are_refused(folder, words, said):
    ended = run_here("rim.main", "measure", *words, cwd=folder)
    assert ended.returncode == 2
    assert said in ended.stderr


def test_models_are_told_from_other_files(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names_model(folder / "plain")
    assert not names_model(folder / "store")
    assert names_model(tmp_path / "last.ckpt")
    (tmp_path / "rim_128").write_text("a file of the user's")
    assert not names_model(type(tmp_path)("rim_128"))


@pytest.fixture(scope="module")
def survface(folder, tmp_path_factory):
    """The verification test of a made-up QMUL-SurvFace: five people in four pictures each, prepared by the command."""
    root = tmp_path_factory.mktemp("survface")
    test_set = root / "QMUL-SurvFace" / "Face_Verification_Test_Set"
    (test_set / "verification_images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [[f"{person}_cam{camera}_1.jpg" for camera in range(4)] for person in range(1, 6)]
    for name in chain(*names):
        size = int(rng.integers(14, 30))
        picture = Image.fromarray(rng.integers(0, 256, (size + 3, size, 3), dtype=np.uint8))
        picture.save(test_set / "verification_images" / name)
    genuine = [(a, b) for own in names for a, b in combinations(own, 2)]
    impostor = [(own[0], other[2]) for own in names for other in names if own is not other]
    write_survface_lists(test_set, genuine, impostor)
    words = ["source=survface", "source.reader.root=QMUL-SurvFace", "alignment=none", "hr_size=32", "workers=0"]
    ended = run_here("prepare", *words, "paths.prepared_dir=prepared", cwd=root)
    assert ended.returncode == 0, ended.stderr
    (root / "plain").symlink_to(folder / "plain")
    return root, genuine, impostor


def test_pictures_that_are_small_from_the_start_are_read_as_in_rim_compare(survface):
    """Without --probe-size a model reads each second picture as a probe of the size that its detail tells."""
    root, genuine, impostor = survface
    words = ["plain", "--store", "prepared/survface_32", "--pairs", "QMUL-SurvFace", "--json"]
    ended = run_here("rim.main", "measure", *words, cwd=root)
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    assert (content["pairs"], content["genuine_pairs"], content["people"], content["folds"]) == (50, 30, 5, 0)
    assert (content["probe_size"], content["intervals"]) == (None, "people")
    store = open_store(root / "prepared" / "survface_32")
    faces = to_unit(torch.stack([face.hr for face in FaceDataset(store, "test")]))
    rim = read_model(root / "plain").rim
    with torch.no_grad():
        parts = [embed_part(rim, part, None, Side(None, "native"), faces)[part] for part in ("gallery", "probe")]
    rows = [[store.index_of(name) for name in side] for side in zip(*genuine, *impostor, strict=True)]
    scores = cosine_similarity(parts[0][rows[0]], parts[1][rows[1]])
    same = torch.arange(len(scores)) < len(genuine)
    expected = threshold_figures(scores, same)
    figures = content["systems"]["plain"]
    assert {"eer", "auc"} <= set(figures)
    for name in ("eer", "auc", "tar_at_far_1e-1"):
        assert (name in figures) == (name in expected)
        if name in figures:
            assert figures[name]["value"] == pytest.approx(expected[name], abs=1e-6), name


def test_a_damaged_list_of_matlab_is_refused_in_one_sentence(survface, tmp_path):
    root, genuine, impostor = survface
    write_survface_lists(tmp_path, genuine, impostor)
    file = tmp_path / "negative_pairs_names.mat"
    file.write_bytes(file.read_bytes()[:-40])
    words = ["plain", "--store", "prepared/survface_32", "--pairs", tmp_path]
    ended = run_here("rim.main", "measure", *words, cwd=root)
    assert ended.returncode == 2
    assert "negative_pairs_names.mat cannot be read (it ends in the middle of a variable)" in ended.stderr
    assert "Traceback" not in ended.stderr
