"""`rim measure`: tables of scores and files of embeddings, systems beside each other, and wrong input."""

import csv
import json

import numpy as np
import pytest
import torch

from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.seeded_probes import CLEAN, seeded_probes
from rim_lightning.functional.verification import equal_error_rate, kfold_accuracy
from rim_lightning.types import to_unit
from tests.helpers.commands import run_here
from tests.helpers.packs import write_pack
from tests.helpers.stores import small_synthetic_store


def write_scores(path, seed=0, gap=1.5, count=400, noise=0.0):
    random = np.random.default_rng(seed)
    scores = random.normal(size=count) + gap * (np.arange(count) % 2)
    scores += noise * np.random.default_rng(9).normal(size=count)
    lines = [f"{score!r},{n % 2},{n * 4 // count}" for n, score in enumerate(scores.tolist())]
    path.write_text("score,same,fold\n" + "\n".join(lines) + "\n")
    return scores


def test_scores_are_measured_and_written(tmp_path):
    scores = torch.from_numpy(write_scores(tmp_path / "ours.csv"))
    ended = run_here("rim.main", "measure", "ours.csv", "--out", "out", "--plot", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    content = json.loads((tmp_path / "out" / "figures.json").read_text())
    same, fold = torch.arange(400) % 2 == 1, torch.arange(400) // 100
    figures = content["systems"]["ours"]
    assert figures["eer"]["value"] == pytest.approx(equal_error_rate(scores, same))
    assert figures["accuracy"]["value"] == pytest.approx(kfold_accuracy(scores, same, fold)[0])
    assert content["pairs"] == 400
    assert (tmp_path / "out" / "roc_det.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "out" / "ratios.png").read_bytes()[:4] == b"\x89PNG"
    with (tmp_path / "out" / "figures.csv").open(newline="") as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert float(rows["eer"]["value"]) == pytest.approx(figures["eer"]["value"], rel=1e-4)
    markdown = (tmp_path / "out" / "figures.md").read_text()
    assert (
        markdown.splitlines()[0]
        == "- 400 pairs, 200 of one person, in 4 folds; accuracy by the threshold of the other folds."
    )
    assert markdown in ended.stdout + "\n"
    again = run_here("rim.main", "measure", "ours.csv", "--out", "out", cwd=tmp_path)
    assert again.returncode == 2
    assert "figures.csv exists already: choose another place, or add --overwrite." in again.stderr


def test_systems_are_compared_on_the_same_pairs(tmp_path):
    write_scores(tmp_path / "ours.csv")
    write_scores(tmp_path / "theirs.csv", noise=3.0)
    ended = run_here("rim.main", "measure", "a=ours.csv", "b=theirs.csv", "--json", cwd=tmp_path)
    content = json.loads(ended.stdout)
    assert list(content["systems"]) == ["a", "b"]
    difference = content["minus_a"]["b"]["accuracy"]
    accuracies = [content["systems"][name]["accuracy"]["value"] for name in "ba"]
    assert difference["value"] == pytest.approx(accuracies[0] - accuracies[1])
    assert difference["high"] < 0
    write_scores(tmp_path / "short.csv", count=200)
    ended = run_here("rim.main", "measure", "ours.csv", "short.csv", cwd=tmp_path)
    assert ended.returncode == 2
    assert "short.csv has 200 pairs, not the 400 of ours.csv: systems are compared on the same pairs" in ended.stderr


def test_the_embeddings_of_a_pack_are_measured_by_its_list(tmp_path):
    _, labels = write_pack(tmp_path / "calfw.bin", 40)
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(80, 16)).astype(np.float32)
    embeddings[1::2] += 2 * embeddings[::2] * np.array(labels)[:, None]
    np.save(tmp_path / "mine.npy", embeddings)
    ended = run_here("rim.main", "measure", "mine.npy", "--pairs", "calfw.bin", "--json", cwd=tmp_path)
    content = json.loads(ended.stdout)
    assert (content["pairs"], content["genuine_pairs"], content["folds"]) == (40, 20, 10)
    assert content["systems"]["mine"]["auc"]["value"] > 0.9


def test_probes_of_a_file_of_their_own_are_searched_for(tmp_path):
    random = np.random.default_rng(0)
    centers = np.repeat(random.normal(size=(12, 8)), 3, axis=0)
    names, people = [f"{n}.png" for n in range(36)], [f"p{n // 3}" for n in range(36)]
    for name, noise in (("sharp", 0.3), ("probes", 0.9)):
        values = (centers + noise * random.normal(size=centers.shape)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", embeddings=values, names=np.array(names), people=np.array(people))
    ended = run_here("rim.main", "measure", "x=sharp.npz,probes.npz", "--json", cwd=tmp_path)
    content = json.loads(ended.stdout)
    assert content["pairs"] == 36 * 35
    assert content["people"] == 12
    assert content["intervals"] == "people"
    assert 0 < content["systems"]["x"]["rank_1"]["value"] <= 1
    assert "fnir_at_fpir_1e-1" in content["systems"]["x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.csv"], "none.csv does not exist; expected a table with the columns score and same there."),
        (["ours.csv", "ours.csv"], "Two systems are called ours: name them, NAME=FILE."),
        (["ours.csv", "--pairs", "ours.csv"], "ours.csv is not the header gallery,probe,same,fold"),
        (
            ["ours.csv", "--pictures", "ours.csv"],
            "ours.csv has scores already: leave PROBES, --pairs, --templates and --pictures out.",
        ),
        (["ours.csv", "--plot"], "--plot and --overwrite need a folder to write: --out FOLDER."),
        (["ours.csv", "--calibration", "ours.csv", "--calibration", "ours.csv"], "2 --calibration for 1 systems"),
        (["x=a,b,c"], "'x=a,b,c' names no file, or more than two"),
        (["x="], "'x=' names no file"),
        (["a.onnx"], "a.onnx needs faces to embed: --store, a folder of rim-prepare."),
        (["a.npz", "--store", "x"], "--store is embedded by an .onnx file or a model, and none is given."),
        (["a.npz", "--probe-size", "16"], "--probe-size, --degradation and --misalignment need --store"),
        (["a.npz,b.npz"], "has embeddings of 3 numbers, b.npz of 2"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, words, said):
    write_scores(tmp_path / "ours.csv")
    for name, size in (("a", 3), ("b", 2)):
        np.savez(
            tmp_path / f"{name}.npz", embeddings=np.eye(size, dtype=np.float32), names=np.array(list("xyz")[:size])
        )
    ended = run_here("rim.main", "measure", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def write_onnx(path, weight, side, sizes=None, pooled=None):
    """An embedder that multiplies the flat face by a matrix; sizes are those of the input. Or one that averages it."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Flatten", ["face"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    if pooled is not None:
        nodes = [helper.make_node("ReduceMean", ["face"], ["embedding"], keepdims=0, axes=pooled)]
    faces = helper.make_tensor_value_info("face", kind, sizes or ["n", 3, side, side])
    out = helper.make_tensor_value_info("embedding", kind, ["n", weight.shape[1]] if pooled is None else None)
    graph = helper.make_graph(nodes, "net", [faces], [out], [onnx.numpy_helper.from_array(weight, "weight")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture(scope="module")
def onnx_folder(tmp_path_factory):
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("onnx")
    store = small_synthetic_store(folder / "store", people=8, views=3, hr_size=16)
    weight = np.random.default_rng(0).normal(size=(3 * 16 * 16, 12)).astype(np.float32)
    write_onnx(folder / "net.onnx", weight, 16)
    write_onnx(folder / "large.onnx", np.ones((3 * 32 * 32, 2), np.float32), 32)
    write_onnx(folder / "open.onnx", weight, 16, sizes=["n", "channels", "height", "width"])
    write_onnx(folder / "one.onnx", weight, 16, pooled=[0, 1, 2, 3])
    write_onnx(folder / "mixed.onnx", weight, 16, pooled=[0])
    (folder / "text.onnx").write_text("no network")
    m = store.margin
    levels = torch.from_numpy(store.images[:][:, m : m + 16, m : m + 16].copy()).permute(0, 3, 1, 2)
    return folder, store, levels, weight


@pytest.mark.parametrize("size", [None, 8])
def test_an_onnx_embedder_is_run_over_a_store(onnx_folder, tmp_path, size):
    folder, store, levels, weight = onnx_folder
    probes = levels if size is None else to_levels(seeded_probes(to_unit(levels), size, CLEAN, range(len(levels))))
    people = np.array([store.identities[number] for number in store.identity])
    for name, shown in (("sharp", levels), ("probes", probes)):
        flat = (shown.flip(1).double().numpy() - 100) / 50
        values = (flat.reshape(len(flat), -1) @ weight).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", embeddings=values, names=np.array(store.names), people=people)
    options = ["--store", store.path, "--bgr", "--mean", 100, "--scale", 50, "--json"]
    given = "sharp.npz" if size is None else "sharp.npz,probes.npz"
    expected = run_here("rim.main", "measure", f"net={given}", "--json", cwd=tmp_path)
    words = options if size is None else [*options, "--probe-size", size]
    ended = run_here("rim.main", "measure", f"net={folder / 'net.onnx'}", *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found, known = (json.loads(each.stdout)["systems"]["net"] for each in (ended, expected))
    assert list(found) == list(known)
    for name, figure in known.items():
        assert found[name]["value"] == pytest.approx(figure["value"], abs=0.01), name


def test_an_embedder_may_leave_all_sizes_open(onnx_folder):
    folder, store, _, _ = onnx_folder
    words = ["measure", "net.onnx", "open.onnx", "--store", store.path, "--json"]
    ended = run_here("rim.main", *words, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    systems = json.loads(ended.stdout)["systems"]
    assert systems["net"] == systems["open"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["large.onnx"], "takes faces of 32 px"),
        (["one.onnx"], "answers 24 faces by an array (); expected (B, E)."),
        (["mixed.onnx"], "answers 24 faces by an array (3, 16, 16); expected (B, E)."),
        (["text.onnx"], "text.onnx is no ONNX file that onnxruntime reads"),
        (["none.onnx"], "none.onnx does not exist; expected an embedder as ONNX there."),
        (["net.onnx", "--scale", "0"], "0.0 is not in the range x>0"),
        (["net.onnx", "--probe-size", "17"], "The probes have 17 px; give 7 to 16"),
    ],
)
def test_wrong_embedders_are_refused(onnx_folder, words, said):
    folder, store, _, _ = onnx_folder
    ended = run_here("rim.main", "measure", *words, "--store", store.path, cwd=folder)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_templates_of_ijb_are_pooled_and_compared(tmp_path):
    """Two people of two templates each; the figures are those of the same scores in a table."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, 6)).astype(np.float32)
    values[6:] += 4
    names = [f"loose_crop/{number}.jpg" for number in range(12)]
    np.savez(tmp_path / "mine.npz", embeddings=values, names=np.array(names))
    (tmp_path / "list.txt").write_text("".join(f"{name} {n // 3} {n}\n" for n, name in enumerate(names)))
    pairs = [(a, b, int(a // 2 == b // 2)) for a in range(4) for b in range(a)]
    (tmp_path / "pairs.txt").write_text("".join(f"{a} {b} {same}\n" for a, b, same in pairs))
    pooled = values.reshape(4, 3, 6).mean(1)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    rows = "".join(f"{pooled[a] @ pooled[b]:.9f},{same}\n" for a, b, same in pairs)
    (tmp_path / "scores.csv").write_text(f"score,same\n{rows}")
    words = ["mine.npz", "--templates", "list.txt", "--pairs", "pairs.txt", "--json"]
    ended, expected = (
        run_here("rim.main", "measure", *each, cwd=tmp_path) for each in (words, ["scores.csv", "--json"])
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["systems"]["mine"] == json.loads(expected.stdout)["systems"]["scores"]
    refused = run_here("rim.main", "measure", "mine.npz", "--templates", "list.txt", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--templates needs the pairs of templates" in " ".join(refused.stderr.split())
