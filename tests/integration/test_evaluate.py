"""Measuring a checkpoint: any pair list, any folder of images, and refusals that come before the work."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.eval import run
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.evaluation.plan import EvaluationPlan, FacesPlan, PairListPlan
from rim_lightning.evaluation.run import check_evaluation, refuse_nothing
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.resize import reduce
from rim_lightning.functional.verification import cosine_similarity, kfold_accuracy, roc_auc
from rim_lightning.networks.checkpoints import load_rim
from rim_lightning.networks.rim import RIM
from rim_lightning.schemes import five_points
from rim_lightning.types import to_unit
from tests.helpers.packs import write_pack
from tests.helpers.stores import noise_store, small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed

PEOPLE, VIEWS = 4, 3
NO_LIST = PairListPlan(None, "images", "pairs.txt", None)
PAIRS = "2\t2\nP0\t1\t2\nP1\t1\t3\nP0\t3\tP1\t2\nP1\t1\tP0\t1\nP2\t1\t2\nP3\t2\t3\nP2\t3\tP3\t1\nP3\t3\tP2\t2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of an untrained network; synthetic people in LFW's layout and as a flat folder with .pts files."""
    root = tmp_path_factory.mktemp("measure")
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL))
    state = {f"rim.{name}": value for name, value in rim.state_dict().items()}
    torch.save({"model_arguments": MODEL, "state_dict": state}, root / "last.ckpt")
    store = small_synthetic_store(root / "synthetic", people=6, views=VIEWS, hr_size=64)
    rows = ["\t".join(["image", *(f"five_{axis}{i}" for i in range(5) for axis in "xy")])]
    (root / "flat").mkdir()
    for position, person in enumerate(store.identity[: PEOPLE * VIEWS]):
        name = f"P{person}/P{person}_{position % VIEWS + 1:04d}.jpg"
        (root / "people" / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(store.images[position])
        picture.save(root / "people" / "images" / name, quality=95)
        points = {scheme: values[position] for scheme, values in store.landmarks.items()}
        rows.append("\t".join([name, *(f"{value:.2f}" for value in five_points(points).ravel())]))
        picture.save(root / "flat" / f"{position}.png")
        lines = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points["ibug68"])
        (root / "flat" / f"{position}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
    (root / "points.tsv").write_text("\n".join(rows) + "\n")
    (root / "pairs.txt").write_text(PAIRS)
    return root


def evaluation(folder, output, *overrides):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(
            "eval",
            overrides=[
                f"checkpoint={folder / 'last.ckpt'}",
                f"paths.output_dir={output}",
                f"paths.prepared_dir={folder / 'prepared'}",
                "workers=0",
                "evaluation.sr.sets=[]",
                f"evaluation.lfw.root={folder / 'people'}",
                "evaluation.lfw.images=images",
                f"evaluation.lfw.pairs={folder / 'pairs.txt'}",
                f"evaluation.lfw.landmarks={folder / 'points.tsv'}",
                "evaluation.probe_sizes=[8]",
                *overrides,
            ],
        )


@pytest.mark.slow
def test_figures_of_a_pair_list_and_a_folder_are_those_of_an_independent_computation(folder, tmp_path):
    figures = run(evaluation(folder, tmp_path, f"evaluation.sr.root={folder / 'flat'}"))
    assert json.loads((tmp_path / "metrics.json").read_text()) == figures
    report = (tmp_path / "report.md").read_text()
    assert "aligned to the five-point template" in report
    assert "no flips" in report
    assert "8 pairs of pairs.txt" in report
    assert (tmp_path / "panel_custom.png").stat().st_size > 10_000

    rim = load_rim(str(folder / "last.ckpt"))
    store = PreparedStore(folder / "prepared" / "people_32")
    faces = to_unit(torch.from_numpy(np.array(store.images)).permute(0, 3, 1, 2))
    faces = faces[:, :, store.margin : -store.margin, store.margin : -store.margin]
    pairs = [line.split("\t") for line in PAIRS.splitlines()[1:]]
    pairs = [(p[0], p[1], p[0], p[2]) if len(p) == 3 else tuple(p) for p in pairs]
    place = [[store.index_of(f"{a}/{a}_{int(n):04d}.jpg") for a, n in (p[:2], p[2:])] for p in pairs]
    gallery, probe = torch.tensor(place).T
    same, fold = torch.tensor([p[0] == p[2] for p in pairs]), torch.tensor([0] * 4 + [1] * 4)
    with torch.no_grad():
        enlarged = synthesize_probe(faces, torch.full((len(faces),), 8))
        sharp = rim.embed_gallery(faces)
        embeddings = {
            "hr/teacher": sharp,
            "8/teacher_bicubic": rim.embed_gallery(enlarged),
            "8/teacher_sr": rim.embed_gallery(rim.fhn(enlarged).sr),
            "8/student": rim.embed_by_student(enlarged),
            "8/rim": rim.embed_probe(enlarged),
        }
    for name, embedding in embeddings.items():
        score = cosine_similarity(sharp[gallery], embedding[probe])
        assert figures[f"verification/lfw/{name}/accuracy"] == pytest.approx(kfold_accuracy(score, same, fold)[0])
        assert figures[f"verification/lfw/{name}/auc"] == pytest.approx(roc_auc(score, same))

    # 64-pixel crops with 68 points: the same twelve faces, bicubic against the sharp face, on luma by hand.
    store = PreparedStore(tmp_path / "prepared_custom")
    sharp = torch.from_numpy(np.array(store.images)).permute(0, 3, 1, 2)
    small = reduce(to_unit(sharp), rim.lr_size)
    again = synthesize_probe(to_unit(sharp), torch.full((len(sharp),), rim.lr_size))
    assert small.shape[-1] == 8
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64).view(1, 3, 1, 1) / 255
    luma = [(weights * image.double()).sum(1) for image in (sharp, ((again + 1) * 127.5).round())]
    psnr = 10 * torch.log10(255**2 / (luma[0] - luma[1]).square().mean((1, 2)))
    assert figures["sr/custom/bicubic/psnr_y"] == pytest.approx(psnr.mean().item(), abs=0.02)
    assert figures["sr/custom/faces"] == PEOPLE * VIEWS
    assert figures["sr/custom/nme/ibug68"] > 0


