"""Verification of every system against a computation face by face."""

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.evaluation.protocols import sampled_pairs
from rim_lightning.evaluation.verification import SYSTEMS, embed_faces, evaluate_verification, verification_figures
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from rim_lightning.types import to_unit
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=12, views=3, hr_size=32)


@pytest.fixture(scope="module")
def rim():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


def mean_embedding(embed, face, flip):
    views = (face, face.flip(-1)) if flip else (face,)
    return sum(F.normalize(embed(view), dim=1) for view in views)


@pytest.mark.parametrize("flip", [False, True])
def test_every_system_equals_the_computation_face_by_face(store, rim, flip):
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=20)
    figures = evaluate_verification(rim, pairs, [8, 16], Usage(flip), batch_size=5)
    assert figures["pairs"] == len(pairs.same)
    ways = {
        "teacher_bicubic": rim.embed_gallery,
        "teacher_sr": lambda view: rim.embed_gallery(rim.fhn(view).sr),
        "student": lambda view: rim.embed_by_student(view),
        "rim": rim.embed_probe,
    }
    assert tuple(ways) == SYSTEMS
    faces = FaceDataset(store, "train")
    sharp = [to_unit(faces[number].hr)[None] for number in range(len(faces))]
    with torch.no_grad():
        gallery = torch.cat([mean_embedding(rim.embed_gallery, face, flip) for face in sharp])
        probes = {"hr/teacher": gallery}
        for size in (8, 16):
            low = [synthesize_probe(face, torch.tensor([size])) for face in sharp]
            for system, embed in ways.items():
                probes[f"{size}/{system}"] = torch.cat([mean_embedding(embed, face, flip) for face in low])
    for name, probe in probes.items():
        scores = F.cosine_similarity(gallery[pairs.gallery], probe[pairs.probe], dim=1)
        expected = verification_figures(scores, pairs.same, pairs.fold)
        assert figures[f"{name}/auc"] == pytest.approx(expected["auc"], abs=1e-3), name
        assert figures[f"{name}/accuracy"] == pytest.approx(expected["accuracy"]), name


def test_weights_by_size_add_systems(store, rim):
    """Mixture and reduced gallery face against the embeddings of a recognizer."""
    pairs = sampled_pairs(str(store.path), "people", "train", pairs=20)
    usage = Usage(False, 0.0, SizeCurve((8, 16), (0.75, 0.25)), SizeCurve((8, 16), (0.5, 0.0)))
    figures = evaluate_verification(rim, pairs, [8, 16], usage, batch_size=5)
    faces = FaceDataset(store, "train")
    sharp = to_unit(torch.stack([faces[number].hr for number in range(len(faces))]))
    embedder = FaceEmbedder(rim, usage)
    gallery = embedder.gallery(sharp)
    for size, weight in ((8, 0.5), (16, 0.0)):
        sizes = torch.full((len(sharp),), size)
        probe = embedder.probe(synthesize_probe(sharp, sizes), sizes)
        cosine = (gallery[pairs.gallery] * probe[pairs.probe]).sum(1)
        reduced = (probe[pairs.gallery] * probe[pairs.probe]).sum(1)
        for system, scores in (("mixture", cosine), ("reduced_gallery", (1 - weight) * cosine + weight * reduced)):
            expected = verification_figures(scores, pairs.same, pairs.fold)
            assert figures[f"{size}/{system}/auc"] == pytest.approx(expected["auc"], abs=1e-3)
    assert figures["16/mixture/auc"] == pytest.approx(figures["16/reduced_gallery/auc"], abs=1e-3)


def test_both_views_weigh_the_same():
    def embed(faces):
        return {"mean": torch.stack([faces[:, 0, 0, 0], torch.ones(len(faces))], 1) * 7}

    faces = torch.tensor([[[[3.0, -4.0]]]])  # the mirrored face begins with -4
    (plain,) = embed_faces(embed, faces, flip=False)["mean"].tolist()
    assert plain == pytest.approx([3 / 10**0.5, 1 / 10**0.5])
    (moved,) = embed_faces(embed, faces, flip=False, shift=0.5)["mean"].tolist()  # the others begin with -4, 3, 3, 3
    assert moved == pytest.approx([4 * 3 / 10**0.5 - 4 / 17**0.5, 4 / 10**0.5 + 1 / 17**0.5])
    (both,) = embed_faces(embed, faces, flip=True)["mean"].tolist()
    assert both == pytest.approx([3 / 10**0.5 - 4 / 17**0.5, 1 / 10**0.5 + 1 / 17**0.5])


def test_figures_of_known_scores():
    scores = torch.tensor([0.9, 0.1] * 20)
    same, fold = torch.tensor([True, False] * 20), torch.arange(40) // 20
    figures = verification_figures(scores, same, fold)
    assert figures["accuracy"] == figures["accuracy_low"] == figures["auc"] == 1
    assert figures["accuracy_std"] == figures["eer"] == 0
    assert "tar_at_far_1e-1" not in figures  # 20 impostor pairs: 2 of them would decide
