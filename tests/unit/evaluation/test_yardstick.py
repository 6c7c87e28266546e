"""The yardstick: RIM's own embeddings in a file have the very figures that rim-eval and rim-compare find."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.comparison.laboratory.all_pairs import RESAMPLES as RESAMPLES_OF_TABLES
from rim_lightning.comparison.laboratory.all_pairs import all_pairs_cost, all_pairs_tar
from rim_lightning.comparison.paper.identification import identification_table
from rim_lightning.data.dataset import FaceDataset
from rim_lightning.evaluation.embedding_files import read_embeddings
from rim_lightning.evaluation.judged_pairs import (
    JudgedPairs,
    judge_everybody,
    judge_pairs,
    read_scores,
    search_scores,
)
from rim_lightning.evaluation.protocols import everyone, first_image_as_gallery, sampled_pairs
from rim_lightning.evaluation.verification import evaluate_verification
from rim_lightning.evaluation.yardstick import RESAMPLES, Figure, likelihood_ratios, measure_system, system_difference
from rim_lightning.functional.bootstrap import percentile_interval
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.likelihood_ratio import cllr, fit_bounded
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import Usage
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=24, views=3, hr_size=32)


@pytest.fixture(scope="module")
def files(tmp_path_factory, store):
    """Embeddings of sharp faces by the teacher, and of probes of 16 px by RIM, as files; and the network."""
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL)).eval()
    faces = FaceDataset(store, "train")
    sharp = to_unit(torch.stack([faces[number].hr for number in range(len(faces))]))
    with torch.no_grad():
        sides = {"sharp": rim.embed_gallery(sharp)}
        sides["probes"] = rim.embed_probe(synthesize_probe(sharp, torch.full((len(sharp),), 16)))
    folder = tmp_path_factory.mktemp("embeddings")
    names = [store.names[position] for position in faces.positions]
    people = [store.identities[store.identity[position]] for position in faces.positions]
    for side, embeddings in sides.items():
        unit = F.normalize(embeddings).numpy()
        np.savez(folder / f"{side}.npz", embeddings=unit, names=np.array(names), people=np.array(people))
    return SimpleNamespace(rim=rim, **{side: read_embeddings(folder / f"{side}.npz") for side in sides})


def test_the_figures_of_a_list_are_those_of_rim_eval(store, files):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=40)
    expected = evaluate_verification(files.rim, pairs, [16], Usage(False), batch_size=len(pairs.faces))
    judged = judge_pairs(files.sharp, files.probes, pairs.listed(), "pairs.csv")
    figures = measure_system(judged).figures
    for name in ("accuracy", "eer", "auc", "tar_at_far_1e-1"):
        assert f"16/rim/{name}" in expected or name not in figures
        if name in figures:
            assert figures[name].value == pytest.approx(expected[f"16/rim/{name}"], abs=1e-9), name
    interval = (expected["16/rim/accuracy_low"], expected["16/rim/accuracy_high"])
    assert (figures["accuracy"].low, figures["accuracy"].high) == interval
    assert "accuracy" in figures


def test_the_figures_of_all_pairs_are_those_of_rim_compare(tmp_path, store, files):
    assert RESAMPLES == RESAMPLES_OF_TABLES
    pairs = everyone(str(store.path), "people", "train")
    sides = (files.sharp.embeddings[pairs.gallery], files.probes.embeddings[pairs.probe])
    rate, resampled = all_pairs_tar(tmp_path, *sides, pairs, 0.1)
    calibration = sampled_pairs(str(store.path), "people", "train", pairs=30)
    fitted_to = judge_pairs(files.sharp, files.probes, calibration.listed(), "calibration")
    people = len(calibration.identity[torch.cat([calibration.gallery, calibration.probe])].unique())
    ratio = fit_bounded(fitted_to.scores.double().numpy(), fitted_to.same.numpy(), people)
    cost, costs, least = all_pairs_cost(tmp_path, *sides, pairs, ratio)
    judged = judge_everybody(files.sharp, files.probes, "files")
    measured = measure_system(judged, calibration=fitted_to)
    expected = Figure(rate, *percentile_interval(torch.tensor(resampled, dtype=torch.float64)))
    assert measured.figures["tar_at_far_1e-1"] == pytest.approx(expected, abs=1e-9)
    expected = Figure(cost, *percentile_interval(torch.tensor(costs, dtype=torch.float64)))
    assert measured.figures["cllr"] == pytest.approx(expected, abs=1e-6)
    assert measured.figures["cllr_min"].value == pytest.approx(least, abs=1e-9)


def test_the_figures_of_a_search_are_those_of_the_table_of_identification(store, files):
    people = first_image_as_gallery(str(store.path), "people", "train")
    scores = files.probes.embeddings[people.probe] @ files.sharp.embeddings[people.gallery].T
    laboratory = SimpleNamespace(search=lambda reading, people, size: scores, lr_size=16)
    table = identification_table(laboratory, {"people": people}, [1])
    search = search_scores(files.sharp, files.probes)
    figures = measure_system(judge_everybody(files.sharp, files.probes, "files"), search).figures
    first = figures["rank_1"]
    row = table.rows[0]
    assert row[1] == f"{first.value:.4f} ({first.low:.3f} … {first.high:.3f})"
    for cell, name in zip(row[2:], ("fnir_at_fpir_1e-1", "fnir_at_fpir_1e-2"), strict=True):
        rate = figures[name]
        assert cell == f"{rate.value:.3f} ({rate.low:.3f} … {rate.high:.3f})"


def test_each_pair_of_one_file_is_taken_once(files):
    judged = judge_everybody(files.sharp, files.sharp, "files")
    count = len(files.sharp.names)
    assert len(judged.same) == count * (count - 1) // 2
    a, b = 1, 4
    place = [(i, j) for i in range(count) for j in range(i + 1, count)].index((a, b))
    cosine = F.cosine_similarity(files.sharp.embeddings[a], files.sharp.embeddings[b], dim=0)
    assert judged.scores[place] == pytest.approx(float(cosine), abs=1e-6)
    assert bool(judged.same[place]) == (files.sharp.people[a] == files.sharp.people[b])


def some_scores(count=400, seed=0, gap=1.0, folds=4):
    random = torch.Generator().manual_seed(seed)
    same = torch.arange(count) % 2 == 0
    scores = torch.randn(count, generator=random, dtype=torch.float64) + gap * same
    return JudgedPairs(scores, same, torch.arange(count) * folds // count)


def test_ratios_of_a_fold_are_fitted_to_the_others():
    pairs = some_scores()
    found = likelihood_ratios(pairs, None)
    held_out = (pairs.fold == 2).numpy()
    scores, same = pairs.scores.numpy(), pairs.same.numpy()
    ratio = fit_bounded(scores[~held_out], same[~held_out], people=int(same[~held_out].sum()))
    np.testing.assert_array_equal(found[held_out], ratio.log10(scores[held_out]))
    measured = measure_system(pairs)
    assert measured.figures["cllr"].value == pytest.approx(cllr(found, same))
    assert measured.figures["cllr_min"].value <= measured.figures["cllr"].value
    assert likelihood_ratios(pairs._replace(fold=None), None) is None
    assert "cllr" not in measure_system(pairs._replace(fold=None)).figures


def test_a_system_differs_from_itself_by_nothing_and_from_a_worse_one_by_more():
    pairs = some_scores(gap=2.0)
    own = measure_system(pairs)
    assert {figure == Figure(0, 0, 0) for figure in system_difference(own, own).values()} == {True}
    noisy = pairs._replace(scores=pairs.scores + torch.randn(400, generator=torch.Generator().manual_seed(9)))
    worse = system_difference(measure_system(noisy), own)
    assert worse["accuracy"].high < 0 < worse["eer"].low
    for name in ("accuracy", "eer", "auc"):
        assert worse[name].value == pytest.approx(measure_system(noisy).figures[name].value - own.figures[name].value)
    # Paired: the interval of a difference is narrower than that of independent systems.
    width = own.figures["auc"].high - own.figures["auc"].low
    assert worse["auc"].high - worse["auc"].low < 2 * width


def test_a_table_of_scores_with_people_is_read(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text("person_b,score,same,fold,person_a\nAnn,0.5,1,0,Ann\nBob,-1e-3,0,1,Ann\n")
    pairs = read_scores(file)
    assert pairs.scores.tolist() == [0.5, -0.001]
    assert pairs.same.tolist() == [True, False]
    assert pairs.fold.tolist() == [0, 1]
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.people) == ([0, 0], [0, 1], ["Ann", "Bob"])
    file.write_text("score;same\n1;1\n0;0\n")
    assert read_scores(file)[2:] == (None, None, None, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score\n1\n", "has no column 'same'; its first line has score"),
        ("", "has no column 'score'"),
        ("score,same\n1,yes\n", "line 2 needs a finite score .*, same 0 or 1"),
        ("score,same\nnan,1\n", "line 2 needs a finite score"),
        ("score,same\nx,1\n", "line 2 has a score or fold that is no number"),
        ("score,same,fold\n1,1,-1\n", "line 2 needs a finite score"),
        ("score,same\n1e31,1\n", "line 2 needs a finite score"),
        ("score,same,score\n1,1,0\n", "has two columns 'score'"),
        ("score,same,person_a\n1,1,Ann\n", "has one of the columns person_a and person_b"),
        ("score,same\n1,1,1\n", "line 2 has 3 columns where the header has 2"),
        ("score,same\n1,1\n2,1\n", "has no pair of two people"),
        ("score,same\n1,0\n", "has no pair of one person"),
        ("score,same,person_a,person_b\n1,1,Ann,Bob\n", "line 2: same contradicts person_a and person_b"),
        ("score,same,person_a,person_b\n1,1,,\n", "line 2: same contradicts person_a and person_b, or one is empty"),
    ],
)
def test_wrong_tables_of_scores_are_refused(tmp_path, text, said):
    file = tmp_path / "scores.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_scores(file)
    assert str(file) in str(caught.value)