def test_a_checkpoint_in_the_working_directory_is_measured(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    figures = run(evaluation(folder, tmp_path, "checkpoint=last.ckpt", "evaluation.lfw.root=null"))
    assert figures == {}
    assert (tmp_path / "report.md").is_file()


def test_a_missing_gpu_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device=cuda, but PyTorch finds no such CUDA device here: set device=cpu"):
        run(evaluation(folder, tmp_path, "device=cuda"))


def test_flips_average_every_system_alike(folder, tmp_path):
    figures = run(evaluation(folder, tmp_path, "evaluation.flip=true"))
    assert "averaged with the mirrored image" in (tmp_path / "report.md").read_text()
    assert 0 <= figures["verification/lfw/8/rim/auc"] <= 1


def test_other_landmarks_under_the_same_name_are_refused(folder, tmp_path):
    run(evaluation(folder, tmp_path / "first"))
    shifted = (folder / "points.tsv").read_text().splitlines()
    cells = shifted[1].split("\t")
    shifted[1] = "\t".join([cells[0], str(float(cells[1]) + 1), *cells[2:]])
    (tmp_path / "points.tsv").write_text("\n".join(shifted) + "\n")
    with pytest.raises(ValueError, match="prepared from other images, landmarks or splits"):
        run(evaluation(folder, tmp_path / "second", f"evaluation.lfw.landmarks={tmp_path / 'points.tsv'}"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sets": ["helen"]}, "names the set helen, but the stores are"),
        ({"split": "val"}, "poor has no faces in its val split"),
        ({"sets": [], "root": "no_such_folder"}, "no_such_folder is not a folder"),
        ({"identities": {"poor": "train"}}, "poor has 2 people in its train split"),
        ({"hr_size": 64}, "holds faces of 48 px, the model takes 64"),
        ({"lfw": PairListPlan("no_lfw", "x", "p", None)}, "no_lfw/x is not a folder"),
    ],
)
def test_an_evaluation_that_cannot_be_carried_out_is_refused_at_once(tmp_path, change, sentence):
    store = noise_store(tmp_path / "poor", ["a", "b", "c"], ["A", "B", None], {"five": 5})

    def check(hr_size=48, identities=None, lfw=NO_LIST, **faces):
        settings = {"sets": ["poor"], "split": "train", "root": None, "first_pixel": 1.0, "alignment": "five"}
        sr = FacesPlan(**settings | {"protocol": "y", "crop": 0} | faces)
        check_evaluation(
            EvaluationPlan([8], "bicubic", None, False, 0.0, None, None, 4, 2, sr, identities or {}, 10, lfw, {}),
            {"poor": str(store.path)},
            hr_size,
        )

    check()
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        check(**change)


def test_an_evaluation_of_nothing_is_refused():
    faces = FacesPlan([], "test", None, 1.0, "five", "y", 0)
    nothing = EvaluationPlan([8], "bicubic", None, False, 0.0, None, None, 4, 2, faces, {}, 10, NO_LIST, {})
    with pytest.raises(ValueError, match=r"^Nothing is to be measured: name sets in evaluation.sr.sets"):
        refuse_nothing(nothing)
    refuse_nothing(replace(nothing, identities={"people": "test"}))
    refuse_nothing(replace(nothing, sr=replace(faces, root="pictures")))


def test_a_pack_of_pairs_is_measured_and_its_figures_are_those_of_its_cosines(folder, tmp_path):
    faces, labels = write_pack(tmp_path / "calfw.bin", 20)
    overrides = ["evaluation.sr.sets=[]", "evaluation.lfw.root=null", "evaluation.probe_sizes=[16]"]
    overrides += [
        f"+evaluation.packs.calfw.file={tmp_path / 'calfw.bin'}",
        f"paths.prepared_dir={tmp_path / 'prepared'}",
    ]
    figures = run(evaluation(folder, tmp_path / "out", *overrides))
    assert figures["verification/calfw/pairs"] == 20
    rim = load_rim(folder / "last.ckpt")
    store = PreparedStore(tmp_path / "prepared" / f"calfw_pack_{rim.hr_size}")
    m = store.margin
    aligned = torch.from_numpy(store.images[:][:, m:-m, m:-m].copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        gallery, probe = (rim.embed_gallery(to_unit(aligned[side::2])) for side in (0, 1))
    scores = cosine_similarity(gallery, probe)
    accuracy, _, _ = kfold_accuracy(scores, torch.tensor(labels), torch.arange(20) // 2)
    assert figures["verification/calfw/hr/teacher/accuracy"] == pytest.approx(accuracy)
    assert figures["verification/calfw/hr/teacher/auc"] == pytest.approx(
        roc_auc(scores, torch.tensor(labels)), abs=0.02
    )
    assert len(faces) == len(store)
    with pytest.raises(FileNotFoundError, match=r"no.bin does not exist; expected the pack of evaluation.packs.x"):
        run(evaluation(folder, tmp_path / "other", *overrides, "+evaluation.packs.x.file=no.bin"))


@pytest.mark.slow
def test_figures_are_not_written_over_those_of_another_evaluation(folder, tmp_path):
    faces_alone = [f"evaluation.sr.root={folder / 'flat'}", "evaluation.lfw.root=null"]
    first = run(evaluation(folder, tmp_path, *faces_alone))
    assert run(evaluation(folder, tmp_path, *faces_alone, "workers=1")) == first  # the same once more
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"holds the figures of .* another evaluation: choose another hydra.run.dir"):
        run(evaluation(folder, tmp_path, *faces_alone, "evaluation.sr.crop=2"))
    (tmp_path / "origin.json").unlink()  # as in the folder of a training run that made no such file
    with pytest.raises(ValueError, match="holds the figures of a training run"):
        run(evaluation(folder, tmp_path, *faces_alone))
    before.pop(tmp_path / "origin.json")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("evaluation.probe_sizes=[8,40]", "has 40 px, larger than the face of 32 px"),
        ("device=cuda:99", "device=cuda:99, but PyTorch finds no such CUDA device"),
        ("evaluation.lfw.pairs=nowhere.txt", "nowhere.txt"),
    ],
)
def test_a_wrong_evaluation_is_refused_before_its_folder_is_made(folder, tmp_path, override, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        run(evaluation(folder, tmp_path / "output", override))
    assert not (tmp_path / "output").exists()


def test_an_output_that_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Nothing can be written to .*file.*choose another hydra\.run\.dir"):
        run(evaluation(folder, tmp_path / "file"))
