"""Weights by size are the best ones that never lose to the teacher, and verify uses them as they were chosen."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rim_lightning.data.dataset import FaceDataset
from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.seeded_probes import CLEAN, ProbeKind, seeded_probes
from rim_lightning.functional.verification import tar_at_far
from rim_lightning.inference.calibrate import thresholds_of
from rim_lightning.inference.choose_usage import WEIGHTS, choose_mixture, choose_reduced_gallery
from rim_lightning.inference.people import People, embed_people, with_reduced_gallery
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import FaceEmbedder, SizeCurve, Usage
from rim_lightning.types import to_unit
from tests.helpers.stores import noise_store
from tests.helpers.tiny import MODEL, perturbed

SIZES = (8, 16, 56)


def noisy(embeddings, amount, seed):
    noise = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(seed))
    return F.normalize(embeddings + amount * noise)


@pytest.fixture(scope="module")
def people():
    """30 people with 3 images. RIM is the better reader of small faces, the teacher that of large ones."""
    identity = torch.arange(90) // 3
    person = torch.randn(30, 16, generator=torch.Generator().manual_seed(0))[identity]
    sharp = noisy(person, 0.3, 1)
    probes = {size: noisy(person, amount, size) for size, amount in zip(SIZES, (1.0, 0.8, 0.8), strict=True)}
    teacher = {size: noisy(person, amount, 7 * size) for size, amount in zip(SIZES, (3.0, 1.0, 0.3), strict=True)}
    reduced = {size: noisy(person, 0.5, 11 * size) for size in SIZES}
    return People("made up", "0", False, CLEAN, identity, sharp, probes, teacher, reduced)


def rate(people, scores):
    """TAR at a FAR of 1e-2; 7,830 impostor pairs say nothing about 1e-3."""
    other = ~torch.eye(90, dtype=torch.bool)
    return tar_at_far(scores[other], (people.identity[:, None] == people.identity)[other], 1e-2)[0]


def test_a_mixture_is_the_best_that_does_not_grow_and_never_loses_to_the_teacher(people):
    curve = choose_mixture(people)
    assert curve.sizes == SIZES
    rates = {
        size: [rate(people, people.sharp @ people.mixed_probes(size, weight).T) for weight in WEIGHTS] for size in SIZES
    }
    allowed = [
        numbers
        for numbers in itertools.product(range(11), repeat=3)
        if list(numbers) == sorted(numbers, reverse=True)
        and all(rates[size][number] >= rates[size][0] for size, number in zip(SIZES, numbers, strict=True))
    ]
    best = max(sum(rates[size][number] for size, number in zip(SIZES, numbers, strict=True)) for numbers in allowed)
    chosen = [WEIGHTS.index(value) for value in curve.values]
    assert tuple(chosen) in allowed
    assert sum(rates[size][number] for size, number in zip(SIZES, chosen, strict=True)) == pytest.approx(best)
    assert curve.values[0] > 0.5  # the teacher reads nothing there
    mixed = people.mixed(curve)
    for size in SIZES:
        assert rate(people, people.sharp @ mixed.probes[size].T) >= rate(people, people.sharp @ people.teacher[size].T)


def test_where_the_teacher_is_better_at_all_sizes_it_is_alone(people):
    worse = people._replace(probes={size: noisy(people.sharp, 30.0, size) for size in SIZES})
    assert choose_mixture(worse).values == (0.0, 0.0, 0.0)


def test_a_reduced_gallery_face_has_the_best_weight_of_each_size(people):
    curve = choose_reduced_gallery(people)
    for size, weight in zip(*curve, strict=True):
        probes = people.probes[size]
        sharp, reduced = people.sharp @ probes.T, people.reduced[size] @ probes.T
        rates = [rate(people, (1 - other) * sharp + other * reduced) for other in WEIGHTS]
        assert rates[WEIGHTS.index(weight)] == max(rates)


def test_too_few_people_get_a_sentence(people):
    few = people._replace(
        identity=people.identity[:9],
        sharp=people.sharp[:9],
        probes={8: people.probes[8][:9]},
        teacher={8: people.teacher[8][:9]},
    )
    with pytest.raises(ValueError, match="made up has 54 pairs of two people, too few to choose weights: 1000 are"):
        choose_mixture(few)
    one = few._replace(identity=torch.zeros(9), reduced={8: people.reduced[8][:9]})
    with pytest.raises(ValueError, match="must show at least two people"):
        choose_reduced_gallery(one)


def test_verify_compares_as_the_thresholds_were_chosen(tmp_path):
    """Looks, mixture and reduced gallery face: Recognizer and calibration give the same score for the same images."""
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL)).eval()
    names = [f"{number}.png" for number in range(6)]
    faces = FaceDataset(noise_store(tmp_path / "noise", names, list("aabbcc"), {"ibug68": 68}, hr_size=32), "train")
    usage = Usage(True, 0.05, SizeCurve((8, 16), (0.75, 0.25)), SizeCurve((8, 16), (0.5, 0.0)))
    people = embed_people(rim, faces, "noise", "0", (8, 12), looks=usage, teacher=True)
    people = with_reduced_gallery(people.mixed(usage.mixture), rim, faces, usage)
    plain, pairs = (
        thresholds_of(people, fars=(0.45,), counts=(1,), reduced_gallery=curve)
        for curve in (None, usage.reduced_gallery)
    )
    model = Recognizer(rim, plain, demo=True, usage=usage, pair_calibration=pairs)
    images = torch.stack([faces[number].hr for number in range(6)])
    for column, (size, weight) in enumerate(((8, 0.5), (12, 0.5 * np.log(16 / 12) / np.log(2)))):
        sizes = torch.full((6,), size)
        small = synthesize_probe(to_unit(images), sizes)
        probes = [
            face
            for face, view in zip(model.align(list(images), aligned=True), small, strict=True)
            for face in [type(face)(view, float(size), 0, face.name)]
        ]
        torch.testing.assert_close(model.embed_probes(probes), people.probes[size])
        torch.testing.assert_close(model.embed_gallery(images, aligned=True), people.sharp)
        answer = model.verify(probes[0], images[3], far=0.45, aligned=True)
        probe = people.probes[size][0]
        expected = (1 - weight) * probe @ people.sharp[3] + weight * probe @ people.probes[size][3]
        assert answer.similarity == pytest.approx(float(expected), abs=1e-5)
        assert answer.threshold == pytest.approx(pairs.thresholds[0, 0, column, 0])
    assert not np.array_equal(plain.thresholds, pairs.thresholds)


def test_people_of_cameras_have_camera_probes_and_a_clean_reduced_gallery(tmp_path):
    torch.manual_seed(0)
    rim = perturbed(RIM(**MODEL)).eval()
    names = [f"{number}.png" for number in range(4)]
    faces = FaceDataset(noise_store(tmp_path / "noise", names, list("aabb"), {}, hr_size=32), "train")
    kind, usage = ProbeKind("camera", "detector"), Usage(mixture=SizeCurve((8,), (0.5,)))
    people = embed_people(rim, faces, "noise", "0", (8,), kind, teacher=True, batch_size=3)
    mixed = with_reduced_gallery(people.mixed(usage.mixture), rim, faces, usage, batch_size=3)
    images, sizes = to_unit(torch.stack([faces[number].hr for number in range(4)])), torch.full((4,), 8)
    embedder = FaceEmbedder(rim, usage)
    torch.testing.assert_close(mixed.probes[8], embedder.probe(seeded_probes(images, 8, kind, range(4)), sizes))
    torch.testing.assert_close(mixed.reduced[8], embedder.probe(synthesize_probe(images, sizes), sizes))
    clean = embed_people(rim, faces, "noise", "0", (8,), teacher=True).mixed(usage.mixture)
    torch.testing.assert_close(with_reduced_gallery(clean, rim, faces, usage).reduced[8], mixed.reduced[8])
