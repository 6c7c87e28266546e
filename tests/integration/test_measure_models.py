"""`rim measure` of models of RIM: their rows are those of rim-eval and rim-compare, beside any other system."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.comparison.laboratory.embedding_cache import EmbeddingCache
from rim_lightning.comparison.laboratory.readings import Side, embed_part
from rim_lightning.data.readers.pair_lists import write_pair_csv
from rim_lightning.data.stores.packed import open_store
from rim_lightning.evaluation.figures import verification_figures
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
        (["plain", "--store", "store"], "plain reads sharp faces and probes in two ways: give the side of the probes"),
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
